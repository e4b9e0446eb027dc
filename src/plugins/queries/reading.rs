//! What is shown of plugins.

use sqlx::{PgExecutor, PgPool, query, query_as, query_scalar};
use time::{Date, OffsetDateTime};

use super::super::model::{DependencyItem, PluginDetail, ScriptItem, VersionItem};
use crate::{
    catalogue::{Status, clamp},
    error::Result,
};

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
        publisher: None,
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
/// If the database is unavailable.
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
