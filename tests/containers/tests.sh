# Sourced by scripts/test-containers: what is proven, one function each, on the installation in $here.
# shellcheck shell=bash disable=SC2154,SC2317,SC2016,SC2046,SC2015,SC2181,SC2013,SC2001

# Tests that replace the data, and those of the servers.
data_tests=(restore bad_input backups alerts)
server_tests=(rolling scaling settings configuration crash failed_deploy certificates clients faults confinement)

# Runs the tests that are named, or all; with LANES=2 all on two installations side by side, because most of the time is
# spent waiting.
run_tests() {
    local wrong=0 lane
    # Nothing here in a condition, where failing commands would go unnoticed.
    set +e
    if [ $# -gt 0 ]; then
        run_lane 0 "$@"
        wrong=$?
    elif [ "${LANES:-1}" = 1 ]; then
        run_lane 0 "${data_tests[@]:0:2}" "${server_tests[@]}" "${data_tests[@]:2}"
        wrong=$?
    else
        for lane in 0 1; do
            if [ "$lane" = 0 ]; then set -- "${data_tests[@]}"; else set -- "${server_tests[@]}"; fi
            (
                trap - EXIT
                run_lane "$lane" "$@"
            ) &
            lanes+=($!)
        done
        for lane in "${lanes[@]}"; do wait "$lane" || wrong=1; done
        lanes=()
    fi
    printf '\n| test | result | figures | time |\n|---|---|---|---|\n'
    cat "$cache"/lane-*/rows
    set -e
    return "$wrong"
}

# Runs tests one after another on an installation of their own. One that fails is tried once more on a new installation,
# and reported.
run_lane() {
    local name began status figures result number=$1 wrong=0 rows=$cache/rows-$1
    : >"$rows"
    shift
    make_installation "$number"
    for name in start "$@"; do
        [ "$name" != start ] || [ ! -s "$rows" ] || continue
        began=$SECONDS figures='' status=ok
        attempt "$name"
        if [ "$result" != 0 ]; then
            echo "$name: failed ($((SECONDS - began)) s); trying it once more" >&2
            tail -n 5 "$work/compose.log" >&2
            make_installation "$number"
            [ "$name" = start ] || attempt start
            attempt "$name"
            status="ok at the second try"
            [ "$result" = 0 ] || status=FAILED wrong=1
        fi
        echo "| $name | $status | $figures | $((SECONDS - began)) s |" >>"$rows"
        echo "$name: $status: $figures ($((SECONDS - began)) s)" >&2
        # Without servers the others say nothing.
        [ "$name:$status" != start:FAILED ] || break
    done
    mv "$rows" "$work/rows"
    return "$wrong"
}

# Runs one test: $result is 0 when it passes, $figures what it has measured.
attempt() {
    (
        set -e
        trap - EXIT
        figures=
        "test_$1"
        echo "$figures" >"$work/figures"
    )
    result=$?
    figures=$(cat "$work/figures" 2>/dev/null)
    rm -f "$work/figures"
    stop_load 2>/dev/null
}

# Tools

fails() { echo "   wrong: $*" >&2; return 1; }
compose() { docker compose "$@" 2>>"$work/compose.log"; }
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

# A package in $work/packages/ID-VERSION.tar.gz, of about so many bytes.
package() {
    local folder=$work/packages/$1
    mkdir -p "$folder/scripts"
    head -c "${3:-2000}" /dev/urandom | base64 -w 100 | sed 's/^/# /' >"$folder/scripts/run.sh"
    cat >"$folder/info.json" <<END
{"id":"$1","name":"Plugin $1","version":"$2","description":"A plugin to say hello","author":"ada",
 "scripts":[{"name":"run","file":"run.sh","description":"runs"}]}
END
    tar -C "$folder" -czf "$work/packages/$1-$2.tar.gz" info.json scripts
    rm -r "$folder"
}

publish() { status_of "$url/api/v1/plugins" -H "authorization: Bearer $1" -F "plugin_file=@$work/packages/$2-$3.tar.gz"; }

# Users, a plugin, ratings and downloads; prints nothing.
fill() {
    local user
    mkdir -p "$work/packages" "$work/uploads"
    : >"$work/tokens"
    for user in ada bob cyd dan; do
        register "$user"
        sign_in "$user" >>"$work/tokens"
    done
    { read -r ada && read -r bob; } <"$work/tokens"
    package hello 1.0.0 20000
    package hello 1.1.0 20000
    package other 0.9.0 200000
    [ "$(publish "$ada" hello 1.0.0)" = 201 ] && [ "$(publish "$ada" hello 1.1.0)" = 201 ] &&
        [ "$(publish "$ada" other 0.9.0)" = 201 ] || fails "cannot publish"
    api "$url/api/v1/plugins/hello/ratings" -H "authorization: Bearer $bob" -H 'content-type: application/json' \
        -d '{"rating":4,"review":"好用"}' | jq -e .success >/dev/null || fails "cannot rate"
    api "$url/api/v1/plugins/hello/download" | sha256sum >"$work/hello.sha256"
    local n
    for n in $(seq 200); do package "load-$n" 1.0.0 300; mv "$work/packages/load-$n-1.0.0.tar.gz" "$work/uploads/"; done
}

# What clients see of everything, downloads apart.
answers() {
    local path
    for path in plugins?per_page=100 plugins/hello plugins/other plugins/hello/ratings tags; do
        api "$url/api/v1/$path" | jq -cS 'del(.. | .downloads?, .total_downloads?, .request_id?)'
    done
}

start_load() {
    python3 "$root/tests/containers/load.py" "$url" "$work/tokens" "$work/uploads" "$work/load.json" >"$work/load.log" 2>&1 </dev/null &
    echo $! >"$work/load.pid"
    sleep 3
}

stop_load() {
    [ -e "$work/load.pid" ] || return 0
    local pid
    pid=$(cat "$work/load.pid")
    rm -f "$work/load.pid"
    kill "$pid" 2>/dev/null || return 0
    # It may be the child of a shell that has ended.
    while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
}

# How many requests the load has made so far.
load_asked() {
    kill -USR1 "$(cat "$work/load.pid")" 2>/dev/null || fails "the load has ended: $(tail -n 3 "$work/load.log")"
    sleep 0.3
    tail -n 1 "$work/load.log"
}

# Ends the load once it has asked so often, and asserts that at most so many requests were lost.
load_lost() {
    local most=$1 least=$2 slowest=${3:-1}
    # A second is for a machine that has nothing else to do.
    awk -v cores="$(nproc)" '{ exit !($1 > 4 * cores) }' /proc/loadavg && slowest=3
    stop_load
    loss=$(jq -r '"\(.lost) of \(.asked) lost, slowest \(.slowest) s"' "$work/load.json")
    if ! jq -e ".lost <= $most and .asked >= $least and .slowest < $slowest" "$work/load.json" >/dev/null; then
        jq -c '.failed[]' "$work/load.json" | head -n 12 >&2
        compose logs --no-log-prefix --since 5m nginx | grep -E 'error|warn' | tail -n 12 >&2
        fails "$loss"
    fi
}

# The tests

test_start() {
    local began=$SECONDS
    docker compose up --detach --wait >>"$work/compose.log" 2>&1 || { tail -n 5 "$work/compose.log"; compose logs --tail 20 web nginx db redis; fails "does not start"; }
    figures="healthy after $((SECONDS - began)) s"
    fill
}

test_restore() {
    local before began backup spent
    before=$(answers)
    backup=$(scripts/backup | sed 's/: .*//')
    # On a new machine: no volume, no container.
    docker compose down --volumes >>"$work/compose.log" 2>&1
    docker compose up --detach --wait db >>"$work/compose.log" 2>&1
    began=$SECONDS
    scripts/restore "$backup" --yes >>"$work/compose.log" 2>&1 || { tail -n 5 "$work/compose.log" >&2; fails "restore on a new machine"; }
    spent=$((SECONDS - began))
    diff <(echo "$before") <(answers) >&2 || fails "what clients see is not as it was"
    api "$url/api/v1/plugins/hello/download" | sha256sum | diff - "$work/hello.sha256" || fails "another package"
    compose exec -T web marketplace store verify >/dev/null || fails "store verify"
    sign_in ada >/dev/null || fails "cannot sign in"
    status_of "$url/api/v1/auth/me" -H "authorization: Bearer $(head -n 1 "$work/tokens")" >/dev/null
    # In place, over what came later; new uploads work afterwards.
    package late 1.0.0
    ada=$(sign_in ada)
    [ "$(publish "$ada" late 1.0.0)" = 201 ] || fails "cannot publish after the restore"
    began=$SECONDS
    scripts/restore "$backup" --yes >>"$work/compose.log" 2>&1 || { tail -n 5 "$work/compose.log" >&2; fails "restore in place"; }
    diff <(echo "$before") <(answers) >&2 || fails "what clients see is not as it was"
    # That session is younger than the backup.
    ada=$(sign_in ada)
    [ "$(publish "$ada" late 1.0.0)" = 201 ] || fails "cannot publish after the second restore"
    figures="new machine $spent s, in place $((SECONDS - began)) s"
}

test_bad_input() {
    local before answer said backup file small n
    before=$(servers) answer=$(answers)
    # What fails must say this, and leave servers and data as they are.
    refuses() {
        local words=$1 status=0
        shift
        "$@" >"$work/step.log" 2>&1 || status=$?
        [ "$status" != 0 ] || fails "accepted: $*"
        grep -q -- "$words" "$work/step.log" || { tail -n 5 "$work/step.log" >&2; fails "does not say '$words': $*"; }
        # Compose itself cannot read some of them.
        [ ! -e good.env ] || cp good.env .env
        [ "$(servers)" = "$before" ] || fails "other servers run after: $*"
    }
    cp .env good.env
    for bad in "WEB_REPLICAS=three WEB_REPLICAS" "WEB_REPLICA=3 WEB_REPLICA" "HTTPS_PORT=99999 HTTPS_PORT" \
        "MARKETPLACE__LIMITS__LOGIN=3/minute web.env" "JWT_SECRET_KEY= JWT_SECRET_KEY" "REDIS_PASSWORD=changeme REDIS_PASSWORD" \
        "ALERT_EMAIL=a@example.org SMTP_SERVER" "DATABASE_CONNECTIONS=500 POSTGRES_CONNECTIONS"; do
        set_env "$(cut -d= -f1 <<<"$bad")" "$(cut -d= -f2- <<<"${bad% *}")"
        refuses "${bad##* }" scripts/deploy --same
    done
    rm good.env
    echo MARKETPLACE__SERVER__HEADER_TIMEOUT_SECONDS=soon >web.env
    refuses 'HEADER_TIMEOUT_SECONDS' scripts/deploy --same
    rm web.env
    # A full disk while backing up.
    scripts/backup >/dev/null 2>&1 || fails "backup"
    backup=$(find backups -maxdepth 1 -name '2*Z' | sort | tail -n 1)
    small=$work/small
    mkdir -p "$small"
    mount -t tmpfs -o size=400k tmpfs "$small"
    refuses 'the backup did not finish' scripts/backup "$small" || { umount "$small"; return 1; }
    grep -qi 'no space left' "$work/step.log" || { umount "$small"; fails "does not say that the disk is full"; }
    n=$(find "$small" -maxdepth 1 -name '2*' | wc -l)
    umount "$small"
    [ "$n" = 0 ] || fails "half a backup is left"
    # Damaged: a package, the dump; a folder that is none.
    file=$(find backups/packages -name '*.tar.gz' | sort | sed -n 1p)
    cp "$file" "$work/whole"
    head -c 100 "$work/whole" >"$file"
    refuses 'missing or damaged; nothing was changed' scripts/restore "$backup" --yes
    cp "$work/whole" "$file"
    cp "$backup/database.dump" "$work/whole"
    head -c $(($(stat -c %s "$work/whole") * 9 / 10)) "$work/whole" >"$backup/database.dump"
    refuses 'damaged; nothing was changed' scripts/restore "$backup" --yes
    cp "$work/whole" "$backup/database.dump"
    refuses 'is no backup' scripts/restore backups/packages --yes
    refuses 'in the future' scripts/restore --at 2999-01-01 --yes
    refuses 'holds no backup of before' scripts/restore --at 2001-01-01 --yes
    # Of a newer release.
    compose exec -T db psql -qXU marketplace marketplace -c "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'newer', true, '', 0)"
    scripts/backup >"$work/step.log" 2>&1
    said=$(sed 's/: .*//' "$work/step.log" | tail -n 1)
    compose exec -T db psql -qXU marketplace marketplace -c "delete from _sqlx_migrations where version = 9999"
    refuses 'of a newer release' scripts/restore "$said" --yes
    rm -r "$said"
    # Interrupted half-way: when the servers have stopped, and as soon as the database is being replaced.
    for n in 1 3; do
        setsid scripts/restore "$backup" --yes >"$work/step.log" 2>&1 </dev/null &
        file=$!
        while [ -n "$(compose ps --quiet --status running web)" ] && kill -0 "$file" 2>/dev/null; do sleep 0.2; done
        sleep "$n"
        kill -TERM "$file" 2>/dev/null || true
        wait "$file" || true
        [ "$(status_of "$url/api/v1/plugins")" = 200 ] || { tail -n 5 "$work/step.log" >&2; fails "an interrupted restore leaves nothing running"; }
        diff <(echo "$answer") <(answers) >&2 || fails "an interrupted restore has changed what there was"
    done
    figures="8 wrong settings, a full disk, 5 unfit backups, 2 interruptions: each refused by name, nothing lost"
}

# Three servers under load; $1 is how many seconds to wait for them.
three_servers() {
    set_env WEB_REPLICAS 3
    docker compose up --detach --wait >>"$work/compose.log" 2>&1
    [ "$(servers | wc -l)" = 3 ] || fails "there are $(servers | wc -l) servers"
    # Sessions of before a restore are gone.
    : >"$work/tokens"
    local user
    for user in ada bob cyd dan; do sign_in "$user" >>"$work/tokens"; done
}

# Runs a command under load until so many requests have been asked after it has ended.
under_load() {
    local most=$1 least=$2
    shift 2
    start_load
    "$@" >"$work/step.log" 2>&1 || { tail -n 8 "$work/step.log" >&2; fails "$*"; }
    sleep 8
    while [ "$(load_asked)" -lt "$least" ]; do sleep 2; done
    load_lost "$most" "$least"
}

test_rolling() {
    local before began
    three_servers
    before=$(servers)
    make_release 1.0.2
    began=$SECONDS
    under_load 0 5000 scripts/deploy 1.0.2
    [ "$(running_release)" = "1.0.2 " ] || fails "runs $(running_release)"
    [ "$(servers | wc -l)" = 3 ] || fails "there are $(servers | wc -l) servers"
    for server in $before; do ! docker inspect "$server" >/dev/null 2>&1 || fails "an old server is left"; done
    grep -q "deployed $MARKETPLACE_IMAGE:1.0.2: 3 servers" "$work/step.log" || fails "does not say what runs"
    figures="$loss, $((SECONDS - began)) s in all"
}

test_scaling() {
    three_servers
    scale() { set_env WEB_REPLICAS "$1" && docker compose up --detach --wait; }
    grow_and_shrink() { scale 5 && sleep 5 && scale 2 && sleep 5 && scale 3; }
    local kept
    kept=$(servers | sed -n 1p)
    under_load 0 3000 grow_and_shrink
    docker inspect "$kept" >/dev/null || fails "the first server was replaced"
    figures="3, 5, 2, 3 servers by compose up: $loss"
}

test_settings() {
    three_servers
    local before
    before=$(servers)
    # What concerns another service leaves the servers alone.
    set_env GRAFANA_PASSWORD "$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    start_load
    docker compose up --detach --wait >>"$work/compose.log" 2>&1
    [ "$(servers)" = "$before" ] || fails "servers were replaced although nothing that concerns them has changed"
    # What concerns them is brought in without a loss, and so is a new configuration of nginx; as git does it, by a new file
    # under the old name.
    echo MARKETPLACE__LIMITS__REGISTER=77/hour >web.env
    sed 's/add_header Referrer-Policy $add_referrer_policy always;/&\n        add_header X-New-Configuration yes always;/' \
        deploy/nginx/nginx.conf >new.conf
    mv new.conf deploy/nginx/nginx.conf
    scripts/deploy --same >"$work/step.log" 2>&1 || { tail -n 8 "$work/step.log" >&2; fails "deploy --same"; }
    sleep 8
    load_lost 0 3000
    for server in $(servers); do
        docker exec "$server" marketplace config check >"$work/settings"
        grep -q '77/hour' "$work/settings" || fails "the new setting is not in force"
    done
    api --head "$url/api/v1/plugins" >"$work/head"
    grep -qi '^x-new-configuration: yes' "$work/head" || fails "the new nginx.conf is not in force"
    grep -q "nginx runs deploy/nginx/nginx.conf $(sha256sum <deploy/nginx/nginx.conf | cut -c1-12)" "$work/step.log" ||
        fails "does not say what nginx runs"
    rm web.env
    figures="changed .env leaves servers alone; changed web.env and nginx.conf: $loss"
}

test_configuration() {
    local status=0
    three_servers
    cp deploy/nginx/nginx.conf good.conf
    echo 'nonsense;' >>deploy/nginx/nginx.conf
    scripts/deploy --same >"$work/step.log" 2>&1 || status=$?
    mv good.conf deploy/nginx/nginx.conf
    [ "$status" != 0 ] || fails "deployed with a wrong nginx.conf"
    grep -q 'nginx does not accept' "$work/step.log" || fails "does not say what is wrong: $(tail -n 2 "$work/step.log")"
    # Keep-alive clients through several reloads.
    reloads() { local n; for n in 1 2 3 4 5; do docker compose exec -T nginx nginx -s reload; sleep 3; done; }
    under_load 0 1500 reloads
    figures="a wrong nginx.conf is refused; five reloads: $loss"
}

test_crash() {
    three_servers
    start_load
    local victim
    victim=$(servers | sed -n 1p)
    docker kill --signal KILL "$victim" >/dev/null
    sleep 8
    docker start "$victim" >/dev/null
    sleep 10
    # The process inside, as the kernel would when memory runs out.
    kill -KILL "$(pgrep -P "$(docker inspect --format '{{.State.Pid}}' "$(servers | tail -n 1)")" | sed -n 1p)"
    sleep 10
    # At most what each worked on: two clients of sixteen at a time.
    load_lost 6 1500 1.5
    figures="two servers killed: $loss"
}

test_failed_deploy() {
    three_servers
    local before image status
    before=$(servers | sort)
    image=$(docker inspect --format '{{.Id}}' "$MARKETPLACE_IMAGE:latest")
    make_bad_release bad-check 'echo "error: server.port: this release wants another one" >&2; exit 1'
    make_bad_release bad-serve '[ \$1 != serve ] || { echo "fatal: cannot serve" >&2; exit 1; }'
    make_bad_release bad-health '[ \$1 != serve ] || exec sleep 300; [ \$1 != health ]'
    start_load
    for bad in bad-check bad-serve bad-health none-such; do
        status=0
        WAIT=8 scripts/deploy "$bad" >"$work/step.log" 2>&1 || status=$?
        [ "$status" != 0 ] || fails "$bad was deployed"
        [ "$(servers | sort)" = "$before" ] || fails "$bad: other servers run than before"
        [ "$(docker inspect --format '{{.Id}}' "$MARKETPLACE_IMAGE:latest")" = "$image" ] || fails "$bad starts next"
        case $bad in
        bad-check) grep -q 'wants another one' "$work/step.log" && grep -q 'nothing was changed' "$work/step.log" ;;
        none-such) grep -q 'neither in the registry nor on this machine' "$work/step.log" ;;
        *) grep -q 'went back to' "$work/step.log" ;;
        esac || { tail -n 5 "$work/step.log" >&2; fails "$bad: does not say why"; }
    done
    # A deployment that is interrupted half-way.
    setsid scripts/deploy 1.0.2 >"$work/step.log" 2>&1 </dev/null &
    bad=$!
    while ! [ "$(servers | wc -l)" -gt 3 ]; do sleep 0.5; done
    kill -TERM "$bad"
    wait "$bad" || true
    [ "$(servers | sort)" = "$before" ] || fails "interrupted: other servers run than before"
    [ "$(docker inspect --format '{{.Id}}' "$MARKETPLACE_IMAGE:latest")" = "$image" ] || fails "interrupted: the new one starts next"
    # An upload that is just being passed on while the servers of a bad release come and go may be answered 503.
    load_lost 4 2000 2
    local lost_before=$loss
    # After a reboot of the machine the containers start as they are; those that are missing as the tag says.
    docker compose stop >>"$work/compose.log" 2>&1
    docker compose start >>"$work/compose.log" 2>&1
    docker compose up --detach --wait >>"$work/compose.log" 2>&1
    [ "$(docker inspect --format '{{.Image}}' $(servers) | sort -u)" = "$image" ] || fails "another release after a restart"
    figures="five kinds of failure: $lost_before"
}

# Somebody on the network: a namespace of its own, with the addresses 198.51.100.7 and 2001:db8:51::7.
start_neighbour() {
    ip netns add marketplace-client
    ip link add mp-host type veth peer name mp-client netns marketplace-client
    ip addr add 198.51.100.1/24 dev mp-host
    ip -6 addr add 2001:db8:51::1/64 dev mp-host nodad
    ip link set mp-host up
    ip netns exec marketplace-client sh -ec '
        ip addr add 198.51.100.7/24 dev mp-client
        ip -6 addr add 2001:db8:51::7/64 dev mp-client nodad
        ip link set lo up; ip link set mp-client up
        ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:51::1'
}

stop_neighbour() {
    ip netns del marketplace-client 2>/dev/null || true
    ip link del mp-host 2>/dev/null || true
}

test_clients() {
    local line address
    stop_neighbour
    start_neighbour
    trap stop_neighbour EXIT
    ask() { ip netns exec marketplace-client curl --silent --insecure --max-time 10 "$@"; }
    for address in 198.51.100.7=198.51.100.1 2001:db8:51::7='[2001:db8:51::1]'; do
        # A failed sign-in, which the audit log and the limits note too.
        local there=${address#*=} from=${address%%=*} id
        id=$(ask --dump-header - --output /dev/null "https://$there:$https/api/v1/auth/login" -H 'x-forwarded-for: 9.9.9.9' \
            -H 'content-type: application/json' -d '{"username":"nobody","password":"wrong one"}' |
            sed -nE 's/^x-request-id: ([^\r]*).*/\1/Ip')
        [ -n "$id" ] || fails "no answer from $there"
        sleep 1.5
        line=$(compose logs --no-log-prefix --since 1m nginx | grep "$id" | jq -r .client)
        [ "$line" = "$from" ] || fails "nginx sees $line instead of $from"
        line=$(compose logs --no-log-prefix --since 1m web | grep -F "$id" | jq -r '.client // empty' | sort -u)
        [ "$line" = "$from" ] || fails "the application sees $line instead of $from"
    done
    figures="IPv4 and IPv6 clients seen as they are, by nginx and the application"
}

test_certificates() {
    local answer
    # Let's Encrypt's question, answered by a worker that is not root.
    (umask 077; echo token-1 >deploy/acme/.well-known/acme-challenge/t1)
    # certbot itself makes them readable.
    chmod 644 deploy/acme/.well-known/acme-challenge/t1
    answer=$(curl --silent --max-time 5 "http://localhost:$http/.well-known/acme-challenge/t1")
    [ "$answer" = token-1 ] || fails "the challenge answers '$answer'"
    # Everything else goes to where clients come in, port included.
    answer=$(curl --silent --max-time 5 --output /dev/null --write-out '%{redirect_url}' "http://127.0.0.1:$http/abc?d=e")
    [ "$answer" = "$url/abc?d=e" ] || fails "plain HTTP is sent to '$answer'"
    # What monitor says of the certificate holds this.
    monitored() {
        answer=$(BACKUP=0 DISK=101 CA=${2:-} scripts/monitor --verbose 2>&1 | grep certificate) || true
        grep -qi "$1" <<<"$answer" || fails "monitor says: $answer"
    }
    monitored 'PROBLEM.*clients refuse it: self'
    monitored '^ok .*ends in 89 days' deploy/tls/fullchain.pem
    # Renewed by the documented steps: a new file in the folder, and a reload; for another name at first.
    cp -r deploy/tls tls.before
    for name in elsewhere.example.org localhost; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj "/CN=$name" \
            -addext "subjectAltName=DNS:$name" -keyout new.key -out new.pem 2>/dev/null
        mv new.key deploy/tls/privkey.pem && mv new.pem deploy/tls/fullchain.pem
        # As docs/operations.md says.
        docker compose exec -T nginx nginx -s reload 2>/dev/null
        sleep 2
        case $name in
        localhost) monitored 'PROBLEM.*ends in 4 days' deploy/tls/fullchain.pem ;;
        *) monitored 'PROBLEM.*hostname mismatch' deploy/tls/fullchain.pem ;;
        esac
    done
    rm -r deploy/tls && mv tls.before deploy/tls
    docker compose up --detach --force-recreate --wait nginx >>"$work/compose.log" 2>&1
    figures="challenge 200; chain, name and end are checked; a renewed one is served after a reload"
}

test_faults() {
    local answer line
    ada=$(sign_in ada)
    # Larger than the limit, in both protocols.
    head -c 130000000 /dev/zero >"$work/large"
    for protocol in --http1.1 --http2; do
        answer=$(api $protocol "$url/api/v1/plugins" -H "authorization: Bearer $ada" -F "plugin_file=@$work/large" || true)
        [ "$(jq -r .code <<<"$answer")" = package_too_large ] || fails "$protocol: ${answer:0:200}"
    done
    rm "$work/large"
    # What nginx answers by itself names the request in its log, without its query.
    sleep 1.5
    line=$(compose logs --no-log-prefix --since 1m nginx | grep '"status":413' | tail -n 1)
    [ "$(jq -r '.method + " " + .uri' <<<"$line")" = "POST /api/v1/plugins" ] || fails "the log says $line"
    answer=$(api "$url/metrics?secret=x" | jq -r .request_id)
    sleep 1.5
    line=$(compose logs --no-log-prefix --since 1m nginx | grep "$answer")
    [ "$(jq -r '.method + " " + .uri' <<<"$line")" = "GET /metrics" ] || fails "the log says $line"
    # Every line of the servers' log is JSON, from the first on.
    compose logs --no-log-prefix web | jq -e . >/dev/null || fails "the log is not JSON"
    # Metrics describe themselves.
    answer=$(compose exec -T nginx curl --silent http://web:5000/metrics)
    for name in $(grep -v '^#' <<<"$answer" | sed -E 's/[{ ].*//; s/_(bucket|sum|count)$//' | sort -u); do
        grep -q "^# HELP $name " <<<"$answer" || fails "$name has no HELP line"
    done
    figures="413 in the envelope by HTTP/1.1 and HTTP/2; logs name method and address"
}

test_confinement() {
    local service container
    for service in web db redis nginx; do
        container=$(compose ps --quiet "$service" | sed -n 1p)
        [ "$(docker inspect --format '{{.HostConfig.PidsLimit}}' "$container")" -gt 0 ] || fails "$service has no limit of processes"
        for secret in POSTGRES_PASSWORD REDIS_PASSWORD JWT_SECRET_KEY; do
            ! grep -qFf <(sed -n "s/^$secret=//p" .env) <(docker inspect "$container") || fails "docker inspect of $service shows $secret"
        done
    done
    for secret in POSTGRES_PASSWORD REDIS_PASSWORD JWT_SECRET_KEY; do
        cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' >"$work/ps" || true
        ! grep -qFf <(sed -n "s/^$secret=//p" .env) "$work/ps" || fails "ps shows $secret"
    done
    "$root/scripts/sbom" "$MARKETPLACE_IMAGE:1.0.1" | jq -e '.components | length > 300' >/dev/null || fails "no list of what the image consists of"
    for image in $(sed -nE 's/^ +image: ([a-z][^$ ]*)$/\1/p' docker-compose.yml); do
        [[ $image =~ :v?[0-9]+\.[0-9]+(\.[0-9]+)?(-|$) ]] || fails "$image is no exact version"
    done
    figures="no secret in docker inspect or ps; limits of processes; exact versions"
}

test_backups() {
    local at began
    rm -rf backups
    # Off the machine in a bucket, and once more by a command of the operator's.
    start_bucket 127.0.0.1 18024
    # shellcheck disable=SC2064  # this process
    trap "kill $bucket 2>/dev/null" EXIT
    curl --silent --fail --request PUT http://127.0.0.1:18024/afar >/dev/null || fails "cannot make a bucket"
    for line in BACKUP_REMOTE=s3:afar/marketplace BACKUP_S3_ENDPOINT=http://127.0.0.1:18024 BACKUP_S3_REGION=us-east-1 \
        BACKUP_S3_ACCESS_KEY=tester BACKUP_S3_SECRET_KEY=secret "BACKUP_PASSWORD=a long one for the tests" \
        "BACKUP_COMMAND=cp -r -t $work/by-command"; do
        set_env "${line%%=*}" "${line#*=}"
    done
    mkdir "$work/by-command"
    docker compose up --detach --force-recreate --wait wal >>"$work/compose.log" 2>&1
    ada=$(sign_in ada)
    KEEP_DAYS=3 scripts/backup >"$work/step.log" 2>&1 || { cat "$work/step.log" >&2; fails "backup"; }
    # Between two backups a version and a rating are written, and a minute's run of cron comes by.
    package between 1.0.0
    [ "$(publish "$ada" between 1.0.0)" = 201 ] || fails "cannot publish"
    api "$url/api/v1/plugins/between/ratings" -H "authorization: Bearer $(sign_in bob)" -H 'content-type: application/json' -d '{"rating":5}' >/dev/null
    sleep 1.5
    at=$(date --utc '+%Y-%m-%d %H:%M:%SZ')
    sleep 1.5
    # Then somebody destroys everything, and the machine goes with all that is on it.
    package mischief 1.0.0
    [ "$(publish "$ada" mischief 1.0.0)" = 201 ] || fails "cannot publish"
    compose exec -T db psql -qXU marketplace marketplace -c "delete from plugin_ratings"
    began=$SECONDS
    scripts/backup --changes || fails "backup --changes"
    local minute=$((SECONDS - began))
    diff -rq --exclude=.since backups/packages "$work/by-command/backups/packages" >&2 || fails "BACKUP_COMMAND got something else"
    # As whoever can read the bucket sees it.
    mkdir "$work/afar"
    env --unset AWS_CA_BUNDLE RCLONE_CONFIG_S3_TYPE=s3 RCLONE_CONFIG_S3_ENDPOINT=http://127.0.0.1:18024 \
        RCLONE_CONFIG_S3_ACCESS_KEY_ID=tester RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=secret rclone --quiet copy s3:afar "$work/afar"
    [ "$(find "$work/afar" -type f | wc -l)" -gt 5 ] || fails "nothing is off the machine"
    ! grep -rqs "between\|CREATE TABLE" "$work/afar" || fails "what is off the machine can be read"
    docker compose down --volumes >>"$work/compose.log" 2>&1
    rm -rf backups
    # A wrong password reads nothing.
    ! BACKUP_PASSWORD=wrong scripts/backup --fetch >"$work/step.log" 2>&1 || fails "fetched with a wrong password"
    rm -rf backups
    scripts/backup --fetch >"$work/step.log" 2>&1 || { cat "$work/step.log" >&2; fails "fetch"; }
    docker compose up --detach --wait db >>"$work/compose.log" 2>&1
    began=$SECONDS
    scripts/restore --at "$at" --yes >"$work/step.log" 2>&1 || { tail -n 12 "$work/step.log" >&2; fails "restore --at"; }
    [ "$(api "$url/api/v1/plugins/between" | jq -r .data.rating)" = 5 ] || [ "$(api "$url/api/v1/plugins/between" | jq -r .data.rating)" = 5.0 ] || fails "the row between two backups is lost"
    [ "$(status_of "$url/api/v1/plugins/between/download")" = 200 ] || fails "the package between two backups is lost"
    [ "$(status_of "$url/api/v1/plugins/mischief")" = 404 ] || fails "what came later is still there"
    figures="a row and a package between two backups came back on a new machine in $((SECONDS - began)) s; run of a minute $minute s; encrypted in a bucket"
    set_env BACKUP_REMOTE ""
    set_env BACKUP_COMMAND ""
    # Old ones go by their age, the last one stays.
    mkdir -p backups/20200101T000000Z
    cp backups/2*Z/packages.sha256 backups/20200101T000000Z/ 2>/dev/null || true
    touch -d '2020-01-01' backups/20200101T000000Z
    scripts/backup >/dev/null 2>&1 || fails "backup after the restore"
    [ ! -e backups/20200101T000000Z ] || fails "an old backup stays"
}

test_alerts() {
    local receiver targets name body gateway
    three_servers
    gateway=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}' "$(compose ps --quiet nginx)")
    python3 "$root/tests/containers/receivers.py" "$work/received" "$gateway" 18025 18026 >"$work/receivers.log" 2>&1 </dev/null &
    receiver=$!
    # shellcheck disable=SC2064  # this process
    trap "kill $receiver 2>/dev/null" EXIT
    for line in ALERT_EMAIL=operator@example.org "ALERT_WEBHOOK=http://$gateway:18026/alerts" "SMTP_SERVER=$gateway:18025" \
        SMTP_FROM=marketplace@example.org SMTP_TLS=false ALERT_WAIT=1s; do
        set_env "${line%%=*}" "${line#*=}"
    done
    scripts/make-env --check || fails ".env is refused"
    docker compose up --detach prometheus alertmanager node-exporter blackbox-exporter postgres-exporter redis-exporter nginx-exporter \
        >>"$work/compose.log" 2>&1 || { tail -n 3 "$work/compose.log"; fails "monitoring does not start"; }
    scripts/backup >/dev/null 2>&1 || fails "backup"
    query() { compose exec -T nginx curl --silent --get "http://prometheus:9090/api/v1/$1" --data-urlencode "query=${2:-}"; }
    for _ in $(seq 60); do
        [ "$(query query 'count(up == 1)' | jq -r '.data.result[0].value[1]')" -ge 6 ] 2>/dev/null && break
        sleep 2
    done
    targets=$(query query 'up == 0' | jq -r '.data.result[].metric.job')
    [ -z "$targets" ] || fails "not measured: $targets"
    [ "$(query alertmanagers | jq '.data.activeAlertmanagers | length')" = 1 ] || fails "Prometheus knows no Alertmanager"
    [ "$(query rules | jq -r '[.data.groups[].rules[] | select(.health == "err")] | length')" = 0 ] || fails "a rule is wrong"
    # An alert of this name reaches both receivers within so many seconds.
    arrives() {
        for _ in $(seq "$2"); do
            grep -qs "$1" "$work/received.mail" && grep -qs "$1" "$work/received.http" && return
            sleep 1
        done
        compose logs --tail 5 alertmanager >&2
        fails "$1 did not arrive by mail and webhook"
    }
    # What the rules about the machine read is measured.
    for name in node_filesystem_avail_bytes probe_ssl_earliest_cert_expiry probe_success pg_up pg_stat_database_numbackends \
        pg_settings_max_connections pg_replication_slot_slot_is_active redis_up nginx_up \
        'marketplace_backup_last_success_timestamp_seconds{what="everything"}'; do
        [ "$(query query "count($name)" | jq '.data.result | length')" = 1 ] || fails "nobody measures $name"
    done
    scripts/monitor --test-alert >/dev/null || fails "no test alert"
    arrives TestAlert 40
    # A rule whose case has come, from what the server measures to the mail; and that it is over.
    docker compose stop redis >>"$work/compose.log" 2>&1
    arrives DependencyAway 150
    docker compose start redis >>"$work/compose.log" 2>&1
    for _ in $(seq 60); do [ "$(query query 'min(dependency_up)' | jq -r '.data.result[0].value[1]')" = 1 ] && break; sleep 1; done
    # No false alarm: neither from the start nor from a deployment.
    scripts/deploy --same >"$work/step.log" 2>&1 || fails "deploy"
    sleep 20
    body=$(query alerts | jq -r '[.data.alerts[] | select(.state == "firing") | .labels.alertname] | unique | join(" ")')
    [ -z "$body" ] || fails "false alarm: $body"
    figures="$(query query 'count(up == 1)' | jq -r '.data.result[0].value[1]') targets measured, $(query rules | jq '[.data.groups[].rules[]] | length') rules; a test alert and that Redis was away arrived by mail and webhook; none from a deployment"
}
