#!/bin/sh
# Name: Git branch cleanup
# Description: List and delete local branches that are already merged; dry run by default
set -eu

usage() {
    cat <<'HELP'
Usage: branch-cleanup.sh [options] [repository]
List local branches that are fully merged into the base branch, and branches
whose remote branch is gone. Nothing is deleted without --yes.

  -b BRANCH    base branch (default: origin's default branch, else main, master)
  -p PATTERN   also protect branches matching this shell pattern (repeatable)
  --gone       with --yes: also delete unmerged branches whose remote is gone
  --yes        really delete (default: dry run)
  -h, --help   show this help

Never touched: the base branch, checked-out branches, main, master, develop,
trunk, release/* and hotfix/*. Each deletion prints the commit, so that
"git branch NAME COMMIT" brings the branch back.
HELP
}

die() { printf 'error: %s\n' "$1" >&2; exit 2; }

base='' gone=0 apply=0 patterns=''
newline='
'
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -b) [ $# -ge 2 ] || die "-b needs a branch"; base=$2; shift 2 ;;
        -p) [ $# -ge 2 ] || die "-p needs a pattern"; patterns="$patterns$2$newline"; shift 2 ;;
        --gone) gone=1; shift ;;
        --yes) apply=1; shift ;;
        --) shift; break ;;
        -*) die "unknown option: $1 (see --help)" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "only one repository, please"
command -v git >/dev/null 2>&1 || die "git is not installed"
cd -- "${1:-.}" || exit 2
git rev-parse --git-dir >/dev/null 2>&1 || die "not a git repository: $(pwd)"

if [ -z "$base" ]; then
    base=$(git symbolic-ref --quiet --short refs/remotes/origin/HEAD 2>/dev/null || true)
    for candidate in main master; do
        [ -z "$base" ] || break
        if git show-ref --verify --quiet "refs/heads/$candidate"; then base=$candidate; fi
    done
fi
[ -n "$base" ] || die "no base branch found, name one with -b"
git rev-parse --verify --quiet "$base^{commit}" >/dev/null || die "no such branch: $base"

# One line per worktree's branch: git refuses to delete those anyway
busy=$(git worktree list --porcelain 2>/dev/null | sed -n 's,^branch refs/heads/,,p')

is_protected() {
    case $1 in
        "$base"|"${base#origin/}"|main|master|develop|trunk|release/*|hotfix/*) return 0 ;;
    esac
    if printf '%s\n' "$busy" | grep -Fxq -e "$1"; then return 0; fi
    while IFS= read -r pattern; do
        [ -n "$pattern" ] || continue
        # shellcheck disable=SC2254  # meant as a pattern
        case $1 in $pattern) return 0 ;; esac
    done <<PATTERNS
$patterns
PATTERNS
    return 1
}

tab=$(printf '\t')
merged=0 lost=0 failed=0
printf 'Base branch: %s\n' "$base"
branches=$(git for-each-ref --format="%(refname:short)$tab%(objectname:short)$tab%(committerdate:short)$tab%(upstream:track)" refs/heads)
while IFS=$tab read -r name commit day track; do
    [ -n "$name" ] || continue
    if is_protected "$name"; then continue; fi
    if git merge-base --is-ancestor "refs/heads/$name" "$base"; then
        reason=merged
        merged=$((merged + 1))
    elif [ "$track" = '[gone]' ]; then
        reason='remote gone, NOT merged'
        lost=$((lost + 1))
    else
        continue
    fi
    if [ "$apply" = 0 ]; then
        printf '  would delete  %s  (%s, %s, %s)\n' "$name" "$commit" "$day" "$reason"
    elif [ "$reason" = merged ] || [ "$gone" = 1 ]; then
        # -D because -d compares with HEAD, and the check against the base is done
        if git branch -D -- "$name" >/dev/null; then
            printf '  deleted  %s  (was %s, %s)\n' "$name" "$commit" "$reason"
        else
            failed=1
        fi
    else
        printf '  kept  %s  (%s; add --gone to delete)\n' "$name" "$reason"
    fi
done <<BRANCHES
$branches
BRANCHES

printf '%s merged, %s unmerged with a gone remote.\n' "$merged" "$lost"
if [ "$apply" = 0 ] && [ $((merged + lost)) -gt 0 ]; then
    printf 'Dry run: nothing was deleted. Add --yes to delete the merged ones (and --gone for the others).\n'
fi
exit "$failed"
