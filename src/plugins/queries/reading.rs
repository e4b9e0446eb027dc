//! What is shown of plugins.

use std::collections::HashMap;

use anyhow::Context;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sqlx::{PgExecutor, PgPool, query, query_as, query_scalar};
use time::{Date, OffsetDateTime};

use super::super::{
    catalogue::Entry,
    model::{DependencyItem, Owner, PluginDetail, PluginItem, ScriptItem, Status, VersionItem, clamp},
};
use crate::error::Result;

/// What lists need of some plugins, or of all: those with a current version and not banned.
pub fn entries<'a>(db: &'a PgPool, ids: Option<&'a [String]>) -> impl Stream<Item = anyhow::Result<Entry>> + 'a {
    let rows = query!(
        r#"select key, id, name, author, status as "status: Status", downloads, (rating * 100)::int as "rating!",
               rating_count, created_at, updated_at, min_geektools_version, revision, text_revision,
               array(select tag from plugin_tags t where t.plugin_id = p.id order by t.position) as "tags!"
           from plugins p
           where ($1::text[] is null or id = any($1)) and status <> 'banned' and current_version is not null"#,
        ids
    )
    .fetch(db);
    rows.map(|row| {
        let r = row.context("cannot read the catalogue")?;
        Ok(Entry {
            key: r.key,
            id: r.id,
            name: r.name,
            author: r.author,
            status: r.status,
            downloads: r.downloads,
            rating: r.rating,
            rating_count: r.rating_count,
            created_at: r.created_at,
            updated_at: r.updated_at,
            revision: r.revision,
            text_revision: r.text_revision,
            min_geektools_version: r.min_geektools_version.and_then(|v| v.parse().ok()),
            tags: r.tags,
        })
    })
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
/// When the database is away.
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
/// When the database is away.
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
/// When the database is away.
pub async fn newest_text(db: &PgPool) -> anyhow::Result<i64> {
    Ok(query_scalar!(r#"select coalesce(max(text_revision), 0) as "newest!" from plugins"#).fetch_one(db).await?)
}

/// The list entries of some plugins with their revisions, by id; those not listed are left out.
pub async fn items(db: impl PgExecutor<'_>, ids: &[String]) -> Result<HashMap<String, (i64, PluginItem)>> {
    let rows = query!(
        r#"select p.id, p.name, p.author, p.description, p.status as "status: Status", p.downloads,
               p.rating::float8 as "rating!", p.rating_count, p.created_at, p.updated_at, p.min_geektools_version,
               p.license, p.revision, v.version, v.file_hash, v.file_size,
               array(select tag from plugin_tags t where t.plugin_id = p.id order by t.position) as "tags!"
           from plugins p join plugin_versions v on v.plugin_id = p.id and v.version = p.current_version
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
                status: r.status,
                created_at: r.created_at,
                updated_at: r.updated_at,
                min_geektools_version: r.min_geektools_version.unwrap_or_default(),
                name: r.name,
                author: r.author,
                description: r.description,
                tags: r.tags,
                license: r.license.unwrap_or_else(|| "Unknown".into()),
            };
            (item.id.clone(), (r.revision, item))
        })
        .collect())
}

/// A plugin that is not banned, without its parts.
pub async fn detail(db: impl PgExecutor<'_>, id: &str) -> Result<Option<PluginDetail>> {
    let row = query!(
        r#"select id, name, author, description, status as "status: Status", status_message, replacement_id,
               current_version, downloads, rating::float8 as "rating!", rating_count, created_at, updated_at,
               min_geektools_version, homepage_url, repository_url, license,
               array(select tag from plugin_tags t where t.plugin_id = p.id order by t.position) as "tags!"
           from plugins p where id = $1 and status <> 'banned'"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|r| PluginDetail {
        id: r.id,
        current_version: r.current_version,
        downloads: clamp(r.downloads),
        rating: r.rating,
        rating_count: clamp(r.rating_count),
        status: r.status,
        created_at: r.created_at,
        updated_at: r.updated_at,
        file_url: String::new(),
        name: r.name,
        description: r.description,
        author: r.author,
        tags: r.tags,
        min_geektools_version: r.min_geektools_version,
        homepage_url: r.homepage_url,
        repository_url: r.repository_url,
        license: r.license.unwrap_or_else(|| "Unknown".into()),
        status_message: r.status_message,
        replacement: r.replacement_id,
        versions: Vec::new(),
        scripts: Vec::new(),
        dependencies: Vec::new(),
        owners: Vec::new(),
    }))
}

/// All versions of a plugin, newest upload first.
pub async fn versions(db: impl PgExecutor<'_>, id: &str) -> Result<Vec<VersionItem>> {
    let rows = query!(
        "select version, changelog, file_size, file_hash, created_at, downloads, is_stable, yanked_at, yank_reason
         from plugin_versions where plugin_id = $1",
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| VersionItem {
            version: r.version,
            changelog: r.changelog.unwrap_or_default(),
            file_size: r.file_size,
            file_hash: r.file_hash,
            created_at: r.created_at,
            downloads: clamp(r.downloads),
            is_stable: r.is_stable,
            yanked: r.yanked_at.is_some(),
            yank_reason: r.yank_reason,
        })
        .collect())
}

/// The scripts of one version, in the order of its `info.json`.
pub async fn scripts(db: impl PgExecutor<'_>, id: &str, version: &str) -> Result<Vec<ScriptItem>> {
    Ok(query_as!(
        ScriptItem,
        "select s.script_name as name, s.script_file as file, s.description, s.is_executable as executable
         from plugin_scripts s join plugin_versions v on v.id = s.version_id
         where v.plugin_id = $1 and v.version = $2 order by s.position",
        id,
        version
    )
    .fetch_all(db)
    .await?)
}

/// The dependencies of one version, in the order of its `info.json`.
pub async fn dependencies(db: impl PgExecutor<'_>, id: &str, version: &str) -> Result<Vec<DependencyItem>> {
    Ok(query_as!(
        DependencyItem,
        "select d.dependency_id as id, d.min_version
         from plugin_dependencies d join plugin_versions v on v.id = d.version_id
         where v.plugin_id = $1 and v.version = $2 order by d.position",
        id,
        version
    )
    .fetch_all(db)
    .await?)
}

/// The owners of a plugin, first owner first.
pub async fn owners(db: impl PgExecutor<'_>, id: &str) -> Result<Vec<Owner>> {
    Ok(query_as!(
        Owner,
        "select u.username, u.display_name from plugin_owners o join users u on u.id = o.user_id
         where o.plugin_id = $1 order by o.added_at, u.id",
        id
    )
    .fetch_all(db)
    .await?)
}

/// Listed plugins whose current version needs this one, most downloaded first.
pub async fn dependents(db: impl PgExecutor<'_>, id: &str, limit: i64) -> Result<Vec<(String, String)>> {
    let rows = query!(
        "select p.id, p.name from plugin_dependencies d
         join plugin_versions v on v.id = d.version_id
         join plugins p on p.id = v.plugin_id and p.current_version = v.version
         where d.dependency_id = $1 and p.status <> 'banned' order by p.downloads desc, p.id limit $2",
        id,
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|r| (r.id, r.name)).collect())
}

/// Ids of active plugins by their downloads since a day, most first.
pub async fn trending(db: impl PgExecutor<'_>, since: Date, limit: i64) -> Result<Vec<String>> {
    Ok(query_scalar!(
        "select p.id from download_days d
         join plugin_versions v on v.id = d.version_id join plugins p on p.id = v.plugin_id
         where d.day >= $1 and p.status = 'active' and p.current_version is not null
         group by p.id order by sum(d.downloads) desc, p.id limit $2",
        since,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A version as feeds announce it.
#[expect(missing_docs, reason = "the names say it")]
pub struct Release {
    pub id: String,
    pub name: String,
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
        r#"select p.id, p.name, p.author, p.description, v.version, coalesce(v.changelog, '') as "changelog!", v.created_at
           from plugin_versions v join plugins p on p.id = v.plugin_id
           where p.status = 'active' and v.yanked_at is null order by v.id desc limit $1"#,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A plugin among one's own.
#[expect(missing_docs, reason = "the names say it")]
pub struct OwnPlugin {
    pub id: String,
    pub name: String,
    pub status: Status,
    pub current_version: Option<String>,
    pub downloads: i64,
    pub rating: f64,
    pub rating_count: i64,
    pub versions: i64,
    pub updated_at: OffsetDateTime,
}

/// The plugins a user owns, latest change first.
pub async fn owned_by(db: impl PgExecutor<'_>, user: i64) -> Result<Vec<OwnPlugin>> {
    Ok(query_as!(
        OwnPlugin,
        r#"select p.id, p.name, p.status as "status: Status", p.current_version, p.downloads,
               p.rating::float8 as "rating!", p.rating_count, p.updated_at,
               (select count(*) from plugin_versions v where v.plugin_id = p.id) as "versions!"
           from plugin_owners o join plugins p on p.id = o.plugin_id
           where o.user_id = $1 order by p.updated_at desc, p.id"#,
        user
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

/// Whether a plugin is there and not banned.
pub async fn is_visible(db: impl PgExecutor<'_>, id: &str) -> Result<bool> {
    let found = query_scalar!("select 1 as one from plugins where id = $1 and status <> 'banned'", id);
    Ok(found.fetch_optional(db).await?.is_some())
}

/// The file of a version.
#[derive(Clone)]
pub struct VersionFile {
    pub version_id: i64,
    pub version: String,
    pub file_path: String,
    pub file_size: i64,
    pub file_hash: String,
}

/// The file of a named version, or of the current one; none when the plugin is banned.
pub async fn version_file(db: impl PgExecutor<'_>, id: &str, version: Option<&str>) -> Result<Option<VersionFile>> {
    Ok(query_as!(
        VersionFile,
        "select v.id as version_id, v.version, v.file_path, v.file_size, v.file_hash
         from plugins p join plugin_versions v on v.plugin_id = p.id and v.version = coalesce($2, p.current_version)
         where p.id = $1 and p.status <> 'banned'",
        id,
        version
    )
    .fetch_optional(db)
    .await?)
}

/// A file as its row describes it.
pub struct FileRow {
    pub plugin_id: String,
    pub file_path: String,
    pub file_hash: String,
}

/// The files of all versions.
pub async fn files(db: impl PgExecutor<'_>) -> Result<Vec<FileRow>> {
    let rows = query_as!(FileRow, "select plugin_id, file_path, file_hash from plugin_versions order by id");
    Ok(rows.fetch_all(db).await?)
}

/// Whether a version has this file.
pub async fn is_file(db: impl PgExecutor<'_>, plugin: &str, path: &str) -> Result<bool> {
    let found =
        query_scalar!("select 1 as one from plugin_versions where plugin_id = $1 and file_path = $2", plugin, path);
    Ok(found.fetch_optional(db).await?.is_some())
}

/// Downloads of a plugin's versions, as far as there were any.
pub async fn version_downloads(db: impl PgExecutor<'_>, id: &str) -> Result<Vec<(String, i64)>> {
    let rows = query!("select version, downloads from plugin_versions where plugin_id = $1", id).fetch_all(db).await?;
    Ok(rows.into_iter().map(|r| (r.version, r.downloads)).collect())
}

/// Downloads of one plugin, or of all, by day since a day.
pub async fn downloads_by_day(db: impl PgExecutor<'_>, id: Option<&str>, since: Date) -> Result<Vec<(Date, i64)>> {
    let rows = match id {
        Some(id) => {
            let rows = query!(
                r#"select day, sum(d.downloads)::bigint as "downloads!" from download_days d
                   join plugin_versions v on v.id = d.version_id
                   where v.plugin_id = $1 and day >= $2 group by day"#,
                id,
                since
            );
            rows.fetch_all(db).await?.into_iter().map(|r| (r.day, r.downloads)).collect()
        }
        None => {
            let rows = query!(
                r#"select day, sum(downloads)::bigint as "downloads!" from download_days where day >= $1 group by day"#,
                since
            );
            rows.fetch_all(db).await?.into_iter().map(|r| (r.day, r.downloads)).collect()
        }
    };
    Ok(rows)
}

/// Totals of the whole marketplace.
#[expect(missing_docs, reason = "the names say it")]
pub struct Totals {
    pub plugins: i64,
    pub versions: i64,
    pub downloads: i64,
    pub ratings: i64,
    pub users: i64,
}

/// Counts the whole marketplace; banned plugins are left out.
pub async fn totals(db: impl PgExecutor<'_>) -> Result<Totals> {
    Ok(query_as!(
        Totals,
        r#"select count(*) as "plugins!", coalesce(sum(downloads), 0)::bigint as "downloads!",
               coalesce(sum(rating_count), 0)::bigint as "ratings!",
               (select count(*) from plugin_versions v join plugins b on b.id = v.plugin_id where b.status <> 'banned') as "versions!",
               (select count(*) from users) as "users!"
           from plugins where status <> 'banned'"#
    )
    .fetch_one(db)
    .await?)
}

/// A plugin in the administrator's list.
#[expect(missing_docs, reason = "columns, explained in the migration")]
pub struct AdminRow {
    pub id: String,
    pub name: String,
    pub author: String,
    pub status: Status,
    pub status_message: Option<String>,
    pub current_version: Option<String>,
    pub downloads: i64,
    pub updated_at: OffsetDateTime,
}

/// One page of all plugins, banned ones too, newest change first.
///
/// # Errors
/// When the database is away.
pub async fn list_for_admin(
    db: &PgPool,
    status: Option<Status>,
    search: Option<&str>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<AdminRow>, i64)> {
    let rows = query_as!(
        AdminRow,
        r#"select id, name, author, status as "status: Status", status_message, current_version, downloads, updated_at
           from plugins
           where ($1::text is null or status = $1) and ($2::text is null or strpos(lower(id || ' ' || name), lower($2)) > 0)
           order by updated_at desc, id limit $3 offset $4"#,
        status as Option<Status>,
        search,
        limit,
        offset
    )
    .fetch_all(db)
    .await?;
    let total = query_scalar!(
        r#"select count(*) as "n!" from plugins
           where ($1::text is null or status = $1) and ($2::text is null or strpos(lower(id || ' ' || name), lower($2)) > 0)"#,
        status as Option<Status>,
        search
    )
    .fetch_one(db)
    .await?;
    Ok((rows, total))
}
