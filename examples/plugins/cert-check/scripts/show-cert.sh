#!/bin/sh
# Name: Certificate details
# Description: Print subject, names, validity, key and fingerprint of a PEM certificate file
set -eu

usage() {
    cat <<'HELP'
Usage: show-cert.sh FILE...
Print subject, issuer, host names, validity, key and SHA-256 fingerprint of
PEM certificate files. When a file holds a chain, every certificate is shown.

  -h, --help   show this help
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'Certificate file: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -gt 0 ] || { usage >&2; exit 2; }
command -v openssl >/dev/null 2>&1 || die "openssl is not installed"

work=$(mktemp -d "${TMPDIR:-/tmp}/cert.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
status=0
for file do
    case $file in -*) file=./$file ;; esac
    [ -r "$file" ] || { printf 'error: cannot read %s\n' "$file" >&2; status=1; continue; }
    rm -f "$work"/*.pem
    awk -v dir="$work" '
        /-----BEGIN CERTIFICATE-----/ { count++; name = sprintf("%s/%03d.pem", dir, count); writing = 1 }
        writing { print > name }
        /-----END CERTIFICATE-----/ { writing = 0; close(name) }' "$file"
    index=0
    for cert in "$work"/*.pem; do
        [ -f "$cert" ] || { printf 'error: no PEM certificate in %s\n' "$file" >&2; status=1; continue; }
        index=$((index + 1))
        printf '== %s, certificate %s ==\n' "$file" "$index"
        if ! openssl x509 -in "$cert" -noout -subject -issuer -startdate -enddate -serial -fingerprint -sha256; then
            status=1
            continue
        fi
        openssl x509 -in "$cert" -noout -text | awk '
            /Public Key Algorithm:|Public-Key:/ { sub(/^ +/, ""); print }
            /Subject Alternative Name:/ { getline; sub(/^ +/, ""); print "names=" $0 }'
    done
done
exit "$status"
