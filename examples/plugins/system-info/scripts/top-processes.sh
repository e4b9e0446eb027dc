#!/bin/sh
# Name: 进程占用排行 Top processes
# Description: 按 CPU 或内存列出占用最高的进程 / Processes using the most CPU or memory
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
    say '用法: top-processes.sh [选项]
列出占用最高的进程。只读取，不结束任何进程。

  -m           按内存排序（默认按 CPU）
  -n 数量      显示几个（默认 10）
  -h, --help   显示帮助' 'Usage: top-processes.sh [options]
List the processes that use the most. Reads only, ends no process.

  -m           sort by memory (default: CPU)
  -n COUNT     how many to show (default 10)
  -h, --help   show this help'
}

column=2 top=10
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -m) column=4; shift ;;
        -n) [ $# -ge 2 ] || die "-n 需要一个数字" "-n needs a number"; top=$2; shift 2 ;;
        *) die "未知参数: $1" "unknown argument: $1" ;;
    esac
done
case $top in ''|0|*[!0-9]*) die "数量必须是正整数: $top" "not a positive number: $top" ;; esac

LC_ALL=C
export LC_ALL
list=$(ps -A -o pid= -o pcpu= -o pmem= -o rss= -o user= -o comm= 2>/dev/null) ||
    die "这个系统的 ps 不支持所需的列" "this system's ps lacks the needed columns"
printf '%7s %6s %6s %9s  %-10s %s\n' PID CPU% MEM% MiB USER COMMAND
printf '%s\n' "$list" | sort -k"$column,$column" -rn | awk -v top="$top" '
    NR <= top {
        name = $6
        for (i = 7; i <= NF; i++) name = name " " $i
        sub(/^.*\//, "", name)
        printf "%7s %6s %6s %9.1f  %-10s %s\n", $1, $2, $3, $4 / 1024, $5, name
    }'
