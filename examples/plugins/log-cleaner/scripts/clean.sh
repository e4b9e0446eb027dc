#!/bin/sh
# Name: 旧日志清理
# Description: 预览、压缩或删除超过若干天未修改的日志，默认只预览
set -eu

usage() {
    cat <<'HELP'
用法: clean.sh [选项] [目录]
清理目录（默认 ~/.geektools/logs）中的旧日志。默认只预览，加 --yes 才会动手。

  -d 天数        超过多少天没有修改才算旧（默认 30）
  -p 模式        文件名模式，可重复（默认 *.log *.logs *.log.* *.out）
  --gzip         压缩成 .gz 而不是删除
  --yes          真正执行（不加则只预览）
  -h, --help     显示帮助
HELP
}

die() { printf '错误: %s\n' "$1" >&2; exit 2; }

days=30
mode=delete
apply=0
dir=${HOME:-}/.geektools/logs
patterns=''
newline='
'
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -d) [ $# -ge 2 ] || die "-d 需要一个数字"; days=$2; shift 2 ;;
        -p) [ $# -ge 2 ] || die "-p 需要一个模式"
            case $2 in *"$newline"*|*/*|'') die "模式不能为空，也不能含有换行或 /" ;; esac
            patterns="$patterns$2$newline"; shift 2 ;;
        --gzip) mode=gzip; shift ;;
        --yes) apply=1; shift ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "只能指定一个目录"
[ $# -eq 0 ] || dir=$1
case $days in ''|*[!0-9]*) die "天数必须是整数: $days" ;; esac
[ "$days" -ge 1 ] || die "天数至少为 1"
[ -d "$dir" ] || die "目录不存在: $dir"
dir=$(CDPATH='' cd -P -- "$dir" && pwd -P)
home=$(CDPATH='' cd -P -- "${HOME:-/}" && pwd -P)
case $dir in
    /|/bin|/boot|/dev|/etc|/home|/lib|/lib64|/opt|/proc|/root|/run|/sbin|/sys|/usr|/var|/Applications|/Library|/System|/Users|/private|/private/etc|/private/var|"$home")
        die "拒绝在这个目录上执行: ${dir}（请指定具体的日志目录）" ;;
    /bin/*|/boot/*|/dev/*|/etc/*|/lib/*|/lib64/*|/proc/*|/sbin/*|/sys/*|/System/*|/private/etc/*)
        die "拒绝在系统目录上执行: $dir" ;;
esac
[ -n "$patterns" ] || patterns="*.log$newline*.logs$newline*.log.*$newline*.out$newline"

# 把模式列表变成 find 的参数：\( -name a -o -name b \)
set -f
old_ifs=$IFS
IFS=$newline
set --
for pattern in $patterns; do
    if [ $# -gt 0 ]; then set -- "$@" -o -name "$pattern"; else set -- -name "$pattern"; fi
done
IFS=$old_ifs
set +f
set -- . -xdev -type f \( "$@" \) -mtime "+$((days - 1))"
[ "$mode" = delete ] || set -- "$@" ! -name '*.gz' ! -name '*.bz2' ! -name '*.xz' ! -name '*.zst'

cd "$dir"
if stat -c %s . >/dev/null 2>&1; then flag=-c format='%s %n'; else flag=-f format='%z %N'; fi
list=$(find "$@" -exec stat "$flag" "$format" {} + 2>/dev/null || true)

printf '目录: %s\n' "$dir"
if [ -z "$list" ]; then
    printf '没有超过 %s 天未修改的日志，无需清理。\n' "$days"
    exit 0
fi
printf '%s\n' "$list" | LC_ALL=C sort -rn | LC_ALL=C awk '
    function human(b) {
        if (b >= 1048576) return sprintf("%.1f MB", b / 1048576)
        if (b >= 1024) return sprintf("%.1f KB", b / 1024)
        return b " B"
    }
    { size = $1; sub(/^[0-9]+ (\.\/)?/, ""); total += size; printf "%10s  %s\n", human(size), $0 }
    END { printf "\n共 %d 个文件，%s\n", NR, human(total) }'

if [ "$apply" = 0 ]; then
    if [ "$mode" = gzip ]; then action=压缩; else action=删除; fi
    printf '以上为预览，没有改动任何文件。确认无误后加 --yes 执行%s。\n' "$action"
    exit 0
fi
if [ "$mode" = gzip ]; then
    # shellcheck disable=SC2016  # 由内层 sh 展开
    find "$@" -exec sh -c '
        status=0
        for file do
            if [ -e "$file.gz" ]; then
                printf "跳过（%s.gz 已存在）\n" "$file" >&2
                status=1
            else
                gzip -- "$file" || status=1
            fi
        done
        exit "$status"' sh {} + || { printf '有文件没有压缩成功，见上面的提示。\n' >&2; exit 1; }
    printf '压缩完成。\n'
else
    find "$@" -exec rm -f -- {} + || { printf '有文件没有删除成功，见上面的提示。\n' >&2; exit 1; }
    printf '删除完成。\n'
fi
