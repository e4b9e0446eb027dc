//! How a refusal is said: one or more faults, each with a stable code and a text in both languages.

use std::fmt;

use super::codes::{self, CodeDoc};
use super::{MAX_FAULTS, text};

/// Longest `field` of a fault, in characters.
const MAX_FIELD: usize = 200;

/// Why a package was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// What is wrong, at least one; a broken archive names its first fault, `info.json` all of them.
    pub faults: Vec<Fault>,
}

impl Refusal {
    /// The code of the whole: that of the faults when they agree, else `invalid_manifest`.
    ///
    /// Only `info.json` can have several faults, so nothing else needs a word for "various".
    pub fn code(&self) -> &'static str {
        match self.faults.split_first() {
            Some((first, rest)) if rest.iter().all(|fault| fault.code == first.code) => first.code,
            _ => codes::INVALID_MANIFEST.code,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", fault.field, fault.en)?;
        }
        Ok(())
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }
}

/// One thing a person has to change before the package can be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable and machine-readable, one of [`super::CODES`].
    pub code: &'static str,
    /// Where: `scripts[0].file`, a path of the archive, or `plugin_file` for the archive as a whole.
    /// Safe to print: no control characters, at most 200 characters.
    pub field: String,
    /// Chinese text for a person.
    pub zh: String,
    /// English text for a person.
    pub en: String,
}

impl Fault {
    /// Whether its texts can be read without the field; else they continue it: `tags` “must be a list”.
    pub fn is_sentence(&self) -> bool {
        self.code != codes::INVALID_MANIFEST.code
    }

    /// A fault at `field`, in the words of its code.
    pub(super) fn at(field: &str, doc: CodeDoc) -> Self {
        Self::because(field, doc, doc.zh, doc.en)
    }

    /// A fault of the archive as a whole.
    pub(super) fn of_archive(doc: CodeDoc) -> Self {
        Self::at("plugin_file", doc)
    }

    /// A fault at `field`, in words that say more than its code does.
    pub(super) fn because(field: &str, doc: CodeDoc, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { code: doc.code, field: text::printable(field, MAX_FIELD), zh: zh.into(), en: en.into() }
    }
}

/// Collects the faults of `info.json`, so that an author learns of all of them at once.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        // A hostile manifest could hold a hundred thousand faults; nobody reads that many.
        if self.0.len() < MAX_FAULTS {
            self.0.push(fault);
        }
    }

    /// Adds a fault that needs no code of its own.
    pub(super) fn invalid(&mut self, field: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.add(Fault::because(field, codes::INVALID_MANIFEST, zh, en));
    }

    /// The value, if nothing was wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, Refusal> {
        if self.0.is_empty() { Ok(value) } else { Err(Refusal { faults: self.0 }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_agree_lend_the_refusal_their_code() {
        let missing = Fault::at("scripts[0].file", codes::SCRIPT_MISSING);
        let mut refusal = Refusal { faults: vec![missing.clone(), missing] };
        assert_eq!(refusal.code(), "script_missing");

        refusal.faults.push(Fault::at("id", codes::RESERVED_ID));
        assert_eq!(refusal.code(), "invalid_manifest");
    }

    #[test]
    fn a_field_is_safe_to_print() {
        let fault = Fault::at(&format!("a\u{1b}[2J{}", "x".repeat(500)), codes::UNSAFE_PATH);
        assert!(!fault.field.contains('\u{1b}'));
        assert!(fault.field.chars().count() <= 200);
    }

    #[test]
    fn the_number_of_faults_is_bounded() {
        let mut faults = Faults::default();
        for _ in 0..1_000 {
            faults.invalid("tags", "错", "wrong");
        }
        assert_eq!(faults.or(()).map_err(|r| r.faults.len()), Err(MAX_FAULTS));
    }
}
