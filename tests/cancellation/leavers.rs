//! Clients that hang up: a connection closed or reset over HTTP/1, a stream reset over HTTP/2.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, client::SendRequest};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::requests::{Requests, Wanted};

/// The most streams of one connection before it is closed.
const STREAMS: usize = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What clients did over one protocol.
pub(crate) struct Tally {
    protocol: Protocol,
    pace: Arc<Semaphore>,
    left: AtomicUsize,
    done: AtomicUsize,
    unanswered: AtomicUsize,
    by_kind: Mutex<BTreeMap<usize, usize>>,
    statuses: Mutex<BTreeMap<u16, usize>>,
}

impl Tally {
    /// Of so many requests to be sent.
    pub(crate) fn new(protocol: Protocol, requests: usize, pace: Arc<Semaphore>) -> Self {
        Self {
            protocol,
            pace,
            left: AtomicUsize::new(requests),
            done: AtomicUsize::default(),
            unanswered: AtomicUsize::default(),
            by_kind: Mutex::default(),
            statuses: Mutex::default(),
        }
    }

    /// Takes one request from those to be sent, when it is time for it.
    async fn take(&self) -> bool {
        let Ok(permit) = self.pace.acquire().await else { return false };
        permit.forget();
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Notes a request that was left, and the status of its answer when that came earlier.
    fn note(&self, kind: usize, status: Option<u16>) {
        self.done.fetch_add(1, Relaxed);
        *self.by_kind.lock().unwrap().entry(kind).or_default() += 1;
        match status {
            None => _ = self.unanswered.fetch_add(1, Relaxed),
            Some(status) => *self.statuses.lock().unwrap().entry(status).or_default() += 1,
        }
    }

    fn fewest(&self, kinds: usize) -> usize {
        let by_kind = self.by_kind.lock().unwrap();
        (0..kinds).map(|kind| by_kind.get(&kind).copied().unwrap_or_default()).min().unwrap_or_default()
    }

    /// As a row of a table.
    pub(crate) fn row(&self, kinds: usize) -> String {
        let (done, unanswered) = (self.done.load(Relaxed), self.unanswered.load(Relaxed));
        format!("{:?} | {done} | {unanswered} | {kinds} | {}", self.protocol, self.fewest(kinds))
    }

    /// Asserts that every kind was left, mostly before its answer, and that none failed.
    pub(crate) fn check(&self, kinds: usize, log: &str) {
        let statuses = self.statuses.lock().unwrap();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(statuses.keys().all(|status| *status != 500), "{statuses:?} {errors:#?}");
        assert!(self.fewest(kinds) > 0, "not every kind was asked for");
        assert!(self.unanswered.load(Relaxed) * 4 > self.done.load(Relaxed), "most had their answer already");
    }
}

/// The moment to hang up: mostly within 8 ms.
async fn moment() {
    match rand::random_range(0..20) {
        0 => {}
        1 => sleep(Duration::from_millis(rand::random_range(8..250))).await,
        2..8 => {
            for _ in 0..rand::random_range(0..40) {
                tokio::task::yield_now().await;
            }
        }
        _ => sleep(Duration::from_micros(rand::random_range(0..8_000))).await,
    }
}

/// Sends requests and leaves, until all are sent.
pub(crate) async fn leave(address: SocketAddr, requests: Arc<Requests>, tally: Arc<Tally>) {
    match tally.protocol {
        Protocol::Http1 => {
            while tally.take().await {
                let wanted = requests.next();
                let status = leave_http1(address, &wanted).await;
                tally.note(wanted.kind, status);
            }
        }
        Protocol::Http2 => while leave_http2(address, &requests, &tally).await {},
    }
}

async fn leave_http1(address: SocketAddr, wanted: &Wanted) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = wanted.bytes();
    if !wanted.body.is_empty() && rand::random_range(0..6) == 0 {
        bytes.truncate(bytes.len() - rand::random_range(1..=wanted.body.len()));
    }
    if rand::random() {
        // Closing it then sends RST instead of FIN.
        stream.set_zero_linger().unwrap();
    }
    // A server that has answered early may have closed it.
    stream.write_all(&bytes).await.ok()?;
    moment().await;
    let mut answer = [0; 16];
    let read = stream.try_read(&mut answer).unwrap_or_default();
    std::str::from_utf8(answer.get(..read)?).ok()?.split(' ').nth(1)?.parse().ok()
}

/// Leaves the streams of one connection, and then it; false when all requests are sent.
async fn leave_http2(address: SocketAddr, requests: &Requests, tally: &Tally) -> bool {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    for _ in 0..STREAMS {
        if !tally.take().await {
            return false;
        }
        let wanted = requests.next();
        let status = leave_stream(&mut client, &wanted).await;
        tally.note(wanted.kind, status);
    }
    if rand::random() {
        // The whole connection at once, with whatever is under way.
        driver.abort();
    }
    true
}

async fn leave_stream(client: &mut SendRequest<Bytes>, wanted: &Wanted) -> Option<u16> {
    let mut request = axum::http::Request::builder().method(wanted.method.as_str());
    request = request.uri(format!("http://localhost{}", wanted.target));
    for (name, value) in &wanted.headers {
        request = request.header(*name, value);
    }
    let request = request.body(()).unwrap();
    let (answer, mut body) = client.send_request(request, wanted.body.is_empty()).ok()?;
    if !wanted.body.is_empty() {
        let is_whole = rand::random_range(0..6) > 0;
        body.send_data(Bytes::from(wanted.body.clone()), is_whole).ok()?;
    }
    let mut answer = Box::pin(answer);
    let early = tokio::select! {
        // First, so that an answer that has come is seen.
        biased;
        early = &mut answer => early.ok(),
        () = moment() => None,
    };
    let early = match early {
        Some(early) => Some(early),
        None => timeout(Duration::ZERO, &mut answer).await.ok().and_then(Result::ok),
    };
    body.send_reset(Reason::CANCEL);
    early.map(|answer| answer.status().as_u16())
}
