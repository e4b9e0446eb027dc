//! JSON as a tree that remembers what ordinary parsers forget: that a key occurred twice.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::archive::MANIFEST;
use super::codes;
use super::faults::Fault;
use super::{MAX_MANIFEST_VALUES, text};

/// A value; numbers carry nothing because no rule asks for one.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// The members of an object.
pub(super) type Object = BTreeMap<String, Json>;

impl Json {
    /// The end of a message about a value of the wrong kind, in Chinese and English.
    pub(super) fn not_this(&self) -> (&'static str, &'static str) {
        match self {
            Self::Null => ("而不是 null", "not null"),
            Self::Bool(_) => ("而不是布尔值", "not a boolean"),
            Self::Number => ("而不是数字", "not a number"),
            Self::Text(_) => ("而不是字符串", "not a string"),
            Self::List(_) => ("而不是数组", "not a list"),
            Self::Object(_) => ("而不是对象", "not an object"),
        }
    }
}

/// Reads a document that must be one object.
pub(super) fn parse_object(bytes: &[u8]) -> Result<Object, Fault> {
    if [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| bytes.starts_with(mark)) {
        return Err(Fault::at(MANIFEST, codes::MANIFEST_BOM));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = error.valid_up_to() + 1;
        malformed(
            format!("info.json 不是 UTF-8（第 {place} 个字节）"),
            format!("info.json is not UTF-8 (byte {place})"),
        )
    })?;
    let state = State::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Tree(&state).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match parsed {
        Ok(Json::Object(object)) => Ok(object),
        Ok(other) => {
            let (zh, en) = other.not_this();
            Err(malformed(format!("info.json 应当是一个对象，{zh}"), format!("info.json must be an object, {en}")))
        }
        Err(error) => Err(state.fault(&error)),
    }
}

fn malformed(zh: String, en: String) -> Fault {
    Fault::because(MANIFEST, codes::MANIFEST_MALFORMED, zh, en)
}

/// What the parser's own error cannot carry.
#[derive(Default)]
struct State {
    values: Cell<usize>,
    duplicate_key: RefCell<Option<String>>,
}

impl State {
    fn fault(&self, error: &serde_json::Error) -> Fault {
        let (line, column) = (error.line(), error.column());
        if let Some(key) = self.duplicate_key.borrow().as_deref() {
            let key = text::printable(key, 100);
            return Fault::because(
                MANIFEST,
                codes::MANIFEST_DUPLICATE_KEY,
                format!("键 {key} 出现了两次（第 {line} 行）"),
                format!("The key {key} occurs twice (line {line})"),
            );
        }
        if self.values.get() > MAX_MANIFEST_VALUES {
            return Fault::at(MANIFEST, codes::MANIFEST_TOO_LARGE);
        }
        malformed(
            format!("info.json 不是有效的 JSON（第 {line} 行第 {column} 列）"),
            format!("info.json is not valid JSON (line {line}, column {column})"),
        )
    }
}

#[derive(Clone, Copy)]
struct Tree<'a>(&'a State);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        self.0.values.set(self.0.values.get() + 1);
        if self.0.values.get() > MAX_MANIFEST_VALUES {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        while let Some(key) = members.next_key::<String>()? {
            if object.contains_key(&key) {
                *self.0.duplicate_key.borrow_mut() = Some(key);
                return Err(A::Error::custom("duplicate key"));
            }
            let value = members.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8]) -> &'static str {
        parse_object(bytes).map_or_else(|fault| fault.code, |_| "accepted")
    }

    #[test]
    fn an_object_becomes_a_tree() {
        let object = parse_object(br#" {"a": [null, true, 1, -2.5e3], "b": {"c": "\u7cfb"}} "#);
        let object = object.unwrap();
        let list = vec![Json::Null, Json::Bool(true), Json::Number, Json::Number];
        assert_eq!(object["a"], Json::List(list));
        let inner = Object::from([("c".to_owned(), Json::Text("系".to_owned()))]);
        assert_eq!(object["b"], Json::Object(inner));
    }

    #[test]
    fn what_is_no_single_object_is_malformed() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{} {}",
            "{}x",
            "{'a': 1}",
            "{\"a\": 1,}",
            "// c\n{}",
            "{\"a\": NaN}",
            "{\"a\": 1e999}",
            "{\"a\": \"\\ud800\"}",
            "{\"a\": \"\u{1}\"}",
            "{1: 2}",
        ] {
            assert_eq!(code(text.as_bytes()), "manifest_malformed", "{text}");
        }
        assert_eq!(code(b"{\"a\": \"\xff\"}"), "manifest_malformed");
    }

    #[test]
    fn keys_occur_once_at_every_depth() {
        assert_eq!(code(br#"{"a": 1, "\u0061": 2}"#), "manifest_duplicate_key");
        assert_eq!(code(br#"{"a": [{"x": {"b": 1, "b": 1}}]}"#), "manifest_duplicate_key");
        assert_eq!(code(br#"{"a": {"b": 1}, "b": {"a": 1}}"#), "accepted");
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let deep = "{\"a\":".to_owned() + &"[".repeat(500_000);
        assert_eq!(code(deep.as_bytes()), "manifest_malformed");
        let wide = "{\"a\":[".to_owned() + &"0,".repeat(200_000) + "0]}";
        assert_eq!(code(wide.as_bytes()), "manifest_too_large");
    }

    #[test]
    fn byte_order_marks_are_named() {
        assert_eq!(code(b"\xef\xbb\xbf{}"), "manifest_bom");
        assert_eq!(code(b"\xff\xfe{\0}\0"), "manifest_bom");
    }
}
