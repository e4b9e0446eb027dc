//! Browsing the files of a version, so that people can read what they are about to run.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Plugins,
    contents::{self, StoredFile},
    details::of_plugin,
    download::find_version,
};
use crate::{
    catalogue::PluginId,
    error::Result,
    http::{
        cache::{self, Kind},
        envelope::Success,
        extract::Path,
    },
};

/// A version never changes, but it can be banned, so every use is checked with us.
pub(super) fn revalidated(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    response
}

/// The files of a version.
#[derive(Serialize, ToSchema)]
pub struct FileList {
    id: String,
    version: String,
    /// Bytes of all files.
    unpacked_size: u64,
    /// In the order of their paths.
    files: Vec<FileItem>,
}

/// One file of a version.
#[derive(Serialize, ToSchema)]
pub struct FileItem {
    /// Bytes.
    size: u64,
    /// Whether the package marks it as executable.
    executable: bool,
    /// SHA-256, in hex.
    hash: String,
    /// Path below the package's root.
    #[schema(example = "scripts/hello.sh")]
    path: String,
}

impl From<&StoredFile> for FileItem {
    fn from(file: &StoredFile) -> Self {
        let StoredFile { path, size, executable, hash, .. } = file.clone();
        Self { size, executable, hash, path }
    }
}

/// Lists the files of a version.
#[utoipa::path(get, path = "/plugins/{id}/versions/{version}/files", tag = "contents",
    params(("id" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = Success<FileList>)))]
pub async fn list_files(
    State(plugins): State<Arc<Plugins>>,
    Path((id, version)): Path<(PluginId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let what = format!("files {version}");
    let ready = of_plugin(&plugins, Kind::Contents, id.as_str(), &what, 0, || async {
        let file = find_version(&plugins, &id, &version).await?;
        let contents = contents::read(&plugins, &file).await?;
        cache::json(&*Success::of(FileList {
            id: id.as_str().to_owned(),
            version: file.version,
            unpacked_size: contents.files.iter().map(|file| file.size).sum(),
            files: contents.files.iter().map(Into::into).collect(),
        }))
    });
    Ok(revalidated(ready.await?.respond(&headers)))
}

/// A file and its text.
#[derive(Serialize, ToSchema)]
pub struct FileText {
    #[serde(flatten)]
    about: FileItem,
    /// Whether the text was cut: only the first 256 KiB are shown.
    truncated: bool,
    #[schema(value_type = String)]
    text: Arc<str>,
}

/// Shows one file of a version.
#[utoipa::path(get, path = "/plugins/{id}/versions/{version}/files/{*path}", tag = "contents",
    params(("id" = String, Path), ("version" = String, Path), ("path" = String, Path, description = "May hold slashes")),
    responses((status = 200, body = Success<FileText>)))]
pub async fn show_file(
    State(plugins): State<Arc<Plugins>>,
    Path((id, version, path)): Path<(PluginId, String, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let what = format!("file {version} {path}");
    let ready = of_plugin(&plugins, Kind::Contents, id.as_str(), &what, 0, || async {
        let version = find_version(&plugins, &id, &version).await?;
        let file = contents::read_file(&plugins, &version, &path).await?;
        let about = FileItem::from(&file);
        let text = file.text.unwrap_or_default();
        cache::json(&*Success::of(FileText { truncated: (text.len() as u64) < file.size, about, text }))
    });
    Ok(revalidated(ready.await?.respond(&headers)))
}
