//! List entries in memory, packed: a page of a list needs no question to the database.

use std::sync::{PoisonError, RwLock};

use time::OffsetDateTime;

use super::{
    Listed,
    model::{PluginItem, Publisher, Status},
};

/// What an entry takes beside its bytes.
const OVERHEAD: usize = 32;
const STATUSES: [Status; 3] = [Status::Active, Status::Deprecated, Status::Banned];

/// List entries in memory, with the revisions that they show.
pub struct Items {
    entries: RwLock<Entries>,
    most_bytes: usize,
}

#[derive(Default)]
struct Entries {
    /// By key; keys are given out one after the other, so few places stay empty.
    by_key: Vec<Option<Box<[u8]>>>,
    bytes: usize,
    /// Where to go on with forgetting.
    oldest: usize,
}

impl Items {
    /// Holds at most about so many bytes.
    pub fn new(bytes: u64) -> Self {
        Self { entries: RwLock::default(), most_bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }
    }

    /// The entries of these plugins, in this order, with the revisions that they show; none where none is known. They
    /// lack the address of the package.
    pub(super) fn get(&self, listed: &[Listed]) -> Vec<Option<(i64, PluginItem)>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let find = |listed: &Listed| unpack(&listed.id, entries.by_key.get(place(listed.key))?.as_deref()?);
        listed.iter().map(find).collect()
    }

    /// Keeps an entry, and forgets others when there are too many.
    pub(super) fn insert(&self, key: i64, revision: i64, item: &PluginItem) {
        let packed = pack(revision, item);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let entries = &mut *entries;
        let place = place(key);
        if place >= entries.by_key.len() {
            entries.by_key.resize(place + 1, None);
        }
        entries.bytes += OVERHEAD + packed.len();
        let before = entries.by_key[place].replace(packed);
        entries.bytes -= before.map_or(0, |before| OVERHEAD + before.len());
        while entries.bytes > self.most_bytes {
            entries.oldest = (entries.oldest + 1) % entries.by_key.len();
            let forgotten = entries.by_key[entries.oldest].take();
            entries.bytes -= forgotten.map_or(0, |forgotten| OVERHEAD + forgotten.len());
        }
    }
}

fn place(key: i64) -> usize {
    usize::try_from(key).unwrap_or_default()
}

fn pack(revision: i64, item: &PluginItem) -> Box<[u8]> {
    let micros = |time: OffsetDateTime| (time.unix_timestamp_nanos() / 1_000) as i64;
    let status = STATUSES.iter().position(|status| *status == item.status).unwrap_or_default();
    let numbers = [
        revision,
        item.file_size,
        item.downloads.into(),
        item.rating.to_bits().cast_signed(),
        item.rating_count.into(),
        status as i64,
        micros(item.created_at),
        micros(item.updated_at),
        item.publisher.as_ref().map_or(-1, |publisher| publisher.is_verified.into()),
    ];
    let (username, display_name) =
        item.publisher.as_ref().map_or(("", ""), |publisher| (&*publisher.username, &*publisher.display_name));
    let texts = [
        &*item.current_version,
        &*item.file_hash,
        &*item.min_geektools_version,
        &*item.name,
        username,
        display_name,
        &*item.author,
        &*item.description,
        &*item.license,
    ];
    let mut packed = Vec::new();
    numbers.iter().for_each(|number| packed.extend(number.to_le_bytes()));
    for text in texts.into_iter().chain(item.tags.iter().map(String::as_str)) {
        packed.extend((text.len() as u32).to_le_bytes());
        packed.extend(text.as_bytes());
    }
    packed.into()
}

fn unpack(id: &str, packed: &[u8]) -> Option<(i64, PluginItem)> {
    let mut rest = packed;
    let mut number = || {
        let (number, after) = rest.split_first_chunk()?;
        rest = after;
        Some(i64::from_le_bytes(*number))
    };
    let (revision, file_size, downloads) = (number()?, number()?, i32::try_from(number()?).ok()?);
    let (rating, rating_count) = (f64::from_bits(number()?.cast_unsigned()), i32::try_from(number()?).ok()?);
    let status = *STATUSES.get(usize::try_from(number()?).ok()?)?;
    let mut time = || OffsetDateTime::from_unix_timestamp_nanos(i128::from(number()?) * 1_000).ok();
    let (created_at, updated_at) = (time()?, time()?);
    let is_verified = number()?;
    let mut text = || {
        let (length, after) = rest.split_first_chunk()?;
        let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(str::from_utf8(text).ok()?.to_owned())
    };
    let (current_version, file_hash, min_geektools_version, name) = (text()?, text()?, text()?, text()?);
    let (username, display_name) = (text()?, text()?);
    let publisher = Publisher { username, display_name, is_verified: is_verified == 1 };
    let item = PluginItem {
        id: id.to_owned(),
        current_version,
        file_hash,
        file_size,
        file_url: String::new(),
        downloads,
        rating,
        rating_count,
        recent_downloads: None,
        status,
        created_at,
        updated_at,
        min_geektools_version,
        name,
        publisher: (is_verified >= 0).then_some(publisher),
        author: text()?,
        description: text()?,
        license: text()?,
        tags: std::iter::from_fn(text).collect(),
    };
    Some((revision, item))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::macros::datetime;

    use super::*;

    fn item(id: &str, publisher: Option<Publisher>) -> PluginItem {
        PluginItem {
            id: id.to_owned(),
            current_version: "1.0.0".into(),
            file_hash: "ab".repeat(32),
            file_size: 4_096,
            file_url: String::new(),
            downloads: i32::MAX,
            rating: 4.33,
            rating_count: 3,
            recent_downloads: None,
            status: Status::Deprecated,
            created_at: datetime!(2024-01-01 00:00:00.123456 UTC),
            updated_at: datetime!(1969-01-01 00:00 UTC),
            min_geektools_version: String::new(),
            name: "日志 清理".into(),
            publisher,
            author: String::new(),
            description: "Removes\nlogs".into(),
            tags: vec!["日志".into(), "a".into()],
            license: "MIT".into(),
        }
    }

    fn listed(key: i64, id: &str) -> Listed {
        Listed { key, id: Arc::from(id), revision: 0, recent_downloads: 0 }
    }

    #[test]
    fn an_entry_is_what_was_kept() {
        let items = Items::new(1 << 20);
        let publisher = Publisher { username: "ada".into(), display_name: "Ada 爱达".into(), is_verified: true };
        for (key, publisher) in [(7, Some(publisher)), (3, None)] {
            let item = item("log-cleaner", publisher);
            items.insert(key, 41, &item);
            let found = items.get(&[listed(5, "other"), listed(key, "log-cleaner")]);
            let [None, Some((41, found))] = found.as_slice() else { panic!("{} found", found.len()) };
            let json = |item: &PluginItem| serde_json::to_string(item).expect("an item is JSON");
            assert_eq!(json(found), json(&item));
        }
    }

    #[test]
    fn no_more_than_allowed_is_kept() {
        let items = Items::new(10_000);
        for key in 1..1_000 {
            items.insert(key, key, &item("log-cleaner", None));
            assert!(items.get(&[listed(key, "log-cleaner")])[0].is_some(), "{key}");
        }
        let all: Vec<Listed> = (0..1_000).map(|key| listed(key, "log-cleaner")).collect();
        let known = items.get(&all).into_iter().flatten().count();
        assert!((20..60).contains(&known), "{known}");
    }
}
