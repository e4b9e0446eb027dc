#!/bin/sh
# Name: Restore a backup
# Description: Verify and unpack a backup archive into a new or empty folder
set -eu

usage() {
    cat <<'HELP'
Usage: restore.sh [options] ARCHIVE.tar.gz
Verify ARCHIVE and unpack it into a new or empty folder. Existing files are
never overwritten: a folder that is not empty is refused.

  -o DIR       where to unpack (default: ./restored)
  -l           only list what is in the archive
  -h, --help   show this help
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

out=./restored list=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -o) [ $# -ge 2 ] || die "-o needs a folder"; out=$2; shift 2 ;;
        -l) list=1; shift ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'Archive to restore: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -eq 1 ] || { usage >&2; exit 2; }
archive=$1
case $archive in -*) archive=./$archive ;; esac
[ -r "$archive" ] || die "cannot be read: $archive"
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

if [ "$list" = 1 ]; then
    tar -tzf "$archive"
    exit 0
fi
sh "$here/verify.sh" "$archive" || exit 1
if tar -tzf "$archive" | grep -Eq '^/|(^|/)\.\.(/|$)'; then
    die "the archive holds absolute or .. paths; not unpacking it"
fi
mkdir -p -- "$out"
case $out in -*) out=./$out ;; esac
[ -z "$(find "$out/." ! -name . -prune -print | awk 'NR == 1')" ] || die "not empty: $out"
tar -xzf "$archive" -C "$out"
printf 'Restored into %s\n' "$(CDPATH='' cd -- "$out" && pwd)"
