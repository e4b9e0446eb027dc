# Sourced by bench and bench-compare: a server with a catalogue, packages of known size, and loads on it.
# They use $work (a folder), $plugins and $seconds.

# A PostgreSQL that keeps its promises, fsync included; prints nothing, sets $psql.
start_durable_postgres() {
    start_postgres
    psql=("$(postgres_programs)/psql" -qAtX "$postgres_url")
    "${psql[@]}" -c "alter system set fsync = on" -c "alter system set synchronous_commit = on" \
        -c "alter system set full_page_writes = on" -c "select pg_reload_conf()" >/dev/null
}

# Fills the database in $DATABASE_URL and starts a server on it; its process is in $started.
start_filled() { # folder of the programs, port, log
    "$1/marketplace" migrate >/dev/null
    echo "# filling $plugins plugins" >&2
    "$1/examples/bench" fill "$plugins" --database "$DATABASE_URL"
    local began
    began=$(date +%s.%N)
    "$1/marketplace" --port "$2" >"$3" 2>&1 &
    started=$!
    until curl -sf "http://127.0.0.1:$2/health" >/dev/null; do
        kill -0 "$started" || fail "$(cat "$3")"
        sleep 0.2
    done
    printf '# ready after %.1f s, index and lists included\n' "$(awk "BEGIN {print $(date +%s.%N) - $began}")" >&2
}

# Publishes a package of known size through the front door and fetches it again.
make_package() { # folder of the programs, address of the server, id, bytes of incompressible text
    mkdir -p "$work/$3/scripts" "$work/files"
    printf '{"id":"%s","name":"%s","version":"1.0.0","description":"","author":"bench","scripts":[{"name":"a","file":"a.sh","description":""}]}' "$3" "$3" >"$work/$3/info.json"
    head -c "$(($4 * 3 / 4))" /dev/urandom | base64 -w 76 >"$work/$3/scripts/a.sh"
    "$1/marketplace" import "$work/$3" >/dev/null
    curl -sf "$2/api/v1/plugins/$3/download" -o "$work/files/$3.tar.gz"
}

# Writes what wrk needs to ask for the addresses of a file in turn, and the addresses of each kind.
write_requests() { # folder of the programs
    local kind
    cat >"$work/urls.lua" <<'LUA'
local paths, thread, count = {}, 0, 0
function setup(t) t:set("id", thread); thread = thread + 1 end
function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  at = id * math.floor(#paths / 2)
end
function request() at = at % #paths + 1; return wrk.format("GET", paths[at]) end
LUA

    for kind in page mix chinese typo nothing suggest; do
        "$1/examples/bench" requests "$kind" 400000 "$plugins" >"$work/$kind.txt"
    done
    "$1/examples/bench" requests detail 1000 "$plugins" >"$work/detail.txt"
}
urls() { echo "-s $work/urls.lua $1 -- $work/$2.txt"; } # address of the server, kind

# CPU time of a process and its children, in seconds.
cpu() {
    cat "/proc/$1/stat" $(printf '/proc/%s/stat ' $(pgrep -P "$1")) 2>/dev/null |
        awk -v hz="$(getconf CLK_TCK)" '{sum += $14 + $15} END {printf "%.2f", sum / hz}'
}
# Prints requests a second, p50 and p99 in ms, non-2xx answers, and a process's CPU time per request in µs.
load() { # process, arguments of wrk
    local before after
    before=$(cpu "$1")
    wrk -t2 -c32 -d"${seconds}s" --latency "${@:2}" >"$work/wrk"
    after=$(cpu "$1")
    awk -v cpu="$(awk "BEGIN {print $after - $before}")" '
        function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t * 1000 }
        /50%/ { p50 = ms($2) } /99%/ { p99 = ms($2) } /Requests\/sec/ { rate = $2 } /requests in/ { n = $1 } /Non-2xx/ { bad = $NF }
        END { printf "%.0f %.2f %.2f %d %.1f\n", rate, p50, p99, bad, n ? 1e6 * cpu / n : 0 }' "$work/wrk"
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
