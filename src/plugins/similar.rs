//! Refusing a new plugin whose id or name can be taken for another's.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use package::Manifest;
use sqlx::PgConnection;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::{Plugins, queries};
use crate::{
    accounts::CurrentUser,
    catalogue::Catalogue,
    error::{Error, Fault, Result, codes, lang::Text},
    http::cache::Version as CacheVersion,
};

/// With how many of the most downloaded plugins a new one is compared.
const COMPARED: usize = 1_000;
/// With how many of the newest, which may not be in memory yet.
const NEWEST: i64 = 20;
/// How old the list of the most downloaded plugins may be.
const LONGEST_AGE: Duration = Duration::from_secs(1);

/// Letters of other scripts that look like Latin ones, in lower case.
const LOOK_ALIKES: [(&str, &str); 2] =
    [("авеіјкмнорстухѕԁһԛԝӏ", "abeijkmhopctyxsdhqwl"), ("αβεηικνορτυχγωс", "abenlkvoptuxywc")];

/// Ids and folded names of the most downloaded plugins, prepared for comparisons.
#[derive(Default)]
pub struct MostDownloaded(Mutex<Option<Prepared>>);

/// What was prepared of a state of the catalogue, and when.
struct Prepared {
    since: Instant,
    version: CacheVersion,
    known: Arc<[Known]>,
}

/// The id and the folded name of a plugin.
struct Known(String, String);

impl MostDownloaded {
    /// Those of a moment ago: what was published since is asked of the database.
    fn get(&self, catalogue: &Catalogue) -> Arc<[Known]> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = catalogue.lists.version(0);
        if let Some(kept) = &*kept
            && (kept.version == version || kept.version.mark == version.mark && kept.since.elapsed() < LONGEST_AGE)
        {
            return kept.known.clone();
        }
        let known = catalogue.lists.map_most_downloaded(COMPARED, |id, name| Known(id.to_owned(), folded(name)));
        let known: Arc<[Known]> = known.into();
        *kept = Some(Prepared { since: Instant::now(), version, known: known.clone() });
        known
    }
}

/// Refuses a new plugin that resembles one of another owner. Administrators may publish it, and so may whom they allow to.
/// Before, [`queries::lock_and_find_taken`] keeps others from publishing one that is the same when folded.
pub(super) async fn check(
    plugins: &Plugins,
    db: &mut PgConnection,
    user: &CurrentUser,
    manifest: &Manifest,
) -> Result<()> {
    if user.is_admin() {
        return Ok(());
    }
    let others = queries::resembling(db, &manifest.id, user.id, NEWEST).await?;
    if others.is_reserved {
        return Ok(());
    }
    if let Some(other) = others.same {
        return Err(too_similar(&manifest.id, "id", &other));
    }
    let name = folded(&manifest.name);
    let newest = others.newest_ids.into_iter().zip(&others.newest_names).map(|(id, name)| Known(id, folded(name)));
    for other in newest {
        if let Some(field) = other.similar_field(&manifest.id, &name) {
            return Err(too_similar(&manifest.id, field, &other.0));
        }
    }
    for other in &*plugins.most_downloaded.get(&plugins.catalogue) {
        if let Some(field) = other.similar_field(&manifest.id, &name)
            && !queries::is_owner(db, &other.0, user.id).await?
        {
            return Err(too_similar(&manifest.id, field, &other.0));
        }
    }
    Ok(())
}

impl Known {
    /// What of a new plugin with this id and folded name can be taken for this one's.
    fn similar_field(&self, new_id: &str, new_name: &str) -> Option<&'static str> {
        let Self(id, name) = self;
        // Somebody else has just made this very plugin: claiming it tells so.
        if id == new_id {
            return None;
        }
        if is_one_edit(new_id.as_bytes(), id.as_bytes()) {
            return Some("id");
        }
        (!name.is_empty() && name == new_name).then_some("name")
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
pub(super) fn folded(name: &str) -> String {
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
