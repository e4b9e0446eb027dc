//! The structure of the sources, read as Rust and held to its rules: who may import whom, and where SQL, HTTP and
//! transactions may stand.

use std::{fs, path::Path};

use syn::{
    Item, Macro, UseTree,
    visit::{self, Visit},
};

/// Folders of `src/`, lowest first: each may import those before it.
const ORDER: [&str; 21] = [
    "error",
    "config",
    "observe",
    "data",
    "storage",
    "limits",
    "http",
    "upstream", // foundations
    "accounts",
    "catalogue",
    "plugins",
    "search",
    "ratings",
    "reports",
    "registry",
    "gateway",
    "admin",
    "web", // parts
    "app",
    "commands",
    "main",
];
/// Crates with HTTP types.
const HTTP: [&str; 7] = ["axum", "http", "http_body", "hyper", "hyper_util", "tower", "tower_http"];
/// What sends SQL: macros and functions of sqlx.
const SQL: [&str; 9] = [
    "query",
    "query_as",
    "query_scalar",
    "query_unchecked",
    "query_as_unchecked",
    "query_scalar_unchecked",
    "raw_sql",
    "QueryBuilder",
    "AssertSqlSafe",
];
/// One source file: its path below the repository, and its text.
type Source = (String, String);

/// What one file says, with paths made absolute (`crate::…` for the package's own).
#[derive(Default)]
struct Facts {
    paths: Vec<Vec<String>>,
    macros: Vec<String>,
    public_modules: Vec<String>,
    path_attributes: usize,
    texts: Vec<String>,
}

struct Reader {
    /// Modules from the root of the crate to where we are.
    module: Vec<String>,
    facts: Facts,
}

impl Reader {
    fn note(&mut self, path: Vec<String>) {
        let mut absolute = match path[0].as_str() {
            "crate" => vec!["crate".to_owned()],
            "self" => [vec!["crate".to_owned()], self.module.clone()].concat(),
            "super" => [vec!["crate".to_owned()], self.module.clone()].concat(),
            _ => {
                self.facts.paths.push(path);
                return;
            }
        };
        let ups = path.iter().take_while(|name| *name == "super").count();
        absolute.truncate(absolute.len().saturating_sub(ups).max(1));
        let rest = path.into_iter().skip_while(|name| ["crate", "self", "super"].contains(&name.as_str()));
        absolute.extend(rest);
        self.facts.paths.push(absolute);
    }

    fn note_tree(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.note_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.note(with(&name.ident)),
            UseTree::Rename(rename) => self.note(with(&rename.ident)),
            UseTree::Glob(_) => self.note(prefix.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.note_tree(prefix, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.note(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
        });
        if is_test {
            return;
        }
        if matches!(item.vis, syn::Visibility::Public(_)) {
            self.facts.public_modules.push(item.ident.to_string());
        }
        self.facts.path_attributes += item.attrs.iter().filter(|attribute| attribute.path().is_ident("path")).count();
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.facts.macros.extend(item.path.segments.last().map(|segment| segment.ident.to_string()));
        // What stands inside a macro is tokens; paths in them are found by their text.
        self.facts.texts.push(item.tokens.to_string());
        visit::visit_macro(self, item);
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.facts.texts.push(text.value());
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

fn read(file: &str, text: &str) -> Facts {
    let inner = file.split_once("src/").map_or(file, |(_, inner)| inner);
    let mut module: Vec<String> = inner.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
        module.pop();
    }
    let mut reader = Reader { module, facts: Facts::default() };
    let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
    parsed.items.iter().filter(|item| !is_test(item)).for_each(|item| reader.visit_item(item));
    reader.facts
}

fn is_test(item: &Item) -> bool {
    let Item::Fn(function) = item else { return false };
    function.attrs.iter().any(|attribute| attribute.path().is_ident("test"))
}

/// Every broken rule, as a sentence.
fn faults(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, text) in sources {
        let facts = read(file, text);
        match file.strip_prefix("src/") {
            Some(inner) => check_server(inner, &facts, &mut faults),
            None => check_crate(file, &facts, &mut faults),
        }
        if facts.path_attributes > 0 {
            faults.push(format!("{file}: a module takes its source from elsewhere"));
        }
    }
    faults
}

fn check_server(file: &str, facts: &Facts, faults: &mut Vec<String>) {
    let folder = file.split('/').next().unwrap().trim_end_matches(".rs");
    if folder == "lib" {
        return;
    }
    let Some(rank) = ORDER.iter().position(|name| *name == folder) else {
        faults.push(format!("{file}: src/{folder} has no place in the order"));
        return;
    };
    let is_queries = file.split('/').any(|part| part.trim_end_matches(".rs") == "queries");
    for path in &facts.paths {
        if path[0] == "crate" && path.len() > 1 && path[1] != folder {
            match ORDER.iter().position(|name| *name == path[1]) {
                Some(imported) if imported < rank => {}
                Some(_) => faults.push(format!("{file} imports {}, which stands above it", path[1])),
                None => faults.push(format!("{file} imports {}, which is no folder of src", path[1])),
            }
        }
        if is_queries && HTTP.contains(&path[0].as_str()) {
            faults.push(format!("{file}: queries hold {}", path.join("::")));
        }
        if !is_queries && path[0] == "sqlx" && path.last().is_some_and(|name| SQL.contains(&name.as_str())) {
            faults.push(format!("{file} imports {} outside queries", path.join("::")));
        }
    }
    for text in &facts.texts {
        for higher in &ORDER[rank + 1..] {
            if text.contains(&format!("crate :: {higher} ::")) {
                faults.push(format!("{file} names {higher} inside a macro"));
            }
        }
    }
    if !is_queries && let Some(name) = facts.macros.iter().find(|name| SQL.contains(&name.as_str())) {
        faults.push(format!("{file} holds SQL: {name}!"));
    }
    // Parts show what others may use by `pub use`; the compiler keeps the rest private.
    if rank >= 8 && file.ends_with("/mod.rs") && file.matches('/').count() == 1 && !facts.public_modules.is_empty() {
        faults.push(format!("{file} shows whole modules: {:?}", facts.public_modules));
    }
}

fn check_crate(file: &str, facts: &Facts, faults: &mut Vec<String>) {
    for path in &facts.paths {
        if HTTP.contains(&path[0].as_str()) || path[0] == "sqlx" || path[0] == "marketplace" {
            faults.push(format!("{file} is pure and holds {}", path.join("::")));
        }
    }
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/crates")).unwrap() {
        collect(&entry.unwrap().path().join("src"), &mut found);
    }
    found
}

#[test]
fn the_sources_keep_their_structure() {
    let faults = faults(&sources());
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Each breaks one rule and must be found.
#[test]
fn a_broken_rule_is_found() {
    for (file, line) in [
        ("src/data/cache.rs", "use crate::plugins::Status;"),
        ("src/data/cache.rs", "use super::super::plugins::Status;"),
        ("src/limits/mod.rs", "use super::accounts::CurrentUser;"),
        ("src/plugins/publish.rs", "use super::super::search::find;"),
        ("src/plugins/publish.rs", "fn f() { super::super::web::router(); }"),
        ("src/http/server.rs", "fn f() { let _ = crate::accounts::Passwords::default(); }"),
        ("src/storage/mod.rs", "fn f() { log!(crate::web::x); }"),
        ("src/plugins/publish.rs", "async fn f(db: &sqlx::PgPool) { sqlx::query(\"select 1\").execute(db).await; }"),
        ("src/app.rs", "async fn f(db: &sqlx::PgPool) { sqlx::query!(\"select 1\").execute(db).await; }"),
        ("src/observe/health.rs", "use sqlx::query_scalar;"),
        ("src/plugins/queries/reading.rs", "use axum::http::HeaderMap;"),
        ("src/accounts/mod.rs", "pub mod queries;"),
        ("src/helpers.rs", "fn f() {}"),
        ("src/plugins/mod.rs", "#[path = \"../web/look.rs\"] mod look;"),
        ("crates/package/src/lib.rs", "use axum::body::Body;"),
        ("crates/journal/src/lib.rs", "fn f() { sqlx::query(\"select 1\"); }"),
    ] {
        let mutant = [(file.to_owned(), line.to_owned())];
        assert!(!faults(&mutant).is_empty(), "{file} may hold {line}");
    }
}

/// What opens a transaction or a savepoint: sqlx's methods, and statements in a string.
fn transaction_openers(source: &str) -> Vec<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code: String = code.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let methods = [".begin(", ".begin_with(", ".try_begin", ".transaction(", "transactionmanager", "acquire::begin"];
    let mut found: Vec<String> =
        methods.iter().filter(|name| code.replace(" .", ".").contains(**name)).map(|name| (*name).to_owned()).collect();
    for statement in ["begin", "start transaction", "savepoint"] {
        // At the start of a string, or after another statement in one.
        for before in ["\"", "\" ", ";", "; "] {
            for after in [" ", "\"", ";"] {
                let text = format!("{before}{statement}{after}");
                if code.contains(&text) {
                    found.push(text);
                }
            }
        }
    }
    found
}

#[test]
fn transactions_begin_in_one_place() {
    for (file, source) in &sources() {
        // The metrics count requests that begin.
        let source = source.replace(".metrics.begin()", "");
        // What is in `crates` knows no database.
        if file.starts_with("src/") && file != "src/data/database.rs" {
            assert_eq!(transaction_openers(&source), [""; 0], "{file} opens a transaction: use `database::begin`");
        }
    }
    for opener in [
        "let mut tx = app.db.begin().await?;",
        "let mut tx = app\n    .db\n    .begin()\n    .await?;",
        "connection.begin_with(\"x\")",
        "db.execute(\"BEGIN\").await",
        "query!(\"begin isolation level serializable\")",
        "raw_sql(\"select 1; begin; select 2\")",
        "query(\"\n    start transaction read only\")",
        "execute(\"savepoint a\")",
    ] {
        assert_ne!(transaction_openers(opener), [""; 0], "{opener} is not seen");
    }
}

#[test]
fn routes_are_added_with_a_policy_only() {
    for (file, source) in &sources() {
        // A part knows `Routes`, which takes no route without a policy; axum's own routers would.
        let is_allowed = |name| match name {
            "Router::new(" => file == "src/http/policy/routes.rs" || file == "src/app/routes.rs",
            _ => file == "src/http/policy/routes.rs",
        };
        for name in ["Router::new(", "OpenApiRouter", "MethodRouter", ".route(", ".nest(", ".fallback("] {
            assert!(is_allowed(name) || !source.contains(name), "{file} uses {name}");
        }
    }
}

/// Names in a section of a manifest, as Rust writes them.
fn dependencies(manifest: &toml::Table, section: &str) -> Vec<String> {
    let names = manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
    names.map(|name| name.replace('-', "_")).collect()
}

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    for package in crates.chain([root.to_owned()]) {
        let manifest: toml::Table = fs::read_to_string(package.join("Cargo.toml")).unwrap().parse().unwrap();
        let mut used = Vec::new();
        for folder in ["src", "tests", "examples"].map(|name| package.join(name)).iter().filter(|path| path.exists()) {
            collect(folder, &mut used);
        }
        let sources: String = used.into_iter().map(|(_, text)| text).collect();
        for name in ["dependencies", "dev-dependencies"].iter().flat_map(|section| dependencies(&manifest, section)) {
            let is_used = [format!("{name}::"), format!("use {name};")].iter().any(|path| sources.contains(path));
            assert!(is_used, "{} does not use {name}", package.display());
        }
    }
}
