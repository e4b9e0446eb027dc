#!/bin/sh
# Name: Verify a backup
# Description: Check a backup archive against its checksum and read it to the end
set -eu

usage() {
    cat <<'HELP'
Usage: verify.sh ARCHIVE.tar.gz...
Compare each archive with its .sha256 file (when there is one) and read it to
the end. Exit status 1 when any archive is damaged.

  -h, --help   show this help
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

checksum() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum < "$1"
    elif command -v shasum >/dev/null 2>&1; then shasum -a 256 < "$1"
    else openssl dgst -sha256 < "$1" | sed 's/^.*= *//'
    fi | awk '{ print $1 }'
}

while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'Archive to verify: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -gt 0 ] || { usage >&2; exit 2; }

status=0
for archive do
    case $archive in -*) archive=./$archive ;; esac
    if [ ! -r "$archive" ]; then
        printf 'FAILED  %s: cannot be read\n' "$archive"
        status=1
        continue
    fi
    note='no checksum file'
    if [ -r "$archive.sha256" ]; then
        wanted=$(awk 'NR == 1 { print $1 }' "$archive.sha256")
        if [ "$(checksum "$archive")" != "$wanted" ]; then
            printf 'FAILED  %s: checksum differs\n' "$archive"
            status=1
            continue
        fi
        note='checksum matches'
    fi
    if gzip -t < "$archive" 2>/dev/null && list=$(tar -tzf "$archive" 2>/dev/null); then
        printf 'OK      %s: %s entries, %s\n' "$archive" "$(($(printf '%s\n' "$list" | wc -l)))" "$note"
    else
        printf 'FAILED  %s: not a readable tar.gz\n' "$archive"
        status=1
    fi
done
exit "$status"
