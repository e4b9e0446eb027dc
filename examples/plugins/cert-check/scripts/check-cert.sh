#!/bin/sh
# Name: TLS certificate expiry check
# Description: Show how many days are left on the certificates of servers or PEM files
set -eu

usage() {
    cat <<'HELP'
Usage: check-cert.sh [options] HOST[:PORT]|FILE...
Show how many days are left on each TLS certificate. HOST is asked over the
network (port 443 unless given); an existing FILE is read as PEM.

  -d DAYS      warn when fewer days are left (default 30)
  -t SECONDS   give up connecting after this time (default 10)
  --brief      tab-separated: status, days, name
  -h, --help   show this help

Exit status: 0 all fine, 1 something expires soon, has expired or cannot be
read, 2 wrong usage. The chain of trust is not judged.
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

days=30 timeout=10 brief=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -d) [ $# -ge 2 ] || die "-d needs a number"; days=$2; shift 2 ;;
        -t) [ $# -ge 2 ] || die "-t needs a number"; timeout=$2; shift 2 ;;
        --brief) brief=1; shift ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'Host name or certificate file: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -gt 0 ] || { usage >&2; exit 2; }
case $days in ''|*[!0-9]*) die "not a number: $days" ;; esac
case $timeout in ''|0|*[!0-9]*) die "not a positive number: $timeout" ;; esac
command -v openssl >/dev/null 2>&1 || die "openssl is not installed"

work=$(mktemp -d "${TMPDIR:-/tmp}/cert.XXXXXX")
client=''
# shellcheck disable=SC2317  # called by the trap
cleanup() {
    if [ -n "$client" ]; then kill "$client" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Neither macOS nor busybox can be relied on for timeout(1)
fetch() {
    openssl s_client -connect "$2:$3" -servername "$2" < /dev/null > "$work/answer" 2> /dev/null &
    client=$!
    started=$(date +%s)
    while kill -0 "$client" 2>/dev/null; do
        if [ $(($(date +%s) - started)) -ge "$timeout" ]; then
            kill "$client" 2>/dev/null || true
            break
        fi
        sleep 0.1 2>/dev/null || sleep 1
    done
    wait "$client" 2>/dev/null || true
    client=''
    openssl x509 -in "$work/answer" -out "$1" 2>/dev/null
}

# "Jun  1 12:00:00 2030 GMT" as days from now; date cannot parse this portably
days_left() {
    LC_ALL=C awk -v now="$(date +%s)" -v text="$1" 'BEGIN {
        split(text, part, " ")
        month = (index("JanFebMarAprMayJunJulAugSepOctNovDec", part[1]) + 2) / 3
        split(part[3], clock, ":")
        year = part[4]
        if (month <= 2) { year--; month += 12 }
        number = 365 * year + int(year / 4) - int(year / 100) + int(year / 400) \
            + int((153 * (month - 3) + 2) / 5) + part[2] - 1 - 719468
        left = number * 86400 + clock[1] * 3600 + clock[2] * 60 + clock[3] - now
        if (left < 0) print -int((-left + 86399) / 86400)
        else print int(left / 86400)
    }'
}

bad=0
report() {
    [ "$1" = OK ] || bad=1
    if [ "$brief" = 1 ]; then
        printf '%s\t%s\t%s\n' "$1" "$2" "$3"
    else
        printf '%-8s %s\n' "$1" "$3"
        [ -z "$4" ] || printf '%s\n' "$4"
    fi
}

for target do
    if [ -f "$target" ]; then
        if ! openssl x509 -in "$target" -out "$work/cert" 2>/dev/null; then
            report ERROR - "$target" "         not a PEM certificate"
            continue
        fi
    else
        host=$target port=443
        case $target in
            *://*) host=${target#*://}; host=${host%%/*} ;;
        esac
        case $host in
            \[*\]:*) port=${host##*:}; host=${host%:*} ;;
            \[*\]) ;;
            *:*) port=${host##*:}; host=${host%:*} ;;
        esac
        case $host in ''|-*|*[!][A-Za-z0-9._:-]*) die "not a host name or file: $target" ;; esac
        case $port in ''|*[!0-9]*) die "not a port: $port" ;; esac
        if ! fetch "$work/cert" "$host" "$port"; then
            report ERROR - "$target" "         no certificate received from $host port $port"
            continue
        fi
    fi
    end=$(openssl x509 -in "$work/cert" -noout -enddate | sed 's/^notAfter=//')
    left=$(days_left "$end")
    if [ "$left" -lt 0 ]; then status=EXPIRED
    elif [ "$left" -lt "$days" ]; then status=SOON
    else status=OK
    fi
    details=''
    if [ "$brief" = 0 ]; then
        details=$(
            printf '         expires: %s (%s days)\n' "$end" "$left"
            openssl x509 -in "$work/cert" -noout -subject -issuer | sed 's/^subject= */         subject: /; s/^issuer= */         issuer:  /'
        )
    fi
    report "$status" "$left" "$target" "$details"
done
exit "$bad"
