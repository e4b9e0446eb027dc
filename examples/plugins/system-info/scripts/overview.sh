#!/bin/sh
# Name: 系统概览 System overview
# Description: 显示系统版本、CPU、内存、磁盘和运行时间 / OS, CPU, memory, disk and uptime
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
    say '用法: overview.sh
显示系统版本、内核、CPU、负载、内存、磁盘、网络地址和运行时间。只读取。

  -h, --help   显示帮助' 'Usage: overview.sh
Show the system version, kernel, CPU, load, memory, disks, network addresses
and uptime. Reads only.

  -h, --help   show this help'
}

case ${1:-} in
    '') ;;
    -h|--help) usage; exit 0 ;;
    *) die "未知参数: $1" "unknown argument: $1" ;;
esac

row() { printf '%s: %s\n' "$(t "$1" "$2")" "$3"; }
title() { printf '\n== %s ==\n' "$(t "$1" "$2")"; }

human_kib='function human(k) {
    if (k >= 1048576) return sprintf("%.1f GiB", k / 1048576)
    if (k >= 1024) return sprintf("%.0f MiB", k / 1024)
    return k " KiB"
}'
kernel=$(uname -s)
system=$kernel cpu='' cores='' total='' free=''
case $kernel in
    Darwin)
        system="macOS $(sw_vers -productVersion 2>/dev/null || true)"
        cpu=$(sysctl -n machdep.cpu.brand_string 2>/dev/null || true)
        cores=$(sysctl -n hw.ncpu 2>/dev/null || true)
        total=$(($(sysctl -n hw.memsize 2>/dev/null || echo 0) / 1024))
        free=$(vm_stat 2>/dev/null | LC_ALL=C awk '
            NR == 1 { for (i = 1; i <= NF; i++) if ($i + 0 > 0) page = $i + 0 }
            /^Pages (free|inactive|speculative|purgeable):/ { pages += $NF }
            END { printf "%.0f", pages * page / 1024 }')
        ;;
    *)
        if [ -r /etc/os-release ]; then
            system=$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release | tr -d '"')
        fi
        if [ -r /proc/cpuinfo ]; then
            cpu=$(awk -F ': *' '/^(model name|Model|Hardware)[ \t]*:/ { print $2; exit }' /proc/cpuinfo)
        fi
        cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || true)
        if [ -r /proc/meminfo ]; then
            total=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
            free=$(awk '/^MemAvailable:/ { a = $2 } /^MemFree:/ { f = $2 } END { print a ? a : f }' /proc/meminfo)
        fi
        ;;
esac

title 系统 System
row 系统 OS "${system:-$kernel}"
row 内核 Kernel "$kernel $(uname -r) ($(uname -m))"
row 主机名 Host "$(uname -n)"
row 用户 User "$(id -un 2>/dev/null || id -u)"
row 时间 Time "$(date '+%Y-%m-%d %H:%M:%S %Z')"
row 运行 Uptime "$(uptime 2>/dev/null | sed 's/^ *//' || true)"

title 处理器 CPU
row 型号 Model "${cpu:-$(uname -m)}"
row 核心数 Cores "${cores:-?}"

title 内存 Memory
if [ "${total:-0}" -gt 0 ]; then
    LC_ALL=C awk -v total="$total" -v free="${free:-0}" -v l1="$(t 总共 Total)" -v l2="$(t 可用 Available)" -v l3="$(t 已用 Used)" "$human_kib"'
        BEGIN {
            print l1 ": " human(total)
            print l2 ": " human(free)
            printf "%s: %s (%.0f%%)\n", l3, human(total - free), (total - free) * 100 / total
        }'
else
    say 无法读取内存信息 'memory information is not available'
fi

title 磁盘 Disks
# 只看真实的设备和根目录，略过 tmpfs 之类
{ df -Pk 2>/dev/null || true; } | LC_ALL=C awk -v used="$(t 已用 used)" -v of="$(t 共 total)" "$human_kib"'
    NR > 1 && ($1 ~ /^\/dev\// || $NF == "/") && !($1 in seen) {
        if ($1 ~ /^\/dev\/(loop|disk image)/ || $NF ~ /^\/System\/Volumes\/(VM|Preboot|Update|xarts|iSCPreboot|Hardware)/) next
        seen[$1] = 1
        for (i = NF; i > 0 && $i !~ /^[0-9]+%$/; i--) ;
        if (i < 4) next
        where = $(i + 1)
        for (j = i + 2; j <= NF; j++) where = where " " $j
        printf "%s: %s %s, %s %s (%s)\n", where, used, human($(i - 2)), of, human($(i - 3)), $i
    }'

title 网络地址 Addresses
if command -v ip >/dev/null 2>&1; then
    ip -o addr show 2>/dev/null | awk '$3 ~ /^inet/ && $4 !~ /^(127\.|::1|fe80)/ { print $2 ": " $4 }' || true
elif command -v ifconfig >/dev/null 2>&1; then
    ifconfig 2>/dev/null | awk '
        /^[a-z]/ { sub(/:.*/, "", $1); name = $1 }
        $1 ~ /^inet6?$/ && $2 !~ /^(127\.|::1|fe80)/ { print name ": " $2 }' || true
elif command -v hostname >/dev/null 2>&1; then
    hostname -I 2>/dev/null || true
fi
