# Sourced by backup, restore, deploy and monitor: the same steps on containers and on plain processes.
#
# Containers are what docker-compose.yml describes. For servers started otherwise, say what they use:
#   DATABASE_URL   their database            STORE      their folder of packages
#   DATA_DIR       their data folder, whose journal and index a restore sets aside (several: separated by colons)

fail() {
    echo "error: $*" >&2
    exit 1
}

# One order for sort and comm, whatever the language.
export LC_ALL=C

here=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")

# shellcheck disable=SC2034  # read where this is sourced
if [ -n "${DATABASE_URL:-}" ]; then
    kind=processes
else
    kind=containers
fi

compose() { docker compose --project-directory "$here" "$@"; }

# The value of a setting in .env.
setting() {
    [ -f "$here/.env" ] || return 0
    sed -n "s/^$1=//p" "$here/.env" | tail -n 1
}

# Runs one of PostgreSQL's programs on the marketplace's database.
on_database() {
    local program=$1
    shift
    if [ "$kind" = processes ]; then
        "$program" --dbname="$DATABASE_URL" "$@"
    else
        compose exec -T db "$program" --username=marketplace --dbname=marketplace "$@"
    fi
}

# Runs a statement and prints what it answers, plain.
sql() { on_database psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --command="$1"; }

# Prints what a dump would do, as a script for psql; for one table: --data-only --table=TABLE.
script_of_dump() {
    local dump=$1
    shift
    if [ "$kind" = processes ]; then
        pg_restore --no-owner --no-privileges --file=- "$@" "$dump"
    else
        compose exec -T db pg_restore --no-owner --no-privileges --file=- "$@" <"$dump"
    fi
}

# Whether a dump can be read to its end.
whole_dump() { script_of_dump "$1" >/dev/null 2>&1; }

# Prints hash and path of every version in a dump, as sha256sum reads them.
list_packages() {
    script_of_dump "$1" --data-only --table=plugin_versions | awk '
        /^COPY .*plugin_versions \(/ {
            sub(/^[^(]*\(/, ""); sub(/\).*/, "")
            n = split($0, names, ", ")
            for (i = 1; i <= n; i++) column[names[i]] = i
            inside = 1; FS = "\t"; next
        }
        /^\\\.$/ { inside = 0 }
        inside { split($0, row, "\t"); print row[column["file_hash"]] "  " row[column["file_path"]] }
    ' | sort -u
}

# Whether the servers use this stack's database; one elsewhere has backups of its own.
own_database() { ! grep -qs '^\(DATABASE_URL\|MARKETPLACE__DATABASE__URL\)=.' "$here/web.env"; }

# Whether packages are in a bucket, which keeps its own copies (docs/operations.md).
in_bucket() {
    case "${STORE:-$(setting STORAGE_URL)}" in
    s3://*) return 0 ;;
    *) return 1 ;;
    esac
}

# Runs nginx's program on the configuration that the service uses.
on_nginx() { compose exec -T nginx nginx -c /etc/nginx/marketplace/nginx.conf "$@"; }

# Runs a shell script beside the packages: $store is their folder, $backup the folder of the copies.
beside_packages() {
    if [ "$kind" = processes ]; then
        store=${STORE:?say where the packages are: STORE=FOLDER} backup=$2 sh -euc "$1"
    else
        # The service has no capabilities: DAC_OVERRIDE and FOWNER for files of others, CHOWN to give them back.
        compose run --rm --no-deps -T --user root --cap-add DAC_OVERRIDE --cap-add FOWNER --cap-add CHOWN --entrypoint sh \
            --volume "$2:/backup" -e store=/srv/packages -e backup=/backup web -euc "$1"
    fi
}
