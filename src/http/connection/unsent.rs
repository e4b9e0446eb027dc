//! The responses that HTTP/2 clients have not read yet, and the most memory that all of them may take.
//!
//! A client of HTTP/2 decides for each stream how much of a response it takes, and may ask for many responses at a
//! time. Each is kept here, where it can be dropped although its stream is still open: when all of them together take
//! too much, the oldest response of the client whose responses take the most is dropped, and its stream reset.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame, SizeHint};

/// The most bytes of all unsent responses.
const MAX_BYTES: usize = 12 * 1024 * 1024;
/// What a response takes that is read from a file while it is sent: the piece that was read last.
const STREAMED: usize = 256 * 1024;
/// Bytes given to a stream at a time. They are copied: a slice would keep the whole response in memory.
const PIECE: usize = 16 * 1024;

/// All unsent responses.
#[derive(Default)]
pub struct UnsentResponses(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    last_id: u64,
    bytes: usize,
    /// By age.
    responses: BTreeMap<u64, Entry>,
}

struct Entry {
    client: Arc<str>,
    bytes: usize,
    contents: Arc<Mutex<Option<Contents>>>,
}

struct Contents {
    body: Body,
    /// What of the body's last piece is not sent yet.
    rest: Bytes,
}

/// The body of a response that is dropped early when unsent responses take too much memory.
pub struct UnsentBody {
    id: u64,
    contents: Arc<Mutex<Option<Contents>>>,
    registry: Arc<UnsentResponses>,
}

impl UnsentResponses {
    /// Keeps the body of a response to a client, and drops older ones if there is no room for it.
    pub fn keep(self: &Arc<Self>, client: &Arc<str>, body: Body) -> UnsentBody {
        let bytes = body.size_hint().exact().map_or(STREAMED, |length| usize::try_from(length).unwrap_or(usize::MAX));
        let contents = Arc::new(Mutex::new(Some(Contents { body, rest: Bytes::new() })));
        let entry = Entry { client: client.clone(), bytes, contents: contents.clone() };
        let (id, dropped) = lock(&self.0).insert(entry);
        for entry in dropped {
            let contents = lock(&entry.contents).take();
            drop(contents);
        }
        UnsentBody { id, contents, registry: self.clone() }
    }
}

impl Registry {
    /// Adds a response, and takes out those for which there is no room any more.
    fn insert(&mut self, entry: Entry) -> (u64, Vec<Entry>) {
        self.last_id += 1;
        let id = self.last_id;
        self.bytes += entry.bytes;
        self.responses.insert(id, entry);
        let mut dropped = Vec::new();
        // The newest stays, however large it is.
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.oldest_of_largest_client(id)
        {
            dropped.extend(self.remove(oldest));
        }
        (id, dropped)
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.responses.remove(&id)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    fn oldest_of_largest_client(&self, newest: u64) -> Option<u64> {
        let mut clients: HashMap<&str, (usize, u64)> = HashMap::new();
        for (id, entry) in self.responses.range(..newest) {
            let (bytes, _) = clients.entry(&entry.client).or_insert((0, *id));
            *bytes += entry.bytes;
        }
        clients.into_values().max_by_key(|(bytes, _)| *bytes).map(|(_, oldest)| oldest)
    }
}

impl http_body::Body for UnsentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut contents = lock(&self.contents);
        let Some(Contents { body, rest }) = contents.as_mut() else {
            return Poll::Ready(Some(Err(axum::Error::new("the client has not read its response"))));
        };
        if rest.is_empty() {
            match ready!(Pin::new(body).poll_frame(cx)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => *rest = data,
                Some(Err(other)) => return Poll::Ready(Some(Ok(other))),
                None => return Poll::Ready(None),
            }
        }
        let piece = Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]);
        rest.advance(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.contents).as_ref().is_some_and(|contents| contents.rest.is_empty() && contents.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.contents).as_ref().map(Contents::size_hint).unwrap_or_default()
    }
}

impl Contents {
    fn size_hint(&self) -> SizeHint {
        let of_body = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for UnsentBody {
    fn drop(&mut self) {
        let removed = lock(&self.registry.0).remove(self.id);
        drop(removed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use axum::body::to_bytes;

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn the_client_with_the_most_unsent_bytes_loses_its_oldest_response() {
        let unsent = Arc::<UnsentResponses>::default();
        let keep = |client: &str| unsent.keep(&client.into(), Body::from(vec![b'a'; MIB]));
        let honest = keep("honest");
        let greedy: Vec<_> = (0..MAX_BYTES / MIB).map(|_| keep("greedy")).collect();
        assert_eq!(lock(&unsent.0).bytes, MAX_BYTES);
        let newest = keep("honest");
        let mut whole = Vec::new();
        for body in greedy {
            whole.push(to_bytes(Body::new(body), usize::MAX).await.is_ok());
        }
        assert_eq!(whole.iter().filter(|whole| !**whole).count(), 2, "no more than there was no room for");
        assert!(!whole[0] && !whole[1], "the oldest ones");
        for body in [honest, newest] {
            assert_eq!(to_bytes(Body::new(body), usize::MAX).await.expect("whole").len(), MIB);
        }
        let registry = lock(&unsent.0);
        assert_eq!((registry.bytes, registry.responses.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_response_comes_in_pieces_that_hold_nothing_else() {
        let unsent = Arc::<UnsentResponses>::default();
        let mut body = unsent.keep(&"a".into(), Body::from(vec![b'a'; 2 * PIECE + 5]));
        assert_eq!(body.size_hint().exact(), Some(2 * PIECE as u64 + 5));
        let mut lengths = Vec::new();
        while !body.is_end_stream() {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.expect("a frame").expect("no error");
            lengths.push(frame.into_data().expect("data").len());
        }
        assert_eq!(lengths, [PIECE, PIECE, 5]);
    }
}
