//! What of a document goes into the index: its terms, each with one strength that says where in
//! the document it stands. The strength is stored in place of a count, so that a search reads one
//! list per term, not one per term and field.

use std::cell::RefCell;

use pinyin::ToPinyin;

use super::Document;
use super::text::{Piece, fold, lower, normalize, parts, pieces, squash, stem};

/// Marks of terms that are no words: control characters, which words cannot hold.
pub(super) const EXACT_ID: char = '\u{1}';
pub(super) const EXACT_NAME: char = '\u{2}';
/// The first letter or two of a word in a name, id or tag.
pub(super) const BEGINNING: char = '\u{3}';
/// How some characters of a name or tag are read: in full (`beifen`) or the initials (`bf`).
pub(super) const PINYIN: char = '\u{4}';

const AUTHOR: u16 = 1;
const SCRIPT: u16 = 1 << 1;
const DESCRIPTION: u16 = 1 << 2;
/// Early in the description, where authors say what the plugin is.
const PROMINENT: u16 = 1 << 3;
const TAG: u16 = 1 << 4;
const ID: u16 = 1 << 5;
const NAME: u16 = 1 << 6;
/// At least half of the name.
const NAMESAKE: u16 = 1 << 7;

/// The whole id or name, but for its separators.
const WHOLE: u16 = 1 << 8;

/// How much a match of each strength is worth; more for greater ones, so that the index knows where
/// the best are. Steps between fields are wider than what popularity may add, steps inside a field
/// are narrower.
pub(super) const WORTH: [f32; 14] = [0.0, 2.0, 3.0, 4.0, 4.4, 6.5, 6.8, 8.0, 8.3, 9.5, 9.8, 10.1, 10.4, 11.0];

fn strength(places: u16, repeated: bool) -> u8 {
    let has = |place| places & place != 0;
    let elsewhere = u8::from(has(TAG | DESCRIPTION));
    match () {
        () if has(WHOLE) => 13,
        () if has(NAMESAKE) => 11 + elsewhere,
        () if has(NAME) => 9 + elsewhere,
        () if has(ID) => 7 + elsewhere,
        () if has(TAG) => 5 + u8::from(has(DESCRIPTION)),
        () if has(DESCRIPTION) => 3 + u8::from(has(PROMINENT) || repeated),
        () if has(SCRIPT) => 2,
        () => 1,
    }
}

/// Longer texts are cut: the rest of a description that long says nothing new.
const MOST_CHARACTERS: usize = 4_000;
/// What counts as early in a description, in bytes.
const PROMINENT_BYTES: usize = 60;
const LONGEST_COMPOUND: usize = 40;
/// The most characters whose readings are one term.
const MOST_SYLLABLES: usize = 4;

/// Collects a document's terms; reused from document to document to save allocations.
#[derive(Default)]
struct Collector {
    text: String,
    entries: Vec<(u32, u32, u16)>,
}

thread_local! {
    static COLLECTOR: RefCell<Collector> = RefCell::default();
}

/// The document's terms and strengths in the form that [`super::levels::Levels`] reads back.
pub(super) fn encode(document: &Document) -> String {
    COLLECTOR.with_borrow_mut(|terms| {
        terms.text.clear();
        terms.entries.clear();
        terms.document(document);
        terms.encoded()
    })
}

impl Collector {
    fn document(&mut self, document: &Document) {
        self.identity(&document.id, EXACT_ID, ID);
        self.identity(&document.name, EXACT_NAME, NAME);
        self.name(&document.name);
        self.field(&document.id, ID);
        for tag in &document.tags {
            self.field(tag, TAG);
            self.compound(&squash(&fold(tag)), TAG);
        }
        self.field(&document.description, DESCRIPTION);
        for script in &document.scripts {
            self.field(script, SCRIPT);
        }
        self.field(&document.author, AUTHOR);
    }

    fn identity(&mut self, text: &str, mark: char, place: u16) {
        let folded = fold(text);
        self.marked(mark, &folded, place);
        self.compound(&squash(&folded), place | WHOLE);
    }

    /// A whole id, name or tag as one word, so that `jsonformatter` finds `json-formatter`.
    fn compound(&mut self, squashed: &str, place: u16) {
        if squashed.len() <= LONGEST_COMPOUND && squashed.is_ascii() {
            self.add(squashed, place);
        }
    }

    /// A name's words count more the more of the name they are, and Chinese words count across
    /// spaces: `系统 监控` is `系统监控`.
    fn name(&mut self, name: &str) {
        let normal = normalize(name);
        let letters: usize = pieces(&normal).map(|piece| length(&piece)).sum();
        let mut last = None;
        for piece in pieces(&normal) {
            let namesake = if 2 * length(&piece) >= letters { NAMESAKE } else { 0 };
            if let Piece::Dense(run) = &piece {
                if let (Some(last), Some(first)) = (last, run.chars().next()) {
                    self.add(&String::from_iter([last, first]), NAME);
                }
                last = run.chars().next_back();
            } else {
                last = None;
            }
            self.piece(&piece, NAME | namesake);
        }
        self.joined_words(&normal, NAME);
    }

    fn field(&mut self, text: &str, place: u16) {
        let cut = text.char_indices().nth(MOST_CHARACTERS).map_or(text.len(), |(at, _)| at);
        let normal = normalize(&text[..cut]);
        let start = normal.as_ptr() as usize;
        for piece in pieces(&normal) {
            let (Piece::Dense(text) | Piece::Word(super::text::Word { text, .. })) = &piece;
            let early = place == DESCRIPTION && text.as_ptr() as usize - start < PROMINENT_BYTES;
            self.piece(&piece, if early { place | PROMINENT } else { place });
        }
        self.joined_words(&normal, place);
    }

    /// `real-time` is also `realtime`, `node.js` also `nodejs`; in names a space joins as well.
    fn joined_words(&mut self, normal: &str, place: u16) {
        let mut previous: Option<&str> = None;
        for piece in pieces(normal) {
            let Piece::Word(word) = piece else {
                previous = None;
                continue;
            };
            if let Some(previous) = previous.filter(|_| word.joined || place & NAME != 0) {
                let joined = format!("{previous}{}", word.text);
                if joined.len() <= LONGEST_COMPOUND {
                    self.add(&lower(&joined), place);
                }
            }
            previous = Some(word.text);
        }
    }

    fn piece(&mut self, piece: &Piece<'_>, place: u16) {
        match piece {
            Piece::Word(word) => {
                self.word(word.text, place);
                if let Some(text) = word.with_symbols {
                    self.add(&lower(text), place);
                }
                // `GitLab` is no `git`: a part counts like the whole in the next lesser place.
                let lesser = match place {
                    _ if place & (NAME | ID) != 0 => TAG,
                    _ => place,
                };
                for part in parts(word.text).into_iter().filter(|part| part.chars().nth(1).is_some()) {
                    self.word(part, lesser);
                }
            }
            Piece::Dense(run) => self.dense(run, place),
        }
    }

    fn word(&mut self, word: &str, place: u16) {
        let word = lower(word);
        self.add(&word, place);
        if let Some(stem) = stem(&word) {
            self.add(&stem, place);
        }
        if place & (NAME | ID | TAG) != 0 {
            for (at, character) in word.char_indices().take(2) {
                self.marked(BEGINNING, &word[..at + character.len_utf8()], place);
            }
        }
    }

    /// Every pair of neighbours, and the last character alone: whatever character is looked for,
    /// some term begins with it.
    fn dense(&mut self, run: &str, place: u16) {
        let run = lower(run);
        let mut rest = run.char_indices().map(|(at, _)| at).chain([run.len()]);
        let (mut first, mut second) = (rest.next().unwrap_or(0), rest.next().unwrap_or(0));
        for third in rest {
            self.add(&run[first..third], place);
            (first, second) = (second, third);
        }
        self.add(&run[first..second], place);
        if place & (NAME | TAG) != 0 {
            self.readings(&run, place);
        }
    }

    /// From every character on, so that a beginning of some term is the reading of any part.
    fn readings(&mut self, run: &str, place: u16) {
        let syllables: Vec<&str> = run.to_pinyin().map(|pinyin| pinyin.map_or("", |pinyin| pinyin.plain())).collect();
        for start in 0..syllables.len().saturating_sub(1) {
            let part = &syllables[start..syllables.len().min(start + MOST_SYLLABLES)];
            self.marked(PINYIN, &part.concat().replace('ü', "v"), place);
            self.marked(PINYIN, &part.iter().filter_map(|syllable| syllable.get(..1)).collect::<String>(), place);
        }
    }

    fn marked(&mut self, mark: char, term: &str, place: u16) {
        let start = self.text.len();
        self.text.push(mark);
        self.text.push_str(term);
        self.entries.push((start as u32, self.text.len() as u32, place));
    }

    fn add(&mut self, term: &str, place: u16) {
        if !term.is_empty() {
            let start = self.text.len();
            self.text.push_str(term);
            self.entries.push((start as u32, self.text.len() as u32, place));
        }
    }

    fn encoded(&mut self) -> String {
        let Self { text, entries } = self;
        let term = |entry: &(u32, u32, u16)| &text[entry.0 as usize..entry.1 as usize];
        entries.sort_unstable_by(|a, b| term(a).cmp(term(b)));
        let mut encoded = String::with_capacity(text.len() + 2 * entries.len());
        for same in entries.chunk_by(|a, b| term(a) == term(b)) {
            let places = same.iter().fold(0, |places, entry| places | entry.2);
            let mentions = same.iter().filter(|entry| entry.2 & DESCRIPTION != 0).count();
            encoded.push(char::from(b'a' + strength(places, mentions > 1)));
            encoded.push_str(term(&same[0]));
            encoded.push('\n');
        }
        encoded
    }
}

fn length(piece: &Piece<'_>) -> usize {
    match piece {
        Piece::Word(word) => word.text.chars().count(),
        // A Chinese character says about as much as two letters.
        Piece::Dense(run) => 2 * run.chars().count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strengths(document: &Document) -> std::collections::HashMap<String, u8> {
        encode(document).lines().map(|line| (line[1..].to_owned(), line.as_bytes()[0] - b'a')).collect()
    }

    fn document() -> Document {
        Document {
            key: 1,
            id: "log-cleaner".into(),
            name: "日志 清理".into(),
            tags: vec!["maintenance".into(), "json-formatter".into()],
            author: "Ada".into(),
            description: "Removes old log files, real-time".into(),
            scripts: vec!["rotate.sh".into()],
        }
    }

    #[test]
    fn better_places_are_stronger() {
        let strengths = strengths(&document());
        let order = ["logcleaner", "日志", "cleaner", "maintenance", "removes", "rotate", "ada"];
        let found: Vec<f32> = order.iter().map(|term| WORTH[usize::from(strengths[*term])]).collect();
        assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
    }

    #[test]
    fn terms_hold_forms_that_users_type() {
        let strengths = strengths(&document());
        for term in [
            "志清",
            "理",
            "logcleaner",
            "jsonformatter",
            "realtime",
            "clean",
            "\u{1}log-cleaner",
            "\u{3}lo",
            "\u{4}rizhi",
            "\u{4}rz",
        ] {
            assert!(strengths.contains_key(term), "{term}");
        }
    }
}
