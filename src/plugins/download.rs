//! Handing out packages: streamed from disk, handed to nginx, or redirected to a bucket or a CDN.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};

use super::{
    Plugins, counts,
    queries::{self, VersionFile},
};
use crate::{
    catalogue::PluginId,
    error::{Error, Result, codes},
    http::{
        extract::{FromParams, Params, Path, Query},
        range::{self, Range},
    },
    storage::Part,
};

/// Which version to download.
pub struct Which {
    version: Option<String>,
}

impl FromParams for Which {
    fn from_params(params: &mut Params) -> Self {
        Self { version: params.short_text("version", 100) }
    }
}

/// Downloads a package: the current version, or the one named.
#[utoipa::path(get, path = "/plugins/{id}/download", tag = "plugins",
    params(("id" = String, Path), ("version" = Option<String>, Query, description = "Default: the current version")),
    responses(
        (status = 200, description = "The package", content_type = "application/gzip"),
        (status = 206, description = "The range asked for", content_type = "application/gzip"),
        (status = 302, description = "Where the package is: with object storage or a CDN"),
        (status = 304, description = "Unchanged"),
    ))]
pub async fn download(
    State(plugins): State<Arc<Plugins>>,
    Path(id): Path<PluginId>,
    Query(which): Query<Which>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    hand_out(&plugins, &id, which.version.as_deref(), &method, &headers).await
}

/// Downloads the package of one version.
#[utoipa::path(get, path = "/plugins/{id}/versions/{version}/download", tag = "plugins",
    params(("id" = String, Path), ("version" = String, Path)),
    responses(
        (status = 200, description = "The package", content_type = "application/gzip"),
        (status = 206, description = "The range asked for", content_type = "application/gzip"),
        (status = 302, description = "Where the package is: with object storage or a CDN"),
        (status = 304, description = "Unchanged"),
    ))]
pub async fn download_version(
    State(plugins): State<Arc<Plugins>>,
    Path((id, version)): Path<(PluginId, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    hand_out(&plugins, &id, Some(&version), &method, &headers).await
}

/// Who receives a package.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiver {
    /// A client: its transfer counts, and it can be sent elsewhere.
    Client,
    /// A CDN, which keeps what it gets. The transfers it makes of it were counted when clients were
    /// redirected to it.
    Cdn,
}

/// The origin of the CDN: the address it pulls a package from, the same as it hands it out under.
pub async fn origin(
    State(plugins): State<Arc<Plugins>>,
    Path((id, version, name)): Path<(PluginId, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    if name.strip_suffix(".tar.gz") != Some(id.as_str()) {
        return Err(Error::new(&codes::NOT_FOUND));
    }
    let file = find_file(&plugins, &id, Some(&version)).await?;
    deliver(&plugins, &id, &file, &method, &headers, Receiver::Cdn).await
}

async fn hand_out(
    plugins: &Plugins,
    id: &PluginId,
    version: Option<&str>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response> {
    let file = find_file(plugins, id, version).await?;
    if let Some(cdn) = plugins.cdn.as_deref() {
        let (id, version) = (id.as_str(), &file.row.version);
        let target = format!("{cdn}/plugins/{id}/{version}/{id}.tar.gz");
        if *method != Method::HEAD && range::starts_at_zero(headers, file.size) {
            counts::note_download(plugins, id, &file.row);
        }
        return redirect(&target);
    }
    deliver(plugins, id, &file, method, headers, Receiver::Client).await
}

async fn deliver(
    plugins: &Plugins,
    id: &PluginId,
    file: &Download,
    method: &Method,
    headers: &HeaderMap,
    receiver: Receiver,
) -> Result<Response> {
    let is_head = *method == Method::HEAD;
    let Download { row, size, .. } = file;
    let (etag, size) = (file.etag.to_str().unwrap_or_default(), *size);
    let caching = match receiver {
        Receiver::Client => "public, no-cache",
        Receiver::Cdn => "public, max-age=31536000, immutable",
    };
    let mut known = HeaderMap::with_capacity(16);
    known.insert(header::ETAG, file.etag.clone());
    known.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    known.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if range::is_unchanged(headers, etag) {
        return Ok(respond(StatusCode::NOT_MODIFIED, known, Body::empty()));
    }
    known.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    known.insert(header::CONTENT_DISPOSITION, file.disposition.clone());
    known.insert(header::HeaderName::from_static("repr-digest"), file.digest.clone());
    let part = range::of(headers, etag, size);
    if part == Range::Beyond {
        let all = header_value(&format!("bytes */{size}"))?;
        return Err(Error::new(&codes::RANGE_NOT_SATISFIABLE).header(header::CONTENT_RANGE, all));
    }
    let starts_at_zero = matches!(part, Range::Whole | Range::Part { start: 0, .. });
    let counts = receiver == Receiver::Client && !is_head && starts_at_zero;
    // A presigned address answers GET only, and few CDNs follow a redirect of their origin.
    if receiver == Receiver::Client
        && !is_head
        && let Some(target) = plugins.storage.presign(&row.file_path).await?
    {
        // The bucket's entity tags are not ours, so `If-Range` says nothing here.
        if range::starts_at_zero(headers, size) {
            counts::note_download(plugins, id.as_str(), row);
        }
        return redirect(&target);
    }
    let accel = &plugins.accel_redirect;
    if !accel.is_empty() && !is_head {
        // nginx does the ranges itself, and says so.
        known.remove(header::ACCEPT_RANGES);
        if counts {
            counts::note_download(plugins, id.as_str(), row);
        }
        let target = format!("{}/{}", accel.trim_end_matches('/'), row.file_path);
        known.insert(header::HeaderName::from_static("x-accel-redirect"), header_value(&target)?);
        return Ok(respond(StatusCode::OK, known, Body::empty()));
    }
    let (status, start, length) = match part {
        Range::Whole | Range::Beyond => (StatusCode::OK, 0, size),
        Range::Part { start, end } => {
            known.insert(header::CONTENT_RANGE, header_value(&format!("bytes {start}-{end}/{size}"))?);
            (StatusCode::PARTIAL_CONTENT, start, end - start + 1)
        }
    };
    known.insert(header::CONTENT_LENGTH, length.into());
    if is_head {
        return Ok(respond(status, known, Body::empty()));
    }
    let part = plugins.storage.part(&row.file_path, start, length).await?.ok_or_else(|| {
        Error::Unavailable(anyhow::anyhow!("the package {} is missing from the store", row.file_path))
    })?;
    if counts {
        counts::note_download(plugins, id.as_str(), row);
    }
    let body = match part {
        Part::Whole(bytes) => Body::from(bytes),
        Part::Stream(chunks) => Body::from_stream(chunks),
    };
    Ok(respond(status, known, body))
}

/// A package with the headers that it always has.
struct Download {
    row: VersionFile,
    size: u64,
    etag: HeaderValue,
    disposition: HeaderValue,
    digest: HeaderValue,
}

impl Download {
    fn new(id: &PluginId, row: VersionFile) -> Result<Self> {
        Ok(Self {
            size: u64::try_from(row.file_size).unwrap_or_default(),
            etag: header_value(&format!("\"{}\"", row.file_hash))?,
            disposition: header_value(&format!("attachment; filename=\"{}-{}.tar.gz\"", id.as_str(), row.version))?,
            digest: header_value(&range::repr_digest(&row.file_hash))?,
            row,
        })
    }
}

/// Files of versions in memory, by plugin and version asked for, with the text revision of their plugin since which they
/// are right.
pub struct Files(moka::sync::Cache<String, (i64, Arc<Download>)>);

impl Default for Files {
    fn default() -> Self {
        Self(moka::sync::Cache::new(20_000))
    }
}

/// The file of a version, from memory once it is known: downloads go on while the database is away.
async fn find_file(plugins: &Plugins, id: &PluginId, version: Option<&str>) -> Result<Arc<Download>> {
    // A plugin that is not listed may be banned: only the database knows.
    let revision = plugins.catalogue.lists.revisions(id.as_str()).map(|(_, text)| text);
    let key = format!("{} {}", id.as_str(), version.unwrap_or_default());
    let known = plugins.files.0.get(&key);
    if let Some((since, file)) = &known
        && revision == Some(*since)
    {
        return Ok(file.clone());
    }
    match plugins.database.read(read_file(plugins, id, version)).await {
        Ok(file) => {
            if let Some(revision) = revision {
                plugins.files.0.insert(key, (revision, file.clone()));
            }
            Ok(file)
        }
        Err(Error::Unavailable(cause)) => {
            known.filter(|_| revision.is_some()).map(|(_, file)| file).ok_or(Error::Unavailable(cause))
        }
        Err(e) => Err(e),
    }
}

/// The row of a version that may be shown, from memory once it is known.
///
/// # Errors
/// 404 when the plugin is unknown or banned, or has no such version.
pub async fn find_version(plugins: &Plugins, id: &PluginId, version: &str) -> Result<VersionFile> {
    Ok(find_file(plugins, id, Some(version)).await?.row.clone())
}

async fn read_file(plugins: &Plugins, id: &PluginId, version: Option<&str>) -> Result<Arc<Download>> {
    if let Some(row) = queries::version_file(&plugins.db, id.as_str(), version).await? {
        return Ok(Arc::new(Download::new(id, row)?));
    }
    let is_known = queries::is_visible(&plugins.db, id.as_str()).await?;
    Err(Error::new(if is_known { &codes::VERSION_NOT_FOUND } else { &codes::PLUGIN_NOT_FOUND }))
}

fn redirect(target: &str) -> Result<Response> {
    let location = [(header::LOCATION, header_value(target)?)];
    Ok(respond(StatusCode::FOUND, HeaderMap::from_iter(location), Body::empty()))
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn header_value(text: &str) -> Result<HeaderValue> {
    Ok(HeaderValue::from_str(text).map_err(anyhow::Error::from)?)
}
