#!/bin/sh
# Name: 监听端口 Listening ports
# Description: 列出正在监听的 TCP 端口和对应进程 / List listening TCP ports and their processes
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
    say '用法: listening.sh
列出正在监听的 TCP 端口和进程。看到别的用户的进程需要管理员权限（sudo）。

  -h, --help   显示帮助' 'Usage: listening.sh
List listening TCP ports and their processes. Seeing processes of other users
needs administrator rights (sudo).

  -h, --help   show this help'
}

case ${1:-} in
    '') ;;
    -h|--help) usage; exit 0 ;;
    *) die "未知参数: $1" "unknown argument: $1" ;;
esac

LC_ALL=C
export LC_ALL
command -v ss >/dev/null 2>&1 || command -v lsof >/dev/null 2>&1 || command -v netstat >/dev/null 2>&1 ||
    die "需要 ss、lsof 或 netstat 命令" "needs one of ss, lsof or netstat"
printf '%6s  %-24s %s\n' PORT ADDRESS PROCESS
# 每种来源都整理成“端口 地址 进程”，再统一排序
if command -v ss >/dev/null 2>&1; then
    ss -Hltnp 2>/dev/null | awk '{
        address = $4; port = address
        sub(/.*:/, "", port); sub(/:[^:]*$/, "", address)
        process = "-"
        if (match($0, /\(\("[^"]*",pid=[0-9]+/)) {
            process = substr($0, RSTART + 3, RLENGTH - 3)
            sub(/",pid=/, " (", process); process = process ")"
        }
        print port "\t" address "\t" process
    }'
elif command -v lsof >/dev/null 2>&1; then
    { lsof -nP -iTCP -sTCP:LISTEN 2>/dev/null || true; } | awk 'NR > 1 {
        address = $9; port = address
        sub(/.*:/, "", port); sub(/:[^:]*$/, "", address)
        print port "\t" address "\t" $1 " (" $2 ")"
    }'
else
    netstat -an 2>/dev/null | awk '$1 ~ /^tcp/ && /LISTEN/ {
        address = $4; port = address
        sub(/.*[.:]/, "", port); sub(/[.:][^.:]*$/, "", address)
        print port "\t" address "\t-"
    }'
fi | sort -n | uniq | awk -F '\t' '{ printf "%6s  %-24s %s\n", $1, $2, $3 }'
