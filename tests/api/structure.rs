//! The rules of the house: who may import whom, and what the documents promise.

use std::{fs, path::Path};

/// Parts of the product, left to right: each may use those before it.
const DOMAINS: [&str; 6] = ["accounts", "plugins", "search", "ratings", "admin", "web"];
/// What puts everything together; nothing imports it but `lib` and `main`.
const TOP: [&str; 4] = ["commands", "jobs", "routes", "lib"];

/// Modules of ours that a source imports.
fn imports(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let group = rest.strip_prefix('{').map(top_level);
        let names = group.unwrap_or_else(|| vec![rest.to_owned()]);
        found.extend(
            names
                .iter()
                .map(|name| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()),
        );
    }
    found
}

/// The parts of a `{…}` list, nested lists left whole.
fn top_level(group: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name =
                path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn imports_point_one_way() {
    let mut all = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut all);
    let mut wrong = Vec::new();
    for (file, source) in &all {
        let module = file.split('/').next().unwrap().trim_end_matches(".rs");
        let rank = DOMAINS.iter().position(|domain| *domain == module);
        for import in imports(source) {
            let import = import.as_str();
            let imported_rank = DOMAINS.iter().position(|domain| *domain == import);
            let is_wrong = match (module, rank) {
                _ if import == module => false,
                ("package", _) => true,
                // The handles of everything stand here, and nothing but their names.
                ("state", _) => TOP.contains(&import),
                (top, _) if TOP.contains(&top) || top == "main" => false,
                (_, Some(rank)) => TOP.contains(&import) || imported_rank.is_some_and(|other| other > rank),
                (_, None) => TOP.contains(&import) || imported_rank.is_some(),
            };
            if is_wrong {
                wrong.push(format!("{file} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sql_stands_in_queries_only() {
    let mut all = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut all);
    for (file, source) in &all {
        let is_domain = DOMAINS.iter().any(|domain| file.starts_with(&format!("{domain}/")));
        if is_domain && !file.contains("queries") {
            for name in ["query!(", "query_as!(", "query_scalar!("] {
                assert!(!source.contains(name), "{file} holds SQL");
            }
        }
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
    let mut all = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut all);
    for (file, source) in &all {
        // The metrics count requests that begin.
        let source = source.replace("app.metrics.begin()", "");
        // What is in `package` knows no database.
        if file != "database.rs" && !file.starts_with("package/") {
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
    let mut all = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut all);
    for (file, source) in &all {
        // A part knows `Routes`, which takes no route without a policy; axum's own routers would.
        let is_allowed = |name| match name {
            "Router::new(" => file == "policy/routes.rs" || file == "routes.rs",
            _ => file == "policy/routes.rs",
        };
        for name in ["Router::new(", "OpenApiRouter", "MethodRouter", ".route(", ".nest(", ".fallback("] {
            assert!(is_allowed(name) || !source.contains(name), "{file} uses {name}");
        }
    }
}
