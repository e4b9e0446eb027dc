//! Publishing: receive, inspect, insert, keep, commit — all or nothing.
//!
//! The file is durable before its row is committed, so a row always has its file; a crash in between
//! leaves a stray file that no row names and that blocks nothing.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header::RETRY_AFTER},
};
use futures_util::FutureExt;
use package::{MAX_COMPRESSED, Manifest};
use semver::Version;
use serde::Serialize;
use sqlx::PgConnection;
use tracing::{Instrument, info};
use utoipa::ToSchema;

use super::{
    Plugins,
    contents::{self, Inspected},
    queries::{self, KeptContents, NewFile},
    similar,
};
use crate::{
    accounts::{CurrentUser, Scope},
    catalogue::Status,
    data::{
        changes::Topic,
        database::{self, Transaction},
        derived::Work,
    },
    error::{
        Error, Fault, OrRefuse, Refusal, Result, codes,
        lang::{Lang, Text},
    },
    http::{
        envelope::Success,
        multipart::{Form, Part},
    },
    observe::failpoint,
    storage::{Received, Storage},
};

/// An upload as it is answered.
#[derive(Serialize, ToSchema)]
pub struct Published {
    plugin_id: String,
    version: String,
    upload_id: String,
}

/// What publishing came to.
pub struct Outcome {
    /// The row of the version.
    pub version_id: i64,
    /// The package's id and version.
    pub manifest: Manifest,
    /// False when the very same bytes were there already.
    pub is_new: bool,
}

/// The form of an upload, for the documentation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read as a stream, never as a whole")]
pub struct Upload {
    /// The package, named `….tar.gz`.
    #[schema(value_type = String, format = Binary, content_media_type = "application/gzip")]
    plugin_file: Vec<u8>,
}

/// Publishes a package. The same bytes again answer 200.
#[utoipa::path(post, path = "/plugins", tag = "plugins", security(("bearer" = [])),
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = Success<Published>),
        (status = 200, body = Success<Published>, description = "These bytes were published before"),
    ))]
pub async fn upload(
    State(plugins): State<Arc<Plugins>>,
    lang: Lang,
    user: CurrentUser,
    request: Request,
) -> Result<(StatusCode, Json<Success<Published>>)> {
    let received = receive(&plugins, request).await?;
    let outcome = publish(&plugins, &user, received).await?;
    failpoint::reach("before_answer");
    let published = Published {
        plugin_id: outcome.manifest.id,
        version: outcome.manifest.version.to_string(),
        upload_id: format!("upload_{}", outcome.version_id),
    };
    let status = if outcome.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Success::saying(published, lang.pick("插件上传成功", "Plugin published"))))
}

/// The same under the address older clients use.
#[utoipa::path(post, path = "/plugins/upload", tag = "plugins", security(("bearer" = [])),
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = Success<Published>),
        (status = 200, body = Success<Published>, description = "These bytes were published before"),
    ))]
pub async fn upload_alias(
    state: State<Arc<Plugins>>,
    lang: Lang,
    user: CurrentUser,
    request: Request,
) -> Result<(StatusCode, Json<Success<Published>>)> {
    upload(state, lang, user, request).await
}

/// Streams the field `plugin_file` of a multipart body into the store's incoming folder.
async fn receive(plugins: &Plugins, request: Request) -> Result<Received> {
    let mut form = Form::open(request).await?;
    let mut received = None;
    while let Some(mut part) = form.next().await? {
        match part.name() {
            Some("plugin_file") if received.is_some() => return Err(Error::new(&codes::FILE_REPEATED)),
            Some("plugin_file") => received = Some(receive_file(plugins, &mut part).await?),
            _ => part.skip().await?,
        }
    }
    received.or_refuse(&codes::FILE_MISSING)
}

/// Streams the file in one part of a form into the store's incoming folder.
///
/// # Errors
/// 400 when it is no `.tar.gz`, 413 when it is too large.
pub async fn receive_file(plugins: &Plugins, part: &mut Part<'_>) -> Result<Received> {
    match part.file_name() {
        Some(name) if !name.is_empty() => {
            if !name.to_ascii_lowercase().ends_with(".tar.gz") {
                return Err(Error::new(&codes::FILE_TYPE));
            }
        }
        // What a browser sends for a form in which nothing was chosen.
        Some(_) => return Err(Error::new(&codes::FILE_MISSING).saying("未选择文件", "No file was chosen")),
        None => return Err(Error::new(&codes::FILE_MISSING)),
    }
    plugins.storage.receive(MAX_COMPRESSED, part).await
}

/// Publishes a received package for a user.
///
/// # Errors
/// Everything that can be wrong with the package, its owner or its version.
pub async fn publish(plugins: &Arc<Plugins>, user: &CurrentUser, received: Received) -> Result<Outcome> {
    failpoint::reach("received");
    // What is inside is not held while the database is waited for.
    let Inspected { received, package, kept, .. } = inspect(plugins, received).await?;
    failpoint::reach("inspected");
    user.allows(Scope::Publish, &package.manifest.id)?;
    let mut tx = database::begin(&plugins.db).await?;
    let kind = authorize_publish(plugins, &mut tx, user, &package.manifest, &received.hash).await?;
    failpoint::reach("claimed");
    // In a task of its own: if the client leaves between the file and its row, no file without a row stays behind.
    // Not earlier: a request that still waits for a connection ends when its client leaves.
    let storing = store(plugins.clone(), user.id, tx, kind, (received, kept), package.manifest);
    tokio::spawn(storing.in_current_span()).await?
}

/// Keeps the file of an admitted package and inserts its row.
async fn store(
    plugins: Arc<Plugins>,
    user: i64,
    mut tx: Transaction,
    kind: PublishKind,
    (received, contents): (Received, Option<KeptContents>),
    manifest: Manifest,
) -> Result<Outcome> {
    if let PublishKind::Known(existing) = kind {
        // A file that was lost or put into quarantine comes back with the same bytes.
        if plugins.storage.open(&existing.file_path, 0).await?.is_none() {
            plugins.storage.keep(received, &manifest.id, &manifest.version.to_string()).await?;
        }
        return Ok(Outcome { version_id: existing.id, manifest, is_new: false });
    }
    let (size, hash) = (i64::try_from(received.size).unwrap_or(i64::MAX), received.hash.clone());
    let version = manifest.version.to_string();
    let path = Storage::path_of(&received, &manifest.id, &version);
    let file = NewFile { path: &path, size, hash: &hash };
    // While the disk works, so does the database.
    let (kept, inserted) = tokio::join!(
        plugins.storage.keep(received, &manifest.id, &version).inspect(|_| failpoint::reach("kept")),
        queries::insert_version(&mut tx, &manifest, file, user).inspect(|_| failpoint::reach("inserted")),
    );
    kept?;
    let version_id = inserted?;
    if let Some(contents) = &contents {
        queries::insert_contents(&mut tx, version_id, contents).await?;
    }
    if matches!(kind, PublishKind::Further) {
        choose_current(&mut tx, &manifest.id).await?;
        queries::set_updated_at(&mut tx, &manifest.id).await?;
    }
    failpoint::reach("before_commit");
    tx.commit().await?;
    failpoint::reach("after_commit");
    plugins.feed.wait_until_applied(Topic::Catalogue, vec![manifest.id.clone()]).await;
    plugins.metrics.uploaded();
    info!(plugin.id = manifest.id, version, user.id = user, "published {} {version}", manifest.id);
    Ok(Outcome { version_id, manifest, is_new: true })
}

/// What a package is to the marketplace.
enum PublishKind {
    /// The first version of a new plugin, claimed for its owner.
    New,
    /// A further version.
    Further,
    /// These very bytes are published.
    Known(queries::Existing),
}

/// Claims or locks the plugin and checks everything that does not depend on the package's bytes alone.
async fn authorize_publish(
    plugins: &Plugins,
    db: &mut PgConnection,
    user: &CurrentUser,
    manifest: &Manifest,
    hash: &str,
) -> Result<PublishKind> {
    let taken = queries::taken(db, &manifest.id).await?;
    if taken.is_retired {
        return Err(Error::with(&codes::ID_RETIRED, &[&manifest.id]));
    }
    if !taken.is_known {
        similar::check(plugins, db, user, manifest).await?;
        if queries::claim(db, manifest, user.id).await? {
            check_dependencies(db, manifest).await?;
            return Ok(PublishKind::New);
        }
    }
    let plugin = queries::lock(db, &manifest.id).await?.or_refuse(&codes::PLUGIN_NOT_FOUND)?;
    if !queries::is_owner(db, &manifest.id, user.id).await? {
        return Err(Error::with(&codes::NOT_OWNER, &[&manifest.id]));
    }
    if plugin.status == Status::Banned {
        return Err(Error::with(&codes::PLUGIN_BANNED, &[&manifest.id]));
    }
    match queries::find_version(db, &manifest.id, &manifest.version.to_string()).await? {
        Some(existing) if existing.file_hash == hash => Ok(PublishKind::Known(existing)),
        Some(_) => Err(queries::exists(manifest)),
        None => {
            check_dependencies(db, manifest).await?;
            Ok(PublishKind::Further)
        }
    }
}

/// Whether a package could be published now, and would be new; changes nothing.
///
/// # Errors
/// Those of publishing.
pub async fn dry_run(plugins: &Plugins, user: &CurrentUser, manifest: &Manifest, hash: &str) -> Result<bool> {
    user.allows(Scope::Publish, &manifest.id)?;
    let mut tx = database::begin(&plugins.db).await?;
    let kind = authorize_publish(plugins, &mut tx, user, manifest, hash).await?;
    tx.rollback().await?;
    Ok(!matches!(kind, PublishKind::Known(_)))
}

/// Reads a received package.
///
/// # Errors
/// 400 naming every fault of the package.
pub async fn inspect(plugins: &Plugins, received: Received) -> Result<Inspected> {
    plugins.derived.once(Work::Inspect, || contents::inspect(received)).await??.map_err(refuse)
}

/// A package's faults as an answer.
fn refuse(refusal: package::Refusal) -> Error {
    let code = refusal.code();
    let text = match refusal.faults.as_slice() {
        [only] if only.is_sentence() => Text::new(only.zh.clone(), only.en.clone()),
        _ => Text::new(codes::INVALID_PACKAGE.zh, codes::INVALID_PACKAGE.en),
    };
    let status = codes::status_of_package(code);
    let details = refusal.faults.into_iter().map(|f| Fault { field: f.field, text: Text::new(f.zh, f.en) }).collect();
    let error = Error::Refused(Box::new(Refusal { status, code, text, details, headers: Vec::new() }));
    if status == StatusCode::SERVICE_UNAVAILABLE { error.header(RETRY_AFTER, 2.into()) } else { error }
}

/// Refuses dependencies that are not there or banned, naming each.
async fn check_dependencies(db: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    let ids: Vec<String> = manifest.dependencies.iter().map(|d| d.id.clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let known: HashMap<String, Status> = queries::find_dependencies(db, &ids).await?.into_iter().collect();
    let (mut unknown, mut banned) = (Vec::new(), Vec::new());
    for (i, id) in ids.iter().enumerate() {
        let field = format!("dependencies[{i}]");
        match known.get(id) {
            None => unknown.push((id.as_str(), Fault { field, text: Text::new("插件不存在", "no such plugin") })),
            Some(Status::Banned) => {
                banned.push((id.as_str(), Fault { field, text: Text::new("插件已被封禁", "is banned") }))
            }
            Some(_) => {}
        }
    }
    let (code, faults) =
        if unknown.is_empty() { (&codes::BANNED_DEPENDENCY, banned) } else { (&codes::UNKNOWN_DEPENDENCY, unknown) };
    if faults.is_empty() {
        return Ok(());
    }
    let names = faults.iter().map(|(id, _)| *id).collect::<Vec<_>>().join(", ");
    let mut error = Error::with(code, &[&names]);
    if let Error::Refused(refusal) = &mut error {
        refusal.details = faults.into_iter().map(|(_, fault)| fault).collect();
    }
    Err(error)
}

/// Makes the right version current: the highest stable one that is not yanked, with no stable one the
/// highest pre-release.
pub(super) async fn choose_current(db: &mut PgConnection, id: &str) -> Result<()> {
    let live = queries::live_versions(db, id).await?;
    let versions = live.iter().filter_map(|text| Version::parse(text).ok());
    match versions.max_by(|a, b| (a.pre.is_empty(), a).cmp(&(b.pre.is_empty(), b))) {
        Some(current) => {
            let manifest = queries::manifest(db, id, &current.to_string()).await?;
            queries::set_current(db, &manifest).await
        }
        None => queries::clear_current(db, id).await,
    }
}
