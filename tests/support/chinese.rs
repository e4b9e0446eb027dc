//! How Chinese texts are set.

/// Where Latin letters or digits stand right beside a Chinese character, which wants a space between them.
pub(crate) fn crowded(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let is_latin = |c: char| c.is_ascii_alphanumeric() || c == '`';
    let at = chars
        .windows(2)
        .position(|pair| is_chinese(pair[0]) && is_latin(pair[1]) || is_latin(pair[0]) && is_chinese(pair[1]))?;
    Some(chars[at.saturating_sub(10)..(at + 12).min(chars.len())].iter().collect())
}

/// Whether this is a Chinese character.
pub(crate) fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}
