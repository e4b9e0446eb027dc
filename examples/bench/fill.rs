//! A catalogue of any size, loaded in bulk.

use std::fmt::Write;

use sqlx::{Connection, PgConnection};

use crate::generate::{Sample, generate};

/// The seed of every benchmark's catalogue.
pub(crate) const SEED: u64 = 7;
/// Rows sent in one go.
const BATCH: usize = 20_000;

const TABLES: [(&str, &str); 5] = [
    (
        "plugins",
        "id, key, name, description, author, current_version, downloads, rating_sum, rating_count, created_at, updated_at, \
         revision, text_revision",
    ),
    (
        "plugin_versions",
        "id, plugin_id, version, file_path, file_size, file_hash, manifest, is_stable, downloads, created_at",
    ),
    ("plugin_scripts", "version_id, position, script_name, script_file, description"),
    ("plugin_tags", "plugin_id, position, tag"),
    ("plugin_owners", "plugin_id, user_id"),
];

/// Fills an empty, migrated database.
pub(crate) async fn fill(plugins: u64, url: &str) -> anyhow::Result<()> {
    let mut db = PgConnection::connect(url).await?;
    // Nobody has to be told of a million changes; what triggers would fill in is in the rows.
    sqlx::query("set session_replication_role = replica").execute(&mut db).await?;
    sqlx::query("insert into users (username, email, password_hash) values ('bench', 'bench@localhost.invalid', '')")
        .execute(&mut db)
        .await?;
    let mut samples = generate(plugins, SEED).peekable();
    while samples.peek().is_some() {
        let mut rows = TABLES.map(|_| String::new());
        for sample in samples.by_ref().take(BATCH) {
            write_rows(&sample, &mut rows)?;
        }
        for ((table, columns), rows) in TABLES.iter().zip(rows) {
            let mut copy = db.copy_in_raw(&format!("copy {table} ({columns}) from stdin")).await?;
            copy.send(rows.into_bytes()).await?;
            copy.finish().await?;
        }
    }
    for sequence in [
        "pg_get_serial_sequence('plugins', 'key')",
        "pg_get_serial_sequence('plugin_versions', 'id')",
        "'catalogue_revision'",
    ] {
        let set = sqlx::AssertSqlSafe(format!("select setval({sequence}, {plugins})"));
        sqlx::query(set).execute(&mut db).await?;
    }
    sqlx::query("analyze").execute(&mut db).await?;
    Ok(())
}

fn write_rows(sample: &Sample, [plugins, versions, scripts, tags, owners]: &mut [String; 5]) -> std::fmt::Result {
    let Sample { document: d, downloads, rating, votes } = sample;
    let (key, id) = (d.key, &d.id);
    let sum = (f64::from(*rating) * *votes as f64).round();
    let sum = if *votes == 0 { 0.0 } else { sum.clamp(*votes as f64, 5.0 * *votes as f64) };
    let minutes = key.wrapping_mul(7919) % 1_000_000;
    writeln!(
        plugins,
        "{id}\t{key}\t{}\t{}\t{}\t1.0.0\t{downloads}\t{sum}\t{votes}\t2024-01-01 00:00Z\t{}\t{key}\t{key}",
        text(&d.name),
        text(&d.description),
        text(&d.author),
        date(minutes),
    )?;
    let hash = format!("{key:064x}");
    writeln!(
        versions,
        "{key}\t{id}\t1.0.0\tplugins/{id}/1.0.0-{hash}.tar.gz\t4096\t{hash}\t{{}}\tt\t{downloads}\t{}",
        date(minutes)
    )?;
    for (i, script) in d.scripts.iter().enumerate() {
        writeln!(scripts, "{key}\t{i}\t{}\trun{i}.sh\t", text(script))?;
    }
    for (i, tag) in d.tags.iter().enumerate().filter(|(i, tag)| !d.tags[..*i].contains(tag)) {
        writeln!(tags, "{id}\t{i}\t{}", text(tag))?;
    }
    writeln!(owners, "{id}\t1")
}

/// A time within two years, by minutes.
fn date(minutes: u64) -> String {
    let at = time::macros::datetime!(2024-01-01 00:00 UTC) + time::Duration::minutes(minutes.cast_signed());
    format!("{} {:02}:{:02}Z", at.date(), at.hour(), at.minute())
}

/// A field as COPY wants it.
fn text(field: &str) -> String {
    field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}
