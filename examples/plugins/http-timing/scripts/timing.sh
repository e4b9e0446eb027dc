#!/bin/sh
# Name: HTTP timing
# Description: Measure DNS, connect, TLS, first byte and total time of a URL with curl
set -eu

usage() {
    cat <<'HELP'
Usage: timing.sh [options] URL...
Request each URL several times and show where the time goes: name lookup,
connect, TLS handshake, first byte, total (milliseconds). Reads only (GET).

  -n COUNT     requests for each URL (default 3, at most 100)
  -t SECONDS   give up on a request after this time (default 15)
  --brief      tab-separated: status, average total ms, URL
  -h, --help   show this help

Exit status: 0 all answered below 400, 1 some did not, 2 wrong usage.
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

count=3 timeout=15 brief=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -n) [ $# -ge 2 ] || die "-n needs a number"; count=$2; shift 2 ;;
        -t) [ $# -ge 2 ] || die "-t needs a number"; timeout=$2; shift 2 ;;
        --brief) brief=1; shift ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'URL: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -gt 0 ] || { usage >&2; exit 2; }
case $count in ''|0|*[!0-9]*|????*) die "not a number from 1 to 100: $count" ;; esac
[ "$count" -le 100 ] || die "not a number from 1 to 100: $count"
case $timeout in ''|0|*[!0-9]*) die "not a positive number: $timeout" ;; esac
command -v curl >/dev/null 2>&1 || die "curl is not installed"

LC_ALL=C
export LC_ALL
bad=0
for url do
    case $url in
        http://*|https://*) ;;
        *://*) die "only http and https: $url" ;;
        *) url=https://$url ;;
    esac
    results=''
    errors=''
    index=0
    while [ "$index" -lt "$count" ]; do
        index=$((index + 1))
        line=$(curl -sS -L -g --max-time "$timeout" -o /dev/null \
            -w '%{http_code} %{time_namelookup} %{time_connect} %{time_appconnect} %{time_starttransfer} %{time_total} %{size_download}\n' \
            "$url" 2>&1) || { errors=$(printf '%s\n' "$line" | awk '/^curl:/'); line="000 0 0 0 0 0 0"; }
        results="$results$line
"
    done
    code=$(printf '%s' "$results" | awk '{ code = $1 } END { print code }')
    average=$(printf '%s' "$results" | awk '$1 != "000" { sum += $6; n++ } END { if (n) printf "%.0f", sum * 1000 / n; else printf "-" }')
    failures=$(printf '%s' "$results" | awk '$1 + 0 == 0 || $1 + 0 >= 400 { n++ } END { print n + 0 }')
    [ "$failures" -eq 0 ] || bad=1
    if [ "$brief" = 1 ]; then
        printf '%s\t%s\t%s\n' "$code" "$average" "$url"
        continue
    fi
    printf '%s\n  %s of %s requests fine, last status %s\n' "$url" "$((count - failures))" "$count" "$code"
    [ -z "$errors" ] || printf '  %s\n' "$errors"
    printf '%s' "$results" | awk '
        function row(name, field) {
            printf "  %-12s %9.1f %9.1f %9.1f\n", name, low[field] * 1000, sum[field] * 1000 / n, high[field] * 1000
        }
        $1 != "000" {
            n++
            size = $7
            for (i = 2; i <= 6; i++) {
                sum[i] += $i
                if (n == 1 || $i < low[i]) low[i] = $i
                if (n == 1 || $i > high[i]) high[i] = $i
            }
        }
        END {
            if (!n) exit
            printf "  %-12s %9s %9s %9s   (ms since the start)\n", "", "min", "avg", "max"
            row("dns", 2); row("connect", 3)
            if (high[4] > 0) row("tls", 4)
            row("first byte", 5); row("total", 6)
            printf "  body         %9d bytes\n", size
        }'
done
exit "$bad"
