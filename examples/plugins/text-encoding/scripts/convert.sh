#!/bin/sh
# Name: 编码转换
# Description: 把 GBK、Big5、UTF-16 文本转换成 UTF-8（或反过来），解决中文乱码
set -eu

usage() {
    cat <<'HELP'
用法: convert.sh [选项] 文件...
转换文本编码，解决中文乱码。默认只预览转换后的前三行。

  -f 编码        原编码（默认自动判断；可写 GBK、GB18030、BIG5、UTF-16LE 等）
  -t 编码        目标编码（默认 UTF-8）
  -o 目录        把转换后的文件写到这个目录，文件名不变，不覆盖已有文件
  -i             直接改写原文件，原文件另存为 .bak
  --lf           同时把换行符从 CRLF（Windows）改成 LF
  --yes          -i 时不再询问
  -h, --help     显示帮助
HELP
}

die() { printf '错误: %s\n' "$1" >&2; exit 2; }

detect() {
    magic=$(od -An -tx1 -N3 < "$1" | tr -d ' \n')
    case $magic in
        efbbbf) echo UTF-8-BOM; return ;;
        fffe*) echo UTF-16LE-BOM; return ;;
        feff*) echo UTF-16BE-BOM; return ;;
    esac
    if [ "$(LC_ALL=C tr -dc '\000' < "$1" | wc -c)" -gt 0 ]; then echo binary
    elif iconv -f UTF-8 -t UTF-8 < "$1" >/dev/null 2>&1; then echo UTF-8
    elif iconv -f GB18030 -t UTF-8 < "$1" >/dev/null 2>&1; then echo GB18030
    elif iconv -f BIG5 -t UTF-8 < "$1" >/dev/null 2>&1; then echo BIG5
    else echo unknown
    fi
}

# 把 $1 从 $2 转成目标编码写到标准输出；中间经过 UTF-8 以便处理换行符
convert() {
    case $2 in
        UTF-8-BOM) tail -c +4 "$1" > "$work/a" ;;
        UTF-16LE-BOM) tail -c +3 "$1" | iconv -f UTF-16LE -t UTF-8 > "$work/a" || return 1 ;;
        UTF-16BE-BOM) tail -c +3 "$1" | iconv -f UTF-16BE -t UTF-8 > "$work/a" || return 1 ;;
        *) iconv -f "$2" -t UTF-8 < "$1" > "$work/a" || return 1 ;;
    esac
    if [ "$lf" = 1 ]; then
        LC_ALL=C awk '{ sub(/\r$/, ""); print }' "$work/a" > "$work/b" || return 1
    else
        mv "$work/a" "$work/b"
    fi
    iconv -f UTF-8 -t "$to" < "$work/b"
}

from=auto to=UTF-8 out='' inplace=0 lf=0 yes=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -f) [ $# -ge 2 ] || die "-f 需要编码名"; from=$2; shift 2 ;;
        -t) [ $# -ge 2 ] || die "-t 需要编码名"; to=$2; shift 2 ;;
        -o) [ $# -ge 2 ] || die "-o 需要目录"; out=$2; shift 2 ;;
        -i) inplace=1; shift ;;
        --lf) lf=1; shift ;;
        --yes) yes=1; shift ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf '要转换的文件: '
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -gt 0 ] || { usage >&2; exit 2; }
command -v iconv >/dev/null 2>&1 || die "需要 iconv 命令"
[ -z "$out" ] || [ "$inplace" = 0 ] || die "-o 和 -i 只能选一个"
printf '' | iconv -f UTF-8 -t "$to" >/dev/null 2>&1 || die "iconv 不认识目标编码: $to"
[ "$from" = auto ] || printf '' | iconv -f "$from" -t UTF-8 >/dev/null 2>&1 || die "iconv 不认识原编码: $from"
if [ "$inplace" = 1 ] && [ "$yes" = 0 ]; then
    [ -t 0 ] || die "会改写原文件，请加 --yes 确认"
    printf '将改写 %s 个文件（原文件另存为 .bak），继续吗？[y/N] ' "$#"
    read -r answer || answer=''
    case $answer in y|Y|yes|是) ;; *) printf '已取消。\n'; exit 1 ;; esac
fi
[ -z "$out" ] || mkdir -p -- "$out"

work=$(mktemp -d "${TMPDIR:-/tmp}/encoding.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
status=0
fail() { printf '失败: %s\n' "$1" >&2; status=1; }

for file do
    case $file in -*) file=./$file ;; esac
    if [ ! -f "$file" ] || [ ! -r "$file" ]; then fail "读不到 $file"; continue; fi
    source=$from
    if [ "$source" = auto ]; then source=$(detect "$file"); fi
    case $source in
        binary) fail "$file 像是二进制文件，没有处理"; continue ;;
        unknown) fail "$file 的编码判断不出来，请用 -f 指定"; continue ;;
    esac
    if ! convert "$file" "$source" > "$work/result" 2>"$work/error"; then
        fail "$file 不能从 $source 转成 ${to}（有无法表示的字符，或编码不对）"
        continue
    fi
    if [ -n "$out" ]; then
        target=$out/$(basename -- "$file")
        if [ -e "$target" ]; then fail "$target 已存在，没有覆盖"; continue; fi
        cp "$work/result" "$target"
        printf '%s（%s）→ %s（%s）\n' "$file" "$source" "$target" "$to"
    elif [ "$inplace" = 1 ]; then
        if cmp -s "$work/result" "$file"; then printf '%s 不需要转换\n' "$file"; continue; fi
        if [ -e "$file.bak" ]; then fail "$file.bak 已存在，没有处理 $file"; continue; fi
        cp -p -- "$file" "$file.bak"
        # 用写入而不是替换，保留原文件的权限
        cat "$work/result" > "$file"
        printf '%s: %s → %s（原文件: %s.bak）\n' "$file" "$source" "$to" "$file"
    else
        printf '== %s: %s → %s，预览前三行 ==\n' "$file" "$source" "$to"
        iconv -f "$to" -t UTF-8 < "$work/result" | awk 'NR <= 3'
    fi
done
if [ -z "$out" ] && [ "$inplace" = 0 ]; then
    printf '以上为预览。用 -o 目录 另存，或用 -i 改写原文件。\n'
fi
exit "$status"
