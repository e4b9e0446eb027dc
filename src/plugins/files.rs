//! Browsing the files of a version, so that people can read what they are about to run.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Plugins,
    contents::{self, StoredFile},
};
use crate::{
    catalogue::PluginId,
    error::Result,
    http::{envelope::Success, extract::Path},
};

/// A version never changes, but it can be banned, so every use is checked with us.
pub(super) const REVALIDATE: [(HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"))];

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
) -> Result<([(HeaderName, HeaderValue); 1], Json<Success<FileList>>)> {
    let file = contents::find_version(&plugins, &id, &version).await?;
    let contents = contents::read(&plugins, &file).await?;
    Ok((
        REVALIDATE,
        Success::of(FileList {
            id: id.as_str().to_owned(),
            version,
            unpacked_size: contents.files.iter().map(|file| file.size).sum(),
            files: contents.files.iter().map(Into::into).collect(),
        }),
    ))
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
) -> Result<([(HeaderName, HeaderValue); 1], Json<Success<FileText>>)> {
    let version = contents::find_version(&plugins, &id, &version).await?;
    let file = contents::read_file(&plugins, &version, &path).await?;
    let about = FileItem::from(&file);
    let text = file.text.unwrap_or_default();
    Ok((REVALIDATE, Success::of(FileText { truncated: (text.len() as u64) < file.size, about, text })))
}
