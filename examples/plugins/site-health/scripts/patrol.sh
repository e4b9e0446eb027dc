#!/bin/sh
# Name: 网站巡检 Site patrol
# Description: 批量检查网站状态码、响应时间和证书剩余天数 / Check status, response time and certificate days of many sites
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
    say '用法: patrol.sh [选项] 网址...
批量检查网站：状态码、平均响应时间、HTTPS 证书剩余天数。
需要插件 cert-check 和 http-timing（安装本插件时应一起安装）。

  -f 文件      从文件读取网址，每行一个，# 开头为注释
  -s 毫秒      平均响应时间超过多少算慢（默认 2000）
  -d 天数      证书剩余少于多少天要提醒（默认 30）
  -n 次数      每个网址请求几次（默认 2）
  -h, --help   显示帮助

全部正常时退出码为 0，有问题为 1，适合放进 cron。' 'Usage: patrol.sh [options] URL...
Check many sites: status code, average response time and the days left on
their HTTPS certificates. Needs the plugins cert-check and http-timing.

  -f FILE      read URLs from FILE, one a line, # starts a comment
  -s MS        slower than this on average is a problem (default 2000)
  -d DAYS      warn when a certificate has fewer days left (default 30)
  -n COUNT     requests for each URL (default 2)
  -h, --help   show this help

Exit status 0 when all is fine, 1 when there are problems: fit for cron.'
}

list='' slow=2000 days=30 count=2
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -f) [ $# -ge 2 ] || die "-f 需要一个文件" "-f needs a file"; list=$2; shift 2 ;;
        -s) [ $# -ge 2 ] || die "-s 需要一个数字" "-s needs a number"; slow=$2; shift 2 ;;
        -d) [ $# -ge 2 ] || die "-d 需要一个数字" "-d needs a number"; days=$2; shift 2 ;;
        -n) [ $# -ge 2 ] || die "-n 需要一个数字" "-n needs a number"; count=$2; shift 2 ;;
        --) shift; break ;;
        -*) die "未知选项: $1" "unknown option: $1" ;;
        *) break ;;
    esac
done
for number in "$slow" "$days" "$count"; do
    case $number in ''|*[!0-9]*) die "不是整数: $number" "not a number: $number" ;; esac
done
if [ -n "$list" ]; then
    [ -r "$list" ] || die "读不到文件: $list" "cannot read: $list"
    while read -r url rest || [ -n "$url" ]; do
        case $url in ''|'#'*) continue ;; esac
        set -- "$@" "$(printf '%s' "$url" | tr -d '\r')"
    done < "$list"
fi
if [ $# -eq 0 ] && [ -t 0 ]; then
    printf '%s: ' "$(t 网址 URL)"
    read -r answer || answer=''
    [ -z "$answer" ] || set -- "$answer"
fi
[ $# -gt 0 ] || { usage >&2; exit 2; }

plugins=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
timing=$plugins/http-timing/scripts/timing.sh
certificate=$plugins/cert-check/scripts/check-cert.sh
[ -f "$timing" ] || die "缺少插件 http-timing，请先安装" "the plugin http-timing is missing, install it first"
[ -f "$certificate" ] || die "缺少插件 cert-check，请先安装" "the plugin cert-check is missing, install it first"

tab=$(printf '\t')
problems=0
printf '%-8s %6s %8s %6s  %s\n' RESULT STATUS MS CERT URL
for url do
    case $url in http://*|https://*) ;; *) url=https://$url ;; esac
    answer=$(sh "$timing" --brief -n "$count" -- "$url" || true)
    IFS=$tab read -r code average rest <<ANSWER
$answer
ANSWER
    code=${code:-000} average=${average:--} result=OK note=''
    if [ "$code" = 000 ]; then
        result=DOWN note=$(t 连不上 'no answer')
    elif [ "$code" -ge 400 ]; then
        result=ERROR note=$(t 状态码异常 'bad status')
    elif [ "$average" != - ] && [ "$average" -gt "$slow" ]; then
        result=SLOW note=$(t "超过 $slow 毫秒" "above $slow ms")
    fi
    left=-
    case $url in
        https://*)
            host=${url#https://}
            host=${host%%[/?#]*}
            host=${host##*@}
            answer=$(sh "$certificate" --brief -d "$days" -- "$host" || true)
            IFS=$tab read -r state left rest <<ANSWER
$answer
ANSWER
            left=${left:--}
            case $state in
                OK)
                    if [ "$result" = DOWN ]; then
                        result=ERROR note=$(t '请求失败，证书可能不受信任' 'request failed, certificate perhaps not trusted')
                    fi
                    ;;
                SOON) result=CERT note=$(t "证书还剩 $left 天" "certificate: $left days left") ;;
                EXPIRED) result=CERT note=$(t 证书已过期 'certificate expired') ;;
                *) [ "$result" != OK ] || { result=CERT; note=$(t 读不到证书 'certificate not readable'); } ;;
            esac
            ;;
    esac
    [ "$result" = OK ] || problems=$((problems + 1))
    printf '%-8s %6s %8s %6s  %s%s\n' "$result" "$code" "$average" "$left" "$url" "${note:+  ($note)}"
done
say "共 $# 个网址，$problems 个有问题。" "$# URLs, $problems with problems."
[ "$problems" -eq 0 ] || exit 1
