#!/bin/sh
# Name: Git repository statistics
# Description: Commits, contributors, activity by month and the most changed files
set -eu

usage() {
    cat <<'HELP'
Usage: repo-stats.sh [options] [repository]
Summarize a git repository: age, commits, contributors, commits per month,
most frequently changed files. Reads only.

  -n COUNT     entries in each list (default 10)
  -s SINCE     only commits since then, e.g. 2024-01-01 or "3 months ago"
  -h, --help   show this help
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

top=10 since=''
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -n) [ $# -ge 2 ] || die "-n needs a number"; top=$2; shift 2 ;;
        -s) [ $# -ge 2 ] || die "-s needs a date"; since=$2; shift 2 ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "only one repository, please"
case $top in ''|0|*[!0-9]*) die "not a positive number: $top" ;; esac
command -v git >/dev/null 2>&1 || die "git is not installed"
cd -- "${1:-.}" || exit 2
git rev-parse --git-dir >/dev/null 2>&1 || die "not a git repository: $(pwd)"
git rev-parse --verify --quiet HEAD >/dev/null || die "the repository has no commits yet"

set -- HEAD
[ -z "$since" ] || set -- "--since=$since" HEAD
commits=$(git rev-list --count "$@")
first=$(git log --reverse --format=%ad --date=short "$@" | awk 'NR == 1')
last=$(git log -1 --format=%ad --date=short "$@")
printf 'Repository:   %s\n' "$(git rev-parse --show-toplevel 2>/dev/null || pwd)"
printf 'Branch:       %s\n' "$(git symbolic-ref --quiet --short HEAD || echo 'detached HEAD')"
printf 'Commits:      %s' "$commits"
[ "$commits" -eq 0 ] || printf '  (%s to %s)' "$first" "$last"
printf '\nFiles:        %s tracked\n' "$(($(git ls-tree -r --name-only HEAD | wc -l)))"
printf 'Branches:     %s local, tags: %s\n' \
    "$(($(git for-each-ref refs/heads | wc -l)))" "$(($(git for-each-ref refs/tags | wc -l)))"
git count-objects -v | awk '
    /^size:/ { kib += $2 } /^size-pack:/ { kib += $2 }
    END { if (kib >= 1024) printf "Object store: %.1f MiB\n", kib / 1024; else printf "Object store: %d KiB\n", kib }'
[ "$commits" -gt 0 ] || exit 0

printf '\nContributors\n'
git shortlog -sn "$@" | awk -v top="$top" 'NR <= top'

printf '\nCommits per month\n'
git log --format=%ad --date=format:%Y-%m "$@" | sort | uniq -c | tail -n "$top" | awk '
    { count[NR] = $1; month[NR] = $2; if ($1 > max) max = $1 }
    END {
        for (i = 1; i <= NR; i++) {
            bar = ""
            width = int(count[i] * 40 / max + 0.999)
            for (j = 0; j < width; j++) bar = bar "#"
            printf "  %s  %5d  %s\n", month[i], count[i], bar
        }
    }'

printf '\nMost changed files\n'
git -c core.quotePath=false log --format= --name-only "$@" | awk 'NF' | LC_ALL=C sort | uniq -c | LC_ALL=C sort -rn |
    awk -v top="$top" 'NR <= top'
