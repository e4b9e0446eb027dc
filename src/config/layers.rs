//! The layers of the configuration: how a file, the environment and flags change the settings.

use anyhow::{Context, bail};
use toml::{Table, Value};

use super::Config;

/// Environment variables of the customer's document and the settings they stand for.
pub(super) const DOCUMENT_NAMES: [(&str, &str); 6] = [
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "redis.url"),
    ("JWT_SECRET_KEY", "auth.jwt_secret"),
    ("UPLOAD_FOLDER", "storage.url"),
    ("USE_CDN", "cdn.enabled"),
    ("CDN_BASE_URL", "cdn.base_url"),
];
pub(super) const PREFIX: &str = "MARKETPLACE__";

/// The dotted name of the setting that an environment variable stands for.
pub(super) fn setting_of(variable: &str) -> Option<String> {
    if let Some((_, path)) = DOCUMENT_NAMES.iter().find(|(name, _)| *name == variable) {
        return Some((*path).to_owned());
    }
    Some(variable.strip_prefix(PREFIX)?.to_lowercase().replace("__", "."))
}

/// Puts the settings of one table over those of another.
pub(super) fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Sets one dotted setting from a text, read as the type its default has; an empty text leaves it as it is.
pub(super) fn set(settings: &mut Table, defaults: &Table, path: &str, text: &str) -> anyhow::Result<()> {
    let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
    let (mut changed, mut defaults) = (settings.clone(), defaults);
    let mut table = &mut changed;
    for section in sections.split('.').filter(|s| !s.is_empty()) {
        defaults =
            defaults.get(section).and_then(Value::as_table).with_context(|| format!("unknown section '{section}'"))?;
        table = table.get_mut(section).and_then(Value::as_table_mut).context("a section is not a table")?;
    }
    let value = match defaults.get(key).with_context(|| format!("unknown setting '{path}'"))? {
        Value::Table(_) => bail!("'{path}' is a section, not a setting"),
        _ if text.trim().is_empty() => return Ok(()),
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => {
            Value::Integer(text.trim().parse().with_context(|| format!("'{text}' is no whole number"))?)
        }
        Value::Boolean(_) => Value::Boolean(parse_bool(text)?),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        _ => bail!("'{path}' has a type that no text can be read as"),
    };
    table.insert(key.to_owned(), value);
    // Whether it is a rate or one of a few names shows only here, where the variable can still be named.
    let _: Config = changed.clone().try_into().with_context(|| format!("'{path}'"))?;
    *settings = changed;
    Ok(())
}

fn parse_bool(text: &str) -> anyhow::Result<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => bail!("'{text}' is neither true nor false"),
    }
}
