//! The fields of a JSON object, read one by one.

use std::borrow::Cow;

use package::text;
use serde_json::{Map, Value};

use super::refuse_if_any;
use crate::error::{Fault, Result, lang::Text};

/// What can be read from the fields of a JSON object.
pub trait FromFields: Sized {
    /// Reads the fields; faults are noted in `fields`, and the value is then not used.
    fn from_fields(fields: &mut Fields) -> Self;
}

/// The fields of one JSON object or form, and the faults found in them so far.
pub struct Fields {
    map: Map<String, Value>,
    /// Of a form every value is a list of texts: whoever reads a field says what they are.
    is_form: bool,
    prefix: String,
    faults: Vec<Fault>,
}

impl Fields {
    /// Reads the fields of an object into `T`.
    ///
    /// # Errors
    /// 400 naming every fault.
    pub fn read<T: FromFields>(map: Map<String, Value>) -> Result<T> {
        Self { map, is_form: false, prefix: String::new(), faults: Vec::new() }.finish()
    }

    /// Reads the fields of a form, which may repeat, into `T`.
    ///
    /// # Errors
    /// 400 naming every fault.
    pub fn read_form<T: FromFields>(fields: impl IntoIterator<Item = (String, String)>) -> Result<T> {
        let mut map = Map::new();
        for (name, text) in fields {
            if let Value::Array(texts) = map.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                texts.push(text.into());
            }
        }
        Self { map, is_form: true, prefix: String::new(), faults: Vec::new() }.finish()
    }

    fn finish<T: FromFields>(mut self) -> Result<T> {
        let value = T::from_fields(&mut self);
        refuse_if_any(self.faults)?;
        Ok(value)
    }

    /// The value of a field that is not null; in a form the last of that name, as what `read` makes of its text.
    fn value(&self, field: &str, read: impl FnOnce(&str) -> Option<Value>) -> Option<Cow<'_, Value>> {
        match self.map.get(field)? {
            Value::Null => None,
            Value::Array(texts) if self.is_form => {
                let text = texts.last()?;
                Some(text.as_str().and_then(read).map_or(Cow::Borrowed(text), Cow::Owned))
            }
            value => Some(Cow::Borrowed(value)),
        }
    }

    /// Notes a fault of a field.
    pub fn fault(&mut self, field: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.faults.push(Fault { field: format!("{}{field}", self.prefix), text: Text::new(zh, en) });
    }

    /// Whether the field is there at all, be it null.
    pub fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// Notes a fault of the first field when none of them holds anything: there is nothing to do.
    pub fn require_any(&mut self, fields: &[&str]) {
        if fields.iter().all(|field| self.map.get(*field).is_none_or(Value::is_null)) {
            let (zh, en) = (fields.join("、"), fields.join(", "));
            self.fault(fields[0], format!("至少填写一项：{zh}"), format!("give at least one of: {en}"));
        }
    }

    /// A required text.
    pub fn text(&mut self, field: &str) -> String {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.fault(field, "必填", "is required");
            return String::new();
        }
        self.optional_text(field).unwrap_or_default()
    }

    /// A text, or `None` when absent or null.
    pub fn optional_text(&mut self, field: &str) -> Option<String> {
        let text = match self.value(field, |_| None)?.as_ref() {
            Value::String(text) if text.contains('\0') => Err(("不能含有空字符", "must not hold a NUL character")),
            Value::String(text) => Ok(text.clone()),
            _ => Err(("应为字符串", "must be a string")),
        };
        text.map_err(|(zh, en)| self.fault(field, zh, en)).ok()
    }

    /// A required text of several lines that says something, in at most `most` characters.
    pub fn block_text(&mut self, field: &str, most: usize) -> String {
        let text = self.text(field);
        if !self.check_block(field, &text, most) && self.has(field) && text.trim().is_empty() {
            self.fault(field, "不能为空", "must not be empty");
        }
        text
    }

    /// A text of several lines of at most `most` characters, or `None` when absent or null.
    pub fn optional_block_text(&mut self, field: &str, most: usize) -> Option<String> {
        let text = self.optional_text(field)?;
        self.check_block(field, &text, most);
        Some(text)
    }

    /// Notes a fault of a text of several lines; true when it has one.
    fn check_block(&mut self, field: &str, text: &str, most: usize) -> bool {
        let fault = text::block_fault(text, most);
        if let Some(fault) = &fault {
            self.fault(field, fault.zh(), fault.en());
        }
        fault.is_some()
    }

    /// A list of texts; empty when absent or null.
    pub fn texts(&mut self, field: &str) -> Vec<String> {
        let items = match self.map.get(field) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= 100 => items,
            _ => {
                self.fault(field, "应为字符串数组，至多 100 项", "must be a list of at most 100 strings");
                return Vec::new();
            }
        };
        let texts: Option<Vec<String>> =
            items.iter().map(|item| item.as_str().filter(|t| !t.contains('\0')).map(str::to_owned)).collect();
        texts.unwrap_or_else(|| {
            self.fault(field, "应为字符串数组", "must be a list of strings");
            Vec::new()
        })
    }

    /// A required whole number in a range.
    pub fn integer(&mut self, field: &str, range: std::ops::RangeInclusive<i64>) -> i64 {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.fault(field, "必填", "is required");
        }
        self.optional_integer(field, range).unwrap_or_default()
    }

    /// A whole number in a range, or `None` when absent or null.
    pub fn optional_integer(&mut self, field: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(field, |text| text.parse::<i64>().ok().map(Value::from))?.as_i64();
        let found = value.filter(|n| range.contains(n));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            self.fault(
                field,
                format!("应为 {low} 到 {high} 的整数"),
                format!("must be a whole number from {low} to {high}"),
            );
        }
        found
    }

    /// A number in a range, or `None` when absent or null.
    pub fn optional_number(&mut self, field: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let value = self.value(field, |text| text.parse::<f64>().ok().map(Value::from))?.as_f64();
        let found = value.filter(|n| range.contains(n));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            self.fault(field, format!("应为 {low} 到 {high} 的数"), format!("must be a number from {low} to {high}"));
        }
        found
    }

    /// A truth value, or `None` when absent or null.
    pub fn optional_bool(&mut self, field: &str) -> Option<bool> {
        let value = self.value(field, |text| Some(Value::from(text == "true")))?.as_bool();
        if value.is_none() {
            self.fault(field, "应为 true 或 false", "must be true or false");
        }
        value
    }

    /// One of the values `T` knows, or `None` when absent or null.
    pub fn optional_choice<T: Choice>(&mut self, field: &str) -> Option<T> {
        let text = self.optional_text(field)?;
        let choice = T::from_name(&text);
        if choice.is_none() {
            let (zh, en) = choice_fault::<T>();
            self.fault(field, zh, en);
        }
        choice
    }

    /// One of the values `T` knows, which must be there; `fallback` stands in for a fault.
    pub fn choice<T: Choice>(&mut self, field: &str, fallback: T) -> T {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.fault(field, "必填", "is required");
            return fallback;
        }
        self.optional_choice(field).unwrap_or(fallback)
    }

    /// A text of at most `most` characters; empty counts as absent.
    pub fn short_text(&mut self, field: &str, most: usize) -> Option<String> {
        let text = self.optional_text(field).filter(|text| !text.is_empty())?;
        if text.chars().count() > most {
            self.fault(field, format!("至多 {most} 个字符"), format!("must be at most {most} characters"));
            return None;
        }
        Some(text)
    }

    /// The count at `field`: at least 1, capped at `most`, `default` when absent or null.
    pub fn count(&mut self, field: &str, default: u32, most: u32) -> u32 {
        match self.map.get(field) {
            None | Some(Value::Null) => default,
            Some(Value::Number(n)) if n.as_u64().is_some_and(|n| n > 0) => {
                n.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(most).min(most)
            }
            _ => {
                self.fault(field, "应为大于 0 的整数", "must be a whole number above 0");
                default
            }
        }
    }

    /// The object at `field` as it came, or `None` when absent or null.
    pub fn optional_object(&mut self, field: &str) -> Option<Map<String, Value>> {
        match self.map.remove(field) {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => Some(map),
            Some(_) => {
                self.fault(field, "应为对象", "must be an object");
                None
            }
        }
    }

    /// Reads each object of the list at `field`, of at most `most`; empty when absent or null.
    pub fn objects<T>(&mut self, field: &str, most: usize, read: impl Fn(&mut Self) -> T) -> Vec<T> {
        let items = match self.map.remove(field) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(_) => {
                let (zh, en) =
                    (format!("应为对象数组，至多 {most} 项"), format!("must be a list of at most {most} objects"));
                self.fault(field, zh, en);
                return Vec::new();
            }
        };
        let mut values = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let Value::Object(map) = item else {
                self.fault(&format!("{field}[{i}]"), "应为对象", "must be an object");
                continue;
            };
            let prefix = format!("{}{field}[{i}].", self.prefix);
            let mut inner = Self { map, prefix, faults: Vec::new(), is_form: self.is_form };
            values.push(read(&mut inner));
            self.faults.append(&mut inner.faults);
        }
        values
    }

    /// Reads the object at `field`; an absent or null one is read as empty.
    pub fn nested<T>(&mut self, field: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let map = match self.map.remove(field) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => {
                self.fault(field, "应为对象", "must be an object");
                Map::new()
            }
        };
        let mut inner = Self { map, is_form: false, prefix: format!("{}{field}.", self.prefix), faults: Vec::new() };
        let value = read(&mut inner);
        self.faults.append(&mut inner.faults);
        value
    }
}

/// A closed set of names, as `sort` and `order` are.
pub trait Choice: Sized + Copy + 'static {
    /// Every name with its value; the names of a message.
    const NAMES: &'static [(&'static str, Self)];

    /// The value of a name.
    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

pub(super) fn choice_fault<T: Choice>() -> (String, String) {
    let names = T::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    (format!("应为以下之一：{names}"), format!("must be one of: {names}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A field of each kind.
    #[derive(Debug, PartialEq)]
    struct Read {
        text: Option<String>,
        number: Option<i64>,
        flag: Option<bool>,
        list: Vec<String>,
    }

    impl FromFields for Read {
        fn from_fields(fields: &mut Fields) -> Self {
            Self {
                text: fields.optional_text("text"),
                number: fields.optional_integer("number", 1..=5),
                flag: fields.optional_bool("flag"),
                list: fields.texts("list"),
            }
        }
    }

    #[test]
    fn a_form_is_read_as_the_body_of_the_same_meaning() {
        let form = |pairs: &[(&str, &str)]| {
            Fields::read_form::<Read>(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
        };
        let body = |value: Value| match value {
            Value::Object(map) => Fields::read::<Read>(map),
            _ => panic!("no object"),
        };
        let faults = |read: Result<Read>| match read {
            Err(crate::error::Error::Refused(refusal)) => {
                refusal.details.iter().map(|fault| fault.field.clone()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        for (pairs, value) in [
            (&[][..], json!({})),
            (&[("text", "5"), ("number", "5"), ("flag", "true")], json!({"text": "5", "number": 5, "flag": true})),
            (&[("flag", "no"), ("list", "true")], json!({"flag": false, "list": ["true"]})),
            (&[("list", "a"), ("text", "x"), ("list", "b"), ("text", "y")], json!({"list": ["a", "b"], "text": "y"})),
        ] {
            assert_eq!(form(pairs).expect("a form"), body(value).expect("a body"), "{pairs:?}");
        }
        assert_eq!(faults(form(&[("number", "6"), ("text", "a\0")])), ["text", "number"]);
        assert_eq!(faults(form(&[("number", "five")])), ["number"]);
        // In a body each of them is what it is.
        let wrong = json!({"text": ["x"], "number": "5", "flag": "true", "list": "a"});
        assert_eq!(faults(body(wrong)), ["text", "number", "flag", "list"]);
    }
}
