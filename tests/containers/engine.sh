# Sourced by scripts/test-containers: an engine of its own, the images, and an installation in a folder of its own.
# shellcheck shell=bash disable=SC2154

# Prints why no engine can run here; nothing when one can.
why_not() {
    if [ "$(id -u)" != 0 ]; then
        echo "it needs root, for an engine of its own"
    elif [ -e "$cache/engine.pid" ] && kill -0 "$(cat "$cache/engine.pid")" 2>/dev/null; then
        # Ours, left running on purpose (KEEP=1).
        :
    elif [ -S /var/run/docker.sock ] && [ -e /var/run/docker.pid ] && kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
        echo "an engine is running here already, whose networks and ports it might disturb"
    # Not of an earlier run of ours that was killed.
    elif [ ! -d "$cache/data" ] && ip route | grep -q '^172\.30\.42\.'; then
        echo "the network of docker-compose.yml, 172.30.42.0/24, is in use here"
    elif ! grep -q overlay /proc/filesystems && ! modprobe overlay 2>/dev/null; then
        echo "the kernel has no overlayfs"
    elif ! has apt-get && ! { has dockerd && has debootstrap; }; then
        echo "neither dockerd and debootstrap nor apt-get, which could install them, is here"
    elif ! unshare --mount true 2>/dev/null; then
        echo "the kernel does not let it mount, so it is a container itself"
    fi
}

start_engine() {
    local missing=() options=() need
    for need in dockerd=docker.io iptables debootstrap jq python3 curl openssl rclone ip=iproute2 pgrep=procps; do
        has "${need%=*}" || missing+=("${need#*=}")
    done
    install_packages "${missing[@]}"
    mkdir -p "$cache"
    export DOCKER_HOST=unix://$cache/docker.sock DOCKER_CONFIG=$cache/client
    unset DATABASE_URL REDIS_URL COMPOSE_FILE COMPOSE_PROJECT_NAME
    mkdir -p "$DOCKER_CONFIG/cli-plugins"
    docker compose version >/dev/null 2>&1 || find_compose
    if docker info >/dev/null 2>&1; then
        engine_is_ours=
        return
    fi
    engine_is_ours=1
    # Before version 27 an engine leaves IPv6 alone unless it is asked to see to it.
    [ "$(dockerd --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')" -ge 27 ] || options=(--experimental --ip6tables)
    PATH=$PATH:/usr/sbin:/sbin setsid dockerd --data-root "$cache/data" --exec-root "$cache/exec" \
        --pidfile "$cache/engine.pid" --host "$DOCKER_HOST" --oom-score-adjust 0 "${options[@]}" \
        >"$cache/engine.log" 2>&1 </dev/null &
    for _ in $(seq 300); do
        docker info >/dev/null 2>&1 && return
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$cache/engine.log" >&2
    fail "the engine does not start"
}

# Docker Compose as a plugin: what the tests have fetched already, or fetched now.
find_compose() {
    local program=${TEST_PROGRAMS:-}/bin/docker-compose
    if [ ! -x "$program" ]; then
        program=$cache/programs/bin/docker-compose
        [ -x "$program" ] || (mkdir -p "$cache/programs" && cd "$cache/programs" && install_compose) ||
            fail "cannot fetch Docker Compose"
    fi
    ln -sf "$program" "$DOCKER_CONFIG/cli-plugins/docker-compose"
}

# Starts an S3 server on this machine, at $1:$2; what it keeps ends with it.
start_bucket() {
    local program=${TEST_PROGRAMS:-}/bin/moto_server
    if [ ! -x "$program" ]; then
        program=$cache/programs/bin/moto_server
        [ -x "$program" ] || (mkdir -p "$cache/programs" && cd "$cache/programs" && install_bucket) || fail "cannot fetch an S3 server"
    fi
    "$program" -H "$1" -p "$2" >"$work/bucket.log" 2>&1 </dev/null &
    bucket=$!
    for _ in $(seq 300); do
        curl --silent --output /dev/null "http://$1:$2/" && return
        kill -0 "$bucket" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 3 "$work/bucket.log" >&2
    fail "the S3 server does not start"
}

# Images that docker-compose.yml names, as NAME:TAG, all profiles.
named_images() { sed -nE 's/^ +image: ([a-z][^$ ]*)$/\1/p' "$root/docker-compose.yml"; }

make_images() {
    local image folder
    # What the last stage of the Dockerfile begins with.
    image=$(sed -n 's/^ARG DEBIAN=//p' "$root/Dockerfile")
    if ! has_image "$image" && ! pull "$image"; then
        has_image debian:bookworm-slim || make_base bookworm
        docker tag debian:bookworm-slim "$image"
    fi
    # shellcheck disable=SC2013  # names, not lines
    for image in $(named_images); do
        case $image in
        postgres:*) folder=db ;;
        redis:*) folder=redis ;;
        nginx:*) folder=nginx ;;
        # Debian has none; the tests start the rest of the profile.
        grafana/*) continue ;;
        *) folder=monitoring ;;
        esac
        is_fresh "$image" "$folder" || pull "$image" || make_stand_in "$image" "$folder"
    done
    make_release 1.0.1
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# Not tried again once it has failed: in a closed network each attempt takes its time.
pull() {
    [ ! -e "$cache/cannot-pull" ] || return 1
    timeout 300 docker pull --quiet "$1" >/dev/null 2>&1 && return
    touch "$cache/cannot-pull"
    echo "images cannot be pulled here; making stand-ins of Debian's packages" >&2
    return 1
}

recipe() { (cd "$root/tests/containers/$1" && cat ./* | sha256sum | cut -c1-16); }

is_fresh() {
    local made
    made=$(docker image inspect --format '{{index .Config.Labels "recipe"}}' "$1" 2>/dev/null) || return 1
    # One without the label is the official one.
    [ -z "$made" ] || [ "$made" = "$(recipe "$2")" ]
}

# debian:SUITE-slim as debootstrap makes it.
make_base() {
    local suite=$1 folder
    echo "making debian:$suite-slim" >&2
    folder=$(mktemp -d "$cache/base.XXXXXX")
    # Old releases of debootstrap do not know new suites, all of which are made the same way.
    debootstrap --variant=minbase "$suite" "$folder" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" \
        /usr/share/debootstrap/scripts/sid >"$cache/debootstrap.log" 2>&1 ||
        { tail -n 3 "$cache/debootstrap.log" >&2 && fail "cannot make debian:$suite-slim"; }
    # How this machine reaches its packages, a proxy for example.
    cp -r /etc/apt/apt.conf.d "$folder/etc/apt/"
    tar -C "$folder" --exclude './var/cache/apt/*' --exclude './var/lib/apt/lists/*' --exclude './usr/share/doc/*' -c . |
        docker import - "debian:$suite-slim" >/dev/null
    rm -rf "$folder"
}

make_stand_in() {
    local image=$1 folder=$2 base
    # shellcheck disable=SC2013
    for base in $(sed -nE 's/^FROM debian:([a-z]+)-slim.*/\1/p' "$root/tests/containers/$folder/Dockerfile"); do
        has_image "debian:$base-slim" || make_base "$base"
    done
    echo "making $image" >&2
    build --network host --label "recipe=$(recipe "$folder")" --build-arg "IMAGE=$image" \
        --tag "$image" "$root/tests/containers/$folder"
}

# Builds without BuildKit, which is not on every machine.
build() {
    DOCKER_BUILDKIT=0 docker build --force-rm "$@" >"$cache/build.log" 2>&1 ||
        { tail -n 20 "$cache/build.log" >&2 && fail "cannot build an image"; }
}

# An image of the marketplace: the delivered Dockerfile, whose first stage only copies a program that is built already.
make_release() {
    local version=$1 program=${PROGRAM:-${CARGO_TARGET_DIR:-$root/target}/release/marketplace} context
    if [ ! -x "$program" ]; then
        prepare_build "$root"
        (cd "$root" && cargo build --locked --release --bin marketplace)
    fi
    context=$cache/context
    rm -rf "$context"
    mkdir "$context"
    cp "$root"/{LICENSE,LICENSE-APACHE,NOTICE} "$context/"
    cp "$program" "$context/marketplace"
    strip "$context/marketplace" 2>/dev/null || true
    awk '
        /^FROM .* AS build/ { print "FROM ${DEBIAN} AS build"; print "COPY marketplace /out/marketplace"; skip = 1; next }
        /^FROM / { skip = 0 }
        !skip { print }
    ' "$root/Dockerfile" >"$context/Dockerfile"
    build --network host --label "release=$version" --tag "${MARKETPLACE_IMAGE:-geektools-marketplace}:$version" "$context"
}

# A release that is not well: the program replaced by a shell script.
make_bad_release() {
    local version=$1 script=$2
    printf 'FROM %s:1.0.1\nUSER root\nRUN printf %%s\\\\n "#!/bin/sh" %q >/usr/local/bin/marketplace\nUSER marketplace\n' \
        "$MARKETPLACE_IMAGE" "$script" | build --tag "$MARKETPLACE_IMAGE:$version" -
}

# A clone of the delivered files, with .env as scripts/make-env writes it; $here is its folder, $work what its tests write.
# Each has ports, networks, containers and an image's name of its own.
make_installation() {
    local number=$1
    work=$cache/lane-$number here=$cache/lane-$number/installation
    export COMPOSE_PROJECT_NAME=marketplace-$number MARKETPLACE_IMAGE=geektools-marketplace
    [ "$number" = 0 ] || MARKETPLACE_IMAGE+=-$number
    remove_installation "$work"
    mkdir -p "$here"
    (cd "$root" && git ls-files -z --cached --others --exclude-standard 2>/dev/null | xargs -0 -r cp --parents -t "$here" 2>/dev/null) || true
    [ -x "$here/scripts/deploy" ] || cp -r "$root"/{scripts,deploy,docker-compose.yml} "$here/"
    cd "$here" || return
    sed -i "s/172\.30\.42\./172.30.$((42 + number))./; s/fd4d:6b70:6c63:/fd4d:6b70:6c6$((3 + number)):/" docker-compose.yml
    # Ports beside those of a server that may run here.
    http=$((18080 + number)) https=$((18443 + number))
    url=https://localhost:$https
    scripts/make-env "$url" >/dev/null 2>&1
    set_env HTTP_PORT "$http"
    set_env HTTPS_PORT "$https"
    for tag in 1.0.1 latest; do docker tag geektools-marketplace:1.0.1 "$MARKETPLACE_IMAGE:$tag"; done
    # What the machine itself does not allow, a container cannot have.
    if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt 65536 ]; then
        printf 'services:\n  web: {ulimits: {nofile: %s}}\n  nginx: {ulimits: {nofile: %s}}\n' \
            "$(ulimit -Hn)" "$(ulimit -Hn)" >docker-compose.override.yml
    fi
}

# Ends what is left of an installation, of this run or of one that was killed.
remove_installation() {
    local number=${1##*-}
    if [ -d "$1/installation" ]; then
        (cd "$1/installation" && COMPOSE_PROJECT_NAME=marketplace-$number docker compose --profile monitoring down --volumes --timeout 5 >/dev/null 2>&1) || true
    fi
    rm -rf "$1"
}

# Sets a line of .env.
set_env() {
    sed -i "/^$1=/d" "$here/.env"
    echo "$1=$2" >>"$here/.env"
}

finish() {
    local status=$?
    set +e
    trap '' INT TERM HUP
    [ ${#lanes[@]} = 0 ] || kill "${lanes[@]}" 2>/dev/null
    for work in "$cache"/lane-*; do stop_load 2>/dev/null; done
    if [ "${KEEP:-}" = 1 ]; then
        echo "kept: $cache/lane-*/installation, DOCKER_HOST=$DOCKER_HOST" >&2
        exit "$status"
    fi
    for work in "$cache"/lane-*; do remove_installation "$work"; done
    if [ -n "${engine_is_ours:-}" ] && [ -e "$cache/engine.pid" ]; then
        local pid
        pid=$(cat "$cache/engine.pid")
        kill "$pid" 2>/dev/null
        for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    fi
    exit "$status"
}
