//! What watches the servers names only what they measure.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    package_builder::PackageBuilder,
    stack::{Stack, user},
};

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Every expression of the alerts and the dashboard.
fn expressions() -> Vec<String> {
    let alerts = read("deploy/monitoring/alerts.yml");
    let mut all: Vec<String> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect();
    let alerts = all.len();
    fn collect(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                all.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, all));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, all)),
            _ => {}
        }
    }
    collect(&serde_json::from_str(&read("deploy/monitoring/grafana/dashboards/marketplace.json")).unwrap(), &mut all);
    assert!(alerts > 10 && all.len() > alerts + 20, "expressions are found");
    all
}

/// An expression without what stands in quotes, braces and brackets, and without lists of labels.
fn bare(expression: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut is_quoted) = (0, false);
    for c in expression.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ if depth == 0 => text.push(c),
            _ => {}
        }
    }
    for word in ["by", "without", "on", "ignoring"] {
        for opening in [format!("{word} ("), format!("{word}(")] {
            while let Some(start) = text.find(&opening) {
                let end = start + text[start..].find(')').unwrap();
                text.replace_range(start..=end, " ");
            }
        }
    }
    text
}

/// The metrics that an expression reads.
fn metrics(expression: &str) -> Vec<String> {
    let text = bare(expression);
    let mut found = Vec::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let is_function = after.trim_start().starts_with('(');
        let is_operator = ["and", "or", "unless"].contains(&word);
        if !is_function && !is_operator && !word.starts_with(|c: char| c.is_ascii_digit()) {
            found.push(word.to_owned());
        }
        rest = after;
    }
    found
}

#[test]
fn metrics_are_found_in_expressions() {
    let expression =
        r#"(a{x="b(c)"} - ignoring(state) b_c) / sum by (le, d) (rate(e_total[5m])) > 0.9 and f or absent(up)"#;
    assert_eq!(metrics(expression), ["a", "b_c", "e_total", "f", "up"]);
}

#[sqlx::test]
async fn every_expression_names_a_metric_that_exists(db: PgPool) {
    let mut stack = Stack::new(db);
    if let Ok(redis) = std::env::var("TEST_REDIS_URL") {
        stack.set("redis.url", &redis);
    }
    let one = stack.start_anywhere("one").await;
    let client = one.client();
    let ada = user(&client, "ada").await;
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    for path in ["/plugins", "/plugins/hello", "/plugins/hello/download", "/plugins/nothing"] {
        client.get(path).await;
    }
    let token = ada.post("/auth/tokens", json!({"name": "services", "scopes": ["services"]})).await.expect(201);
    let program = ada.with_token(token.data()["token"].as_str().unwrap());
    let service = json!({"name": "measured", "host": "127.0.0.1", "port": 8010});
    program.post("//api/registry/register", service).await.expect(201);
    // Sizes are taken every few seconds.
    let mut text = String::new();
    let mut missing = BTreeSet::from(["not looked yet".to_owned()]);
    for _ in 0..20 {
        text = client.get("//metrics").await.expect(200).text();
        let known: HashSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        // `up` is Prometheus's own; the exporters' are asked for in scripts/test-containers.
        let others = ["up", "node_", "pg_", "redis_", "nginx_", "probe_", "marketplace_backup_"];
        let named = expressions().iter().flat_map(|expression| metrics(expression)).collect::<BTreeSet<_>>();
        missing = named
            .into_iter()
            .filter(|name| !others.iter().any(|other| name.starts_with(other)) && !known.contains(name.as_str()))
            .collect();
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert!(missing.is_empty(), "nobody measures {missing:?}\n{text}");
}

#[test]
fn every_alert_has_its_page_in_both_languages() {
    let alerts = read("deploy/monitoring/alerts.yml");
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        for page in ["docs/operations.md", "docs/operations.zh-CN.md"] {
            assert!(read(page).contains(&format!("### {name}\n")), "{page} says nothing of {name}");
        }
    }
}
