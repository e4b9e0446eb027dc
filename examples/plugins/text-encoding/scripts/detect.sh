#!/bin/sh
# Name: 编码检测
# Description: 判断文本文件是 UTF-8、GBK/GB18030、Big5 还是 UTF-16，并检查换行符
set -eu

usage() {
    cat <<'HELP'
用法: detect.sh 文件或目录...
判断文本文件的编码（ASCII、UTF-8、带 BOM 的 UTF-8、UTF-16、GB18030、Big5）和换行符。
目录会递归处理常见的文本文件。只读取，不修改。

  -h, --help   显示帮助

GB18030（含 GBK、GB2312）与 Big5 没有标记，结果是推测，前面加“约”。
HELP
}

die() { printf '错误: %s\n' "$1" >&2; exit 2; }

detect() {
    magic=$(od -An -tx1 -N3 < "$1" | tr -d ' \n')
    case $magic in
        efbbbf) echo UTF-8-BOM; return ;;
        fffe*) echo UTF-16LE; return ;;
        feff*) echo UTF-16BE; return ;;
    esac
    if [ ! -s "$1" ]; then echo 空文件
    elif [ "$(LC_ALL=C tr -dc '\000' < "$1" | wc -c)" -gt 0 ]; then echo 二进制
    elif [ "$(LC_ALL=C tr -d '\001-\177' < "$1" | wc -c)" -eq 0 ]; then echo ASCII
    elif iconv -f UTF-8 -t UTF-8 < "$1" >/dev/null 2>&1; then echo UTF-8
    elif iconv -f GB18030 -t UTF-8 < "$1" >/dev/null 2>&1; then echo 约GB18030
    elif iconv -f BIG5 -t UTF-8 < "$1" >/dev/null 2>&1; then echo 约Big5
    else echo 未知
    fi
}

line_ends() {
    returns=$(($(LC_ALL=C tr -dc '\r' < "$1" | wc -c)))
    lines=$(($(wc -l < "$1")))
    if [ "$returns" -eq 0 ]; then echo LF
    elif [ "$returns" -ge "$lines" ]; then echo CRLF
    else echo 混合
    fi
}

while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
command -v iconv >/dev/null 2>&1 || die "需要 iconv 命令"
[ $# -gt 0 ] || set -- .

status=0
show() {
    kind=$(detect "$1")
    case $kind in
        UTF-16*|二进制|空文件) ends=- ;;
        *) ends=$(line_ends "$1") ;;
    esac
    printf '%s\t%s\t%s\n' "$kind" "$ends" "$1"
}

printf '编码\t换行\t文件\n'
for path do
    case $path in -*) path=./$path ;; esac
    if [ -d "$path" ]; then
        find "$path" \( -name .git -o -name node_modules \) -prune -o -type f \( \
            -name '*.txt' -o -name '*.md' -o -name '*.csv' -o -name '*.log' -o -name '*.srt' \
            -o -name '*.c' -o -name '*.h' -o -name '*.cpp' -o -name '*.java' -o -name '*.py' \
            -o -name '*.js' -o -name '*.html' -o -name '*.css' -o -name '*.xml' -o -name '*.json' \
            -o -name '*.ini' -o -name '*.sql' -o -name '*.sh' -o -name '*.bat' \) -print |
            LC_ALL=C sort | while IFS= read -r file; do
                if [ -r "$file" ]; then show "$file"; fi
            done
    elif [ -r "$path" ]; then
        show "$path"
    else
        printf '错误: 读不到 %s\n' "$path" >&2
        status=1
    fi
done
exit "$status"
