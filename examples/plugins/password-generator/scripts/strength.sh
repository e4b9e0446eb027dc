#!/bin/sh
# Name: 密码强度 Password strength
# Description: 在本机估算密码强度，输入时不显示 / Estimate a password's strength locally, typed without echo
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
    say '用法: strength.sh
从键盘（不回显）或标准输入的第一行读取密码，在本机估算强度。
不接受命令行参数中的密码，因为别的用户能看到命令行。不联网，不保存。

  -h, --help   显示帮助

强度“弱”时退出码为 1。' 'Usage: strength.sh
Read a password from the keyboard (without echo) or from the first line of
standard input and estimate its strength locally. Passwords are not accepted
as arguments, because other users can see those. Nothing is sent or saved.

  -h, --help   show this help

Exit status 1 when the password is weak.'
}

case ${1:-} in
    '') ;;
    -h|--help) usage; exit 0 ;;
    *) die "不接受参数（用 --help 查看用法）" "no arguments are taken (see --help)" ;;
esac

if [ -t 0 ]; then
    printf '%s: ' "$(t 密码 Password)"
    saved=$(stty -g)
    trap 'stty "$saved"' EXIT
    trap 'exit 130' INT TERM
    stty -echo
    IFS= read -r password || password=''
    stty "$saved"
    printf '\n'
else
    IFS= read -r password || [ -n "$password" ] || die "没有输入" "no input"
fi
[ -n "$password" ] || die "密码是空的" "the password is empty"

LC_ALL=C
export LC_ALL
# 密码走标准输入，不出现在进程列表里
bits=$(printf '%s\n' "$password" | awk '
# 近似的 log2，够用且不依赖 awk 的数学库
function log2(x, n) { for (n = 0; x >= 2; n++) x /= 2; return n + x - 1 }
{
    size = 0
    if ($0 ~ /[a-z]/) size += 26
    if ($0 ~ /[A-Z]/) size += 26
    if ($0 ~ /[0-9]/) size += 10
    if ($0 ~ /[^A-Za-z0-9]/) size += 33
    # 重复的字符、连续的字符（abc、321）只算四分之一
    weight = 0
    order = "abcdefghijklmnopqrstuvwxyz 0123456789 qwertyuiop asdfghjkl zxcvbnm zyxwvutsrqponmlkjihgfedcba 9876543210"
    lower = tolower($0)
    for (i = 1; i <= length($0); i++) {
        pair = substr(lower, i - 1, 2)
        if (i > 1 && (substr(pair, 1, 1) == substr(pair, 2, 1) || index(order, pair))) weight += 0.25
        else weight += 1
    }
    bits = weight * log2(size)
    # 常见密码的主干
    if (lower ~ /password|passw0rd|qwerty|letmein|iloveyou|admin|welcome|5201314|woaini|123456|abc123|111111/) bits = bits / 3
    printf "%d", bits
}')
if [ "$bits" -lt 45 ]; then
    say "弱（约 $bits 位熵）：更长一些，避免常见词和连续字符。" "weak (about $bits bits): make it longer, avoid common words and runs."
    exit 1
elif [ "$bits" -lt 70 ]; then
    say "中等（约 $bits 位熵）：重要账号建议更长。" "fair (about $bits bits): use a longer one for important accounts."
else
    say "强（约 $bits 位熵）。" "strong (about $bits bits)."
fi
