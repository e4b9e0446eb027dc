#!/bin/sh
# Name: HTTP headers and redirects
# Description: Follow redirects step by step and show caching, compression and security headers
set -eu

usage() {
    cat <<'HELP'
Usage: headers.sh [options] URL
Follow the redirects of a URL step by step and show the final response's
caching, compression and security headers, naming the security headers that
are missing. Reads only (GET).

  -a           show all response headers
  -t SECONDS   give up after this time (default 15)
  -h, --help   show this help
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

all=0 timeout=15
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -a) all=1; shift ;;
        -t) [ $# -ge 2 ] || die "-t needs a number"; timeout=$2; shift 2 ;;
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
[ $# -eq 1 ] || { usage >&2; exit 2; }
case $timeout in ''|0|*[!0-9]*) die "not a positive number: $timeout" ;; esac
command -v curl >/dev/null 2>&1 || die "curl is not installed"
url=$1
case $url in
    http://*|https://*) ;;
    *://*) die "only http and https: $url" ;;
    *) url=https://$url ;;
esac

headers=$(curl -sS -L -g --compressed --max-redirs 10 --max-time "$timeout" -o /dev/null -D - "$url") ||
    { printf 'The request failed.\n' >&2; exit 1; }
printf '%s\n' "$headers" | LC_ALL=C tr -d '\r' | LC_ALL=C awk -v url="$url" -v all="$all" '
    /^HTTP\// { status = $0; count = 0; location = ""; split("", seen); next }
    /^$/ {
        if (status == "") next
        print status "  " url
        if (location != "" && status ~ / 30[12378]/) { print "  -> " location; url = location }
        final = status; status = ""
        next
    }
    {
        colon = index($0, ":")
        name = tolower(substr($0, 1, colon - 1))
        if (name == "location") location = substr($0, colon + 2)
        seen[name] = 1
        line[++count] = $0
        names[count] = name
    }
    END {
        if (status != "") print status "  " url
        print ""
        for (i = 1; i <= count; i++)
            if (all || names[i] ~ /^(server|date|content-type|content-length|content-encoding|cache-control|expires|etag|last-modified|age|vary|strict-transport-security|content-security-policy|x-content-type-options|x-frame-options|referrer-policy|permissions-policy)$/)
                print "  " line[i]
        # HSTS means nothing on plain http
        wanted = split((url ~ /^https:/ ? "strict-transport-security " : "") "content-security-policy x-content-type-options referrer-policy", want, " ")
        for (i = 1; i <= wanted; i++)
            if (!(want[i] in seen)) missing = missing " " want[i]
        if (missing != "") print "\n  missing:" missing
    }'
