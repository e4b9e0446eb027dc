#!/bin/sh
# Name: 端口连通测试 Port probe
# Description: 测试能否连上某台主机的 TCP 端口 / Test whether a TCP port of a host can be reached
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
    say '用法: probe.sh [选项] 主机 端口...
测试能否连上主机的 TCP 端口，不发送任何数据。

  -t 秒数      每个端口最多等多久（默认 3）
  -h, --help   显示帮助

全部连通时退出码为 0，否则为 1。' 'Usage: probe.sh [options] HOST PORT...
Test whether TCP ports of a host can be reached. No data is sent.

  -t SECONDS   how long to wait for each port (default 3)
  -h, --help   show this help

Exit status 0 when all ports are reachable, else 1.'
}

timeout=3
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -t) [ $# -ge 2 ] || die "-t 需要一个数字" "-t needs a number"; timeout=$2; shift 2 ;;
        -*) die "未知选项: $1" "unknown option: $1" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf '%s: ' "$(t '主机和端口（空格分隔）' 'Host and port, separated by a space')"
    read -r host port || true
    if [ -n "${host:-}" ] && [ -n "${port:-}" ]; then set -- "$host" "$port"; fi
fi
[ $# -ge 2 ] || { usage >&2; exit 2; }
case $timeout in ''|0|*[!0-9]*) die "秒数必须是正整数: $timeout" "not a positive number: $timeout" ;; esac
host=$1
shift
case $host in ''|-*|*[!A-Za-z0-9._:-]*) die "不是主机名: $host" "not a host name: $host" ;; esac
command -v bash >/dev/null 2>&1 || command -v nc >/dev/null 2>&1 ||
    die "需要 bash 或 nc 命令" "needs bash or nc"

connect() {
    if command -v bash >/dev/null 2>&1; then
        # shellcheck disable=SC2016  # 由内层 bash 展开
        bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2"
    else
        nc -z -w "$timeout" "$1" "$2"
    fi
}

status=0
for port do
    case $port in ''|*[!0-9]*|??????*) die "不是端口号: $port" "not a port: $port" ;; esac
    connect "$host" "$port" > /dev/null 2>&1 < /dev/null &
    child=$!
    started=$(date +%s)
    late=0
    while kill -0 "$child" 2>/dev/null; do
        if [ $(($(date +%s) - started)) -gt "$timeout" ]; then
            late=1
            kill "$child" 2>/dev/null || true
            break
        fi
        sleep 0.1 2>/dev/null || sleep 1
    done
    if wait "$child" 2>/dev/null; then
        say "$host 端口 $port: 连通" "$host port $port: open"
    else
        status=1
        if [ "$late" = 1 ]; then
            say "$host 端口 $port: ${timeout} 秒内没有回应" "$host port $port: no answer in $timeout s"
        else
            say "$host 端口 $port: 连不上" "$host port $port: closed or unreachable"
        fi
    fi
done
exit "$status"
