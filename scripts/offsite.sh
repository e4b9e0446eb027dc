# Sourced by backup: copies of the backups off this machine, encrypted before they leave it.
# shellcheck shell=bash disable=SC2154
#
# In .env:
#   BACKUP_REMOTE     where rclone puts them: s3:BUCKET/PREFIX, or any remote of rclone's own configuration
#   BACKUP_PASSWORD   what they are encrypted with (rclone's "crypt"); without it they cannot be read
#   BACKUP_S3_ENDPOINT, BACKUP_S3_REGION, BACKUP_S3_ACCESS_KEY, BACKUP_S3_SECRET_KEY    for s3:
#   BACKUP_COMMAND    instead of it, or besides: a command that gets the folder of the backups as its last argument

remote=${BACKUP_REMOTE:-$(setting BACKUP_REMOTE)}

# rclone with the remote `afar:`, which encrypts contents and names.
afar() {
    local password
    password=${BACKUP_PASSWORD:-$(setting BACKUP_PASSWORD)}
    [ -n "$password" ] || fail "BACKUP_REMOTE needs BACKUP_PASSWORD; keep a copy of it where the backups are not"
    command -v rclone >/dev/null || fail "BACKUP_REMOTE needs rclone: apt-get install rclone"
    (
        # By the environment, so that `ps` shows none of it.
        RCLONE_CONFIG_AFAR_PASSWORD=$(rclone obscure - <<<"$password")
        export RCLONE_CONFIG_AFAR_PASSWORD RCLONE_CONFIG_AFAR_TYPE=crypt RCLONE_CONFIG_AFAR_REMOTE=$remote
        RCLONE_CONFIG_S3_ENDPOINT=$(setting BACKUP_S3_ENDPOINT)
        RCLONE_CONFIG_S3_REGION=$(setting BACKUP_S3_REGION)
        RCLONE_CONFIG_S3_ACCESS_KEY_ID=$(setting BACKUP_S3_ACCESS_KEY)
        RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=$(setting BACKUP_S3_SECRET_KEY)
        export RCLONE_CONFIG_S3_TYPE=s3 RCLONE_CONFIG_S3_ENDPOINT RCLONE_CONFIG_S3_REGION RCLONE_CONFIG_S3_ACCESS_KEY_ID \
            RCLONE_CONFIG_S3_SECRET_ACCESS_KEY
        # Old releases fail when their S3 library finds this one.
        [ -z "${AWS_CA_BUNDLE:-}" ] || export RCLONE_CA_CERT="${RCLONE_CA_CERT:-$AWS_CA_BUNDLE}"
        unset AWS_CA_BUNDLE
        [ -n "$RCLONE_CONFIG_S3_ENDPOINT" ] || export RCLONE_CONFIG_S3_PROVIDER=AWS
        rclone --quiet --retries 3 --low-level-retries 3 --contimeout 20s "$@"
    )
}

# Sends what is new: everything, or packages and log only. Nothing that is there is changed, and what is deleted here by
# mistake stays there until it is too old.
send_afar() {
    local folder=$1 what=$2 command sources=(packages wal) source old
    command=${BACKUP_COMMAND:-$(setting BACKUP_COMMAND)}
    if [ -n "$remote" ]; then
        if [ "$what" = everything ]; then
            mapfile -t -O 2 sources < <(find "$folder" -mindepth 1 -maxdepth 1 -type d -name '2*T*Z' -printf '%f\n' | sort)
        fi
        for source in "${sources[@]}"; do
            [ -d "$folder/$source" ] || continue
            afar copy --ignore-existing --exclude '*.partial' --exclude '*.new' --exclude '.*' "$folder/$source" "afar:$source" ||
                fail "the copy to $remote failed; what is on this machine is whole"
        done
        if [ "$what" = everything ]; then
            old=$(date --utc --date="$days days ago" +%Y%m%dT%H%M%SZ)
            afar lsf --dirs-only afar: | tr -d / | grep '^2.*T.*Z$' | awk -v old="$old" '$0 < old' |
                while IFS= read -r source; do afar purge "afar:$source"; done
            # A base backup needs the log since its start.
            ! afar lsf afar:wal >/dev/null 2>&1 || afar delete --min-age "$((days + 2))d" afar:wal
        fi
    fi
    if [ -n "$command" ]; then
        sh -c "$command \"\$1\"" BACKUP_COMMAND "$folder" || fail "BACKUP_COMMAND failed; what is on this machine is whole"
    fi
}

fetch_from_afar() {
    [ -n "$remote" ] || fail "BACKUP_REMOTE is not set"
    umask 077
    mkdir -p "$1"
    afar copy afar: "$1" || fail "cannot fetch from $remote: is BACKUP_PASSWORD the one they were made with?"
    # It reads names only with the right password, and finds nothing with another one.
    find "$1" -mindepth 1 -maxdepth 1 -type d -name '2*T*Z' | grep -q . ||
        fail "there is no backup at $remote that BACKUP_PASSWORD can read"
    echo "fetched into $1: $(find "$1" -mindepth 1 -maxdepth 1 -type d -name '2*T*Z' -printf '%f ')"
}
