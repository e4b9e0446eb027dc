# Sourced by scripts/test-containers: what is proven, one function each, on the installation in $here.
# shellcheck shell=bash disable=SC2154

all_tests=(start restore bad_input rolling scaling settings configuration crash failed_deploy certificates clients faults confinement)

run_tests() {
    local name began status wrong=0
    rows=()
    [ $# -gt 0 ] || set -- "${all_tests[@]}"
    [ "$1" = start ] || set -- start "$@"
    for name in "$@"; do
        began=$SECONDS figures=
        echo "== $name" >&2
        status=ok
        # Not in a condition, where a failing command would go unnoticed.
        set +e
        (
            set -e
            trap - EXIT
            "test_$name"
            echo "$figures" >"$cache/figures"
        )
        [ $? = 0 ] || { status=FAILED wrong=1; }
        set -e
        figures=$(cat "$cache/figures" 2>/dev/null) || figures=
        rm -f "$cache/figures"
        stop_load 2>/dev/null || true
        rows+=("| $name | $status | $figures | $((SECONDS - began)) s |")
        echo "   $status: $figures ($((SECONDS - began)) s)" >&2
        # Without servers the others say nothing.
        [ "$name:$status" != start:FAILED ] || break
    done
    printf '\n| test | result | figures | time |\n|---|---|---|---|\n'
    printf '%s\n' "${rows[@]}"
    return "$wrong"
}

# Tools

fails() { echo "   wrong: $*" >&2; return 1; }
compose() { docker compose "$@" 2>>"$cache/compose.log"; }
servers() { compose ps --quiet web; }
api() { curl --silent --show-error --insecure --max-time 30 "$@"; }
status_of() { api --output /dev/null --write-out '%{http_code}' "$@"; }

# An image in $here's terms: what web runs now.
running_release() { docker inspect --format '{{index .Config.Labels "release"}}' $(servers) | sort -u | tr '\n' ' '; }

sign_in() {
    api "$url/api/v1/auth/login" -H 'content-type: application/json' \
        -d "{\"username\":\"$1\",\"password\":\"correct horse\"}" | jq -re .data.access_token
}

register() {
    api "$url/api/v1/auth/register" -H 'content-type: application/json' \
        -d "{\"username\":\"$1\",\"email\":\"$1@example.org\",\"password\":\"correct horse\"}" >/dev/null
}

# A package in $cache/packages/ID-VERSION.tar.gz, of about so many bytes.
package() {
    local folder=$cache/packages/$1
    mkdir -p "$folder/scripts"
    head -c "${3:-2000}" /dev/urandom | base64 -w 100 | sed 's/^/# /' >"$folder/scripts/run.sh"
    cat >"$folder/info.json" <<END
{"id":"$1","name":"Plugin $1","version":"$2","description":"A plugin to say hello","author":"ada",
 "scripts":[{"name":"run","file":"run.sh","description":"runs"}]}
END
    tar -C "$folder" -czf "$cache/packages/$1-$2.tar.gz" info.json scripts
    rm -r "$folder"
}

publish() { status_of "$url/api/v1/plugins" -H "authorization: Bearer $1" -F "plugin_file=@$cache/packages/$2-$3.tar.gz"; }

# Users, a plugin, ratings and downloads; prints nothing.
fill() {
    local user
    mkdir -p "$cache/packages" "$cache/uploads"
    : >"$cache/tokens"
    for user in ada bob cyd dan; do
        register "$user"
        sign_in "$user" >>"$cache/tokens"
    done
    read -r ada <"$cache/tokens"
    package hello 1.0.0 20000
    package hello 1.1.0 20000
    package other 0.9.0 200000
    [ "$(publish "$ada" hello 1.0.0)" = 201 ] && [ "$(publish "$ada" hello 1.1.0)" = 201 ] &&
        [ "$(publish "$ada" other 0.9.0)" = 201 ] || fails "cannot publish"
    api "$url/api/v1/plugins/hello/ratings" -H "authorization: Bearer $ada" -H 'content-type: application/json' \
        -d '{"rating":4,"review":"好用"}' | jq -e .success >/dev/null || fails "cannot rate"
    api "$url/api/v1/plugins/hello/download" | sha256sum >"$cache/hello.sha256"
    local n
    for n in $(seq 200); do package "load-$n" 1.0.0 300; mv "$cache/packages/load-$n-1.0.0.tar.gz" "$cache/uploads/"; done
}

# What clients see of everything, downloads apart.
answers() {
    local path
    for path in plugins?per_page=100 plugins/hello plugins/other plugins/hello/ratings tags; do
        api "$url/api/v1/$path" | jq -cS 'del(.. | .downloads?, .total_downloads?, .request_id?)'
    done
}

start_load() {
    python3 "$root/tests/containers/load.py" "$url" "$cache/tokens" "$cache/uploads" "$cache/load.json" >"$cache/load.log" 2>&1 </dev/null &
    echo $! >"$cache/load.pid"
    sleep 3
}

stop_load() {
    [ -e "$cache/load.pid" ] || return 0
    local pid
    pid=$(cat "$cache/load.pid")
    rm -f "$cache/load.pid"
    kill "$pid" 2>/dev/null || return 0
    # It may be the child of a shell that has ended.
    while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
}

asked_so_far() { compose logs --no-log-prefix --since 10m nginx | wc -l; }

# Ends the load once it has asked so often, and asserts that at most so many requests were lost.
load_lost() {
    local most=$1 least=$2 slowest=${3:-1}
    stop_load
    loss=$(jq -r '"\(.lost) of \(.asked) lost, slowest \(.slowest) s"' "$cache/load.json")
    if ! jq -e ".lost <= $most and .asked >= $least and .slowest < $slowest" "$cache/load.json" >/dev/null; then
        jq -c '.failed[]' "$cache/load.json" | head -n 12 >&2
        compose logs --no-log-prefix --since 5m nginx | grep -E 'error|warn' | tail -n 12 >&2
        fails "$loss"
    fi
}

# The tests

test_start() {
    local began=$SECONDS
    docker compose up --detach --wait >>"$cache/compose.log" 2>&1 || { tail -n 5 "$cache/compose.log"; compose logs --tail 20 web nginx db redis; fails "does not start"; }
    figures="healthy after $((SECONDS - began)) s"
    fill
}

test_restore() {
    local before began backup spent
    before=$(answers)
    backup=$(scripts/backup | sed 's/: .*//')
    # On a new machine: no volume, no container.
    docker compose down --volumes >>"$cache/compose.log" 2>&1
    docker compose up --detach --wait db >>"$cache/compose.log" 2>&1
    began=$SECONDS
    scripts/restore "$backup" --yes >>"$cache/compose.log" 2>&1 || { tail -n 5 "$cache/compose.log" >&2; fails "restore on a new machine"; }
    spent=$((SECONDS - began))
    diff <(echo "$before") <(answers) >&2 || fails "what clients see is not as it was"
    api "$url/api/v1/plugins/hello/download" | sha256sum | diff - "$cache/hello.sha256" || fails "another package"
    compose exec -T web marketplace store verify >/dev/null || fails "store verify"
    sign_in ada >/dev/null || fails "cannot sign in"
    status_of "$url/api/v1/auth/me" -H "authorization: Bearer $(head -n 1 "$cache/tokens")" >/dev/null
    # In place, over what came later; new uploads work afterwards.
    package late 1.0.0
    ada=$(sign_in ada)
    [ "$(publish "$ada" late 1.0.0)" = 201 ] || fails "cannot publish after the restore"
    began=$SECONDS
    scripts/restore "$backup" --yes >>"$cache/compose.log" 2>&1 || { tail -n 5 "$cache/compose.log" >&2; fails "restore in place"; }
    diff <(echo "$before") <(answers) >&2 || fails "what clients see is not as it was"
    [ "$(publish "$ada" late 1.0.0)" = 201 ] || fails "cannot publish after the second restore"
    figures="new machine $spent s, in place $((SECONDS - began)) s"
}
