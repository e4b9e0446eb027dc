//! What else a concept of the field is called: in the other language, shortened, in Taiwan.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::chinese::simplified;
use super::text::squash;

/// Another name of something.
pub(super) struct Synonym {
    /// Lower case, simplified, without separators, as terms are.
    pub(super) name: String,
    /// How much it is worth, compared with the name itself.
    pub(super) quality: f32,
}

/// A concept in a name stands behind what is written in a description.
const CONCEPT: f32 = 0.42;
/// The same word in another region's Chinese.
const REGIONAL: f32 = 0.8;

/// The most characters of a Chinese name.
pub(super) const LONGEST: usize = 6;

static SYNONYMS: LazyLock<HashMap<String, Vec<Synonym>>> = LazyLock::new(|| {
    let mut synonyms: HashMap<String, Vec<Synonym>> = HashMap::new();
    let mut add = |from: &str, to: &str, quality| {
        let known = synonyms.entry(from.to_owned()).or_default();
        if from != to && known.iter().all(|synonym| synonym.name != to) {
            known.push(Synonym { name: to.to_owned(), quality });
        }
    };
    let taiwan = lines(include_str!("words/taiwan.txt"));
    for names in &taiwan {
        for name in &names[1..] {
            add(&names[0], name, REGIONAL);
            add(name, &names[0], REGIONAL);
        }
    }
    for names in lines(include_str!("words/concepts.txt")) {
        for from in &names {
            names.iter().for_each(|to| add(from, to, CONCEPT));
        }
    }
    synonyms
});

/// The other names of what is called so.
pub(super) fn synonyms(name: &str) -> &'static [Synonym] {
    SYNONYMS.get(name).map_or(&[], Vec::as_slice)
}

fn lines(file: &str) -> Vec<Vec<String>> {
    let name = |word: &str| squash(&word.to_lowercase()).chars().map(simplified).collect();
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(name).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_abbreviations_and_regions_know_each_other() {
        let knows = |name: &str, other: &str| synonyms(name).iter().any(|synonym| synonym.name == other);
        for (name, other) in [("k8s", "kubernetes"), ("db", "数据库"), ("备份", "backup"), ("反向代理", "reverseproxy")]
        {
            assert!(knows(name, other) && knows(other, name), "{name} {other}");
        }
        assert!(knows("资料库", "数据库") && knows("影片", "视频") && knows("快取", "缓存"));
        assert!(synonyms("xyzzy").is_empty());
    }
}
