//! What changes plugins. Triggers give every change a new revision and announce it.

use package::Manifest;
use semver::Version;
use sqlx::{PgConnection, query, query_as, query_scalar, types::Json};

use crate::{
    catalogue::Status,
    error::{Error, Result, codes},
};

/// A plugin's row, locked until the transaction ends.
pub struct Locked {
    pub status: Status,
    pub current_version: Option<String>,
}

/// Makes the plugin's row when its id is free, this version current and `owner` its first owner; true
/// when it did. Ask [`super::lock_and_find_taken`] first: a failed insert uses up a key, and keys are the index of an array.
pub async fn claim(db: &mut PgConnection, manifest: &Manifest, owner: i64) -> Result<bool> {
    let made = query!(
        "with plugin as (
             insert into plugins (id, name, description, author, current_version, min_geektools_version, homepage_url,
                 repository_url, license)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do nothing returning id)
         insert into plugin_owners (plugin_id, user_id) select id, $10 from plugin",
        manifest.id,
        manifest.name,
        manifest.description,
        manifest.author,
        manifest.version.to_string(),
        manifest.min_geektools_version,
        manifest.homepage_url,
        manifest.repository_url,
        manifest.license,
        owner
    )
    .execute(&mut *db)
    .await?;
    let is_new = made.rows_affected() == 1;
    if is_new {
        set_tags(db, manifest).await?;
    }
    Ok(is_new)
}

/// Keeps everybody from publishing under an id until the transaction ends, be it taken or free.
/// For transactions that are rolled back: a free id gets a row.
pub async fn reserve_id(db: &mut PgConnection, id: &str) -> Result<()> {
    query!(
        "insert into plugins (id, name, description, author) values ($1, '', '', '') on conflict (id) do nothing",
        id
    )
    .execute(&mut *db)
    .await?;
    lock(db, id).await?;
    Ok(())
}

/// Locks a plugin's row against other changes.
pub async fn lock(db: &mut PgConnection, id: &str) -> Result<Option<Locked>> {
    Ok(query_as!(
        Locked,
        // Others may still refer to it: two plugins that depend on each other can be published at once.
        r#"select status as "status: Status", current_version from plugins where id = $1 for no key update"#,
        id
    )
    .fetch_optional(db)
    .await?)
}

/// Whether a user owns a plugin.
pub async fn is_owner(db: &mut PgConnection, id: &str, user: i64) -> Result<bool> {
    let found = query_scalar!("select 1 as one from plugin_owners where plugin_id = $1 and user_id = $2", id, user);
    Ok(found.fetch_optional(db).await?.is_some())
}

/// A version that is there already.
pub struct Existing {
    pub id: i64,
    pub file_path: String,
    pub file_hash: String,
}

pub async fn find_version(db: &mut PgConnection, id: &str, version: &str) -> Result<Option<Existing>> {
    let found = query_as!(
        Existing,
        "select id, file_path, file_hash from plugin_versions where plugin_id = $1 and version = $2",
        id,
        version
    );
    Ok(found.fetch_optional(db).await?)
}

/// Which of these plugins exist, with their states; locked against deletion until the transaction ends.
pub async fn find_dependencies(db: &mut PgConnection, ids: &[String]) -> Result<Vec<(String, Status)>> {
    let rows = query!(r#"select id, status as "status: Status" from plugins where id = any($1) for key share"#, ids);
    Ok(rows.fetch_all(db).await?.into_iter().map(|r| (r.id, r.status)).collect())
}

/// The file of a version about to be inserted.
pub struct NewFile<'a> {
    pub path: &'a str,
    pub size: i64,
    pub hash: &'a str,
}

/// Inserts a version with its scripts and dependencies; returns its row id.
pub async fn insert_version(db: &mut PgConnection, manifest: &Manifest, file: NewFile<'_>, user: i64) -> Result<i64> {
    let scripts = &manifest.scripts;
    let names: Vec<String> = scripts.iter().map(|s| s.name.clone()).collect();
    let files: Vec<String> = scripts.iter().map(|s| s.file.clone()).collect();
    let descriptions: Vec<String> = scripts.iter().map(|s| s.description.clone()).collect();
    let executables: Vec<bool> = scripts.iter().map(|s| s.executable).collect();
    let version = query_scalar!(
        r#"with version as (
               insert into plugin_versions
                   (plugin_id, version, changelog, file_path, file_size, file_hash, manifest, is_stable, uploaded_by)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id),
           scripts as (
               insert into plugin_scripts (version_id, position, script_name, script_file, description, is_executable)
               select version.id, s.position, s.name, s.file, s.description, s.executable
               from version, unnest($10::text[], $11::text[], $12::text[], $13::bool[]) with ordinality
                   as s (name, file, description, executable, position))
           select id as "id!" from version"#,
        manifest.id,
        manifest.version.to_string(),
        manifest.changelog,
        file.path,
        file.size,
        file.hash,
        Json(manifest) as _,
        manifest.version.pre.is_empty(),
        user,
        &names,
        &files,
        &descriptions,
        &executables
    )
    .fetch_one(&mut *db)
    .await
    .map_err(|e| Error::on_constraint(e, "plugin_versions_version_key", || exists(manifest)))?;
    if !manifest.dependencies.is_empty() {
        let ids: Vec<String> = manifest.dependencies.iter().map(|d| d.id.clone()).collect();
        let mins: Vec<Option<String>> =
            manifest.dependencies.iter().map(|d| d.min_version.as_ref().map(Version::to_string)).collect();
        query!(
            "insert into plugin_dependencies (version_id, position, dependency_id, min_version)
             select $1, d.position, d.id, d.min from unnest($2::text[], $3::text[]) with ordinality as d (id, min, position)",
            version,
            &ids,
            &mins as &[Option<String>]
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(version)
}

/// The refusal of a version that is there already.
pub fn exists(manifest: &Manifest) -> Error {
    Error::with(&codes::VERSION_EXISTS, &[&manifest.id, &manifest.version.to_string()])
}

/// Names of all versions that are not yanked.
pub async fn live_versions(db: &mut PgConnection, id: &str) -> Result<Vec<String>> {
    let versions = query_scalar!("select version from plugin_versions where plugin_id = $1 and yanked_at is null", id);
    Ok(versions.fetch_all(db).await?)
}

/// The checked `info.json` of a version.
pub async fn manifest(db: &mut PgConnection, id: &str, version: &str) -> Result<Manifest> {
    let found = query_scalar!(
        r#"select manifest as "manifest: Json<Manifest>" from plugin_versions where plugin_id = $1 and version = $2"#,
        id,
        version
    );
    Ok(found.fetch_one(db).await?.0)
}

/// Makes a version the current one: the catalogue shows its fields from now on.
pub async fn set_current(db: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    query!(
        "update plugins set name = $2, description = $3, author = $4, current_version = $5, min_geektools_version = $6,
             homepage_url = $7, repository_url = $8, license = $9
         where id = $1",
        manifest.id,
        manifest.name,
        manifest.description,
        manifest.author,
        manifest.version.to_string(),
        manifest.min_geektools_version,
        manifest.homepage_url,
        manifest.repository_url,
        manifest.license
    )
    .execute(&mut *db)
    .await?;
    query!("delete from plugin_tags where plugin_id = $1 and tag <> all($2)", manifest.id, &manifest.tags)
        .execute(&mut *db)
        .await?;
    set_tags(db, manifest).await
}

async fn set_tags(db: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    if manifest.tags.is_empty() {
        return Ok(());
    }
    query!(
        "insert into plugin_tags (plugin_id, position, tag)
         select $1, t.position, t.tag from unnest($2::text[]) with ordinality as t (tag, position)
         on conflict (plugin_id, tag) do update set position = excluded.position",
        manifest.id,
        &manifest.tags
    )
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// Leaves a plugin without a current version: all are yanked.
pub async fn clear_current(db: &mut PgConnection, id: &str) -> Result<()> {
    query!("update plugins set current_version = null where id = $1", id).execute(db).await?;
    Ok(())
}

/// Notes that the plugin was changed now, by publishing, yanking or its state.
pub async fn set_updated_at(db: &mut PgConnection, id: &str) -> Result<()> {
    query!("update plugins set updated_at = now() where id = $1", id).execute(db).await?;
    Ok(())
}

/// Yanks a version or unyanks it; false when it was so already.
pub async fn set_yanked(
    db: &mut PgConnection,
    id: &str,
    version: &str,
    reason: Option<&str>,
    yanked: bool,
) -> Result<bool> {
    let done = query!(
        "update plugin_versions set yanked_at = case when $4 then now() end, yank_reason = case when $4 then $3 end
         where plugin_id = $1 and version = $2 and (yanked_at is not null) <> $4",
        id,
        version,
        reason,
        yanked
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn set_status(
    db: &mut PgConnection,
    id: &str,
    status: Status,
    message: Option<&str>,
    replacement: Option<&str>,
) -> Result<()> {
    query!(
        "update plugins set status = $2, status_message = $3, replacement_id = $4 where id = $1",
        id,
        status as Status,
        message,
        replacement
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a plugin for good and keeps its id taken; returns the paths of its files.
pub async fn delete_plugin(db: &mut PgConnection, id: &str) -> Result<Vec<String>> {
    let paths =
        query_scalar!("select file_path from plugin_versions where plugin_id = $1", id).fetch_all(&mut *db).await?;
    query!("delete from plugins where id = $1", id).execute(&mut *db).await.map_err(|e| {
        Error::on_constraint(e, "plugin_dependencies_dependency_fkey", || Error::with(&codes::HAS_DEPENDENTS, &[id]))
    })?;
    query!("insert into retired_ids (id) values ($1)", id).execute(db).await?;
    Ok(paths)
}
