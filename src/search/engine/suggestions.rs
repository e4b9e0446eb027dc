//! Completions of what a user is typing: names, ids and tags, held in memory and sorted so that
//! every prefix is one range.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::Document;
use super::chinese::is_dense;
use super::text::fold;

/// Completions of names, ids and tags. Shared by reference; changes lock readers out for
/// about a millisecond.
#[derive(Default)]
pub struct Suggestions {
    book: RwLock<Book>,
    /// The best entries of prefixes that begin very many, for a few seconds: `d` alone would
    /// otherwise look at every tenth plugin for every first keystroke.
    crowded: Mutex<HashMap<String, (Instant, Vec<u32>)>>,
}

/// Prefixes with more completions than this are worth remembering.
const CROWD: usize = 1_500;
/// How many are remembered of each, and how long: popularity moves slowly.
const REMEMBERED: usize = 300;
const MEMORY: Duration = Duration::from_secs(5);
const MOST_CROWDS: usize = 5_000;
const LONGEST_PREFIX: usize = 200;
/// Compaction starts when this many entries and more than a quarter of all are gone.
const MOST_GONE: usize = 1_000;

/// Everything that can be suggested, packed: a hundred thousand plugins take about 30 MB.
#[derive(Default)]
struct Book {
    text: String,
    entries: Vec<Entry>,
    /// Every place where a completion may begin, sorted by the text from there on.
    places: Vec<Place>,
    plugins: Vec<Plugin>,
    /// Numbers of plugins by key.
    numbers: HashMap<u64, u32>,
    /// Entries of tags by the hash of their folded text.
    tags: HashMap<u64, u32>,
    /// The tags of all plugins, one after another.
    tagged: Vec<u32>,
    gone: usize,
}

struct Entry {
    shown: u32,
    /// Where the text that is compared begins: folded, with spaces in place of separators.
    typed: u32,
    shown_length: u16,
    typed_length: u16,
    /// The number of the plugin; for a tag, how many plugins have it.
    plugin: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    Id,
    Tag,
    Gone,
}

#[derive(Clone, Copy)]
struct Place {
    entry: u32,
    offset: u32,
}

struct Plugin {
    key: u64,
    /// Its name's entry; its id's is the next one.
    name: u32,
    first_tag: u32,
    tags: u32,
}

impl Suggestions {
    /// Forgets everything and learns these documents.
    pub fn replace_all(&self, documents: impl Iterator<Item = Document>) {
        let mut book = Book::default();
        let mut places = Vec::new();
        for document in documents {
            book.add(&document, &mut places);
        }
        book.insert(places);
        book.shrink();
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = book;
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Learns these documents as they are now and forgets those keys.
    pub fn apply(&self, changed: &[Document], removed: &[u64]) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        for key in removed.iter().copied().chain(changed.iter().map(|document| document.key)) {
            book.remove(key);
        }
        let mut places = Vec::new();
        for document in changed {
            book.add(document, &mut places);
        }
        book.insert(places);
        if book.gone > MOST_GONE && 4 * book.gone > book.entries.len() {
            book.compact();
            self.crowded.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// At most `limit` distinct names, ids and tags that complete what was typed, best first:
    /// those that begin with it before those with a later word that does, popular ones first.
    pub fn suggest(
        &self,
        prefix: &str,
        limit: usize,
        wanted: &dyn Fn(u64) -> bool,
        popularity: &dyn Fn(u64) -> f32,
    ) -> Vec<String> {
        let prefix = comparable(prefix);
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
            return Vec::new();
        }
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        let range = book.range(&prefix);
        let score = |place: Place| book.score(place, &prefix, popularity);
        if range.len() > CROWD {
            let best = self.remembered(&book, &prefix, range.clone(), &score);
            let found = book.show(best, limit, wanted);
            if found.len() >= limit {
                return found;
            }
        }
        let mut best: Vec<(f32, u32)> = book.places[range].iter().map(|place| (score(*place), place.entry)).collect();
        best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        book.show(best.into_iter().map(|(_, entry)| entry), limit, wanted)
    }

    fn remembered(&self, book: &Book, prefix: &str, range: Range<usize>, score: &dyn Fn(Place) -> f32) -> Vec<u32> {
        let lock = || self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, best)) = lock().get(prefix)
            && since.elapsed() < MEMORY
        {
            return best.clone();
        }
        let mut scored: Vec<(f32, u32)> = book.places[range].iter().map(|place| (score(*place), place.entry)).collect();
        let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if scored.len() > REMEMBERED {
            scored.select_nth_unstable_by(REMEMBERED, order);
            scored.truncate(REMEMBERED);
        }
        scored.sort_unstable_by(order);
        let best: Vec<u32> = scored.into_iter().map(|(_, entry)| entry).collect();
        let mut crowded = lock();
        if crowded.len() >= MOST_CROWDS {
            crowded.clear();
        }
        crowded.insert(prefix.to_owned(), (Instant::now(), best.clone()));
        best
    }
}

impl Book {
    fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.places.shrink_to_fit();
        self.plugins.shrink_to_fit();
        self.tagged.shrink_to_fit();
    }

    fn add(&mut self, document: &Document, places: &mut Vec<Place>) {
        let number = self.plugins.len() as u32;
        let name = self.entry(&document.name, Kind::Name, number, places);
        self.entry(&document.id, Kind::Id, number, places);
        let first_tag = self.tagged.len() as u32;
        for tag in &document.tags {
            let entry = self.tag(tag, places);
            self.tagged.push(entry);
        }
        let tags = document.tags.len() as u32;
        self.plugins.push(Plugin { key: document.key, name, first_tag, tags });
        self.numbers.insert(document.key, number);
    }

    fn tag(&mut self, tag: &str, places: &mut Vec<Place>) -> u32 {
        let hash = hash(&fold(tag));
        if let Some(entry) = self.tags.get(&hash) {
            self.entries[*entry as usize].plugin += 1;
            return *entry;
        }
        let entry = self.entry(tag, Kind::Tag, 1, places);
        self.tags.insert(hash, entry);
        entry
    }

    fn entry(&mut self, shown: &str, kind: Kind, plugin: u32, places: &mut Vec<Place>) -> u32 {
        let number = self.entries.len() as u32;
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

    fn text_at(&self, place: Place) -> &str {
        let Entry { typed, typed_length, .. } = self.entries[place.entry as usize];
        &self.text[(typed + place.offset) as usize..typed as usize + typed_length as usize]
    }

    /// Merges new places into the sorted ones in a single pass.
    fn insert(&mut self, mut new: Vec<Place>) {
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

    fn remove(&mut self, key: u64) {
        let Some(number) = self.numbers.remove(&key) else {
            return;
        };
        let Plugin { name, first_tag, tags, .. } = self.plugins[number as usize];
        for entry in [name, name + 1] {
            self.entries[entry as usize].kind = Kind::Gone;
            self.gone += 1;
        }
        for i in first_tag..first_tag + tags {
            let number = self.tagged[i as usize];
            let entry = &mut self.entries[number as usize];
            entry.plugin -= 1;
            if entry.plugin == 0 {
                entry.kind = Kind::Gone;
                self.gone += 1;
                let hash = hash(&fold(self.shown(number)));
                self.tags.remove(&hash);
            }
        }
    }

    /// Moves what is left to a new book.
    fn compact(&mut self) {
        let mut book = Self::default();
        let mut places = Vec::new();
        for number in self.numbers.values() {
            let Plugin { key, name, first_tag, tags } = self.plugins[*number as usize];
            let tags = &self.tagged[first_tag as usize..(first_tag + tags) as usize];
            let document = Document {
                key,
                id: self.shown(name + 1).to_owned(),
                name: self.shown(name).to_owned(),
                tags: tags.iter().map(|tag| self.shown(*tag).to_owned()).collect(),
                ..Document::default()
            };
            book.add(&document, &mut places);
        }
        book.insert(places);
        book.shrink();
        *self = book;
    }

    fn range(&self, prefix: &str) -> Range<usize> {
        let start = self.places.partition_point(|place| self.text_at(*place) < prefix);
        let length = self.places[start..].partition_point(|place| self.text_at(*place).starts_with(prefix));
        start..start + length
    }

    fn score(&self, place: Place, prefix: &str, popularity: &dyn Fn(u64) -> f32) -> f32 {
        let entry = &self.entries[place.entry as usize];
        let at_start = place.offset == 0;
        let is_all = at_start && entry.typed_length as usize == prefix.len();
        let popularity = |plugin: u32| popularity(self.plugins[plugin as usize].key).clamp(0.0, 1.0);
        let popularity = match entry.kind {
            Kind::Name => 0.1 + popularity(entry.plugin),
            Kind::Id => popularity(entry.plugin),
            Kind::Tag => 0.2 + (1.0 + entry.plugin as f32).ln() / (2.0 + self.numbers.len() as f32).ln(),
            Kind::Gone => return 0.0,
        };
        4.0 * f32::from(u8::from(is_all)) + 2.0 * f32::from(u8::from(at_start)) + popularity
    }

    /// The texts of the first wanted entries, each once.
    fn show(&self, best: impl IntoIterator<Item = u32>, limit: usize, wanted: &dyn Fn(u64) -> bool) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut shown = Vec::new();
        for number in best {
            if shown.len() >= limit {
                break;
            }
            let entry = &self.entries[number as usize];
            let is_wanted = match entry.kind {
                Kind::Name | Kind::Id => wanted(self.plugins[entry.plugin as usize].key),
                Kind::Tag => true,
                Kind::Gone => false,
            };
            if is_wanted && seen.insert(fold(self.shown(number))) {
                shown.push(self.shown(number).to_owned());
            }
        }
        shown
    }
}

fn hash(text: &str) -> u64 {
    // A fixed hasher: two tags that collide (one pair in 10^19) would merely share an entry.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
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

fn comparable(text: &str) -> String {
    let folded = fold(text);
    let spaced = folded.replace(['-', '_', '.', '/', ':'], " ");
    // Separators at either end would hide the word beside them.
    spaced.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(key: u64, id: &str, name: &str, tags: &[&str]) -> Document {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Document { key, id: id.into(), name: name.into(), tags, ..Document::default() }
    }

    fn suggestions() -> Suggestions {
        let suggestions = Suggestions::default();
        let documents = [
            document(1, "docker-cleaner", "Docker 容器清理", &["Docker", "清理"]),
            document(2, "log-cleaner", "日志清理", &["日志", "清理"]),
            document(3, "docker-logs", "Docker 日志", &["docker"]),
        ];
        suggestions.replace_all(documents.into_iter());
        suggestions
    }

    fn ask(suggestions: &Suggestions, prefix: &str) -> Vec<String> {
        suggestions.suggest(prefix, 10, &|_| true, &|key| key as f32 / 10.0)
    }

    #[test]
    fn names_ids_and_tags_complete_a_prefix() {
        let all = ask(&suggestions(), "doc");
        assert_eq!(all, ["Docker", "Docker 日志", "docker-logs", "Docker 容器清理", "docker-cleaner"]);
    }

    #[test]
    fn chinese_later_words_case_width_and_script_are_found() {
        let suggestions = suggestions();
        assert_eq!(ask(&suggestions, "清"), ["清理", "日志清理", "Docker 容器清理"]);
        assert_eq!(ask(&suggestions, "日誌清")[0], "日志清理");
        assert_eq!(ask(&suggestions, "ＤＯＣＫＥＲ_ＬＯ"), ["docker-logs"]);
        assert!(ask(&suggestions, "").is_empty() && ask(&suggestions, "-").is_empty());
        assert!(ask(&suggestions, "zzz").is_empty());
    }

    #[test]
    fn unwanted_plugins_are_not_suggested() {
        let only = suggestions().suggest("docker-", 10, &|key| key == 1, &|_| 0.0);
        assert_eq!(only, ["Docker", "Docker 容器清理", "docker-cleaner"]);
    }

    #[test]
    fn changes_show_at_once() {
        let suggestions = suggestions();
        suggestions.apply(&[document(2, "log-cleaner", "日志整理", &["日志"])], &[1]);
        assert_eq!(ask(&suggestions, "清"), Vec::<String>::new());
        assert_eq!(ask(&suggestions, "日志整"), ["日志整理"]);
        assert_eq!(ask(&suggestions, "日志"), ["日志", "日志整理", "Docker 日志"]);
    }

    #[test]
    fn many_changes_leave_what_was_there() {
        let suggestions = suggestions();
        for round in 0..3_000 {
            let name = format!("Plugin {}", round % 100);
            suggestions.apply(&[document(10 + round % 100, "some-plugin", &name, &[])], &[]);
        }
        assert_eq!(ask(&suggestions, "plugin 7")[0], "Plugin 7");
        assert_eq!(ask(&suggestions, "日志清"), ["日志清理"]);
        let book = suggestions.book.read().expect("not poisoned");
        assert!(book.entries.len() < 3_000, "{}", book.entries.len());
        assert!(book.places.is_sorted_by(|a, b| book.text_at(*a) <= book.text_at(*b)));
    }
}
