//! Paths inside an archive: which are safe to unpack anywhere, and which are the same to a file
//! system that ignores case or Unicode form.

use unicode_normalization::UnicodeNormalization;

use super::codes::{self, CodeDoc};
use super::{MAX_COMPONENT_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH, text};

/// Takes the place of `/` in a [`key`]: sorts a folder's content right behind the folder, and
/// occurs in no safe path.
const SEPARATOR: char = '\u{1}';

/// The path without a leading `./`, if it names something below the root on every system.
pub(super) fn safe(path: &str) -> Result<&str, CodeDoc> {
    let path = path.strip_prefix("./").unwrap_or(path);
    if path.starts_with('/') || has_drive(path) {
        return Err(codes::ABSOLUTE_PATH);
    }
    // Before the rest, so that a path of a megabyte costs nothing.
    if path.len() > MAX_PATH_BYTES {
        return Err(codes::PATH_TOO_LONG);
    }
    if path.split('/').any(|part| part == "..") {
        return Err(codes::PARENT_PATH);
    }
    if text::line_fault(path, MAX_PATH_BYTES).is_some() || path.contains('\\') {
        return Err(codes::UNSAFE_PATH);
    }
    let mut depth = 0;
    for part in path.split('/') {
        depth += 1;
        if part.is_empty() || part == "." {
            return Err(codes::UNSAFE_PATH);
        }
        if part.len() > MAX_COMPONENT_BYTES {
            return Err(codes::PATH_TOO_LONG);
        }
        if !is_portable(part) {
            return Err(codes::UNPORTABLE_PATH);
        }
        // On macOS these become attributes of the file they are named after.
        if part.starts_with("._") {
            return Err(codes::EXTENDED_ATTRIBUTES);
        }
    }
    if depth > MAX_PATH_DEPTH {
        return Err(codes::PATH_TOO_DEEP);
    }
    Ok(path)
}

/// Whether Windows would read the path as relative to a drive.
fn has_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Whether Windows can hold a file of this name, and only under this name.
fn is_portable(part: &str) -> bool {
    let is_reserved = |c| matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
    // Windows removes these without a word.
    let is_trimmed = part.starts_with(' ') || part.ends_with([' ', '.']);
    !part.contains(is_reserved) && !is_trimmed && !is_device(part) && !is_short_name(part)
}

/// Whether Windows opens a device instead of a file, whatever the extension and the case.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end_matches(' ').to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => match stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) {
            Some(port) => matches!(port, "¹" | "²" | "³") || matches!(port.as_bytes(), [b'0'..=b'9']),
            None => false,
        },
    }
}

/// Whether Windows may have given this very name to a file or folder with a longer one: `SCRIPT~1`, `LONGNA~1.TXT`.
fn is_short_name(part: &str) -> bool {
    let (stem, extension) = part.split_once('.').unwrap_or((part, ""));
    let is_numbered = stem.rsplit_once('~').is_some_and(|(name, number)| {
        !name.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    is_numbered && stem.chars().count() <= 8 && extension.chars().count() <= 3 && !extension.contains('.')
}

/// What two paths have in common when a file system may take them for one.
pub(super) fn key(path: &str) -> String {
    if path.is_ascii() {
        return path
            .chars()
            .map(|c| match c {
                '/' => SEPARATOR,
                c => c.to_ascii_lowercase(),
            })
            .collect();
    }
    let mut key = String::with_capacity(path.len());
    for (i, part) in path.split('/').enumerate() {
        if i > 0 {
            key.push(SEPARATOR);
        }
        key.extend(fold(part));
    }
    key
}

/// Compatibility form without case; through capitals, because `ß` and `ſ` only meet `ss` and `s` there.
fn fold(part: &str) -> impl Iterator<Item = char> {
    part.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).filter(|c| !is_ignored(*c)).nfkc()
}

/// Some file systems ignore these when they compare names.
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// A path that an archive takes up.
pub(super) struct Place<'a> {
    /// The path's [`key`].
    pub(super) key: &'a str,
    /// The path itself.
    pub(super) path: &'a str,
    /// A folder, which may be listed again with the same mode.
    pub(super) is_directory: bool,
    /// Permission bits.
    pub(super) mode: u64,
}

/// The first path that is taken twice: by two files, by a file and a folder, or by spellings that
/// only some systems tell apart.
pub(super) fn duplicate<'a>(mut places: Vec<Place<'a>>) -> Option<&'a str> {
    places.sort_by(|a, b| a.key.cmp(b.key));
    // Everything below a folder sorts directly behind it, so neighbours tell all.
    places.windows(2).find(|pair| collide(&pair[0], &pair[1])).map(|pair| pair[1].path)
}

fn collide(a: &Place<'_>, b: &Place<'_>) -> bool {
    let mut spelled = a.path.split('/').zip(b.path.split('/'));
    let mut keys = (a.key.split(SEPARATOR), b.key.split(SEPARATOR));
    loop {
        match (keys.0.next(), keys.1.next()) {
            (None, None) => return !(a.is_directory && b.is_directory && a.mode == b.mode),
            // `a` holds `b`.
            (None, Some(_)) => return !a.is_directory,
            (Some(x), Some(y)) if x == y => {
                if spelled.next().is_some_and(|(x, y)| x != y) {
                    return true;
                }
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_root_are_safe() {
        let long = "x".repeat(256);
        let deep = "d/".repeat(32) + "f";
        let longest = ["y".repeat(200), "y".repeat(200), "y".repeat(111)].join("/");
        let cases = [
            ("/etc/passwd", "absolute_path"),
            ("C:/x", "absolute_path"),
            ("c:x", "absolute_path"),
            (".//etc", "absolute_path"),
            ("../x", "parent_path"),
            ("a/../../x", "parent_path"),
            ("..", "parent_path"),
            ("a\\b", "unsafe_path"),
            ("a//b", "unsafe_path"),
            ("a/./b", "unsafe_path"),
            ("", "unsafe_path"),
            ("a\u{1b}b", "unsafe_path"),
            ("a\u{202e}b", "unsafe_path"),
            (&longest, "path_too_long"),
            (&long, "path_too_long"),
            (&deep, "path_too_deep"),
        ];
        for (path, expected) in cases {
            assert_eq!(safe(path).unwrap_err().code, expected, "{path:?}");
        }
        for path in [
            "info.json",
            "scripts/启动.sh",
            "a..b",
            "..a",
            "-rf",
            "scripts/constant.sh",
            "com10",
            "a.con",
            "a~b",
            "notes~12345678",
            &longest[1..],
        ] {
            assert_eq!(safe(path).unwrap(), path);
        }
        assert_eq!(safe("./scripts/a.sh").unwrap(), "scripts/a.sh");
    }

    #[test]
    fn names_some_system_takes_for_one_share_a_key() {
        for (a, b) in [
            ("README", "readme"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("Straße", "STRASSE"),
            ("ﬁle", "FILE"),
            ("\u{212a}ey", "key"),
            ("ΣΑΣ", "σας"),
            ("a\u{200d}b", "ab"),
        ] {
            assert_eq!(key(a), key(b), "{a} {b}");
        }
        assert_ne!(key("a／b"), key("a/b"));
        assert_ne!(key("资料"), key("資料"));
    }

    fn first_duplicate(paths: &[&str]) -> Option<String> {
        let keys: Vec<String> = paths.iter().map(|path| key(path.trim_end_matches('/'))).collect();
        let places = paths.iter().zip(&keys).map(|(path, key)| Place {
            key,
            path: path.trim_end_matches('/'),
            is_directory: path.ends_with('/'),
            mode: 0o755,
        });
        duplicate(places.collect()).map(str::to_owned)
    }

    #[test]
    fn a_path_is_taken_once() {
        for paths in [
            &["a", "b", "a"][..],
            &["a", "A"],
            &["a/", "a"],
            &["a", "a-b", "a/b"],
            &["a/b", "a"],
            &["Scripts/a", "scripts/b"],
            &["scripts/", "SCRIPTS/"],
            &["x/é/a", "x/e\u{301}/b"],
        ] {
            assert!(first_duplicate(paths).is_some(), "{paths:?}");
        }
        for paths in [&["a/", "a/", "a/b", "ab", "a-b"][..], &["a/b", "a/c/d", "a/c/"], &[]] {
            assert_eq!(first_duplicate(paths), None, "{paths:?}");
        }
    }
}
