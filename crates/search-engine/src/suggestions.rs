//! Completions of what a user is typing: names, ids, tags and authors, held in memory and sorted so that
//! every prefix is one range.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::Document;
use super::book::{Book, Place, comparable};

/// Completions of names, ids, tags and authors. Shared by reference; changes lock readers out for
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

/// What is to replace all suggestions; learned one by one, so that never all documents are in memory.
#[derive(Default)]
pub struct Learned {
    book: Book,
    places: Vec<Place>,
}

impl Learned {
    /// Learns a document.
    pub fn add(&mut self, document: &Document) {
        self.book.add(document, &mut self.places);
    }
}

impl Suggestions {
    /// Forgets everything else.
    pub fn replace_all(&self, learned: Learned) {
        let Learned { mut book, places } = learned;
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
    }

    /// Whether so much of what was learned is outdated that it should all be replaced, for its memory.
    pub fn is_worn(&self) -> bool {
        self.book.read().unwrap_or_else(PoisonError::into_inner).is_worn()
    }

    /// The names of these plugins.
    pub fn names(&self, keys: impl Iterator<Item = u64>) -> Vec<String> {
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        keys.filter_map(|key| book.name(key)).collect()
    }

    /// At most `limit` distinct names, ids, tags and authors that complete what was typed, best first:
    /// one for each plugin; those that begin with it before those with a later word that does, popular ones first.
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
        let mut learned = Learned::default();
        documents.iter().for_each(|document| learned.add(document));
        suggestions.replace_all(learned);
        suggestions
    }

    fn ask(suggestions: &Suggestions, prefix: &str) -> Vec<String> {
        suggestions.suggest(prefix, 10, &|_| true, &|key| key as f32 / 10.0)
    }

    #[test]
    fn names_ids_and_tags_complete_a_prefix() {
        let all = ask(&suggestions(), "doc");
        assert_eq!(all, ["Docker", "Docker 日志", "Docker 容器清理"]);
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
        assert_eq!(only, ["Docker", "Docker 容器清理"]);
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
        assert!(book.is_worn());
        assert!(book.places.is_sorted_by(|a, b| book.text_at(*a) <= book.text_at(*b)));
    }
}
