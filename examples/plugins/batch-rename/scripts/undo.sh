#!/bin/sh
# Name: 撤销重命名
# Description: 撤销目录里最近一次批量重命名，默认只预览
set -eu

usage() {
    cat <<'HELP'
用法: undo.sh [--yes] [目录]
撤销 rename.sh 在目录（默认当前目录）里做的最近一次重命名。
默认只预览，加 --yes 才执行。

  --yes        真正执行（不加则只预览）
  -h, --help   显示帮助
HELP
}

die() { printf '错误: %s\n' "$1" >&2; exit 2; }

apply=0
dir=.
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        --yes) apply=1; shift ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "只能指定一个目录"
[ $# -eq 0 ] || dir=$1
[ -d "$dir" ] || die "目录不存在: $dir"
cd -- "$dir"

# 文件名带时间，按名字排在最后的就是最近一次
undo=''
for record in .rename-undo.*; do
    if [ -f "$record" ]; then undo=$record; fi
done
if [ -z "$undo" ]; then
    printf '这个目录里没有可以撤销的重命名记录。\n'
    exit 0
fi

tab=$(printf '\t')
renamed=$(cut -f2 "$undo")
pairs=$(cat "$undo")
printf '%s\n' "$renamed" | while IFS= read -r now; do
    [ -f "$now" ] || { printf '错误: 找不到「%s」，无法撤销（记录: %s）\n' "$now" "$undo" >&2; exit 2; }
done
while IFS=$tab read -r before now; do
    if [ -e "$before" ] && ! printf '%s\n' "$renamed" | grep -Fxq -e "$before"; then
        # 不分大小写的文件系统上，同一个文件也会“存在”
        [ "$(printf '%s' "$before" | LC_ALL=C tr '[:upper:]' '[:lower:]')" = "$(printf '%s' "$now" | LC_ALL=C tr '[:upper:]' '[:lower:]')" ] ||
            die "原来的名字「${before}」已被别的文件占用"
    fi
    printf '  %s  →  %s\n' "$now" "$before"
done <<PAIRS
$pairs
PAIRS
if [ "$apply" = 0 ]; then
    printf '\n以上为预览，加 --yes 执行撤销。\n'
    exit 0
fi
[ -w . ] || die "没有写权限: $(pwd)"
# 改到一半不能停，否则会留下临时名
trap '' INT TERM
step=0
while IFS=$tab read -r before now; do
    step=$((step + 1))
    mv -- "$now" ".rename-tmp.$$.$step"
done < "$undo"
step=0
while IFS=$tab read -r before now; do
    step=$((step + 1))
    mv -- ".rename-tmp.$$.$step" "$before"
done < "$undo"
rm -f -- "$undo"
printf '\n已撤销 %s 个文件的重命名。\n' "$step"
