//! Finding plugins: an in-process index over the catalogue's text.
//!
//! PostgreSQL stays the truth. The index holds terms and each plugin's numeric key, nothing else;
//! filters and popularity come from the caller at query time, so a download never reindexes.

mod asked;
mod book;
mod changes;
mod chinese;
mod concepts;
mod early;
mod folder;
mod index;
mod levels;
mod lookup;
mod matching;
mod query;
mod suggestions;
mod terms;
#[cfg(test)]
mod tests;
mod text;
mod typos;

pub use index::{Index, Opened};
pub use matching::Found;
pub use suggestions::{Learned, Suggestions};
pub use text::fold;

/// The text of a plugin, as the index wants it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Identifies the plugin in results; the catalogue knows the rest.
    pub key: u64,
    /// The plugin's id.
    pub id: String,
    /// The name shown to people.
    pub name: String,
    /// Tags in the author's spelling.
    pub tags: Vec<String>,
    /// Who wrote it.
    pub author: String,
    /// What it does.
    pub description: String,
    /// Names and files of its scripts.
    pub scripts: Vec<String>,
}
