//! Refusing a new plugin whose id or name can be taken for another's.

use package::Manifest;
use sqlx::PgConnection;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::{Plugins, queries};
use crate::{
    accounts::CurrentUser,
    error::{Error, Fault, Result, codes, lang::Text},
};

/// With how many of the most downloaded plugins a new one is compared.
const COMPARED: usize = 1_000;
/// With how many of the newest, which may not be in memory yet.
const NEWEST: i64 = 20;

/// Letters of other scripts that look like Latin ones, in lower case.
const LOOK_ALIKES: [(&str, &str); 2] =
    [("авеіјкмнорстухѕԁһԛԝӏ", "abeijkmhopctyxsdhqwl"), ("αβεηικνορτυχγωс", "abenlkvoptuxywc")];

/// Refuses a new plugin that resembles one of another owner. Administrators may publish it, and so may whom they allow to.
/// Until the transaction ends, nobody else can publish one that is the same when folded.
pub(super) async fn check(
    plugins: &Plugins,
    db: &mut PgConnection,
    user: &CurrentUser,
    manifest: &Manifest,
) -> Result<()> {
    let name = folded(&manifest.name);
    queries::lock_folded(db, &manifest.id, &name).await?;
    if user.is_admin() || queries::is_reserved_for(db, &manifest.id, user.id).await? {
        return Ok(());
    }
    if let Some(other) = queries::same_when_folded(db, &manifest.id, user.id).await? {
        return Err(too_similar(&manifest.id, "id", &other));
    }
    let new = NewPlugin { id: &manifest.id, name: &name, first: letters(&manifest.name).next() };
    let field = |other: &str, other_name: &str| new.similar_field(other, other_name);
    for (other, other_name) in queries::newest_of_others(db, user.id, NEWEST).await? {
        if let Some(field) = field(&other, &other_name) {
            return Err(too_similar(&manifest.id, field, &other));
        }
    }
    for (other, field) in plugins.catalogue.lists.find_most_downloaded(COMPARED, field) {
        if !queries::is_owner(db, &other, user.id).await? {
            return Err(too_similar(&manifest.id, field, &other));
        }
    }
    Ok(())
}

/// What a new plugin is compared by.
struct NewPlugin<'a> {
    id: &'a str,
    /// Its folded name.
    name: &'a str,
    /// The first letter of its name: most names differ in it already, and folding them whole takes longer.
    first: Option<char>,
}

impl NewPlugin<'_> {
    /// What of it can be taken for another one's.
    fn similar_field(&self, other: &str, other_name: &str) -> Option<&'static str> {
        // Somebody else has just made this very plugin: claiming it tells so.
        if other == self.id {
            return None;
        }
        if is_one_edit(self.id.as_bytes(), other.as_bytes()) {
            return Some("id");
        }
        let may_be_same = match (self.first, letters(other_name).next()) {
            // `rn` folds to `m`, and `vv` to `w`.
            (Some(a), Some(b)) => a == b || "rmvw".contains(a) && "rmvw".contains(b),
            _ => false,
        };
        (may_be_same && folded(other_name) == self.name).then_some("name")
    }
}

fn too_similar(id: &str, field: &str, other: &str) -> Error {
    let mut error = Error::with(&codes::ID_TOO_SIMILAR, &[id, other]);
    if let Error::Refused(refusal) = &mut error {
        let text = match field {
            "name" => Text::new(format!("与插件 {other} 的名称相同"), format!("is the name of the plugin {other}")),
            _ => Text::new(format!("与插件 {other} 过于相似"), format!("is too similar to the plugin {other}")),
        };
        refusal.details = vec![Fault { field: field.to_owned(), text }];
    }
    error
}

/// A name without case, accents, spaces and punctuation, in which characters that look alike are the same.
fn folded(name: &str) -> String {
    letters(name).collect::<String>().replace("rn", "m").replace("vv", "w")
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    let letters = name.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    letters.filter(|c| c.is_alphanumeric()).map(|c| match latin(c) {
        '0' => 'o',
        '1' | 'i' => 'l',
        '5' => 's',
        c => c,
    })
}

fn latin(c: char) -> char {
    let find = |(others, latins): &(&str, &str)| latins.chars().nth(others.chars().position(|other| other == c)?);
    if c.is_ascii() { c } else { LOOK_ALIKES.iter().find_map(find).unwrap_or(c) }
}

/// Whether one character more, less, other or swapped with its neighbour makes one of the other. Numbers may differ:
/// whoever numbers plugins means to tell them apart.
fn is_one_edit(a: &[u8], b: &[u8]) -> bool {
    if a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (all, a, b) = (a, &a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let is_numbered = |whole: &[u8]| whole[..whole.len() - end].last().is_some_and(u8::is_ascii_digit);
    let follows_digit = start > 0 && all[start - 1].is_ascii_digit();
    match (&a[..a.len() - end], &b[..b.len() - end]) {
        ([a], [b]) if a.is_ascii_digit() && b.is_ascii_digit() => false,
        ([], [_]) | ([_], []) if follows_digit && (is_numbered(a) || is_numbered(b)) => false,
        ([], [_]) | ([_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_edit_is_one_character_more_less_other_or_swapped() {
        for (a, b) in
            [("port", "ports"), ("port", "prt"), ("port", "pork"), ("port", "oprt"), ("aab", "aaab"), ("tool", "tool2")]
        {
            assert!(is_one_edit(a.as_bytes(), b.as_bytes()) && is_one_edit(b.as_bytes(), a.as_bytes()), "{a} {b}");
        }
        for (a, b) in [
            ("port", "port"),
            ("port", "po"),
            ("port", "tropic"),
            ("abcd", "badc"),
            ("abc", "cba"),
            ("tool-1", "tool-2"),
            ("tool-1", "tool-12"),
        ] {
            assert!(!is_one_edit(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
    }

    #[test]
    fn names_that_look_alike_fold_to_the_same() {
        assert!(LOOK_ALIKES.iter().all(|(others, latins)| others.chars().count() == latins.len()));
        for name in ["port check", "PORT-CHECK", "Ｐｏｒｔ Ｃｈｅｃｋ", "Pórt  Chéck!", "роrt сhесk", "p0rt_check"]
        {
            assert_eq!(folded(name), "portcheck", "{name}");
        }
        assert_eq!(folded("系统 工具"), "系统工具");
        assert_ne!(folded("系统工具"), folded("系统工貝"));
        assert_eq!(folded("Modem"), folded("Modern"));
        assert_eq!(folded("!?"), "");
    }
}
