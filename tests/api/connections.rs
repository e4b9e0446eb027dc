//! Clients that hold connections without using them: they are cut off in time and hold up nobody.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use marketplace::{config, http::server};
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    app::{Client, TestApp},
    package_builder::PackageBuilder,
    raw,
};

/// Slow clients at a time.
const MANY: usize = 200;
/// Longer than an ordinary request may take beside them.
const HELD_UP: Duration = Duration::from_secs(2);
/// What a loaded machine may add to every timeout, beside what it adds to that time itself.
const SLACK: Duration = Duration::from_secs(6);

async fn impatient(db: PgPool) -> TestApp {
    TestApp::with(db, |config| {
        config.server.header_timeout_seconds = 2;
        config.server.idle_timeout_seconds = 3;
        config.server.stall_timeout_seconds = 2;
    })
    .await
}

/// A server of nothing, in a thread and a runtime of its own, that somebody asks all the time: what the machine alone does
/// to a request.
struct Control {
    stop: Arc<AtomicBool>,
    worst: JoinHandle<Duration>,
}

impl Control {
    fn start(settings: &config::Server) -> Self {
        let (stop, settings) = (Arc::new(AtomicBool::new(false)), settings.clone());
        let is_over = stop.clone();
        let ask = async move {
            let listener = server::listen("127.0.0.1", 0).await.unwrap();
            let client = Client::at(&format!("http://{}", listener.local_addr().unwrap()));
            let router = axum::Router::new().fallback(async || "nothing");
            tokio::spawn(async move { server::serve(vec![(listener, router)], &settings, pending()).await });
            let mut worst = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let started = Instant::now();
                client.get("/").await.expect(200);
                worst = worst.max(started.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            worst
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { stop, worst: std::thread::spawn(move || runtime.block_on(ask)) }
    }

    /// Stops; the longest that a request took.
    fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.worst.join().unwrap()
    }
}

/// An ordinary client beside others.
#[derive(Default)]
struct Ordinary {
    answered: usize,
    worst: Duration,
}

/// Lets others work while an ordinary client does; what the others came to.
async fn beside<T>(app: &TestApp, others: impl Future<Output = T>) -> (T, Ordinary) {
    let mut ordinary = Ordinary::default();
    let work = async {
        loop {
            let started = Instant::now();
            app.anyone().get("/plugins").await.expect(200);
            ordinary.worst = ordinary.worst.max(started.elapsed());
            ordinary.answered += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::select! { done = others => done, () = work => unreachable!() };
    (done, ordinary)
}

/// Runs many slow clients while an ordinary one works, and asserts that all of them are cut off.
async fn besiege<F: Future<Output = Option<Duration>>>(app: &TestApp, name: &str, slow: impl Fn() -> F) {
    besiege_within(app, name, HELD_UP, slow).await;
}

/// The same, and an ordinary request may take so long.
async fn besiege_within<F>(app: &TestApp, name: &str, limit: Duration, slow: impl Fn() -> F)
where
    F: Future<Output = Option<Duration>>,
{
    let control = Control::start(&app.state.config.server);
    let (cut, Ordinary { answered, worst }) = beside(app, join_all((0..MANY).map(|_| slow()))).await;
    let control = control.stop();
    let longest = cut.iter().flatten().max().copied().unwrap_or_default();
    println!(
        "{name}: {} of {MANY} cut off, the last after {:.1} s; meanwhile {answered} ordinary requests, the slowest \
         {} ms, of another server {} ms",
        cut.iter().flatten().count(),
        longest.as_secs_f64(),
        worst.as_millis(),
        control.as_millis(),
    );
    assert!(cut.iter().all(Option::is_some), "{name}: some were not cut off");
    // What the machine does to any request is not the doing of these clients.
    assert!(worst < limit + 4 * control, "{name}: an ordinary request took {worst:?}, of another server {control:?}");
    assert!(answered > 20, "{name}: only {answered} ordinary requests were answered");
}

#[sqlx::test]
async fn slow_headers_hold_up_nobody(db: PgPool) {
    let app = impatient(db).await;
    let (address, patience) = (app.address, Duration::from_secs(2) + SLACK);
    besiege(&app, "silent from the start", || silent(address, b"", patience)).await;
    besiege(&app, "headers of one byte a second", || {
        raw::trickle(address, b"GET /api/v1/plugins HTTP/1.1\r\nx: ", b'y', patience)
    })
    .await;
    besiege(&app, "an HTTP/2 preface of one byte a second", || {
        raw::trickle(address, b"PRI * HTTP/2.0\r\n", b'\r', patience)
    })
    .await;
}

#[sqlx::test]
async fn idle_connections_are_closed(db: PgPool) {
    let app = impatient(db).await;
    let (address, patience) = (app.address, Duration::from_secs(3) + SLACK);
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    besiege(&app, "idle after a request", || silent(address, request, patience)).await;
    let next = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nx: ";
    besiege(&app, "slow headers after a request", || raw::trickle(address, next, b'y', patience)).await;
}

#[sqlx::test]
async fn slow_bodies_hold_up_nobody(db: PgPool) {
    let app = impatient(db).await;
    let (address, patience) = (app.address, Duration::from_secs(2) + SLACK);
    let login = b"POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000\r\n\r\n{";
    besiege(&app, "bodies of one byte a second", || raw::trickle(address, login, b' ', patience)).await;
    let token = app.user("ada").await.token.unwrap();
    let upload = format!(
        "POST /api/v1/plugins HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 100000\r\n\
         content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\ncontent-disposition: form-data; \
         name=\"plugin_file\"; filename=\"x.tar.gz\"\r\n\r\n"
    );
    besiege(&app, "uploads of one byte a second", || raw::trickle(address, upload.as_bytes(), b'x', patience)).await;
    let incoming = std::fs::read_dir(app.folder().join("store/incoming")).unwrap().count();
    assert_eq!(incoming, 0, "what did not arrive whole was left behind");
}

#[sqlx::test]
async fn a_body_that_stalls_is_answered_with_a_timeout(db: PgPool) {
    let app = impatient(db).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let request =
        b"POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert_eq!(raw::status(&answer), 408, "{answer}");
    assert!(answer.contains("\"request_timeout\""), "{answer}");
}

#[sqlx::test]
async fn slow_readers_hold_up_nobody(db: PgPool) {
    let app = impatient(db).await;
    publish_big(&app).await;
    let (address, patience) = (app.address, Duration::from_secs(4) + SLACK);
    // The kernel takes megabytes for each of them: what that costs is not the doing of this server.
    let ((), control) = beside(&app, taking_nothing()).await;
    println!("beside another server that sends as much: the slowest ordinary request {} ms", control.worst.as_millis());
    let limit = HELD_UP + 4 * control.worst;
    besiege_within(&app, "downloads taken at one byte a second", limit, || slow_reader(address, patience)).await;
}

#[sqlx::test]
async fn a_slow_but_steady_client_is_not_cut_off(db: PgPool) {
    let app = impatient(db).await;
    app.user("ada").await;
    let body = br#"{"username": "ada", "password": "correct horse"}"#;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let padding = 4_000;
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        padding + body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        stream.write_all(&[b' '; 500]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stream.write_all(body).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert_eq!(raw::status(&String::from_utf8_lossy(&answer[..read])), 200);
}

#[sqlx::test]
async fn http2_is_held_to_the_same_times(db: PgPool) {
    let app = impatient(db).await;
    publish_big(&app).await;
    let (address, patience) = (app.address, Duration::from_secs(4) + SLACK);
    let (mut client, driver) = http2(address).await;
    tokio::spawn(driver);
    assert_eq!(http2_get(&mut client, "GET", "/api/v1/plugins").await, 200, "ordinary requests work");

    besiege(&app, "HTTP/2 without a request", || async move {
        let (client, driver) = http2(address).await;
        let ended = until_end(driver, patience).await;
        drop(client);
        ended
    })
    .await;
    besiege(&app, "HTTP/2 downloads nobody takes", || async move {
        let (client, driver) = http2(address).await;
        let mut client = client.ready().await.unwrap();
        let request = http2_request("GET", "/api/v1/plugins/big/download");
        let (answer, _) = client.send_request(request, true).unwrap();
        // The body is held, and its window never opened again.
        let held = async { answer.await.map(|response| response.into_body()) };
        let (held, ended) = futures_util::join!(held, until_end(driver, patience));
        drop(held);
        ended
    })
    .await;
    besiege(&app, "HTTP/2 bodies that stall", || async move {
        let (client, driver) = http2(address).await;
        let mut client = client.ready().await.unwrap();
        let request = http2_request("POST", "/api/v1/auth/login");
        let (answer, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"{"), false).unwrap();
        let started = Instant::now();
        let driver = tokio::spawn(driver);
        let status = tokio::time::timeout(patience, answer).await.ok().map(|answer| answer.unwrap().status());
        driver.abort();
        (status == Some(axum::http::StatusCode::REQUEST_TIMEOUT)).then(|| started.elapsed())
    })
    .await;
}

#[sqlx::test]
async fn head_has_no_body_in_http2_either(db: PgPool) {
    let app = TestApp::new(db).await;
    let (mut client, driver) = http2(app.address).await;
    tokio::spawn(driver);
    for path in ["/api/v1/plugins", "/api/v1/nowhere", "/health", "/api/v1/plugins/none"] {
        let (answer, _) = client.send_request(http2_request("HEAD", path), true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert!(body.data().await.is_none(), "{path}");
    }
}

const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
/// A login whose body has not arrived whole, so that the request is in progress.
const HALF_A_LOGIN: &[u8] = b"POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
    content-length: 48\r\n\r\n{\"username\": \"ada\",";
const OTHER_HALF: &[u8] = b" \"password\": \"wrong horse\"}  ";

/// A connection from one of this machine's addresses.
async fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    socket.connect(address).await.unwrap()
}

/// A connection that sends something and waits until it is answered, or for a moment if it will not be.
async fn connection_with(source: &str, address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect_from(source, address).await;
    stream.write_all(bytes).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut [0; 4096])).await;
    stream
}

/// Whether the server has closed a connection in an orderly way: nothing but the end is left to read.
async fn has_ended(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut [0; 4096])).await;
    read.is_ok_and(|read| read.unwrap() == 0)
}

#[sqlx::test]
async fn idle_connections_do_not_keep_new_clients_out(db: PgPool) {
    let app = TestApp::with(db, |config| {
        config.server.max_connections = 12;
        config.server.max_connections_per_address = 4;
    })
    .await;
    // Idle for the usual time, which is longer than any of this takes: 75 s.
    for (name, bytes) in [
        ("idle after a request", HEALTH),
        ("silent from the start", b""),
        ("half a header", b"GET / HTTP/1.1\r\nhost"),
        ("half a preface of HTTP/2", b"PRI * HT"),
        ("idle after HTTP/2 settings", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ] {
        let mut held = Vec::new();
        for i in 0..12 {
            held.push(connection_with(&format!("127.0.0.{}", 2 + i / 4), app.address, bytes).await);
        }
        for i in 0..20 {
            let begun = Instant::now();
            let mut newcomer = connect_from("127.0.0.9", app.address).await;
            newcomer.write_all(HEALTH).await.unwrap();
            let mut answer = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(5), newcomer.read(&mut answer)).await;
            let read = read.unwrap_or_else(|_| panic!("{name}: newcomer {i} is not answered")).unwrap();
            assert_eq!(raw::status(&String::from_utf8_lossy(&answer[..read])), 200, "{name}: newcomer {i}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{name}: {:?}", begun.elapsed());
            held.push(newcomer);
        }
    }
}

#[sqlx::test]
async fn room_is_made_by_clean_closes_and_never_by_cutting_a_request(db: PgPool) {
    let app = TestApp::with(db, |config| config.server.max_connections = 3).await;
    let mut busy = connection_with("127.0.0.2", app.address, HALF_A_LOGIN).await;
    let mut older = connection_with("127.0.0.2", app.address, HEALTH).await;
    let mut newer = connection_with("127.0.0.2", app.address, HEALTH).await;
    // The pool of this client keeps its one connection, which is the newest.
    app.anyone().get("/plugins").await.expect(200);
    assert!(has_ended(&mut older).await, "the longest idle one made room");
    newer.write_all(HEALTH).await.unwrap();
    assert!(newer.read(&mut [0; 4096]).await.unwrap() > 0, "the other one goes on");
    busy.write_all(OTHER_HALF).await.unwrap();
    let mut answer = [0; 4096];
    let read = busy.read(&mut answer).await.unwrap();
    assert_eq!(raw::status(&String::from_utf8_lossy(&answer[..read])), 401, "the request was not cut");
}

#[sqlx::test]
async fn an_http2_connection_that_makes_room_is_told_so(db: PgPool) {
    let app = TestApp::with(db, |config| config.server.max_connections = 1).await;
    let (mut client, driver) = http2(app.address).await;
    let driver = tokio::spawn(driver);
    assert_eq!(http2_get(&mut client, "GET", "/api/v1/plugins").await, 200);
    app.anyone().get("/plugins").await.expect(200);
    let ended = tokio::time::timeout(Duration::from_secs(2), driver).await.unwrap().unwrap();
    // GOAWAY without an error ends the connection as if this client had closed it.
    assert!(ended.is_ok(), "{ended:?}");
}

#[sqlx::test]
async fn connections_are_bounded_in_all_and_per_address(db: PgPool) {
    let app = TestApp::with(db.clone(), |config| config.server.max_connections_per_address = 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connection_with("127.0.0.1", app.address, HALF_A_LOGIN).await);
    }
    let mut fourth = TcpStream::connect(app.address).await.unwrap();
    assert!(matches!(fourth.read(&mut [0]).await, Ok(0) | Err(_)), "the fourth is closed");
    let _elsewhere = connection_with("127.0.0.2", app.address, HEALTH).await;
    held.pop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    app.anyone().get("/plugins").await.expect(200);

    let app = TestApp::with(db.clone(), |config| config.server.max_connections = 2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(connection_with("127.0.0.1", app.address, HALF_A_LOGIN).await);
    }
    let client = app.anyone();
    let waiting = tokio::spawn(async move { client.get("/plugins").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "the third waits while the others have requests in progress");
    held.pop();
    waiting.await.unwrap().expect(200);

    let proxied = TestApp::with(db, |config| {
        config.server.max_connections_per_address = 1;
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let _held = join_all((0..5).map(|_| TcpStream::connect(proxied.address))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxied.anyone().get("/plugins").await.expect(200);
}

#[sqlx::test]
async fn a_quiet_response_is_not_a_stalled_client(db: PgPool) {
    let app = impatient(db).await;
    // A route of its own: nothing else answers as slowly as this.
    let quiet = axum::routing::get(async || {
        let pieces = futures_util::stream::iter(["one", "two"]).then(async |piece| {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok::<_, std::io::Error>(piece)
        });
        axum::body::Body::from_stream(pieces)
    });
    let listener = marketplace::http::server::listen("127.0.0.1", 0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = app.state.config.server.clone();
    let router = axum::Router::new().route("/", quiet);
    tokio::spawn(async move {
        marketplace::http::server::serve(vec![(listener, router)], &settings, std::future::pending()).await;
    });
    let answer = reqwest::get(format!("http://{address}/")).await.unwrap().text();
    let over_http2 = async {
        let (mut client, driver) = http2(address).await;
        tokio::spawn(driver);
        let (answer, _) = client.send_request(http2_request("GET", "/"), true).unwrap();
        let (mut body, mut text) = (answer.await.unwrap().into_body(), Vec::new());
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            text.extend(piece);
        }
        text
    };
    let (answer, over_http2) = futures_util::join!(answer, over_http2);
    assert_eq!((answer.unwrap().as_str(), over_http2.as_slice()), ("onetwo", &b"onetwo"[..]));
}

#[sqlx::test]
async fn a_burst_of_connections_waits_at_the_door(db: PgPool) {
    let app = TestApp::new(db).await;
    // This test runs on the server's only thread, so nothing is accepted before it waits for something.
    let connect = || std::net::TcpStream::connect_timeout(&app.address, Duration::from_millis(700));
    let burst: Vec<_> = (0..400).map(|i| connect().unwrap_or_else(|e| panic!("connection {i}: {e}"))).collect();
    app.anyone().get("/plugins").await.expect(200);
    drop(burst);
}

/// Sends something, then nothing, until the server closes.
async fn silent(address: SocketAddr, begin: &[u8], patience: Duration) -> Option<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let started = Instant::now();
    let _ = stream.write_all(begin).await;
    let mut answer = Vec::new();
    tokio::select! {
        _ = stream.read_to_end(&mut answer) => Some(started.elapsed()),
        () = raw::pass(patience) => None,
    }
}

/// Asks for a download and takes one byte a second of it.
async fn slow_reader(address: SocketAddr, patience: Duration) -> Option<Duration> {
    let mut stream = slow_connection(address).await;
    stream.write_all(b"GET /api/v1/plugins/big/download HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let started = Instant::now();
    for _ in 0..patience.as_secs() {
        raw::pass(Duration::from_secs(1)).await;
        // What was received before the end can still be read; only the write side tells at once.
        if stream.read(&mut [0]).await.is_err() || stream.write_all(b" ").await.is_err() {
            return Some(started.elapsed());
        }
    }
    None
}

/// Many who take nothing of what another server sends them, until the kernel takes no more of it.
async fn taking_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clients = join_all((0..MANY).map(|_| slow_connection(address)));
    let bytes: &[u8] = &vec![0; 128 * 1024];
    let servers = join_all((0..MANY).map(|_| async {
        let (mut stream, _) = listener.accept().await.unwrap();
        while timeout(Duration::from_secs(1), stream.write_all(bytes)).await.is_ok() {}
    }));
    futures_util::join!(clients, servers);
}

async fn slow_connection(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Publishes a package that no kernel buffer holds.
async fn publish_big(app: &TestApp) {
    let ada = app.user("ada").await;
    let mut noise = String::new();
    let mut state = 1_u64;
    while noise.len() < 20 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.push_str(&format!("{:016x}\n", state ^ (state >> 29)));
    }
    ada.publish(&PackageBuilder::new("big", "1.0.0").file("noise.txt", noise)).await.expect(201);
}

type Http2 = h2::client::SendRequest<Bytes>;

async fn http2(address: SocketAddr) -> (Http2, h2::client::Connection<TcpStream>) {
    let stream = TcpStream::connect(address).await.unwrap();
    h2::client::handshake(stream).await.unwrap()
}

fn http2_request(method: &str, path: &str) -> axum::http::Request<()> {
    axum::http::Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .header("content-type", "application/json")
        .body(())
        .unwrap()
}

async fn http2_get(client: &mut Http2, method: &str, path: &str) -> u16 {
    let (answer, _) = client.send_request(http2_request(method, path), true).unwrap();
    answer.await.unwrap().status().as_u16()
}

async fn until_end(driver: h2::client::Connection<TcpStream>, patience: Duration) -> Option<Duration> {
    let started = Instant::now();
    tokio::select! {
        _ = driver => Some(started.elapsed()),
        () = raw::pass(patience) => None,
    }
}

#[sqlx::test]
async fn several_listeners_end_together(db: PgPool) {
    use marketplace::http::server;
    let settings = TestApp::new(db).await.state.config.server.clone();
    let route = |text: &'static str| axum::Router::new().route("/", axum::routing::get(async move || text));
    let (one, two) = (server::listen("127.0.0.1", 0).await.unwrap(), server::listen("127.0.0.1", 0).await.unwrap());
    let addresses = [&one, &two].map(|listener| format!("http://{}/", listener.local_addr().unwrap()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        server::serve(vec![(one, route("one")), (two, route("two"))], &settings, async { drop(stopped.await) }).await;
    });
    for (address, text) in addresses.iter().zip(["one", "two"]) {
        assert_eq!(reqwest::get(address).await.unwrap().text().await.unwrap(), text);
    }
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
    for address in &addresses {
        assert!(reqwest::get(address).await.is_err(), "{address} still answers");
    }
}

/// A connection that is kept for a next request holds up nobody who stops the server, whatever its last one was.
#[tokio::test]
async fn idle_connections_do_not_delay_the_end_of_the_server() {
    use axum::{Router, body::Body, routing::any};
    use marketplace::http::server;

    let settings = marketplace::config::Config::default().server;
    let app = Router::new()
        .route("/read", any(async |_: Bytes| "read"))
        .route("/begin", any(async |body: Body| drop(body.into_data_stream().next().await)))
        .route("/ignore", any(async || "ignored"));
    for path in ["/read", "/begin", "/ignore"] {
        for rest in [
            "GET|\r\n",
            "POST|content-length: 5\r\n\r\nhello",
            "POST|transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let listener = server::listen("127.0.0.1", 0).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let (app, settings) = (app.clone(), settings.clone());
            let serving = tokio::spawn(async move {
                server::serve(vec![(listener, app)], &settings, async { drop(stopped.await) }).await;
            });
            let (method, rest) = rest.split_once('|').unwrap();
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{rest}");
            let _held = connection_with("127.0.0.1", address, request.as_bytes()).await;
            stop.send(()).unwrap();
            let ended = tokio::time::timeout(Duration::from_secs(10), serving).await;
            assert!(ended.is_ok(), "the server does not end after {request:?}");
        }
    }
}
