#!/bin/sh
# Name: Back up a folder
# Description: Pack a folder into a dated tar.gz with a SHA-256 checksum and verify it
set -eu

usage() {
    cat <<'HELP'
Usage: backup.sh [options] FOLDER
Pack FOLDER into NAME-YYYYmmdd-HHMMSS.tar.gz, write a .sha256 file beside it
and read the archive back to verify it.

  -o DIR       where to put the archive (default: ~/backups)
  -x PATTERN   leave out files matching PATTERN, e.g. node_modules (repeatable)
  -k COUNT     keep only the newest COUNT archives of this folder; asks before
               deleting older ones unless --yes is given
  --yes        do not ask
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

out=${HOME:-.}/backups keep='' yes=0 patterns=''
newline='
'
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -o) [ $# -ge 2 ] || die "-o needs a folder"; out=$2; shift 2 ;;
        -x) [ $# -ge 2 ] || die "-x needs a pattern"; patterns="$patterns$2$newline"; shift 2 ;;
        -k) [ $# -ge 2 ] || die "-k needs a number"; keep=$2; shift 2
            case $keep in ''|0|*[!0-9]*) die "not a positive number: $keep" ;; esac ;;
        --yes) yes=1; shift ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'Folder to back up: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -eq 1 ] || { usage >&2; exit 2; }
[ -d "$1" ] || die "no such folder: $1"
source=$(CDPATH='' cd -P -- "$1" && pwd -P)
[ "$source" != / ] || die "refusing to back up the whole file system"
case $out in -*) out=./$out ;; esac
# Look before creating: the nearest folder that exists tells where it would be
nearest=$out
while [ ! -d "$nearest" ]; do nearest=$(dirname -- "$nearest"); done
nearest=$(CDPATH='' cd -P -- "$nearest" && pwd -P)
case $nearest/ in "$source"/*) die "the backup folder must not be inside the folder to back up" ;; esac
mkdir -p -- "$out"
out=$(CDPATH='' cd -P -- "$out" && pwd -P)

name=$(basename -- "$source")
parent=$(dirname -- "$source")
archive=$out/$name-$(date +%Y%m%d-%H%M%S).tar.gz
[ ! -e "$archive" ] || die "already exists: $archive"
partial=$archive.partial
trap 'rm -f -- "$partial"' EXIT
trap 'exit 130' INT TERM

# Keep macOS from adding ._ files
COPYFILE_DISABLE=1
export COPYFILE_DISABLE
set -f
old_ifs=$IFS
IFS=$newline
set --
for pattern in $patterns; do set -- "$@" "--exclude=$pattern"; done
IFS=$old_ifs
set +f

printf 'Packing %s\n' "$source"
umask 077
tar -czf "$partial" "$@" -C "$parent" "./$name" || die "tar reported an error; no archive was kept"

printf 'Verifying\n'
gzip -t < "$partial" || die "the archive is damaged"
entries=$(($(tar -tzf "$partial" | wc -l)))
[ "$entries" -gt 0 ] || die "the archive is empty"
mv -- "$partial" "$archive"
printf '%s  %s\n' "$(checksum "$archive")" "$(basename -- "$archive")" > "$archive.sha256"
printf 'Done: %s (%s entries, %s KiB)\n' "$archive" "$entries" "$(($(wc -c < "$archive") / 1024 + 1))"

[ -n "$keep" ] || exit 0
# The date in the name sorts by age; the glob is this folder's archives only
set --
for old in "$out/$name"-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9].tar.gz; do
    set -- "$@" "$old"
done
[ $# -gt "$keep" ] || exit 0
printf 'Older archives beyond the newest %s:\n' "$keep"
surplus=$(($# - keep))
index=0
for old do
    index=$((index + 1))
    [ "$index" -le "$surplus" ] || break
    printf '  %s\n' "$old"
done
if [ "$yes" = 0 ]; then
    if [ ! -t 0 ]; then printf 'Not deleted: add --yes.\n'; exit 0; fi
    printf 'Delete them? [y/N] '
    read -r answer || answer=''
    case $answer in y|Y|yes|YES) ;; *) printf 'Kept.\n'; exit 0 ;; esac
fi
index=0
for old do
    index=$((index + 1))
    [ "$index" -le "$surplus" ] || break
    rm -f -- "$old" "$old.sha256"
done
printf 'Deleted %s.\n' "$surplus"
