//! The parameters of a query string or a form, read one by one.

use std::borrow::Cow;

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};
use percent_encoding::percent_decode_str;

use super::{
    fields::{Choice, choice_fault},
    refuse_if_any,
};
use crate::error::{Error, Fault, OrRefuse, Result, codes, lang::Text};

/// The most parameters of a query string or a form.
const MAX_PARAMETERS: usize = 100;

/// A query string read into `T`.
pub struct Query<T>(pub T);

/// What can be read from a query string.
pub trait FromParams: Sized {
    /// Reads the parameters; faults are noted in `params`, and the value is then not used.
    fn from_params(params: &mut Params) -> Self;
}

impl<S: Sync, T: FromParams> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl<T: FromParams> Query<T> {
    /// Reads a query string.
    ///
    /// # Errors
    /// 400, naming every fault.
    pub fn parse(query: &str) -> Result<Self> {
        let mut params = Params::parse(query)?;
        let value = T::from_params(&mut params);
        refuse_if_any(params.faults)?;
        Ok(Self(value))
    }
}

/// The parameters of a query string, and the faults found in them so far.
pub struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Params {
    /// Decodes a query string (`application/x-www-form-urlencoded`), strictly UTF-8.
    pub(crate) fn parse(query: &str) -> Result<Self> {
        let decode = |text: &str| {
            let plain = text.replace('+', " ");
            let text = percent_decode_str(&plain).decode_utf8().ok()?.into_owned();
            (!text.contains('\0')).then_some(text)
        };
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        };
        let pairs = query.split('&').filter(|p| !p.is_empty());
        if pairs.clone().nth(MAX_PARAMETERS).is_some() {
            return Err(Error::with(&codes::TOO_MANY_PARAMETERS, &[&MAX_PARAMETERS.to_string()]));
        }
        let pairs: Option<Vec<_>> = pairs.map(pair).collect();
        let pairs = pairs.or_refuse(&codes::INVALID_QUERY)?;
        Ok(Self { pairs, faults: Vec::new() })
    }

    /// All parameters in their order.
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.pairs
    }

    /// Notes a fault of a parameter.
    pub fn fault(&mut self, field: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.faults.push(Fault { field: field.to_owned(), text: Text::new(zh, en) });
    }

    /// The first value given under any of the names; later names are aliases.
    pub fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.pairs.iter().find(|(n, _)| n == name)).map(|(_, value)| value.as_str())
    }

    /// A text of at most `most` characters; empty counts as absent.
    pub fn short_text(&mut self, name: &str, most: usize) -> Option<String> {
        let text = self.text(&[name]).filter(|text| !text.is_empty())?.to_owned();
        if text.chars().count() > most {
            self.fault(name, format!("至多 {most} 个字符"), format!("must be at most {most} characters"));
            return None;
        }
        Some(text)
    }

    /// All values of a repeatable parameter, empty ones left out.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone()).collect()
    }

    /// A whole number above 0, capped at `most`, `default` when absent.
    pub fn count(&mut self, names: &[&str], default: u32, most: u32) -> u32 {
        let Some(text) = self.text(names) else { return default };
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.bytes().any(|b| b != b'0') {
            // Digits that do not fit a number are over any maximum.
            return text.parse().unwrap_or(most).min(most);
        }
        self.fault(names[0], "应为大于 0 的整数", "must be a whole number above 0");
        default
    }

    /// One of the values `T` knows, or `None` when absent.
    pub fn choice<T: Choice>(&mut self, names: &[&str]) -> Option<T> {
        let choice = T::from_name(self.text(names)?);
        if choice.is_none() {
            let (zh, en) = choice_fault::<T>();
            self.fault(names[0], zh, en);
        }
        choice
    }
}

/// The values of a parameter of a query string, decoded as [`Params`] decodes them. For a look at one parameter before
/// the others are read: nothing is copied unless it is encoded. What is not UTF-8 is left out, as it is refused later.
pub fn query_values<'a>(uri: &'a Uri, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let pairs = uri.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(move |(known, _)| percent_decode_str(known).eq(name.bytes()));
    named.filter_map(|(_, value)| match value.contains('+') {
        true => percent_decode_str(&value.replace('+', " ")).decode_utf8().ok().map(|value| value.into_owned().into()),
        false => percent_decode_str(value).decode_utf8().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_capped_above_and_refused_below_or_beside() {
        let count = |query: &str| {
            let mut params = Params::parse(query).expect("a query");
            let n = params.count(&["limit", "per_page"], 20, 100);
            (n, params.faults.len())
        };
        assert_eq!(count(""), (20, 0));
        assert_eq!(count("per_page=5"), (5, 0));
        assert_eq!(count("limit=99999999999999999999999"), (100, 0));
        for bad in ["limit=0", "limit=-1", "limit=abc", "limit=", "limit=1.5", "limit=%2B1", "limit=00"] {
            assert_eq!(count(bad), (20, 1), "{bad}");
        }
    }

    #[test]
    fn a_query_that_is_not_utf8_is_refused() {
        assert!(Params::parse("search=%ff").is_err());
        assert!(Params::parse("search=%00").is_err());
        assert_eq!(Params::parse("search=%E6%97%A5+x").expect("fine").text(&["search"]), Some("日 x"));
    }
}
