//! Reading `multipart/form-data` bodies with a bound on each of their pieces.
//!
//! The parser behind axum's `Multipart` buffers whatever precedes the first boundary, and the headers
//! of a part, until it finds their end, and searches the whole buffer again for each chunk. Here the
//! body fails once too many bytes were read without a part or a piece of its data coming out.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, BodyDataStream},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header::CONTENT_TYPE},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::{
    error::{Error, Result, codes},
    http::body::Stalled,
};

/// Longest `Content-Type`, which holds the boundary.
const MAX_CONTENT_TYPE: usize = 256;
/// Most parts of a form.
const MAX_PARTS: usize = 32;
/// Most bytes of a part's headers.
const MAX_PART_HEADERS: usize = 16 * 1024;
/// Most bytes read before a part begins: preamble, boundary and headers.
const MAX_FRAMING: usize = 2 * MAX_PART_HEADERS;
/// Most bytes of a field that is no file.
const MAX_TEXT: usize = 1024;

/// A form, read part by part.
pub struct Form {
    parts: Multipart,
    count: usize,
    unparsed: Arc<AtomicUsize>,
}

impl Form {
    /// Begins to read a form of at most as many bytes as the policy of its route allows.
    ///
    /// # Errors
    /// 415 if it is no `multipart/form-data`, 400 without a usable boundary.
    pub async fn open(request: Request) -> Result<Self> {
        let media = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !media.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
            return Err(Error::with(&codes::UNSUPPORTED_MEDIA_TYPE, &["multipart/form-data"]));
        }
        if media.len() > MAX_CONTENT_TYPE {
            return Err(Error::new(&codes::INVALID_MULTIPART));
        }
        let unparsed = Arc::new(AtomicUsize::new(0));
        let request = request.map(|body| Body::from_stream(Guarded::new(body, unparsed.clone())));
        let parts = Multipart::from_request(request, &()).await.map_err(|_| Error::new(&codes::INVALID_MULTIPART))?;
        Ok(Self { parts, count: 0, unparsed })
    }

    /// The next part; `None` at the end of the form. The one before must have been read or skipped.
    ///
    /// # Errors
    /// 400 if the form is malformed or exceeds a bound, 408 if it stalls, 413 if it is too large.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>> {
        let Some(field) = self.parts.next_field().await.map_err(refuse)? else { return Ok(None) };
        self.unparsed.store(0, Ordering::Relaxed);
        self.count += 1;
        let headers: usize = field.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if self.count > MAX_PARTS || headers > MAX_PART_HEADERS {
            return Err(Error::new(&codes::INVALID_MULTIPART));
        }
        Ok(Some(Part { field, unparsed: self.unparsed.clone() }))
    }
}

/// One part of a form: a stream of its data.
pub struct Part<'a> {
    field: Field<'a>,
    unparsed: Arc<AtomicUsize>,
}

impl Part<'_> {
    /// The name of its field.
    pub fn name(&self) -> Option<&str> {
        self.field.name()
    }

    /// The name of the file it holds.
    pub fn file_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    /// Its data as text.
    ///
    /// # Errors
    /// 400 if it is longer than 1 KiB or not UTF-8.
    pub async fn text(mut self) -> Result<String> {
        let mut text = Vec::new();
        while let Some(chunk) = self.next().await.transpose()? {
            if text.len() + chunk.len() > MAX_TEXT {
                return Err(Error::new(&codes::INVALID_MULTIPART));
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).map_err(|_| Error::new(&codes::INVALID_MULTIPART))
    }

    /// Reads to its end without keeping anything.
    ///
    /// # Errors
    /// Those of the form.
    pub async fn skip(mut self) -> Result<()> {
        while self.next().await.transpose()?.is_some() {}
        Ok(())
    }
}

impl Stream for Part<'_> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let chunk = ready!(self.field.poll_next_unpin(cx));
        self.unparsed.store(0, Ordering::Relaxed);
        Poll::Ready(chunk.map(|chunk| chunk.map_err(refuse)))
    }
}

fn refuse(error: MultipartError) -> Error {
    match error.status() {
        _ if Stalled::caused(&error) => Error::new(&codes::REQUEST_TIMEOUT),
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(&codes::PACKAGE_TOO_LARGE),
        _ => Error::new(&codes::INVALID_MULTIPART),
    }
}

/// The body as it is given to the parser: chunk by chunk, and no more than [`MAX_FRAMING`] bytes that it
/// makes nothing of.
struct Guarded {
    body: BodyDataStream,
    /// Bytes given since the last part or piece of data came out.
    unparsed: Arc<AtomicUsize>,
    /// The parser asks for chunks until none is ready, and only then looks at them.
    must_parse_first: bool,
}

impl Guarded {
    fn new(body: Body, unparsed: Arc<AtomicUsize>) -> Self {
        Self { body: body.into_data_stream(), unparsed, must_parse_first: false }
    }
}

impl Stream for Guarded {
    type Item = std::result::Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.must_parse_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.unparsed.load(Ordering::Relaxed) > MAX_FRAMING {
            return Poll::Ready(Some(Err(axum::Error::new(TooMuchFraming))));
        }
        let chunk = ready!(self.body.poll_next_unpin(cx));
        if let Some(Ok(bytes)) = &chunk {
            self.unparsed.fetch_add(bytes.len(), Ordering::Relaxed);
            self.must_parse_first = true;
        }
        Poll::Ready(chunk)
    }
}

/// Preamble or part headers are longer than [`MAX_FRAMING`].
#[derive(Debug)]
struct TooMuchFraming;

impl fmt::Display for TooMuchFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the preamble or the headers of a part are too long")
    }
}

impl StdError for TooMuchFraming {}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(media: &str, chunks: Vec<Vec<u8>>) -> Request {
        let chunks = chunks.into_iter().map(|chunk| Ok::<_, axum::Error>(Bytes::from(chunk)));
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        Request::builder().header(CONTENT_TYPE, media).body(body).unwrap()
    }

    /// Reads a form whose parts are all skipped; the names of its fields.
    async fn read(media: &str, chunks: Vec<Vec<u8>>) -> Result<Vec<String>> {
        let mut form = Form::open(request(media, chunks)).await?;
        let mut names = Vec::new();
        while let Some(part) = form.next().await? {
            names.push(part.name().unwrap_or_default().to_owned());
            part.skip().await?;
        }
        Ok(names)
    }

    fn part(name: &str, header: usize, data: usize) -> Vec<u8> {
        let head =
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\nX: {}\r\n\r\n", "h".repeat(header));
        [head.as_bytes(), &vec![b'd'; data], b"\r\n"].concat()
    }

    fn chunked(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
        bytes.chunks(size).map(<[u8]>::to_vec).collect()
    }

    const MEDIA: &str = "multipart/form-data; boundary=b";

    #[tokio::test]
    async fn a_form_is_read_alike_however_it_is_cut() {
        let form = [part("a", 10_000, 1_000_000), part("b", 0, 0), b"--b--\r\n".to_vec()].concat();
        for size in [1_013, 16_384, 100_000, form.len()] {
            assert_eq!(read(MEDIA, chunked(&form, size)).await.unwrap(), ["a", "b"], "chunks of {size}");
        }
    }

    #[tokio::test]
    async fn every_piece_of_a_form_is_bounded() {
        let end = b"--b--\r\n".to_vec();
        let preamble = [vec![b'p'; 200_000], part("a", 0, 1), end.clone()].concat();
        let headers = [part("a", 200_000, 1), end.clone()].concat();
        let later_headers = [part("a", 0, 100_000), part("b", 17_000, 1), end.clone()].concat();
        let padding = [b"--b".to_vec(), vec![b' '; 200_000], b"\r\n".to_vec()].concat();
        let parts: Vec<u8> = (0..=MAX_PARTS).flat_map(|_| part("a", 0, 1)).chain(end.clone()).collect();
        for (name, form) in [("headers", &headers), ("later headers", &later_headers), ("parts", &parts)] {
            for size in [1_013, 65_536, form.len()] {
                assert!(read(MEDIA, chunked(form, size)).await.is_err(), "{name} in chunks of {size}");
            }
        }
        for (name, form) in [("preamble", &preamble), ("padding", &padding)] {
            assert!(read(MEDIA, chunked(form, 1_013)).await.is_err(), "{name}");
        }
        let boundary = "b".repeat(MAX_CONTENT_TYPE);
        assert!(read(&format!("multipart/form-data; boundary={boundary}"), vec![end]).await.is_err());
    }

    #[tokio::test]
    async fn a_text_is_short() {
        for (length, is_read) in [(MAX_TEXT, true), (MAX_TEXT + 1, false), (1 << 20, false)] {
            let form = [part("a", 0, length), b"--b--\r\n".to_vec()].concat();
            let mut form = Form::open(request(MEDIA, chunked(&form, 16_384))).await.unwrap();
            let text = form.next().await.unwrap().unwrap().text().await;
            assert_eq!(text.is_ok(), is_read, "{length} bytes");
        }
    }
}
