//! Colours source text: enough to read a script, for the languages scripts are written in.
//!
//! A scanner, not a parser: it knows comments, strings, variables, numbers and keywords. What it gets
//! wrong is coloured oddly; it never changes or hides a character. It looks at each character a bounded number
//! of times.

use super::marks::{escape, has_hidden, visible};

/// The longest `${…}` that is recognised: a search to the end of the text for each would take time with the
/// square of its length.
const MAX_EXPANSION: usize = 128;

struct Language {
    comment: &'static str,
    /// Characters that open and close strings.
    quotes: &'static str,
    keywords: &'static [&'static str],
    /// Whether `$name` is a variable.
    has_dollar: bool,
}

const SHELL: Language = Language {
    comment: "#",
    quotes: "'\"",
    keywords: &[
        "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "function",
        "return", "exit", "local", "export", "readonly", "declare", "set", "shift", "trap", "source", "eval", "exec",
        "sudo", "rm", "curl", "wget", "chmod", "chown", "dd", "mkfs",
    ],
    has_dollar: true,
};
const PYTHON: Language = Language {
    comment: "#",
    quotes: "'\"",
    keywords: &[
        "and", "as", "async", "await", "class", "def", "elif", "else", "except", "False", "finally", "for", "from",
        "if", "import", "in", "is", "lambda", "None", "not", "or", "pass", "raise", "return", "True", "try", "while",
        "with", "yield",
    ],
    has_dollar: false,
};
const SCRIPT: Language = Language {
    comment: "//",
    quotes: "'\"`",
    keywords: &[
        "async", "await", "break", "case", "class", "const", "else", "export", "false", "for", "from", "function",
        "if", "import", "let", "new", "null", "return", "switch", "throw", "true", "try", "var", "while",
    ],
    has_dollar: false,
};
const DATA: Language = Language { comment: "", quotes: "\"", keywords: &["true", "false", "null"], has_dollar: false };

/// The language of a file by the end of its name, or of a block of code by what it is called.
fn language_named(name: &str) -> Option<&'static Language> {
    match name {
        "sh" | "bash" | "zsh" | "ksh" | "fish" | "env" | "shell" | "console" => Some(&SHELL),
        "py" | "rb" | "pl" | "yml" | "yaml" | "toml" | "ini" | "conf" | "python" | "ruby" | "perl" => Some(&PYTHON),
        "js" | "ts" | "mjs" | "go" | "rs" | "c" | "java" | "javascript" | "typescript" | "rust" => Some(&SCRIPT),
        "json" | "jsonc" => Some(&DATA),
        _ => None,
    }
}

/// The language of a file by its name, else by its first line; none for prose.
fn language(path: &str, text: &str) -> Option<&'static Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    if let Some(language) = extension.and_then(language_named) {
        return Some(language);
    }
    match extension {
        Some("md" | "txt") => None,
        _ => match text.lines().next().filter(|line| line.starts_with("#!")) {
            Some(line) if line.contains("python") => Some(&PYTHON),
            Some(line) if line.contains("node") => Some(&SCRIPT),
            Some(_) => Some(&SHELL),
            None => None,
        },
    }
}

/// A text as HTML.
#[derive(Debug)]
pub(super) struct Code {
    /// Inside a `<pre>`.
    pub html: String,
    /// Whether it stands there without colours and lines because it would have taken too many bytes.
    pub is_plain: bool,
    /// Whether the text holds characters that nobody sees; they are written as their numbers.
    pub has_hidden: bool,
}

/// The text as HTML, each line in an element of its own that a link can point to. When that takes more than `most`
/// bytes it is plain, which takes at most twelve times its length.
pub(super) fn lines(path: &str, text: &str, anchor: &str, most: usize) -> Code {
    match coloured(path, text, anchor, most) {
        Some(html) => Code { html, is_plain: false, has_hidden: has_hidden(text) },
        None => Code { html: escape(&visible(text)), is_plain: true, has_hidden: has_hidden(text) },
    }
}

/// A block of code in a text, inside a `<pre>`; none when its language is not known or it takes more than `most` bytes.
pub(super) fn block(name: &str, text: &str, most: usize) -> Option<String> {
    let language = language_named(&name.to_ascii_lowercase())?;
    let mut html = String::new();
    for (class, token) in scan(text, language) {
        let token = escape(&visible(token));
        match class {
            "" => html.push_str(&token),
            class => html.push_str(&format!(r#"<span class="{class}">{token}</span>"#)),
        }
        if html.len() > most {
            return None;
        }
    }
    Some(html)
}

fn coloured(path: &str, text: &str, anchor: &str, most: usize) -> Option<String> {
    let mut html = String::with_capacity((text.len() * 2).min(most));
    let tokens = match language(path, text) {
        Some(language) => scan(text, language),
        None => vec![("", text)],
    };
    let mut number = 1;
    let open = |html: &mut String, number: usize| {
        html.push_str(&format!(r#"<span class="l" id="{anchor}{number}">"#));
    };
    open(&mut html, number);
    let text_ends_with_break = text.ends_with('\n');
    let last = tokens.len().saturating_sub(1);
    for (i, (class, token)) in tokens.into_iter().enumerate() {
        let token = if i == last && text_ends_with_break { token.strip_suffix('\n').unwrap_or(token) } else { token };
        let parts = token.split('\n').count();
        for (i, part) in token.split('\n').enumerate() {
            if html.len() > most {
                return None;
            }
            if i > 0 {
                number += 1;
                html.push_str("\n</span>");
                open(&mut html, number);
            }
            // The end of a line as Windows writes it is no more than that.
            let part = if i + 1 < parts { part.strip_suffix('\r').unwrap_or(part) } else { part };
            let part = escape(&visible(part));
            match class {
                _ if part.is_empty() => {}
                "" => html.push_str(&part),
                class => html.push_str(&format!(r#"<span class="{class}">{part}</span>"#)),
            }
        }
    }
    html.push_str("\n</span>");
    (html.len() <= most).then_some(html)
}

/// Cuts the text into tokens with the class of each; together they are the text.
fn scan<'a>(text: &'a str, language: &Language) -> Vec<(&'static str, &'a str)> {
    let (mut tokens, mut at, mut plain) = (Vec::new(), 0, 0);
    let mut heredoc: Option<String> = None;
    while at < text.len() {
        if language.has_dollar && heredoc.is_none() {
            heredoc = heredoc_end(&text[at..]);
        }
        if text[..at].ends_with('\n')
            && let Some(end) = heredoc.take()
        {
            let length = heredoc_length(&text[at..], &end);
            tokens.push(("", &text[plain..at]));
            tokens.push(("s", &text[at..at + length]));
            (at, plain) = (at + length, at + length);
            continue;
        }
        let rest = &text[at..];
        let before = text[..at].chars().next_back();
        let length = match token(rest, before, language) {
            Some((class, length)) => {
                if plain < at {
                    tokens.push(("", &text[plain..at]));
                }
                tokens.push((class, &rest[..length]));
                plain = at + length;
                length
            }
            None => word(rest).max(1),
        };
        at += length;
        while !text.is_char_boundary(at) {
            at += 1;
        }
        plain = plain.min(at);
    }
    if plain < text.len() {
        tokens.push(("", &text[plain..]));
    }
    tokens
}

/// The word that ends the text which begins on the next line, when a here-document is announced.
fn heredoc_end(rest: &str) -> Option<String> {
    let announced = rest.strip_prefix("<<")?.trim_start_matches('-').trim_start_matches(' ');
    let word = announced.trim_start_matches(['\'', '"', '\\']);
    let end = &word[..self::word(word)];
    (!end.is_empty() && !rest.starts_with("<<<")).then(|| end.to_owned())
}

/// Up to and with the line that holds nothing but the word.
fn heredoc_length(rest: &str, end: &str) -> usize {
    let mut length = 0;
    for line in rest.split_inclusive('\n') {
        length += line.len();
        if line.trim() == end {
            break;
        }
    }
    length
}

/// The token a text begins with, unless it is plain.
fn token(rest: &str, before: Option<char>, language: &Language) -> Option<(&'static str, usize)> {
    let first = rest.chars().next()?;
    let is_start = before.is_none_or(|c| c.is_whitespace() || ";({[&|".contains(c));
    if !language.comment.is_empty() && is_start && rest.starts_with(language.comment) {
        return Some(("c", rest.find('\n').unwrap_or(rest.len())));
    }
    if language.quotes.contains(first) && before != Some('\\') {
        return Some(("s", string(rest, first)));
    }
    if language.has_dollar && first == '$' {
        return variable(rest).map(|length| ("v", length));
    }
    let is_inside_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == '.');
    let length = word(rest);
    if is_inside_word || length == 0 {
        return None;
    }
    let found = &rest[..length];
    if language.keywords.contains(&found) && !rest[length..].starts_with(['=', '-', '.']) {
        return Some(("k", length));
    }
    found.bytes().all(|b| b.is_ascii_digit()).then_some(("n", length))
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
}

/// The length of a string with its quotes; one that never ends goes to the end of the text.
fn string(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote != '\'' => is_escaped = true,
            c if c == quote => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

fn variable(rest: &str) -> Option<usize> {
    match rest[1..].chars().next()? {
        '{' => {
            let end = rest.bytes().take(MAX_EXPANSION).position(|byte| matches!(byte, b'}' | b'\n'))?;
            Some(end + usize::from(rest[end..].starts_with('}')))
        }
        c if c.is_alphabetic() || c == '_' => Some(1 + word(&rest[1..])),
        c if c.is_ascii_digit() || "@*#?!$-".contains(c) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str, anchor: &str) -> String {
        super::lines(path, text, anchor, usize::MAX).html
    }

    #[test]
    fn a_script_is_coloured() {
        let html = lines("a.sh", "# hi\nif [ \"$X\" ]; then echo ${Y} 5; fi\n", "L");
        for part in [
            r#"<span class="l" id="L1"><span class="c"># hi</span>"#,
            r#"<span class="k">if</span>"#,
            r#"<span class="s">&quot;$X&quot;</span>"#,
            r#"<span class="v">${Y}</span>"#,
            r#"<span class="n">5</span>"#,
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("L3"));
    }

    #[test]
    fn a_quote_in_a_here_document_colours_nothing_behind_it() {
        let html = lines("a.sh", "cat <<'END'\nit's\nEND\nif true; then\n", "L");
        assert!(html.contains(r#"<span class="k">if</span>"#), "{html}");
        assert!(html.contains(r#"<span class="s">it&#39;s</span>"#), "{html}");
    }

    #[test]
    fn no_character_is_lost_or_left_unescaped() {
        for text in [
            "a <b> '",
            "\"",
            "$",
            "${",
            "界$界\n\"<",
            "#",
            "x\r\ny",
            "",
            "\n",
            "if=1 a#b '\\''",
            "cat <<X\na",
            "<<",
            "a <<-'界'\n界\n$",
        ] {
            for path in ["a.sh", "a.py", "a.json", "a.md", "a"] {
                let html = lines(path, text, "L");
                let mut plain = String::new();
                let mut is_tag = false;
                for c in html.chars() {
                    match c {
                        '<' => is_tag = true,
                        '>' => is_tag = false,
                        c if !is_tag => plain.push(c),
                        _ => {}
                    }
                }
                let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
                let plain = plain.replace("&#39;", "'").replace("&amp;", "&");
                assert_eq!(plain.trim_end_matches('\n'), text.replace("\r\n", "\n").trim_end_matches('\n'), "{path}");
            }
        }
    }

    #[test]
    fn what_would_take_too_many_bytes_stays_plain() {
        let text = "''\n".repeat(100);
        let code = super::lines("a.sh", &text, "L", 1000);
        assert!(code.is_plain && code.html == escape(&text));
        assert!(!super::lines("a.sh", &text, "L", 100_000).is_plain);
    }

    #[test]
    fn a_block_of_code_is_coloured_when_its_language_is_known() {
        let html = block("Bash", "echo \"<b>\" # x\n", 1_000).expect("coloured");
        assert_eq!(html, "echo <span class=\"s\">&quot;&lt;b&gt;&quot;</span> <span class=\"c\"># x</span>\n");
        assert!(block("cobol", "x", 1_000).is_none() && block("sh", &"''".repeat(100), 1_000).is_none());
    }

    #[test]
    fn colouring_any_text_takes_time_in_proportion_to_its_length() {
        for path in ["a.sh", "a.py", "a.js", "a.json", "a.txt"] {
            crate::pathological_texts::check(path, 256 * 1024, std::time::Duration::ZERO, |text, _| {
                super::lines(path, text, "L", 2 * 1024 * 1024);
            });
        }
    }
}
