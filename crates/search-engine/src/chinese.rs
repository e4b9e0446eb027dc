//! What Chinese text needs before it can be compared: one form for traditional and simplified
//! characters, and the words that carry no meaning in a query.

use std::sync::LazyLock;

const FIRST: u32 = 0x3400;
const LAST: u32 = 0x9fff;

/// Indexed by code point, 0 where a character stays as it is: asked for every character of every
/// document, so a lookup must cost no more than a load.
static SIMPLIFIED: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    let mut table = vec![0; (LAST - FIRST + 1) as usize].into_boxed_slice();
    for line in include_str!("traditional.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut characters = line.chars();
        while let (Some(from), Some(to)) = (characters.next(), characters.next()) {
            if let (FIRST..=LAST, Ok(to)) = (from as u32, u16::try_from(to as u32)) {
                table[(from as u32 - FIRST) as usize] = to;
            }
        }
    }
    table
});

/// Words that Taiwan and the mainland call differently although each character has its
/// counterpart; only those that mean nothing else on either side.
const VOCABULARY: [(&str, &str); 9] = [
    ("资料库", "数据库"),
    ("伺服器", "服务器"),
    ("网路", "网络"),
    ("软体", "软件"),
    ("记忆体", "内存"),
    ("硬碟", "硬盘"),
    ("映像档", "镜像"),
    ("连接埠", "端口"),
    ("萤幕", "屏幕"),
];

/// Words of Taiwan that mean something else on the mainland: looked for in both senses.
const AMBIGUOUS: [(&str, &str); 6] =
    [("档案", "文件"), ("程式", "程序"), ("凭证", "证书"), ("讯息", "消息"), ("资讯", "信息"), ("视讯", "视频")];

/// What else a pair of characters in a query may mean.
pub(super) fn other_name(pair: &str) -> Option<&'static str> {
    AMBIGUOUS.iter().find(|(word, _)| *word == pair).map(|(_, other)| *other)
}

/// The simplified form of a character, or the character itself.
pub(super) fn simplified(character: char) -> char {
    match character as u32 {
        code @ FIRST..=LAST => match SIMPLIFIED[(code - FIRST) as usize] {
            0 => character,
            code => char::from_u32(code.into()).unwrap_or(character),
        },
        _ => character,
    }
}

/// Replaces Taiwan's names of things by the mainland's in text that is already simplified.
pub(super) fn unify_vocabulary(text: &mut String) {
    for (from, to) in VOCABULARY {
        if text.contains(from) {
            *text = text.replace(from, to);
        }
    }
}

/// Whether words are written without spaces in this character's script, so that only pairs of
/// characters can be indexed.
pub(super) fn is_dense(character: char) -> bool {
    matches!(character as u32,
        0x3005..=0x3007 | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff
        | 0x20000..=0x3ffff | 0xac00..=0xd7af | 0x0e00..=0x0eff | 0x1780..=0x17ff)
}

/// Phrases of a question that say nothing about what is looked for.
const FILLERS: [&str; 28] = [
    "怎么样",
    "怎么",
    "怎样",
    "如何",
    "请问",
    "什么",
    "哪个",
    "哪些",
    "有没有",
    "一下",
    "一个",
    "帮我",
    "我想",
    "我要",
    "想要",
    "可以",
    "能够",
    "用来",
    "用于",
    "进行",
    "推荐",
    "好用的",
    "好用",
    "的",
    "了",
    "和",
    "与",
    "吗",
];

/// What nearly everything in the catalogue is: worth a little in a query, never a condition.
const GENERIC: [&str; 9] = ["小工具", "工具集", "工具箱", "工具", "插件", "脚本", "小程序", "软件", "程序"];

/// A stretch of a query's Chinese text.
#[derive(Debug, PartialEq)]
pub(super) enum Stretch<'a> {
    /// Names what is looked for.
    Meaning(&'a str),
    /// Says at most that a plugin is looked for.
    Generic(&'a str),
}

/// Cuts a run of Chinese characters at fillers and generic words.
pub(super) fn stretches(run: &str) -> Vec<Stretch<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(character) = run[at..].chars().next() {
        let rest = &run[at..];
        let generic = GENERIC.iter().find(|word| rest.starts_with(**word));
        let word = generic.or_else(|| FILLERS.iter().find(|word| rest.starts_with(**word)));
        let Some(word) = word else {
            at += character.len_utf8();
            continue;
        };
        if start < at {
            found.push(Stretch::Meaning(&run[start..at]));
        }
        if generic.is_some() {
            found.push(Stretch::Generic(&rest[..word.len()]));
        }
        at += word.len();
        start = at;
    }
    if start < run.len() {
        found.push(Stretch::Meaning(&run[start..]));
    }
    if found.is_empty() {
        found.push(Stretch::Generic(run));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traditional_characters_have_one_form_with_simplified_ones() {
        let text: String = "備份與監控網絡證書鏡像誌裡".chars().map(simplified).collect();
        assert_eq!(text, "备份与监控网络证书镜像志里");
    }

    #[test]
    fn words_of_taiwan_become_words_of_the_mainland() {
        let mut text = "资料库与伺服器".to_owned();
        unify_vocabulary(&mut text);
        assert_eq!(text, "数据库与服务器");
    }

    #[test]
    fn fillers_and_generic_words_are_cut_out() {
        use Stretch::{Generic, Meaning};
        assert_eq!(stretches("怎么备份数据库的脚本"), [Meaning("备份数据库"), Generic("脚本")]);
        assert_eq!(stretches("的"), [Generic("的")]);
    }
}
