//! The documents say what the program does. `REWRITE_DOCS=1` renews what can be generated.

use std::{fs, path::PathBuf};

use toml::{Table, Value};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Asserts that a file holds what it should, or writes it there.
fn keep(name: &str, wanted: &str) {
    if std::env::var_os("REWRITE_DOCS").is_some() {
        fs::write(path(name), wanted).unwrap();
    }
    assert!(read(name) == wanted, "{name} is out of date; renew it: REWRITE_DOCS=1 cargo test --test api documents");
}

#[test]
fn the_page_of_error_codes_is_what_the_code_says() {
    keep("docs/errors.md", &marketplace::error::docs::errors_page());
}

/// One setting as `config.toml` shows it.
struct Setting {
    name: String,
    default: String,
    meaning: String,
}

/// Every setting of `config.toml`, in its order.
fn settings() -> Vec<Setting> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in read("config.toml").lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        let Some((key, rest)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else { continue };
        let (default, meaning) = rest.split_once(" # ").unwrap_or_else(|| panic!("no comment: {line}"));
        found.push(Setting {
            name: format!("{section}{key}"),
            default: default.trim().to_owned(),
            meaning: meaning.trim().to_owned(),
        });
    }
    found
}

const TABLE_BEGINS: &str = "<!-- settings -->\n\n";
const TABLE_ENDS: &str = "<!-- /settings -->";

/// A README with its table of settings replaced by one made anew.
fn with_table(readme: &str, heads: [&str; 3], meaning: impl Fn(&Setting, &str) -> String) -> String {
    let (before, rest) = readme.split_once(TABLE_BEGINS).expect("the table begins");
    let (old, after) = rest.split_once(TABLE_ENDS).expect("the table ends");
    let mut table = format!("| {} |\n|---|---|---|\n", heads.join(" | "));
    for setting in settings() {
        let meaning = meaning(&setting, old).replace('|', "\\|");
        table.push_str(&format!("| `{}` | `{}` | {meaning} |\n", setting.name, setting.default));
    }
    format!("{before}{TABLE_BEGINS}{table}\n{TABLE_ENDS}{after}")
}

#[test]
fn every_setting_of_config_toml_is_found() {
    fn names(table: &Table, prefix: &str, found: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                Value::Table(inner) => names(inner, &format!("{prefix}{key}."), found),
                _ => found.push(format!("{prefix}{key}")),
            }
        }
    }
    let mut wanted = Vec::new();
    names(&toml::from_str(&read("config.toml")).unwrap(), "", &mut wanted);
    let mut found: Vec<String> = settings().into_iter().map(|setting| setting.name).collect();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[test]
fn the_readme_tells_every_setting() {
    let wanted =
        with_table(&read("README.md"), ["setting", "default", "meaning"], |setting, _| setting.meaning.clone());
    keep("README.md", &wanted);
}

#[test]
fn the_chinese_readme_tells_every_setting() {
    // Meanings are translated by hand; names and defaults are not.
    let translated = |setting: &Setting, old: &str| {
        let row = old.lines().find(|line| line.starts_with(&format!("| `{}` |", setting.name)));
        let cell = row.and_then(|row| row.trim_end_matches(" |").rsplit_once(" | "));
        let meaning = cell.map(|(_, meaning)| meaning.replace("\\|", "|")).filter(|meaning| !meaning.is_ascii());
        meaning.unwrap_or_else(|| panic!("README.zh-CN.md does not explain {} in Chinese", setting.name))
    };
    keep("README.zh-CN.md", &with_table(&read("README.zh-CN.md"), ["设置", "默认值", "含义"], translated));
}

/// Files and folders that a README mentions as links or in its map.
#[test]
fn what_the_readmes_link_to_is_there() {
    for name in ["README.md", "README.zh-CN.md", "CHANGELOG.md"] {
        let text = read(name);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap().split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                assert!(path(target).exists(), "{name} links to {target}");
            }
        }
    }
}

/// Sources that the READMEs' map and walkthroughs name, as `src/…`.
#[test]
fn what_the_readmes_say_of_the_sources_is_there() {
    for name in ["README.md", "README.zh-CN.md"] {
        let text = read(name);
        for quoted in text.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("src/")) {
            assert!(path(quoted).exists(), "{name} names {quoted}");
        }
        let map = text.split("<!-- map -->").nth(1).expect("the map");
        for entry in fs::read_dir(path("src")).unwrap().chain(fs::read_dir(path("crates")).unwrap()) {
            let file = entry.unwrap().path();
            let entry = file.file_name().unwrap().to_string_lossy();
            let is_there = [format!("`{entry}`"), format!("`{entry}/`")].iter().any(|quoted| map.contains(quoted));
            assert!(is_there, "{name} has no place for {}", file.display());
        }
    }
}
