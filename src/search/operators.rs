//! Operators in what a person types: `tag:network`, `author:"Ada L"` and `@ada` beside words.

/// What was typed, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// What is left without operators; none when that is nothing.
    pub words: Option<String>,
    /// Tags a plugin must all have.
    pub tags: Vec<String>,
    /// The author it must have.
    pub author: Option<String>,
    /// The account that must own it.
    pub owner: Option<String>,
}

impl Typed {
    /// Takes a text apart. What is no operator is a word; of several authors or owners the last one counts.
    pub fn parse(text: &str) -> Self {
        let mut typed = Self::default();
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, value, after) = next(rest);
            match name {
                "tag" => typed.tags.push(value.to_owned()),
                "author" => typed.author = Some(value.to_owned()),
                "@" => typed.owner = Some(value.to_owned()),
                _ => words.push(value),
            }
            rest = after.trim_start();
        }
        typed.words = (!words.is_empty()).then(|| words.join(" "));
        typed
    }
}

/// The operator at the start of a text (empty for a word), its value, and what follows.
fn next(text: &str) -> (&'static str, &str, &str) {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    if let Some(name) = word.strip_prefix('@').filter(|name| is_username(name)) {
        return ("@", name, after);
    }
    for operator in ["tag", "author"] {
        let head = word.get(..operator.len()).filter(|head| head.eq_ignore_ascii_case(operator));
        let Some(value) = head.and_then(|_| text[operator.len()..].strip_prefix(':')) else { continue };
        if let Some((quoted, after)) = value.strip_prefix('"').and_then(|value| value.split_once('"')) {
            if !quoted.trim().is_empty() {
                return (operator, quoted.trim(), after);
            }
        } else if end > operator.len() + 1 {
            return (operator, &word[operator.len() + 1..], after);
        }
    }
    ("", word, after)
}

fn is_username(name: &str) -> bool {
    (3..=50).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_taken_out_and_everything_else_is_a_word() {
        let typed = Typed::parse("  port tag:network TAG:\"系统 工具\" 检查 author:Ada @root-1 ");
        assert_eq!(typed.words.as_deref(), Some("port 检查"));
        assert_eq!(typed.tags, ["network", "系统 工具"]);
        assert_eq!((typed.author.as_deref(), typed.owner.as_deref()), (Some("Ada"), Some("root-1")));
        assert_eq!(Typed::parse("author:\"Ada Lovelace\"").author.as_deref(), Some("Ada Lovelace"));
        for words in ["tag:", "author:", "@", "@a", "@日本", "a@bcd", "tagged", "标签:网络", "tag:\"\"", "http://x"]
        {
            let typed = Typed::parse(words);
            assert_eq!(typed.words.as_deref(), Some(words), "{typed:?}");
        }
        assert_eq!(Typed::parse(" \u{3000} "), Typed::default());
        assert_eq!(Typed::parse("tag:\"open").tags, ["\"open"]);
    }
}
