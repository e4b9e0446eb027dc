//! Names, ids, tags and authors, sorted so that the completions of every prefix are one range.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::Document;
use super::chinese::is_dense;
use super::text::fold;

/// A book is worn when this many entries and more than a quarter of all are gone.
const MOST_GONE: usize = 1_000;

const LONGEST: usize = 3_000;

/// Everything that can be suggested, packed: a hundred thousand plugins take about 30 MB.
#[derive(Default)]
pub(super) struct Book {
    text: String,
    pub(super) entries: Vec<Entry>,
    /// Every place where a completion may begin, sorted by the text from there on.
    pub(super) places: Vec<Place>,
    plugins: Vec<Plugin>,
    /// Numbers of plugins by key.
    numbers: HashMap<u64, u32>,
    /// Entries of tags and authors by the hash of their kind and folded text.
    shared: HashMap<u64, u32>,
    /// The tags of all plugins, each time followed by the author.
    sharing: Vec<u32>,
    gone: usize,
}

pub(super) struct Entry {
    shown: u32,
    /// Where the text that is compared begins: folded, with spaces in place of separators.
    typed: u32,
    shown_length: u16,
    typed_length: u16,
    /// The number of the plugin; for a tag or author, how many plugins have it.
    plugin: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Hash, PartialEq)]
enum Kind {
    Name,
    Id,
    Tag,
    Author,
    Gone,
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) entry: u32,
    offset: u32,
}

struct Plugin {
    key: u64,
    /// Its name's entry; its id's is the next one.
    name: u32,
    first_shared: u32,
    shared: u32,
}

impl Book {
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.places.shrink_to_fit();
        self.plugins.shrink_to_fit();
        self.sharing.shrink_to_fit();
    }

    pub(super) fn add(&mut self, document: &Document, places: &mut Vec<Place>) {
        let number = self.plugins.len() as u32;
        let name = self.entry(&document.name, Kind::Name, number, places);
        self.entry(&document.id, Kind::Id, number, places);
        let first_shared = self.sharing.len() as u32;
        let tags = document.tags.iter().map(|tag| (tag, Kind::Tag));
        for (text, kind) in tags.chain([(&document.author, Kind::Author)]) {
            let entry = self.share(text, kind, places);
            self.sharing.push(entry);
        }
        let shared = document.tags.len() as u32 + 1;
        self.plugins.push(Plugin { key: document.key, name, first_shared, shared });
        self.numbers.insert(document.key, number);
    }

    fn share(&mut self, text: &str, kind: Kind, places: &mut Vec<Place>) -> u32 {
        let hash = hash(kind, &fold(text));
        if let Some(entry) = self.shared.get(&hash) {
            self.entries[*entry as usize].plugin += 1;
            return *entry;
        }
        let entry = self.entry(text, kind, 1, places);
        self.shared.insert(hash, entry);
        entry
    }

    fn entry(&mut self, shown: &str, kind: Kind, plugin: u32, places: &mut Vec<Place>) -> u32 {
        let number = self.entries.len() as u32;
        // Lengths are packed in two bytes; no valid name comes near.
        let shown = if shown.len() > LONGEST { "" } else { shown };
        let typed = comparable(shown);
        let mut before = None;
        for (offset, character) in typed.char_indices() {
            if begins(before, character) {
                places.push(Place { entry: number, offset: offset as u32 });
            }
            before = Some(character);
        }
        let shown_at = self.write(shown);
        let typed_at = if typed == shown { shown_at } else { self.write(&typed) };
        self.entries.push(Entry {
            shown: shown_at,
            typed: typed_at,
            shown_length: shown.len() as u16,
            typed_length: typed.len() as u16,
            plugin,
            kind,
        });
        number
    }

    fn write(&mut self, text: &str) -> u32 {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        start
    }

    fn shown(&self, entry: u32) -> &str {
        let Entry { shown, shown_length, .. } = self.entries[entry as usize];
        &self.text[shown as usize..shown as usize + shown_length as usize]
    }

    pub(super) fn text_at(&self, place: Place) -> &str {
        let Entry { typed, typed_length, .. } = self.entries[place.entry as usize];
        &self.text[(typed + place.offset) as usize..typed as usize + typed_length as usize]
    }

    /// Merges new places into the sorted ones in a single pass.
    pub(super) fn insert(&mut self, mut new: Vec<Place>) {
        new.sort_unstable_by(|a, b| self.text_at(*a).cmp(self.text_at(*b)));
        if self.places.is_empty() {
            self.places = new;
            return;
        }
        let mut at = self.places.len();
        let mut free = at + new.len();
        self.places.resize(free, Place { entry: 0, offset: 0 });
        while let Some(place) = new.pop() {
            let text = self.text_at(place);
            let end = self.places[..at].partition_point(|known| self.text_at(*known) <= text);
            self.places.copy_within(end..at, free - (at - end));
            free -= at - end + 1;
            at = end;
            self.places[free] = place;
        }
    }

    pub(super) fn remove(&mut self, key: u64) {
        let Some(number) = self.numbers.remove(&key) else {
            return;
        };
        let Plugin { name, first_shared, shared, .. } = self.plugins[number as usize];
        for entry in [name, name + 1] {
            self.entries[entry as usize].kind = Kind::Gone;
            self.gone += 1;
        }
        for i in first_shared..first_shared + shared {
            let number = self.sharing[i as usize];
            let entry = &mut self.entries[number as usize];
            entry.plugin -= 1;
            if entry.plugin == 0 {
                let kind = std::mem::replace(&mut entry.kind, Kind::Gone);
                self.gone += 1;
                let hash = hash(kind, &fold(self.shown(number)));
                self.shared.remove(&hash);
            }
        }
    }

    /// Whether so much is gone that a new book is worth the effort.
    pub(super) fn is_worn(&self) -> bool {
        self.gone > MOST_GONE && 4 * self.gone > self.entries.len()
    }

    pub(super) fn range(&self, prefix: &str) -> Range<usize> {
        let start = self.places.partition_point(|place| self.text_at(*place) < prefix);
        let length = self.places[start..].partition_point(|place| self.text_at(*place).starts_with(prefix));
        start..start + length
    }

    pub(super) fn score(&self, place: Place, prefix: &str, popularity: &dyn Fn(u64) -> f32) -> f32 {
        let entry = &self.entries[place.entry as usize];
        let at_start = place.offset == 0;
        let is_all = at_start && entry.typed_length as usize == prefix.len();
        let popularity = |plugin: u32| popularity(self.plugins[plugin as usize].key).clamp(0.0, 1.0);
        let popularity = match entry.kind {
            Kind::Name => 0.1 + popularity(entry.plugin),
            Kind::Id => popularity(entry.plugin),
            // A tag that several plugins have stands before their names.
            Kind::Tag => 0.6 + (1.0 + entry.plugin as f32).ln() / (2.0 + self.numbers.len() as f32).ln(),
            Kind::Author => 0.0,
            Kind::Gone => return 0.0,
        };
        4.0 * f32::from(u8::from(is_all)) + 2.0 * f32::from(u8::from(at_start)) + popularity
    }

    /// The name of the plugin with this key.
    pub(super) fn name(&self, key: u64) -> Option<String> {
        let number = self.numbers.get(&key)?;
        Some(self.shown(self.plugins[*number as usize].name).to_owned())
    }

    /// The texts of the first wanted entries, each text and each plugin once.
    pub(super) fn show(
        &self,
        best: impl IntoIterator<Item = u32>,
        limit: usize,
        wanted: &dyn Fn(u64) -> bool,
    ) -> Vec<String> {
        let (mut seen, mut plugins) = (HashSet::new(), HashSet::new());
        let mut shown = Vec::new();
        for number in best {
            if shown.len() >= limit {
                break;
            }
            let entry = &self.entries[number as usize];
            let is_wanted = match entry.kind {
                Kind::Name | Kind::Id => {
                    wanted(self.plugins[entry.plugin as usize].key) && plugins.insert(entry.plugin)
                }
                Kind::Tag | Kind::Author => true,
                Kind::Gone => false,
            };
            if is_wanted && seen.insert(fold(self.shown(number))) {
                shown.push(self.shown(number).to_owned());
            }
        }
        shown
    }
}

fn hash(kind: Kind, text: &str) -> u64 {
    // A fixed hasher: two tags that collide (one pair in 10^19) would merely share an entry.
    let mut hasher = DefaultHasher::new();
    (kind, text).hash(&mut hasher);
    hasher.finish()
}

/// A word, a script or, in Chinese, any character may begin what the user means.
fn begins(before: Option<char>, character: char) -> bool {
    match before {
        None => true,
        Some(_) if !character.is_alphanumeric() => false,
        Some(before) => is_dense(character) || is_dense(before) || !before.is_alphanumeric(),
    }
}

pub(super) fn comparable(text: &str) -> String {
    let folded = fold(text);
    let spaced = folded.replace(['-', '_', '.', '/', ':'], " ");
    // Separators at either end would hide the word beside them.
    spaced.trim().to_owned()
}
