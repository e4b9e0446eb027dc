//! Handing out packages: streamed from disk, handed to nginx, or redirected to a bucket or a CDN.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};

use super::{
    Plugins,
    counts::{self, DownloadSource},
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
    download_package(&plugins, &id, which.version.as_deref(), &method, &headers).await
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
    download_package(&plugins, &id, Some(&version), &method, &headers).await
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
    let request = PackageRequest { is_head: method == Method::HEAD, headers: &headers, receiver: Receiver::Cdn };
    serve_package(&plugins, &id, &file, &request).await
}

async fn download_package(
    plugins: &Plugins,
    id: &PluginId,
    version: Option<&str>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response> {
    let file = find_file(plugins, id, version).await?;
    let request = PackageRequest { is_head: *method == Method::HEAD, headers, receiver: Receiver::Client };
    if let Some(cdn) = plugins.cdn.as_deref() {
        let (id, version) = (id.as_str(), &file.row.version);
        if !request.is_head && range::starts_at_zero(headers, file.size) {
            counts::note_download(plugins, id, &file.row, DownloadSource::of(headers));
        }
        return redirect(&format!("{cdn}/plugins/{id}/{version}/{id}.tar.gz"));
    }
    serve_package(plugins, id, &file, &request).await
}

/// Who asks for which part of a package.
struct PackageRequest<'a> {
    is_head: bool,
    headers: &'a HeaderMap,
    receiver: Receiver,
}

/// Where the bytes of an answer come from.
enum Source {
    /// The client has them.
    NotModified,
    /// The bucket, at this address.
    Bucket(String),
    /// nginx, at this path.
    Nginx(String, Range),
    /// This server.
    Store(Range),
}

impl Source {
    /// Whether the client gets the first byte: what is continued was counted when it began.
    fn has_first_byte(&self, file: &Download, request: &PackageRequest<'_>) -> bool {
        match self {
            Self::NotModified => false,
            // The bucket's entity tags are not ours, so `If-Range` says nothing there.
            Self::Bucket(_) => range::starts_at_zero(request.headers, file.size),
            Self::Nginx(_, range) | Self::Store(range) => matches!(range, Range::Whole | Range::Part { start: 0, .. }),
        }
    }
}

/// Answers with a package, and counts the transfer when it begins.
async fn serve_package(
    plugins: &Plugins,
    id: &PluginId,
    file: &Download,
    request: &PackageRequest<'_>,
) -> Result<Response> {
    let source = choose_source(plugins, file, request).await?;
    let counts = request.receiver == Receiver::Client && !request.is_head && source.has_first_byte(file, request);
    let response = respond_from(plugins, file, request, source).await?;
    if counts {
        counts::note_download(plugins, id.as_str(), &file.row, DownloadSource::of(request.headers));
    }
    Ok(response)
}

/// Chooses where the bytes come from.
///
/// # Errors
/// 416 for a range behind the end of the package; 503 when the bucket does not answer.
async fn choose_source(plugins: &Plugins, file: &Download, request: &PackageRequest<'_>) -> Result<Source> {
    let etag = file.etag.to_str().unwrap_or_default();
    if range::is_unchanged(request.headers, etag) {
        return Ok(Source::NotModified);
    }
    let range = range::parse_range(request.headers, etag, file.size);
    if range == Range::Unsatisfiable {
        let all = header_value(&format!("bytes */{}", file.size))?;
        return Err(Error::new(&codes::RANGE_NOT_SATISFIABLE).header(header::CONTENT_RANGE, all));
    }
    // A presigned address answers GET only, and few CDNs follow a redirect of their origin.
    if request.receiver == Receiver::Client
        && !request.is_head
        && let Some(target) = plugins.storage.presign(&file.row.file_path).await?
    {
        return Ok(Source::Bucket(target));
    }
    if !plugins.accel_redirect.is_empty() && !request.is_head {
        let target = format!("{}/{}", plugins.accel_redirect.trim_end_matches('/'), file.row.file_path);
        return Ok(Source::Nginx(target, range));
    }
    Ok(Source::Store(range))
}

async fn respond_from(
    plugins: &Plugins,
    file: &Download,
    request: &PackageRequest<'_>,
    source: Source,
) -> Result<Response> {
    let mut headers = file.validators(request.receiver);
    let range = match source {
        Source::NotModified => return Ok(respond(StatusCode::NOT_MODIFIED, headers, Body::empty())),
        Source::Bucket(target) => return redirect(&target),
        Source::Nginx(target, _) => {
            file.describe(&mut headers);
            // nginx does the ranges itself, and says so.
            headers.remove(header::ACCEPT_RANGES);
            headers.insert(header::HeaderName::from_static("x-accel-redirect"), header_value(&target)?);
            return Ok(respond(StatusCode::OK, headers, Body::empty()));
        }
        Source::Store(range) => range,
    };
    file.describe(&mut headers);
    let size = file.size;
    let (status, start, length) = match range {
        Range::Whole | Range::Unsatisfiable => (StatusCode::OK, 0, size),
        Range::Part { start, end } => {
            headers.insert(header::CONTENT_RANGE, header_value(&format!("bytes {start}-{end}/{size}"))?);
            (StatusCode::PARTIAL_CONTENT, start, end - start + 1)
        }
    };
    headers.insert(header::CONTENT_LENGTH, length.into());
    if request.is_head {
        return Ok(respond(status, headers, Body::empty()));
    }
    let path = &file.row.file_path;
    let part = plugins.storage.part(path, start, length).await?;
    let missing = || Error::Unavailable(anyhow::anyhow!("the package {path} is missing from the store"));
    let body = match part.ok_or_else(missing)? {
        Part::Whole(bytes) => Body::from(bytes),
        Part::Stream(chunks) => Body::from_stream(chunks),
    };
    Ok(respond(status, headers, body))
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

    /// The headers by which a client or cache knows whether it has the package already.
    fn validators(&self, receiver: Receiver) -> HeaderMap {
        let caching = match receiver {
            Receiver::Client => "public, no-cache",
            Receiver::Cdn => "public, max-age=31536000, immutable",
        };
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers
    }

    /// Adds the headers that say what the package is.
    fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
        headers.insert(header::CONTENT_DISPOSITION, self.disposition.clone());
        headers.insert(header::HeaderName::from_static("repr-digest"), self.digest.clone());
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

/// The file of a version, from memory once it is known: downloads go on while the database is unavailable.
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
