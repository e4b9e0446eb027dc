#!/bin/sh
# Name: 大文件查找
# Description: 查找超过指定大小的文件，按大小排序
set -eu

usage() {
    cat <<'HELP'
用法: bigfiles.sh [选项] [目录]
在目录（默认当前目录）里递归查找大文件，按大小从大到小列出。只读取，不删除。

  -s 大小      最小大小，例如 500K、100M、2G（默认 100M）
  -n 数量      最多显示多少个（默认 20）
  -d 天数      只列出至少这么多天没有修改过的文件
  -h, --help   显示帮助
HELP
}

die() { printf '错误: %s\n' "$1" >&2; exit 2; }

to_bytes() {
    number=${1%[KkMmGg]}
    case $number in ''|*[!0-9]*) return 1 ;; esac
    case $1 in
        *[Kk]) echo $((number * 1024)) ;;
        *[Mm]) echo $((number * 1024 * 1024)) ;;
        *[Gg]) echo $((number * 1024 * 1024 * 1024)) ;;
        *) echo "$number" ;;
    esac
}

top=20
size=100M
days=''
dir=.
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -s) [ $# -ge 2 ] || die "-s 需要一个大小"; size=$2; shift 2 ;;
        -n) [ $# -ge 2 ] || die "-n 需要一个数字"; top=$2; shift 2 ;;
        -d) [ $# -ge 2 ] || die "-d 需要一个数字"; days=$2; shift 2 ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "只能指定一个目录"
[ $# -eq 0 ] || dir=$1
case $top in ''|0|*[!0-9]*) die "数量必须是正整数: $top" ;; esac
case $days in *[!0-9]*) die "天数必须是整数: $days" ;; esac
bytes=$(to_bytes "$size") || die "看不懂的大小: ${size}（例如 500K、100M、2G）"
[ -d "$dir" ] || die "目录不存在: $dir"
root=$(CDPATH='' cd -- "$dir" && pwd)
cd "$root"

# GNU 和 busybox 用 stat -c，macOS 和 BSD 用 stat -f
if stat -c %s . >/dev/null 2>&1; then
    flag=-c format='%s %n'
else
    flag=-f format='%z %N'
fi

set -- . -xdev -type f -size "+$((bytes > 0 ? bytes - 1 : 0))c"
[ -z "$days" ] || set -- "$@" -mtime "+$((days > 0 ? days - 1 : 0))"

printf '在 %s 中查找不小于 %s 的文件……\n\n' "$root" "$size"
{ find "$@" -exec stat "$flag" "$format" {} + 2>/dev/null || true; } |
    LC_ALL=C sort -rn |
    LC_ALL=C awk -v top="$top" '
        function human(b) {
            if (b >= 1073741824) return sprintf("%.1f GB", b / 1073741824)
            if (b >= 1048576) return sprintf("%.1f MB", b / 1048576)
            if (b >= 1024) return sprintf("%.1f KB", b / 1024)
            return b " B"
        }
        {
            size = $1
            sub(/^[0-9]+ (\.\/)?/, "")
            total += size
            if (NR <= top) printf "%10s  %s\n", human(size), $0
        }
        END {
            if (NR == 0) print "没有找到。"
            else printf "\n共 %d 个文件，合计 %s\n", NR, human(total)
        }'
