# Sourced by restore: the database as it was at any moment, by PostgreSQL's own recovery.
# shellcheck shell=bash disable=SC2154,SC2016

# Makes a backup of a moment from the last copy of the database's files before it and the log since, and prints its
# folder. It happens in a container of its own: the database that runs is not touched.
backup_at() {
    local at folder base='' one system new seconds name
    [ "$kind" = containers ] || fail "--at is for docker-compose.yml; a database elsewhere has its own recovery"
    seconds=$(date --date="$1" +%s 2>/dev/null) || fail "'$1' is no time; write it as '2026-11-21 02:34:00Z'"
    [ "$seconds" -le "$(date +%s)" ] || fail "$1 is in the future"
    at=$(date --utc --date="@$seconds" '+%Y-%m-%d %H:%M:%S+00')
    folder=$(readlink -e "$2") || fail "there is no folder $2"
    # The packages and the log up to now.
    if [ -n "$(compose ps --quiet wal)" ]; then
        "$here/scripts/backup" --changes "$folder" >&2 || echo "the log of the last minute may be missing" >&2
    fi
    for one in "$folder"/2*T*Z; do
        [ -e "$one/base.tar.gz" ] && [ "$(stat --format %Y "$one/base.tar.gz")" -le "$seconds" ] && base=$one
    done
    [ -n "$base" ] || fail "$folder holds no backup of before $at: the oldest is $(basename "$(printf '%s\n' "$folder"/2*T*Z | sed -n 1p)")"
    system=$(cat "$base/system")
    name=at-$(date --utc --date="@$seconds" +%Y%m%dT%H%M%SZ)
    new=$folder/$name.partial
    rm -rf "$new"
    mkdir -m 700 "$new"
    echo "recovering $at from $(basename "$base") and the log since" >&2
    docker run --rm --init --network none --user root --entrypoint bash --env at="$at" --env first="$(cat "$base/first-segment")" \
        --volume "$base:/base:ro" --volume "$folder/wal/$system:/wal:ro" --volume "$new:/out" \
        "$(compose config --images db | sed -n 1p)" -euc "$recover" >&2 ||
        { rm -rf "$new" && fail "cannot recover $at; nothing was changed"; }
    list_packages "$new/database.dump" >"$new/packages.sha256"
    rm -rf "${folder:?}/$name"
    mv "$new" "$folder/$name"
    echo "$folder/$name"
}

# Runs in the container: $at, $first, /base, /wal and /out.
recover='
data=/var/lib/postgresql/data/recovered log=/var/lib/postgresql/data/log
install -d -o postgres -g postgres -m 700 "$data" "$log"
tar -xzf /base/base.tar.gz -C "$data"
for file in /wal/*; do
    name=$(basename "$file")
    [ ! "${name%%.*}" \< "$first" ] || continue
    case $name in
    *.gz) cp "$file" "$log/" ;;
    # The piece that was being written: what there is of it.
    *.gz.partial)
        [ ! -e "/wal/${name%.partial}" ] || continue
        gunzip -c "$file" 2>/dev/null >"$log/${name%.gz.partial}" || true
        truncate -s 16M "$log/${name%.gz.partial}"
        ;;
    esac
done
chown -R postgres:postgres "$data" "$log"
chmod 700 "$data"
cat >>"$data/postgresql.auto.conf" <<END
restore_command = '"'"'if [ -e $log/%f.gz ]; then gunzip -c $log/%f.gz >%p; else cp $log/%f %p; fi'"'"'
recovery_target_timeline = '"'"'current'"'"'
recovery_target_action = '"'"'promote'"'"'
hot_standby = off
listen_addresses = '"'"''"'"'
unix_socket_directories = '"'"'/tmp'"'"'
shared_buffers = '"'"'128MB'"'"'
END
echo "local all all trust" >"$data/pg_hba.conf"
touch "$data/recovery.signal"
chown postgres:postgres "$data/recovery.signal" "$data/pg_hba.conf"
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
# Starts it and waits until it has recovered; fails when it ends instead.
start() {
    as_postgres pg_ctl -D "$data" -l /tmp/log -o "$1" -W start >/dev/null 2>&1
    sleep 1
    until as_postgres psql --host=/tmp --username=marketplace --dbname=marketplace -XAtc "select 1" >/dev/null 2>&1; do
        as_postgres pg_ctl -D "$data" status >/dev/null 2>&1 || return 1
        sleep 0.5
    done
}
: >/tmp/log
chown postgres /tmp/log
if ! start "-c recovery_target_time=\"$at\""; then
    # Nothing was committed after that moment, so the end of the log is the same.
    grep -q "ended before configured recovery target" /tmp/log || { tail -n 5 /tmp/log; exit 1; }
    start "" || { tail -n 5 /tmp/log; exit 1; }
fi
as_postgres pg_dump --host=/tmp --username=marketplace --dbname=marketplace --format=custom --no-owner --no-privileges >/out/database.dump
as_postgres pg_ctl -D "$data" -m fast stop >/dev/null
'
