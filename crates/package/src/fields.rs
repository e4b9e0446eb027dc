//! The checks that fields of `info.json` have in common. Each notes what is wrong and goes on with a
//! value that raises no further faults.

use semver::Version;

use super::codes;
use super::faults::{Fault, Faults};
use super::json::{Json, Object};
use super::text::{self, TextFault};
use super::{MAX_URL, MAX_VERSION};

/// What a text has to be like.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    max: usize,
    has_lines: bool,
    may_be_blank: bool,
}

impl Rule {
    /// One line that shows something.
    pub(super) fn line(max: usize) -> Self {
        Self { max, has_lines: false, may_be_blank: false }
    }

    /// Any number of lines, also none.
    pub(super) fn block(max: usize) -> Self {
        Self { max, has_lines: true, may_be_blank: true }
    }

    pub(super) fn or_blank(self) -> Self {
        Self { may_be_blank: true, ..self }
    }
}

/// A text that must be there.
pub(super) fn required(root: &Object, key: &str, rule: Rule, faults: &mut Faults) -> String {
    checked(root.get(key), key, rule, faults)
}

/// A text that may be absent or null.
pub(super) fn optional(root: &Object, key: &str, rule: Rule, faults: &mut Faults) -> Option<String> {
    let value = given(root, key)?;
    Some(checked(Some(value), key, rule, faults))
}

/// A text by its rule; empty when it breaks it.
pub(super) fn checked(value: Option<&Json>, field: &str, rule: Rule, faults: &mut Faults) -> String {
    let Some(found) = string(value, field, faults) else {
        return String::new();
    };
    let fault = if rule.has_lines { text::block_fault(found, rule.max) } else { text::line_fault(found, rule.max) };
    match fault {
        Some(fault) => {
            let doc = match fault {
                TextFault::TooLong { .. } => codes::INVALID_MANIFEST,
                TextFault::Forbidden { .. } => codes::UNSAFE_TEXT,
            };
            faults.add(Fault::because(field, doc, fault.zh(), fault.en()));
            String::new()
        }
        None if !rule.may_be_blank && text::is_blank(found) => {
            faults.invalid(field, "不能为空", "must not be blank");
            String::new()
        }
        None => found.to_owned(),
    }
}

/// A string of any content; absent is a fault.
pub(super) fn string<'a>(value: Option<&'a Json>, field: &str, faults: &mut Faults) -> Option<&'a str> {
    match value {
        Some(Json::Text(text)) => Some(text),
        Some(other) => {
            wrong_kind(field, other, ("字符串", "a string"), faults);
            None
        }
        None => {
            faults.invalid(field, "缺少必填字段", "is required");
            None
        }
    }
}

/// The items of a list; none when it is absent, no list or too long.
pub(super) fn list<'a>(root: &'a Object, key: &str, max: usize, faults: &mut Faults) -> &'a [Json] {
    match root.get(key) {
        None => &[],
        Some(Json::List(list)) if list.len() <= max => list,
        Some(Json::List(_)) => {
            faults.invalid(key, format!("最多 {max} 项"), format!("must hold at most {max} items"));
            &[]
        }
        // The client refuses null here, so an absent list and null are not the same.
        Some(other) => {
            wrong_kind(key, other, ("数组", "a list"), faults);
            &[]
        }
    }
}

/// A version that must be there.
pub(super) fn version(root: &Object, key: &str, faults: &mut Faults) -> Option<Version> {
    version_of(root.get(key), key, faults)
}

/// A version that may be absent or null.
pub(super) fn optional_version(root: &Object, key: &str, faults: &mut Faults) -> Option<Version> {
    version_of(Some(given(root, key)?), key, faults)
}

/// A SemVer 2.0 version without build metadata.
pub(super) fn version_of(value: Option<&Json>, field: &str, faults: &mut Faults) -> Option<Version> {
    let found = string(value, field, faults)?;
    let mut refuse = |zh: &str, en: &str| {
        faults.add(Fault::because(field, codes::INVALID_VERSION, zh, en));
        None
    };
    if found.chars().count() > MAX_VERSION {
        return refuse("版本号最多 50 个字符", "A version has at most 50 characters");
    }
    match Version::parse(found) {
        Ok(version) if version.build.is_empty() => Some(version),
        Ok(_) => refuse("版本号不能带构建元数据（+…）", "A version must not carry build metadata (+…)"),
        Err(_) if has_huge_number(found) => refuse(
            "版本号中的数字过大（最大 18446744073709551615）",
            "A number in the version is too large (at most 18446744073709551615)",
        ),
        Err(_) => refuse(
            "版本号应符合 SemVer 2.0，例如 1.2.3 或 1.2.3-rc.1",
            "The version must be a SemVer 2.0 version such as 1.2.3 or 1.2.3-rc.1",
        ),
    }
}

fn has_huge_number(version: &str) -> bool {
    let core = version.split('-').next().unwrap_or(version);
    core.split('.').any(|number| {
        number.len() > 19 && number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse::<u64>().is_err()
    })
}

/// A web address that may be absent or null.
pub(super) fn url(root: &Object, key: &str, faults: &mut Faults) -> Option<String> {
    let url = optional(root, key, Rule::line(MAX_URL), faults)?;
    if !url.is_empty() && !is_web_address(&url) {
        faults.invalid(
            key,
            "应为 http:// 或 https:// 开头的完整网址",
            "must be a complete address that begins with http:// or https://",
        );
    }
    Some(url)
}

fn is_web_address(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.split(':').next().unwrap_or(authority);
    // A name before the host makes `https://github.com@evil.example` look like GitHub.
    let is_honest = !host.is_empty() && !authority.contains('@');
    let is_plain = !url.contains(|c: char| c.is_whitespace() || "\\\"<>`".contains(c));
    is_web && is_honest && is_plain
}

/// Notes that a field holds another kind of value than it should.
pub(super) fn wrong_kind(field: &str, found: &Json, expected: (&str, &str), faults: &mut Faults) {
    let (zh, en) = found.not_this();
    faults.invalid(field, format!("应为{}，{zh}", expected.0), format!("must be {}, {en}", expected.1));
}

fn given<'a>(root: &'a Object, key: &str) -> Option<&'a Json> {
    root.get(key).filter(|value| **value != Json::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_version(text: &str) -> bool {
        let mut faults = Faults::default();
        version_of(Some(&Json::Text(text.to_owned())), "version", &mut faults).is_some()
    }

    #[test]
    fn versions_are_semver_without_build() {
        for good in ["0.0.0", "1.2.3", "1.0.0-rc.1", "1.0.0-x-y.7.z", "18446744073709551615.0.0"] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.0",
            "v1.0.0",
            "01.0.0",
            "1.0.0-01",
            "1.0.0-",
            "1.0.0+b",
            "1.0.0 ",
            " 1.0.0",
            "1.0.0-é",
            "18446744073709551616.0.0",
            "1.0.0\n",
            "-1.0.0",
            "１.0.0",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
        assert!(!is_version(&format!("1.0.0-{}", "a".repeat(45))));
        assert!(is_version(&format!("1.0.0-{}", "a".repeat(44))));
    }

    #[test]
    fn numbers_too_large_are_named_as_such() {
        assert!(has_huge_number("1.99999999999999999999.0"));
        assert!(!has_huge_number("1.18446744073709551615.0"));
    }

    #[test]
    fn addresses_are_http_or_https_and_say_where_they_lead() {
        for good in [
            "https://github.com/geektools/x",
            "HTTP://localhost:5000",
            "https://例子.中国/路径?q=1#x",
            "https://[::1]/",
        ] {
            assert!(is_web_address(good), "{good}");
        }
        for bad in [
            "javascript:alert(1)",
            "ftp://x.org",
            "file:///etc/passwd",
            "https:/x.org",
            "https://",
            "https:///x",
            "//x.org",
            "x.org",
            "https://github.com@evil.example/",
            "https://x.org/a b",
            "https://x.org/\"><script>",
            "https://x.org\\@evil.example",
            "data:text/html,http://x.org",
        ] {
            assert!(!is_web_address(bad), "{bad}");
        }
    }
}
