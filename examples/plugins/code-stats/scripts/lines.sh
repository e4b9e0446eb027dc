#!/bin/sh
# Name: 代码行数统计 Lines of code
# Description: 按语言统计文件数、代码行和空行 / Count files, code lines and blank lines by language
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
    say '用法: lines.sh [目录]
按语言统计文件数、总行数、空行和非空行。跳过 .git、node_modules、target、
dist、build、vendor、__pycache__、.venv。只读取。

  -h, --help   显示帮助' 'Usage: lines.sh [folder]
Count files, lines, blank and non-blank lines by language. Skips .git,
node_modules, target, dist, build, vendor, __pycache__ and .venv. Reads only.

  -h, --help   show this help'
}

case ${1:-} in
    -h|--help) usage; exit 0 ;;
    -*) die "未知选项: $1" "unknown option: $1" ;;
esac
[ $# -le 1 ] || die "只能指定一个目录" "only one folder, please"
[ -d "${1:-.}" ] || die "目录不存在: $1" "no such folder: $1"
cd -- "${1:-.}"

LC_ALL=C
export LC_ALL
# awk 可能被分批调用，每批输出“语言 文件 行 空行”，最后再相加
# shellcheck disable=SC2016  # $0 属于 awk
find . \( -name .git -o -name .hg -o -name .svn -o -name node_modules -o -name target -o -name dist \
    -o -name build -o -name vendor -o -name __pycache__ -o -name .venv \) -prune -o -type f \( \
    -name '*.rs' -o -name '*.go' -o -name '*.py' -o -name '*.js' -o -name '*.mjs' -o -name '*.jsx' \
    -o -name '*.ts' -o -name '*.tsx' -o -name '*.vue' -o -name '*.java' -o -name '*.kt' -o -name '*.swift' \
    -o -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.cpp' -o -name '*.hpp' -o -name '*.cs' \
    -o -name '*.rb' -o -name '*.php' -o -name '*.lua' -o -name '*.sh' -o -name '*.bash' -o -name '*.sql' \
    -o -name '*.html' -o -name '*.css' -o -name '*.scss' -o -name '*.json' -o -name '*.yaml' -o -name '*.yml' \
    -o -name '*.toml' -o -name '*.xml' -o -name '*.md' \) -exec awk '
    function language(path) {
        sub(/.*\./, "", path)
        return (path in names) ? names[path] : path
    }
    BEGIN {
        count = split("rs Rust go Go py Python js JavaScript mjs JavaScript jsx JavaScript ts TypeScript tsx TypeScript vue Vue java Java kt Kotlin swift Swift c C h C/C++-header hpp C/C++-header cc C++ cpp C++ cs C# rb Ruby php PHP lua Lua sh Shell bash Shell sql SQL html HTML css CSS scss CSS json JSON yaml YAML yml YAML toml TOML xml XML md Markdown", pair, " ")
        for (i = 1; i < count; i += 2) names[pair[i]] = pair[i + 1]
        for (i = 1; i < ARGC; i++) files[language(ARGV[i])]++
    }
    FNR == 1 { current = language(FILENAME) }
    { lines[current]++ }
    /^[ \t\r]*$/ { blank[current]++ }
    END { for (l in files) print l, files[l], lines[l] + 0, blank[l] + 0 }' {} + |
    awk '
        { files[$1] += $2; lines[$1] += $3; blank[$1] += $4 }
        END { for (l in files) print lines[l] - blank[l], l, files[l], lines[l], blank[l] }' |
    sort -k1,1rn -k2,2 |
    awk -v none="$(t '没有找到代码文件。' 'No source files found.')" '
        function row(a, b, c, d, e) { printf "%-16s %8s %10s %10s %10s\n", a, b, c, d, e }
        NR == 1 { row("Language", "Files", "Lines", "Blank", "Code") }
        { row($2, $3, $4, $5, $1); files += $3; lines += $4; blank += $5; code += $1 }
        END { if (NR) row("Total", files, lines, blank, code); else print none }'
