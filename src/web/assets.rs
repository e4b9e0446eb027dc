//! Styles, script and pictures, from within the binary.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use moka::sync::Cache;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::{
    error::{Error, codes},
    http::{
        cached_response::{CachedResponse, is_text},
        extract::Path,
    },
};

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The address of an asset; another content has another address.
pub(super) fn address(name: &str) -> String {
    match Assets::get(name) {
        Some(file) => format!("/assets/{name}?v={}", short_hash(&file)),
        None => format!("/assets/{name}"),
    }
}

fn short_hash(file: &EmbeddedFile) -> String {
    hex::encode(&file.metadata.sha256_hash()[..6])
}

/// Assets with their compressed forms, by path and hash.
static COMPRESSED: LazyLock<Cache<String, Arc<CachedResponse>>> = LazyLock::new(|| Cache::new(100));

fn compressed(path: &str, hash: &str, data: Cow<'static, [u8]>) -> Arc<CachedResponse> {
    COMPRESSED.get_with(format!("{path} {hash}"), || Arc::new(CachedResponse::lasting(data.into_owned().into())))
}

/// Hands out an asset.
pub(super) async fn asset(Path(path): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    answer(&path, uri.query().unwrap_or_default(), &headers)
}

/// The icon under the address browsers ask for unprompted.
pub(super) async fn favicon(headers: HeaderMap) -> Response {
    answer("favicon.svg", "", &headers)
}

fn answer(path: &str, query: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Assets::get(path) else { return Error::new(&codes::NOT_FOUND).into_response() };
    let hash = short_hash(&file);
    let etag = format!("\"{hash}\"");
    // With the hash in its address it can be kept for ever, without it only be asked for again.
    let kept = if query == format!("v={hash}") { "public, max-age=31536000, immutable" } else { "public, no-cache" };
    let media = HeaderValue::from_str(file.metadata.mimetype());
    let media = media.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == etag.as_str()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if is_text(file.metadata.mimetype()) {
        compressed(path, &hash, file.data).respond(headers)
    } else {
        file.data.into_response()
    };
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}
