#!/bin/sh
# Name: 目录树 Folder tree
# Description: 画出目录树，不需要安装 tree / Draw a folder tree without installing tree
set -eu

# 中文或英文：GEEKTOOLS_LANG=zh|en，否则看 GeekTools 的设置，再看系统语言
choice=${GEEKTOOLS_LANG:-}
if [ -z "$choice" ] && [ -r "${HOME:-}/.geektools/config.json" ]; then
    choice=$(sed -n 's/.*"language"[^"]*"\([^"]*\)".*/\1/p' "$HOME/.geektools/config.json")
fi
[ -n "$choice" ] || choice=${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}
case $choice in zh*|Chinese) zh=1 ;; *) zh=0 ;; esac
# t 中文 英文
t() { if [ "$zh" = 1 ]; then printf '%s' "$1"; else printf '%s' "$2"; fi; }
say() { t "$1" "$2"; printf '\n'; }
die() { printf '%s: ' "$(t 错误 error)" >&2; say "$1" "$2" >&2; exit 2; }
usage() {
    say '用法: tree.sh [选项] [目录]
画出目录树，不需要安装 tree 命令。跳过 .git、node_modules、target、
__pycache__、.venv 的内容。只读取。

  -L 层数      最多几层（默认 3）
  -a           包括隐藏文件
  -d           只列目录
  -h, --help   显示帮助' 'Usage: tree.sh [options] [folder]
Draw a folder tree without the tree command. The contents of .git,
node_modules, target, __pycache__ and .venv are skipped. Reads only.

  -L DEPTH     at most this many levels (default 3)
  -a           include hidden files
  -d           folders only
  -h, --help   show this help'
}

depth=3 hidden=0 folders=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -L) [ $# -ge 2 ] || die "-L 需要一个数字" "-L needs a number"; depth=$2; shift 2 ;;
        -a) hidden=1; shift ;;
        -d) folders=1; shift ;;
        --) shift; break ;;
        -*) die "未知选项: $1" "unknown option: $1" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "只能指定一个目录" "only one folder, please"
case $depth in ''|0|*[!0-9]*) die "层数必须是正整数: $depth" "not a positive number: $depth" ;; esac
[ -d "${1:-.}" ] || die "目录不存在: $1" "no such folder: $1"
printf '%s\n' "${1:-.}"
cd -- "${1:-.}"

LC_ALL=C
export LC_ALL
set -- .
[ "$hidden" = 1 ] || set -- "$@" -name '.?*' -prune -o
# 目录名后面加 /，以便区分；跳过的目录只显示名字
{ find "$@" \( -name .git -o -name node_modules -o -name target -o -name __pycache__ -o -name .venv \) -prune -print \
    -o -print 2>/dev/null || true; } |
    awk -v depth="$depth" 'NF && $0 != "." { sub(/^\.\//, ""); if (split($0, part, "/") <= depth) print }' |
    while IFS= read -r path; do
        if [ -d "$path" ] && [ ! -L "$path" ]; then printf '%s/\n' "$path"
        elif [ "$folders" = 0 ]; then printf '%s\n' "$path"
        fi
    done |
    # 排序时把 / 当作最小的字符，子项才会紧跟在目录后面
    tr '/' '\001' | sort | tr '\001' '/' |
    awk -v dirs="$(t 个目录 folders)" -v files="$(t 个文件 files)" '
        {
            folder = sub(/\/$/, "")
            parent = ""
            name = $0
            if (match($0, /.*\//)) { parent = substr($0, 1, RLENGTH - 1); name = substr($0, RLENGTH + 1) }
            count++
            paths[count] = $0
            names[count] = name (folder ? "/" : "")
            last[parent] = $0
            if (folder) d++; else f++
        }
        END {
            for (i = 1; i <= count; i++) {
                levels = split(paths[i], part, "/")
                line = ""
                up = ""
                for (j = 1; j <= levels; j++) {
                    here = (up == "") ? part[j] : up "/" part[j]
                    is_last = (last[up] == here)
                    if (j == levels) line = line (is_last ? "└── " : "├── ")
                    else line = line (is_last ? "    " : "│   ")
                    up = here
                }
                print line names[i]
            }
            printf "\n%d %s, %d %s\n", d, dirs, f, files
        }'
