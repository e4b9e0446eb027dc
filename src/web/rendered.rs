//! Texts of packages as HTML, made on the blocking pool and remembered by the hash of what they were made from.

use std::{cell::RefCell, sync::Arc};

use askama::Template;
use sha2::{Digest, Sha256};

use super::{
    Web,
    highlight::{self, Code},
    markdown::{self, Place, Prose},
    marks, word_diff,
};
use crate::{
    data::derived::{Derived, Work},
    error::{Error, Result, lang::Lang},
    plugins::{Change, Comparison, Contents, FileChange, Hunk, Line, ScriptItem, StoredFile, VersionItem},
};

/// The most bytes of HTML of one file.
const MAX_FILE_HTML: usize = 2 * 1024 * 1024;
/// The most scripts shown on one page.
const MAX_SCRIPTS: usize = 50;
/// The most bytes of one script on the plugin's page; the rest is a click away.
const MAX_SCRIPT: usize = 24 * 1024;
/// The most bytes of all scripts on the plugin's page, and of their HTML.
const MAX_SCRIPTS_TEXT: usize = 192 * 1024;
const MAX_SCRIPTS_HTML: usize = 768 * 1024;
/// The most bytes of a script's description on the plugin's page.
const MAX_DESCRIPTION: usize = 4 * 1024;
/// The most bytes shown of a value of `info.json` that differs.
const MAX_VALUE: usize = 16 * 1024;

/// What a package shows of itself on the plugin's page.
pub(super) struct PackageTexts {
    pub readme: Option<Prose>,
    pub sources: Vec<Source>,
}

/// A script with its text.
pub(super) struct Source {
    pub name: String,
    pub file: String,
    pub description: String,
    pub executable: bool,
    /// HTML; empty when the text is not at hand or there is no room for it.
    pub code: String,
    pub is_plain: bool,
    pub has_hidden: bool,
    pub is_cut: bool,
}

/// A file on its page.
pub(super) struct FileText {
    pub code: Code,
    /// A Markdown file as HTML.
    pub prose: Option<Prose>,
}

/// A part of a page.
pub(super) struct Fragment(pub String);

impl Derived for PackageTexts {
    fn weight(&self) -> usize {
        let source = |source: &Source| {
            300 + source.name.len() + source.file.len() + source.description.len() + source.code.len()
        };
        self.readme.as_ref().map_or(0, |prose| prose.html.len()) + self.sources.iter().map(source).sum::<usize>()
    }
}

impl Derived for FileText {
    fn weight(&self) -> usize {
        self.code.html.len() + self.prose.as_ref().map_or(0, |prose| prose.html.len())
    }
}

impl Derived for Fragment {
    fn weight(&self) -> usize {
        self.0.len()
    }
}

/// README and scripts of the package with a hash, of which the files are at the address `files`.
///
/// # Errors
/// 503 when too many texts wait to be rendered.
pub(super) async fn package(
    web: &Web,
    hash: &str,
    files: String,
    scripts: &[ScriptItem],
    contents: Arc<Contents>,
) -> Result<Arc<PackageTexts>> {
    let key = format!("package texts {hash}");
    if let Some(texts) = web.derived.find(&key) {
        return Ok(texts);
    }
    let scripts: Vec<ScriptItem> = scripts.iter().take(MAX_SCRIPTS).cloned().collect();
    let render = move || Ok(PackageTexts { readme: readme(&contents, files), sources: sources(scripts, &contents) });
    web.derived.get(Work::Render, key, render).await
}

/// What is new in versions, as HTML, in the order given.
pub(super) struct Changelogs(pub Vec<Prose>);

impl Derived for Changelogs {
    fn weight(&self) -> usize {
        self.0.iter().map(|prose| 100 + prose.html.len()).sum()
    }
}

/// What is new in these versions of a plugin, which never changes once they are published.
///
/// # Errors
/// 503 when too many texts wait to be rendered.
pub(super) async fn changelogs(web: &Web, versions: &[VersionItem]) -> Result<Arc<Changelogs>> {
    let hashes: Vec<&str> = versions.iter().map(|item| item.file_hash.as_str()).collect();
    let key = format!("changelogs {}", sha256(hashes.concat().as_bytes()));
    if let Some(known) = web.derived.find(&key) {
        return Ok(known);
    }
    let texts: Vec<String> = versions.iter().map(|item| item.changelog.clone()).collect();
    let render = move || Ok(Changelogs(texts.iter().map(|text| markdown::html(text, None)).collect()));
    web.derived.get(Work::Render, key, render).await
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a file.
///
/// # Errors
/// 503 when too many texts wait to be rendered.
pub(super) async fn file(web: &Web, files: &str, file: &StoredFile) -> Result<Arc<FileText>> {
    let (path, text) = (file.path.clone(), file.text.clone().unwrap_or_default());
    let is_markdown = path.to_ascii_lowercase().ends_with(".md");
    // Links of a text lead to files of its version, so the same text is shown differently in another.
    let key = format!("file text {} {} {path}", file.hash, if is_markdown { files } else { "" });
    let place = Place { files: files.to_owned(), path: path.clone() };
    let render = move || {
        let code = highlight::lines(&path, &text, "L", MAX_FILE_HTML);
        Ok(FileText { code, prose: is_markdown.then(|| markdown::html(&text, Some(&place))) })
    };
    // The name decides on the language.
    web.derived.get(Work::Render, key, render).await
}

/// What differs between two versions.
///
/// # Errors
/// 503 when too many texts wait to be rendered.
pub(super) async fn comparison(web: &Web, lang: Lang, comparison: Arc<Comparison>) -> Result<Arc<Fragment>> {
    let key = format!("{} {lang:?}", comparison.key);
    let render = move || {
        let differences = Differences { lang, comparison: &comparison, words: RefCell::default() };
        Ok(Fragment(differences.render().map_err(|e| Error::Internal(e.into()))?))
    };
    web.derived.get(Work::Render, key, render).await
}

/// What the package says of itself.
fn readme(contents: &Contents, files: String) -> Option<Prose> {
    let is_readme = |path: &str| path.eq_ignore_ascii_case("readme.md") || path.eq_ignore_ascii_case("readme");
    let file = contents.files.iter().find(|file| is_readme(&file.path))?;
    let place = Place { files, path: file.path.clone() };
    file.text.as_deref().filter(|text| !text.trim().is_empty()).map(|text| markdown::html(text, Some(&place)))
}

/// The scripts with their texts, as far as the page has room.
fn sources(scripts: Vec<ScriptItem>, contents: &Contents) -> Vec<Source> {
    let (mut text_left, mut html_left) = (MAX_SCRIPTS_TEXT, MAX_SCRIPTS_HTML);
    let source = |(i, script): (usize, ScriptItem)| {
        let text = contents.file(&format!("scripts/{}", script.file)).and_then(|file| file.text.as_deref());
        let text = text.unwrap_or_default();
        let shown = &text[..text.floor_char_boundary(MAX_SCRIPT.min(text_left))];
        let code = highlight::lines(&script.file, shown, &format!("s{i}-"), html_left);
        let has_room = !shown.is_empty() && code.html.len() <= html_left;
        text_left -= shown.len();
        html_left -= if has_room { code.html.len() } else { 0 };
        Source {
            name: script.name,
            file: script.file,
            description: cut(script.description, MAX_DESCRIPTION),
            executable: script.executable,
            code: if has_room { code.html } else { String::new() },
            is_plain: code.is_plain,
            has_hidden: code.has_hidden,
            is_cut: shown.len() < text.len(),
        }
    };
    scripts.into_iter().enumerate().map(source).collect()
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

#[derive(Template)]
#[template(path = "differences.html")]
struct Differences<'a> {
    lang: Lang,
    comparison: &'a Comparison,
    /// What is left for comparing words.
    words: RefCell<word_diff::Budget>,
}

impl Differences<'_> {
    fn t<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        self.lang.pick(zh, en)
    }

    /// What happened to a file, in a word.
    fn word(&self, change: &FileChange) -> &str {
        match change.change {
            Change::Added => self.t("新增", "added"),
            Change::Removed => self.t("删除", "removed"),
            Change::Modified => self.t("修改", "modified"),
            Change::Mode => self.t("权限", "mode"),
        }
    }

    /// Whether a file can be executed now and could not before, which deserves a look.
    fn became_executable(&self, change: &FileChange) -> bool {
        change.executable_after == Some(true) && change.executable_before == Some(false)
    }

    fn lost_executable(&self, change: &FileChange) -> bool {
        change.executable_after == Some(false) && change.executable_before == Some(true)
    }

    /// A value of `info.json` for people.
    fn value(&self, value: &serde_json::Value) -> String {
        let text = match value {
            serde_json::Value::Null => "—".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            value => serde_json::to_string_pretty(value).unwrap_or_default(),
        };
        cut(marks::visible(&text).into_owned(), MAX_VALUE)
    }

    /// The lines of a hunk as HTML, with nothing in them that nobody sees, and the words marked that differ.
    fn lines<'h>(&self, hunk: &'h Hunk) -> Vec<(&'h Line, String)> {
        let html = word_diff::lines(&hunk.lines, &mut self.words.borrow_mut());
        hunk.lines.iter().zip(html).collect()
    }

    fn has_hidden(&self, change: &FileChange) -> bool {
        change.hunks.iter().flat_map(|hunk| &hunk.lines).any(|line| marks::has_hidden(&line.text))
    }

    fn sign(&self, sign: &char) -> &'static str {
        match sign {
            '+' => "add",
            '-' => "del",
            _ => "same",
        }
    }
}
