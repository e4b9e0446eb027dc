#!/bin/sh
# Name: 端口被谁占用 Port owner
# Description: 查看端口被哪个进程占用，可确认后结束它 / Find the process on a port and, after confirmation, end it
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
    say '用法: port-owner.sh [选项] 端口...
查看 TCP 端口被哪个进程占用。没有被占用时也会说明。

  --kill       结束占用端口的进程（发送 TERM 信号），会先询问
  --yes        与 --kill 合用，不再询问
  -h, --help   显示帮助' 'Usage: port-owner.sh [options] PORT...
Show which process is listening on a TCP port, or that the port is free.

  --kill       end the process (sends TERM); asks first
  --yes        with --kill: do not ask
  -h, --help   show this help'
}

stop=0 yes=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        --kill) stop=1; shift ;;
        --yes) yes=1; shift ;;
        -*) die "未知选项: $1" "unknown option: $1" ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf '%s: ' "$(t 端口 Port)"
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -gt 0 ] || { usage >&2; exit 2; }

# 占用端口的进程号，每行一个；看不到进程时输出 unknown
owners() {
    if command -v lsof >/dev/null 2>&1; then
        found=$(lsof -nP -t -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | sort -un || true)
        if [ -n "$found" ]; then printf '%s\n' "$found"; return; fi
    fi
    if command -v ss >/dev/null 2>&1; then
        ss -Hltnp "sport = :$1" 2>/dev/null | LC_ALL=C awk '
            { busy = 1; rest = $0
              while (match(rest, /pid=[0-9]+/)) { print substr(rest, RSTART + 4, RLENGTH - 4); rest = substr(rest, RSTART + RLENGTH); named = 1 } }
            END { if (busy && !named) print "unknown" }' | sort -u
    elif command -v netstat >/dev/null 2>&1; then
        netstat -an 2>/dev/null | LC_ALL=C awk -v port="$1" '
            $1 ~ /^tcp/ && /LISTEN/ { local_port = $4; sub(/.*[.:]/, "", local_port); if (local_port == port) busy = 1 }
            END { if (busy) print "unknown" }'
    fi
}

for port do
    case $port in ''|*[!0-9]*|??????*) die "不是端口号: $port" "not a port: $port" ;; esac
    { [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; } || die "不是端口号: $port" "not a port: $port"
    pids=$(owners "$port")
    if [ -z "$pids" ]; then
        say "端口 $port: 没有进程监听" "port $port: nothing is listening"
        continue
    fi
    if [ "$pids" = unknown ]; then
        say "端口 $port: 被占用，但看不到进程（请用 sudo 再试）" "port $port: in use, but the process is not visible (try sudo)"
        continue
    fi
    for pid in $pids; do
        say "端口 $port: 进程 $pid" "port $port: process $pid"
        ps -o pid= -o user= -o args= -p "$pid" 2>/dev/null | sed 's/^/  /' || true
        [ "$stop" = 1 ] || continue
        if [ "$pid" -le 1 ]; then
            say "不会结束进程 ${pid}。" "will not end process $pid."
            continue
        fi
        if [ "$yes" = 0 ]; then
            [ -t 0 ] || die "要结束进程请加 --yes 确认" "add --yes to confirm ending the process"
            printf '%s [y/N] ' "$(t "结束进程 $pid 吗？" "End process $pid?")"
            read -r answer || answer=''
            case $answer in y|Y|yes|YES|是) ;; *) say 已跳过。 Skipped.; continue ;; esac
        fi
        if kill "$pid"; then
            say "已向进程 $pid 发送结束信号。" "sent TERM to process $pid."
        else
            exit 1
        fi
    done
done
