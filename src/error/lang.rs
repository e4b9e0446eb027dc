//! The two languages every text for a person exists in, and how a request chooses one.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::HeaderMap, http::header::ACCEPT_LANGUAGE, http::request::Parts};

/// The language of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    /// Simplified Chinese, the product's first language.
    #[default]
    Zh,
    /// English.
    En,
}

impl Lang {
    /// The language `Accept-Language` prefers (RFC 9110, 12.5.4); Chinese when it names neither.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(accepted) = headers.get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()) else {
            return Self::Zh;
        };
        let mut best = (0.0, Self::Zh);
        for range in accepted.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let quality =
                parts.find_map(|p| p.trim().strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0_f32);
            let lang = match tag.split('-').next() {
                Some("zh") => Self::Zh,
                Some("en") => Self::En,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, lang);
            }
        }
        best.1
    }

    /// Picks the text of this language.
    pub fn pick<T>(self, zh: T, en: T) -> T {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Lang {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// One text in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// Both forms of one text.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// The form of one language.
    pub fn in_lang(&self, lang: Lang) -> &str {
        lang.pick(&self.zh, &self.en)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lang(accepted: &str) -> Lang {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, accepted.parse().expect("a header"));
        Lang::of(&headers)
    }

    #[test]
    fn the_preferred_known_language_is_chosen() {
        assert_eq!(lang("en-US,en;q=0.9,zh;q=0.8"), Lang::En);
        assert_eq!(lang("zh-TW,en;q=0.9"), Lang::Zh);
        assert_eq!(lang("fr, en;q=0.3"), Lang::En);
        assert_eq!(lang("fr, *;q=0.1"), Lang::Zh);
        assert_eq!(lang("en;q=0"), Lang::Zh);
        assert_eq!(Lang::of(&HeaderMap::new()), Lang::Zh);
    }
}
