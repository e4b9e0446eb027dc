#!/bin/sh
# Name: 日志轮转
# Description: 轮转单个日志文件，不需要重启正在写日志的程序，默认只预览
set -eu

usage() {
    cat <<'HELP'
用法: rotate.sh [选项] 日志文件
把 app.log 轮转成 app.log.1.gz、app.log.2.gz……，然后清空 app.log 本身。
采用“复制后清空”，正在写日志的程序不需要重启，但复制与清空之间写入的几行
可能丢失。默认只预览，加 --yes 才执行。

  -k 份数      保留多少份旧日志（默认 5），更旧的会被删除
  -s 大小      小于这个大小就不轮转，例如 500K、10M（默认 0，总是轮转）
  --yes        真正执行（不加则只预览）
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

keep=5
limit=0
apply=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -k) [ $# -ge 2 ] || die "-k 需要一个数字"; keep=$2; shift 2 ;;
        -s) [ $# -ge 2 ] || die "-s 需要一个大小"; limit=$2; shift 2 ;;
        --yes) apply=1; shift ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf '要轮转的日志文件: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -eq 1 ] || { usage >&2; exit 2; }
case $keep in ''|0|*[!0-9]*) die "份数必须是正整数: $keep" ;; esac
bytes=$(to_bytes "$limit") || die "看不懂的大小: ${limit}（例如 500K、10M）"
file=$1
case $file in -*) file=./$file ;; esac
[ -f "$file" ] || die "文件不存在: $file"
[ ! -L "$file" ] || die "不处理符号链接: $file"
size=$(($(wc -c < "$file")))
if [ "$size" -lt "$bytes" ] || [ "$size" -eq 0 ]; then
    printf '%s 只有 %s 字节，不需要轮转。\n' "$file" "$size"
    exit 0
fi

run() {
    if [ "$apply" = 1 ]; then "$@"; else printf '  将执行: %s\n' "$*"; fi
}

printf '%s（%s 字节），保留 %s 份。\n' "$file" "$size" "$keep"
if [ "$apply" = 1 ]; then [ -w "$file" ] || die "没有写权限: $file"; fi
[ ! -e "$file.$keep.gz" ] || run rm -f "$file.$keep.gz"
index=$((keep - 1))
while [ "$index" -ge 1 ]; do
    [ ! -e "$file.$index.gz" ] || run mv "$file.$index.gz" "$file.$((index + 1)).gz"
    index=$((index - 1))
done
if [ "$apply" = 0 ]; then
    printf '  将执行: 压缩 %s 到 %s.1.gz 并清空原文件\n' "$file" "$file"
    printf '以上为预览，没有改动任何文件。加 --yes 执行。\n'
    exit 0
fi
# 压缩成功才清空，磁盘写满时日志不会丢
# cp -p 和 gzip 会保留权限，别人读不到的日志轮转后仍然读不到
temporary=$file.rotating.$$
if ! { cp -p "$file" "$temporary" && gzip "$temporary"; }; then
    rm -f "$temporary" "$temporary.gz"
    die "压缩失败，原日志没有清空"
fi
mv "$temporary.gz" "$file.1.gz"
: > "$file"
printf '轮转完成: %s.1.gz\n' "$file"
