//! A ready-made answer: bytes, entity tag and compressed forms, each made once.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use axum::{
    body::{Body, Bytes, HttpBody, to_bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use crate::http::range;

/// What an answer takes beside its bytes: its parts, and its place in the cache.
const OVERHEAD: usize = 768;
/// Smaller answers are sent as they are: compressing them saves nothing.
pub const WORTH_COMPRESSING: u64 = 1024;
/// May be kept by anyone, but browsers ask every time whether it is still right, and shared caches
/// after a second.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=0, s-maxage=1, must-revalidate");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer that may be sent many times.
pub struct CachedResponse {
    body: Bytes,
    etag: HeaderValue,
    gzip: OnceLock<Bytes>,
    brotli: OnceLock<Bytes>,
    zstd: OnceLock<Bytes>,
    effort: Effort,
}

/// How much time goes into each coding.
#[derive(Clone, Copy, Debug)]
struct Effort {
    gzip: u32,
    brotli: i32,
    zstd: i32,
}

const QUICK: Effort = Effort { gzip: 6, brotli: 5, zstd: 3 };
/// For what is compressed once in the life of the program.
const THOROUGH: Effort = Effort { gzip: 9, brotli: 9, zstd: 19 };

type Compressor = fn(&[u8]) -> io::Result<Vec<u8>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    Identity,
    Gzip,
    Brotli,
    Zstd,
}

impl CachedResponse {
    /// An answer with these bytes.
    pub fn new(body: Bytes) -> Self {
        Self::with(body, QUICK)
    }

    /// An answer that stays as long as the program runs, and so is compressed as well as can be.
    pub fn lasting(body: Bytes) -> Self {
        Self::with(body, THOROUGH)
    }

    fn with(body: Bytes, effort: Effort) -> Self {
        let hash = Sha256::digest(&body);
        // Weak (RFC 9110, 8.8.3.3): the compressed forms are other bytes with the same meaning.
        let tag: String = hex::encode(&hash[..16]);
        let etag = HeaderValue::from_str(&format!("W/\"{tag}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
        Self { body, etag, gzip: OnceLock::new(), brotli: OnceLock::new(), zstd: OnceLock::new(), effort }
    }

    /// Bytes it takes in memory at most, all forms included.
    pub fn weight(&self) -> usize {
        // Compressed forms appear later and are smaller each.
        OVERHEAD + self.body.len() + if self.body.len() as u64 >= WORTH_COMPRESSING { self.body.len() } else { 0 }
    }

    /// The plain bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The answer to a request with these headers: 304 when the client has it already.
    pub fn respond(&self, request: &HeaderMap) -> Response {
        let is_known = self.etag.to_str().is_ok_and(|etag| range::is_unchanged(request, etag));
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, JSON);
        let (bytes, coding) = self.form(request);
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        *response.body_mut() = Body::from(bytes);
        response
    }

    fn form(&self, request: &HeaderMap) -> (Bytes, Option<&'static str>) {
        if (self.body.len() as u64) < WORTH_COMPRESSING {
            return (self.body.clone(), None);
        }
        let Effort { gzip: by_gzip, brotli: by_brotli, zstd: by_zstd } = self.effort;
        let made = |slot: &OnceLock<Bytes>, make: &dyn Fn(&[u8]) -> io::Result<Vec<u8>>| {
            slot.get_or_init(|| make(&self.body).map_or_else(|_| self.body.clone(), Bytes::from)).clone()
        };
        match accepted(request.get(header::ACCEPT_ENCODING)) {
            Coding::Identity => (self.body.clone(), None),
            Coding::Gzip => (made(&self.gzip, &|bytes| gzip(bytes, by_gzip)), Some("gzip")),
            Coding::Brotli => (made(&self.brotli, &|bytes| brotli(bytes, by_brotli)), Some("br")),
            Coding::Zstd => (made(&self.zstd, &|bytes| zstd(bytes, by_zstd)), Some("zstd")),
        }
    }
}

/// Whether compressing something of this media type is worth it.
pub fn is_text(media: &str) -> bool {
    media.starts_with("text/") || ["json", "xml", "javascript"].iter().any(|kind| media.contains(kind))
}

/// Compresses an answer that was made for one request, as the request accepts it. It is compressed as a whole and
/// quickly: while a client reads it slowly, nothing but its bytes is kept.
pub async fn compress(mut response: Response, accept_encoding: Option<&HeaderValue>) -> Response {
    let headers = response.headers();
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    let is_compressible = media.is_some_and(is_text)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && response.body().size_hint().exact().is_some_and(|length| length >= WORTH_COMPRESSING);
    if !is_compressible {
        return response;
    }
    let mut varies = headers.get_all(header::VARY).iter().filter_map(|vary| vary.to_str().ok());
    if !varies.any(|vary| vary.to_ascii_lowercase().contains("accept-encoding")) {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    let (coding, compress): (_, Compressor) = match accepted(accept_encoding) {
        Coding::Identity => return response,
        Coding::Gzip => ("gzip", |bytes| gzip(bytes, 1)),
        Coding::Brotli => ("br", |bytes| brotli(bytes, 1)),
        Coding::Zstd => ("zstd", |bytes| zstd(bytes, 1)),
    };
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let Ok(compressed) = compress(&bytes) else { return Response::from_parts(parts, Body::from(bytes)) };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    Response::from_parts(parts, Body::from(compressed))
}

/// The coding `Accept-Encoding` prefers (RFC 9110, 12.5.3); of equals the smallest.
fn accepted(accept_encoding: Option<&HeaderValue>) -> Coding {
    let Some(accepted) = accept_encoding.and_then(|v| v.to_str().ok()) else {
        return Coding::Identity;
    };
    let mut best = (0.0, 0, Coding::Identity);
    for range in accepted.split(',') {
        let mut parts = range.split(';');
        let (rank, coding) = match parts.next().unwrap_or_default().trim() {
            "br" => (3, Coding::Brotli),
            "zstd" => (2, Coding::Zstd),
            "gzip" | "x-gzip" => (1, Coding::Gzip),
            _ => continue,
        };
        let quality = parts.find_map(|p| p.trim().strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
        if quality > 0.0 && (quality, rank) > (best.0, best.1) {
            best = (quality, rank, coding);
        }
    }
    best.2
}

fn gzip(bytes: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::new(level));
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(bytes: &[u8], quality: i32) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::with_capacity(bytes.len() / 3);
    let params = brotli::enc::BrotliEncoderParams { quality, ..Default::default() };
    brotli::BrotliCompress(&mut io::Cursor::new(bytes), &mut compressed, &params)?;
    Ok(compressed)
}

fn zstd(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    zstd::encode_all(bytes, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn the_preferred_coding_is_chosen() {
        let chosen = |value| accepted(Some(&HeaderValue::from_static(value)));
        assert_eq!(chosen("gzip, deflate, br, zstd"), Coding::Brotli);
        assert_eq!(chosen("gzip;q=1.0, br;q=0.5"), Coding::Gzip);
        assert_eq!(chosen("br;q=0, zstd"), Coding::Zstd);
        assert_eq!(chosen("identity"), Coding::Identity);
        assert_eq!(accepted(None), Coding::Identity);
    }

    #[test]
    fn a_known_answer_is_not_sent_again() {
        let ready = CachedResponse::new(Bytes::from_static(b"{}"));
        let first = ready.respond(&HeaderMap::new());
        let etag = first.headers()[header::ETAG].to_str().expect("text").to_owned();
        let again = ready.respond(&request(header::IF_NONE_MATCH, &etag));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn all_forms_hold_the_same() {
        use std::io::Read;
        let text = "插件市场 ".repeat(500);
        let mut plain = String::new();
        flate2::read::GzDecoder::new(gzip(text.as_bytes(), 6).expect("gzip").as_slice())
            .read_to_string(&mut plain)
            .expect("read");
        assert_eq!(plain, text);
        assert_eq!(
            zstd::decode_all(zstd(text.as_bytes(), 3).expect("zstd").as_slice()).expect("read"),
            text.as_bytes()
        );
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut io::Cursor::new(brotli(text.as_bytes(), 5).expect("br")), &mut plain)
            .expect("read");
        assert_eq!(plain, text.as_bytes());
    }
}
