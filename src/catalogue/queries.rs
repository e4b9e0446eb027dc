//! SQL of the catalogue: what lists, searches and feeds show of plugins.

use std::collections::HashMap;

use anyhow::Context;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sqlx::{PgExecutor, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;

use super::{
    Entry,
    model::{PluginItem, Publisher, Status, clamp},
};
use crate::error::Result;

/// Reads the entries of the listed plugins for which a condition holds.
macro_rules! entries_where {
    ($db:expr, $condition:tt $(, $argument:expr)?) => {
        query!(
            r#"select key, id, name, author, status as "status: Status", downloads, (rating * 100)::int as "rating!",
                   rating_sum, rating_count, created_at, updated_at, min_geektools_version, revision, text_revision,
                   coalesce((select sum(d.downloads) from plugin_versions v join download_days d on d.version_id = v.id
                             where v.plugin_id = p.id and d.day > (now() at time zone 'utc')::date - 7), 0)::bigint
                       as "recent_downloads!",
                   array(select u.username from plugin_owners o join users u on u.id = o.user_id
                         where o.plugin_id = p.id) as "owners!",
                   array(select tag from plugin_tags t where t.plugin_id = p.id order by t.position) as "tags!"
               from plugins p
               where status <> 'banned' and current_version is not null and "# + $condition
            $(, $argument)?
        )
        .fetch($db)
        .map(|row| {
            let r = row.context("cannot read the catalogue")?;
            Ok(Entry {
                key: r.key,
                id: r.id,
                name: r.name,
                author: r.author,
                status: r.status,
                downloads: r.downloads,
                recent_downloads: r.recent_downloads,
                rating: r.rating,
                rating_sum: r.rating_sum,
                rating_count: r.rating_count,
                created_at: r.created_at,
                updated_at: r.updated_at,
                revision: r.revision,
                text_revision: r.text_revision,
                min_geektools_version: r.min_geektools_version.and_then(|v| v.parse().ok()),
                owners: r.owners,
                tags: r.tags,
            })
        })
    };
}

/// What lists need of some plugins, or of all: those with a current version and not banned.
pub fn entries<'a>(db: &'a PgPool, ids: Option<&'a [String]>) -> impl Stream<Item = anyhow::Result<Entry>> + 'a {
    // Two statements: of one for both, PostgreSQL would keep the plan for all, and read every plugin after each change.
    match ids {
        Some(ids) => entries_where!(db, "id = any($1)", ids).left_stream(),
        None => entries_where!(db, "true").right_stream(),
    }
}

/// What searching reads of a plugin.
pub struct Text {
    /// Identifies the plugin in the index.
    pub key: i64,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who wrote it.
    pub author: String,
    /// What it does.
    pub description: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Names and files of its current version's scripts.
    pub scripts: Vec<String>,
    /// The revision since which it reads like this.
    pub text_revision: i64,
}

/// The texts of some listed plugins.
///
/// # Errors
/// If the database is unavailable.
pub async fn texts(db: &PgPool, ids: &[String]) -> anyhow::Result<Vec<Text>> {
    Ok(query_as!(
        Text,
        r#"select key, id, name, author, description, text_revision,
               array(select tag from plugin_tags t where t.plugin_id = p.id order by t.position) as "tags!",
               array(select unnest(array[script_name, script_file])
                     from plugin_scripts s join plugin_versions v on v.id = s.version_id
                     where v.plugin_id = p.id and v.version = p.current_version order by s.position) as "scripts!"
           from plugins p
           where id = any($1) and status <> 'banned' and current_version is not null"#,
        ids
    )
    .fetch_all(db)
    .await?)
}

/// The texts of listed plugins that changed after a revision.
///
/// # Errors
/// If the database is unavailable.
pub async fn texts_since(db: &PgPool, revision: i64) -> anyhow::Result<Vec<Text>> {
    let ids = query_scalar!("select id from plugins where text_revision > $1", revision).fetch_all(db).await?;
    texts(db, &ids).await
}

/// The texts of all listed plugins, read in pieces; those downloaded most come first, as the search index wants them.
pub fn all_texts(db: &PgPool) -> impl Stream<Item = anyhow::Result<Text>> {
    let piece = async |(db, keys): (PgPool, Option<Vec<i64>>)| {
        let mut keys = match keys {
            Some(keys) => keys,
            None => query_scalar!("select key from plugins order by downloads, key desc").fetch_all(&db).await?,
        };
        if keys.is_empty() {
            return anyhow::Ok(None);
        }
        let piece = keys.split_off(keys.len().saturating_sub(2_000));
        let ids = query_scalar!("select id from plugins where key = any($1) order by downloads desc", &piece)
            .fetch_all(&db)
            .await?;
        let texts = texts(&db, &ids).await?;
        Ok(Some((stream::iter(texts.into_iter().map(Ok)), (db, Some(keys)))))
    };
    stream::try_unfold((db.clone(), None), piece).try_flatten()
}

/// The highest text revision of any plugin; 0 without plugins.
///
/// # Errors
/// If the database is unavailable.
pub async fn newest_text(db: &PgPool) -> anyhow::Result<i64> {
    Ok(query_scalar!(r#"select coalesce(max(text_revision), 0) as "newest!" from plugins"#).fetch_one(db).await?)
}

/// The list entries of some plugins with their revisions, by id; those not listed are left out.
pub async fn items(db: impl PgExecutor<'_>, ids: &[String]) -> Result<HashMap<String, (i64, PluginItem)>> {
    let rows = query!(
        r#"select p.id, p.name, p.author, p.description, p.status as "status: Status", p.downloads,
               p.rating::float8 as "rating!", p.rating_count, p.created_at, p.updated_at, p.min_geektools_version,
               p.license, p.revision, v.version, v.file_hash, v.file_size,
               o.username as "username?", o.display_name as "display_name?", o.is_verified as "is_verified?",
               array(select tag from plugin_tags t where t.plugin_id = p.id order by t.position) as "tags!"
           from plugins p join plugin_versions v on v.plugin_id = p.id and v.version = p.current_version
           left join lateral (select u.username, u.display_name, u.is_verified
                              from plugin_owners o join users u on u.id = o.user_id
                              where o.plugin_id = p.id order by o.added_at, u.id limit 1) o on true
           where p.id = any($1) and p.status <> 'banned'"#,
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let item = PluginItem {
                id: r.id,
                current_version: r.version,
                file_hash: r.file_hash,
                file_size: r.file_size,
                file_url: String::new(),
                downloads: clamp(r.downloads),
                rating: r.rating,
                rating_count: clamp(r.rating_count),
                recent_downloads: None,
                status: r.status,
                created_at: r.created_at,
                updated_at: r.updated_at,
                min_geektools_version: r.min_geektools_version.unwrap_or_default(),
                name: r.name,
                publisher: Publisher::of_row(r.username, r.display_name, r.is_verified),
                author: r.author,
                description: r.description,
                tags: r.tags,
                license: r.license.unwrap_or_else(|| "Unknown".into()),
            };
            (item.id.clone(), (r.revision, item))
        })
        .collect())
}

/// A version as feeds announce it.
#[expect(missing_docs, reason = "the names say it")]
pub struct Release {
    pub id: String,
    pub name: String,
    pub publisher: Option<String>,
    pub author: String,
    pub description: String,
    pub version: String,
    pub changelog: String,
    pub created_at: OffsetDateTime,
}

/// The newest versions of active plugins; without yanked ones.
pub async fn newest_releases(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Release>> {
    Ok(query_as!(
        Release,
        r#"select p.id, p.name, p.author, p.description, v.version,
               (select u.username from plugin_owners o join users u on u.id = o.user_id
                where o.plugin_id = p.id order by o.added_at, u.id limit 1) as publisher, coalesce(v.changelog, '') as "changelog!", v.created_at
           from plugin_versions v join plugins p on p.id = v.plugin_id
           where p.status = 'active' and v.yanked_at is null order by v.id desc limit $1"#,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Ids of listed plugins with the time of their last change, for the sitemap.
pub async fn addresses(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<(String, OffsetDateTime)>> {
    let rows = query!(
        "select id, updated_at from plugins where status = 'active' and current_version is not null
         order by downloads desc, id limit $1",
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|r| (r.id, r.updated_at)).collect())
}
