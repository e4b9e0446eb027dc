#!/bin/sh
# Name: 密码生成 Generate passwords
# Description: 用系统随机数生成强密码或好念的口令 / Strong passwords or pronounceable passphrases from the system's random source
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
    say '用法: generate.sh [选项]
用系统的随机数（/dev/urandom）生成密码。不联网，不保存。

  -l 长度      密码长度，8 到 128（默认 20）
  -n 数量      生成几个，1 到 100（默认 5）
  --simple     只用字母和数字
  --clear      不用容易看错的字符（0 O o 1 l I |）
  --words      生成由音节组成、好念好记的口令（长度由 -l 换成词数，默认 6）
  --pin        只用数字
  -h, --help   显示帮助' 'Usage: generate.sh [options]
Generate passwords from the random source of the system (/dev/urandom).
Nothing is sent or saved.

  -l LENGTH    password length, 8 to 128 (default 20)
  -n COUNT     how many, 1 to 100 (default 5)
  --simple     letters and digits only
  --clear      leave out characters that are easily confused (0 O o 1 l I |)
  --words      pronounceable passphrases of syllables (-l: words, default 6)
  --pin        digits only
  -h, --help   show this help'
}

length='' count=5 kind=full clear=0
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        -l) [ $# -ge 2 ] || die "-l 需要一个数字" "-l needs a number"; length=$2; shift 2 ;;
        -n) [ $# -ge 2 ] || die "-n 需要一个数字" "-n needs a number"; count=$2; shift 2 ;;
        --simple) kind=simple; shift ;;
        --clear) clear=1; shift ;;
        --words) kind=words; shift ;;
        --pin) kind=pin; shift ;;
        *) die "未知参数: $1" "unknown argument: $1" ;;
    esac
done
case $kind in
    words) low=3 high=20; length=${length:-6} ;;
    pin) low=4 high=128; length=${length:-6} ;;
    *) low=8 high=128; length=${length:-20} ;;
esac
case $length in ''|*[!0-9]*|????*) length=0 ;; esac
{ [ "$length" -ge "$low" ] && [ "$length" -le "$high" ]; } ||
    die "长度必须在 $low 到 $high 之间" "the length must be from $low to $high"
case $count in ''|*[!0-9]*|????*) count=0 ;; esac
{ [ "$count" -ge 1 ] && [ "$count" -le 100 ]; } || die "数量必须在 1 到 100 之间" "the count must be from 1 to 100"
[ -r /dev/urandom ] || die "读不到 /dev/urandom" "cannot read /dev/urandom"

LC_ALL=C
export LC_ALL

# $2 个来自字符集 $1 的随机字符：tr 只挑选，不取余，所以每个字符机会均等
draw() {
    drawn=''
    while [ "${#drawn}" -lt "$2" ]; do
        drawn=$drawn$(dd if=/dev/urandom bs=512 count=1 2>/dev/null | tr -dc "$1")
    done
    printf '%s' "$drawn" | cut -c "1-$2"
}

# each：每个字符（或词）的熵，即 log2(可选个数)
case $kind-$clear in
    full-0) set='A-Za-z0-9!#$%&*+=?@^_.:~-' each=6.28 ;;
    full-1) set='A-HJ-NP-Za-km-np-z2-9!#$%&*+=?@^_.:~-' each=6.16 ;;
    simple-0) set='A-Za-z0-9' each=5.95 ;;
    simple-1) set='A-HJ-NP-Za-km-np-z2-9' each=5.80 ;;
    pin-*) set='0-9' each=3.32 ;;
    words-*) set='' each=17.60 ;;
esac

made=0
while [ "$made" -lt "$count" ]; do
    if [ "$kind" = words ]; then
        # 每个词：辅音、元音、辅音、元音、辅音，共 20·5·20·5·20 = 200000 种
        password=''
        word=0
        while [ "$word" -lt "$length" ]; do
            c=$(draw 'bcdfghjklmnpqrstvwxz' 3)
            v=$(draw 'aeiou' 2)
            next=${c%??}${v%?}$(printf '%s' "$c" | cut -c 2)${v#?}${c#??}
            password=$password${password:+-}$next
            word=$((word + 1))
        done
    else
        password=$(draw "$set" "$length")
        # 大写、小写、数字（和符号）至少各有一个，否则重来
        if [ "$kind" != pin ]; then
            case $password in *[A-Z]*) ;; *) continue ;; esac
            case $password in *[a-z]*) ;; *) continue ;; esac
            case $password in *[0-9]*) ;; *) continue ;; esac
        fi
        if [ "$kind" = full ]; then
            case $password in *[!A-Za-z0-9]*) ;; *) continue ;; esac
        fi
    fi
    printf '%s\n' "$password"
    made=$((made + 1))
done
bits=$(awk -v n="$length" -v each="$each" 'BEGIN { printf "%d", n * each }')
say "约 $bits 位熵" "about $bits bits of entropy" >&2
