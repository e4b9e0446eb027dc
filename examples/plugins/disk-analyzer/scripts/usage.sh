#!/bin/sh
# Name: 目录占用排行
# Description: 列出目录下最占空间的子目录和文件
set -eu

usage() {
    cat <<'HELP'
用法: usage.sh [选项] [目录]
列出目录（默认当前目录）里占用空间最多的子目录和文件，只读取，不修改。

  -n 数量      显示前几名（默认 15）
  -h, --help   显示帮助
HELP
}

die() { printf '错误: %s\n' "$1" >&2; exit 2; }

top=15
dir=.
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -n) [ $# -ge 2 ] || die "-n 需要一个数字"; top=$2; shift 2 ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "只能指定一个目录"
[ $# -eq 0 ] || dir=$1
case $top in ''|0|*[!0-9]*) die "数量必须是正整数: $top" ;; esac
[ -d "$dir" ] || die "目录不存在: $dir"
root=$(CDPATH='' cd -- "$dir" && pwd)

printf '目录: %s\n' "$root"
df -Pk "$root" | LC_ALL=C awk '
    function human(k) {
        if (k >= 1073741824) return sprintf("%.1f TB", k / 1073741824)
        if (k >= 1048576) return sprintf("%.1f GB", k / 1048576)
        if (k >= 1024) return sprintf("%.1f MB", k / 1024)
        return k " KB"
    }
    NR == 2 {
        # 从右往左取：设备名里可能有空格
        for (i = NF; i > 0 && $i !~ /^[0-9]+%$/; i--) ;
        if (i > 3) printf "所在磁盘: 总共 %s，已用 %s，可用 %s（%s）\n", human($(i-3)), human($(i-2)), human($(i-1)), $i
    }'
printf '\n      大小    占比  名称\n'

# "$root/." 的每个直接成员各算一次；-x 不跨越文件系统；没有权限的目录跳过
cd "$root"
{ find . ! -name . -prune -exec du -skx {} + 2>/dev/null || true; } |
    LC_ALL=C sort -rn |
    LC_ALL=C awk -v top="$top" '
        function human(k) {
            if (k >= 1048576) return sprintf("%.1f GB", k / 1048576)
            if (k >= 1024) return sprintf("%.1f MB", k / 1024)
            return k " KB"
        }
        {
            size = $1
            sub(/^[0-9]+[ \t]+(\.\/)?/, "")
            total += size
            if (NR <= top) { sizes[NR] = size; names[NR] = $0; shown = NR }
        }
        END {
            for (i = 1; i <= shown; i++)
                printf "%10s  %5.1f%%  %s\n", human(sizes[i]), total ? sizes[i] * 100 / total : 0, names[i]
            printf "\n共 %d 项，合计 %s\n", NR, human(total + 0)
        }'
