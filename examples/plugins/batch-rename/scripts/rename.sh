#!/bin/sh
# Name: 批量重命名
# Description: 替换文字、加前后缀、改大小写、改扩展名或按序号重命名，默认只预览
set -eu

usage() {
    cat <<'HELP'
用法: rename.sh [选项] [目录]
批量重命名目录（默认当前目录）里的文件，不进入子目录，不处理隐藏文件。
默认只预览，加 --yes 才执行；执行后可用 undo.sh 撤销。
在终端里不带任何参数运行时，会逐项询问要替换的文字。

  --match 模式          只处理匹配的文件名，例如 '*.jpg'（默认 *）
  --replace 旧 新       把文件名中的文字“旧”全部换成“新”（新可以是空 ''）
  --prefix 文字         加前缀
  --suffix 文字         在扩展名之前加后缀
  --lower / --upper     英文字母改为小写 / 大写（不动扩展名）
  --spaces              空格换成下划线
  --ext 扩展名          改扩展名，例如 --ext txt
  --number 起始号       改成序号：001.jpg、002.jpg……（可与前缀、后缀组合）
  --yes                 真正执行（不加则只预览）
  -h, --help            显示帮助

例: rename.sh --match '*.JPG' --ext jpg --prefix 旅行_ --number 1 ~/照片
HELP
}

die() { printf '错误: %s\n' "$1" >&2; exit 2; }
need() { [ "$1" -ge "$2" ] || die "$3 缺少参数"; }

match='*'
old='' new='' prefix='' suffix='' letters='' ext='' number=''
spaces=0
apply=0
asked=0
dir=.
# 从 GeekTools 菜单启动时没有参数：改成一问一答
if [ $# -eq 0 ] && [ -t 0 ]; then
    asked=1
    printf '目录（直接回车为当前目录）: '
    read -r answer || answer=''
    printf '要替换的文字: '
    IFS= read -r old || old=''
    printf '换成（可以为空）: '
    IFS= read -r new || new=''
    [ -n "$old" ] || die "要替换的文字不能为空"
    set -- --replace "$old" "$new" -- "${answer:-.}"
fi
while [ $# -gt 0 ]; do
    case $1 in
        -h|--help) usage; exit 0 ;;
        --match) need $# 2 "$1"; match=$2; shift 2 ;;
        --replace) need $# 3 "$1"; old=$2; new=$3; shift 3; [ -n "$old" ] || die "--replace 的旧文字不能为空" ;;
        --prefix) need $# 2 "$1"; prefix=$2; shift 2 ;;
        --suffix) need $# 2 "$1"; suffix=$2; shift 2 ;;
        --lower) letters=lower; shift ;;
        --upper) letters=upper; shift ;;
        --spaces) spaces=1; shift ;;
        --ext) need $# 2 "$1"; ext=${2#.}; shift 2 ;;
        --number) need $# 2 "$1"; number=$2; shift 2
            case $number in ''|*[!0-9]*) die "起始号必须是整数: $number" ;; esac ;;
        --yes) apply=1; shift ;;
        --) shift; break ;;
        -*) die "未知选项: ${1}（用 --help 查看用法）" ;;
        *) break ;;
    esac
done
[ $# -le 1 ] || die "只能指定一个目录"
[ $# -eq 0 ] || dir=$1
[ -n "$old$prefix$suffix$letters$ext$number" ] || [ "$spaces" = 1 ] || { usage >&2; exit 2; }
case $new$prefix$suffix$ext in */*) die "新名字里不能有 /" ;; esac
[ -d "$dir" ] || die "目录不存在: $dir"
cd -- "$dir"

# 纯文字替换（不是正则），结果放在 $result
replace_all() {
    rest=$1
    result=''
    while :; do
        case $rest in
            *"$2"*) result=$result${rest%%"$2"*}$3; rest=${rest#*"$2"} ;;
            *) result=$result$rest; break ;;
        esac
    done
}

tab=$(printf '\t')
newline='
'
work=$(mktemp -d "${TMPDIR:-/tmp}/rename.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
: > "$work/plan"
counter=${number:-0}
# 去掉前导 0，否则会被当成八进制
while [ "${counter#0}" != "$counter" ] && [ "$counter" != 0 ]; do counter=${counter#0}; done

for name in *; do
    { [ -f "$name" ] && [ ! -L "$name" ]; } || continue
    # shellcheck disable=SC2254  # 这里就是要按模式匹配
    case $name in $match) ;; *) continue ;; esac
    case $name in *"$tab"*|*"$newline"*) printf '跳过（名字含制表符或换行）: %s\n' "$name" >&2; continue ;; esac
    case $name in
        ?*.*) stem=${name%.*}; tail=.${name##*.} ;;
        *) stem=$name; tail='' ;;
    esac
    if [ -n "$number" ]; then stem=$(printf '%03d' "$counter"); counter=$((counter + 1)); fi
    if [ -n "$old" ]; then replace_all "$stem" "$old" "$new"; stem=$result; fi
    if [ "$spaces" = 1 ]; then replace_all "$stem" ' ' '_'; stem=$result; fi
    case $letters in
        lower) stem=$(printf '%s' "$stem" | LC_ALL=C tr '[:upper:]' '[:lower:]') ;;
        upper) stem=$(printf '%s' "$stem" | LC_ALL=C tr '[:lower:]' '[:upper:]') ;;
    esac
    if [ -n "$ext" ]; then tail=.$ext; fi
    target=$prefix$stem$suffix$tail
    [ "$target" != "$name" ] || continue
    case $target in
        ''|.|..|.*|*"$tab"*|*"$newline"*) die "「${name}」会变成不合适的名字「${target}」" ;;
    esac
    printf '%s\t%s\n' "$name" "$target" >> "$work/plan"
done

count=$(($(wc -l < "$work/plan")))
if [ "$count" -eq 0 ]; then
    printf '没有需要改名的文件。\n'
    exit 0
fi

# macOS 的文件系统通常不分大小写，所以按小写比较是否撞名
if [ "$(uname -s)" = Darwin ]; then
    fold() { LC_ALL=C tr '[:upper:]' '[:lower:]'; }
else
    fold() { cat; }
fi
cut -f2 "$work/plan" | fold | LC_ALL=C sort > "$work/targets"
duplicates=$(LC_ALL=C uniq -d "$work/targets")
[ -z "$duplicates" ] || die "多个文件会变成同一个名字: $(printf '%s' "$duplicates" | tr '\n' ' ')"
cut -f1 "$work/plan" | fold > "$work/sources"
while IFS=$tab read -r name target; do
    [ -e "$target" ] || [ -L "$target" ] || continue
    grep -Fxq -e "$(printf '%s\n' "$target" | fold)" "$work/sources" ||
        die "「${name}」要改成的「${target}」已经存在"
done < "$work/plan"

while IFS=$tab read -r name target; do
    printf '  %s  →  %s\n' "$name" "$target"
done < "$work/plan"
if [ "$asked" = 1 ]; then
    printf '\n重命名这 %s 个文件吗？[y/N] ' "$count"
    read -r answer || answer=''
    case $answer in y|Y|yes|是) apply=1 ;; *) printf '已取消，没有改动。\n'; exit 0 ;; esac
elif [ "$apply" = 0 ]; then
    printf '\n预览: %s 个文件会改名，还没有改动。确认无误后加 --yes 执行。\n' "$count"
    exit 0
fi

# 先写撤销记录，再分两步改名（先改成临时名），这样互换名字也不会覆盖
[ -w . ] || die "没有写权限: $(pwd)"
undo=.rename-undo.$(date +%Y%m%d%H%M%S)
while [ -e "$undo" ]; do
    sleep 1
    undo=.rename-undo.$(date +%Y%m%d%H%M%S)
done
cp "$work/plan" "$undo"
# 改到一半不能停，否则会留下临时名
trap '' INT TERM
step=0
while IFS=$tab read -r name target; do
    step=$((step + 1))
    mv -- "$name" ".rename-tmp.$$.$step"
done < "$work/plan"
step=0
while IFS=$tab read -r name target; do
    step=$((step + 1))
    mv -- ".rename-tmp.$$.$step" "$target"
done < "$work/plan"
printf '\n已重命名 %s 个文件。撤销: undo.sh --yes %s\n' "$count" "$(pwd)"
