//! Memory stays flat whatever is sent: 50 clients at once, each with a request that never ends well.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    client::Client,
    package_builder::PackageBuilder,
    process::{Home, Server},
};

/// Clients at a time.
const CLIENTS: usize = 50;
/// Most bytes each of them sends.
const SENT: usize = 2 << 20;
/// Most KiB above idle that all of them together may cost.
const MOST_MEMORY: u64 = 64 * 1024;

/// A request that begins reasonably and goes on for ever.
struct Shape {
    name: &'static str,
    begin: String,
    /// Sent again and again.
    rest: Vec<u8>,
}

/// Every shape of a hostile request over HTTP/1.
fn shapes(token: &str) -> Vec<Shape> {
    let (api, page) = (format!("authorization: Bearer {token}"), format!("cookie: session={token}"));
    let upload = |path: &str, who: &str, length: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\n{who}\r\ncontent-type: multipart/form-data; boundary=b\r\n{length}\r\n\r\n"
        )
    };
    let form = |path: &str, who: &str, body: &str| {
        format!("{}{body}", upload(path, who, &format!("content-length: {}", SENT + 10_000)))
    };
    let (to_api, to_page) = ("/api/v1/plugins", "/publish/check");
    let field =
        |name: &str| format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a.tar.gz\"\r\n\r\n");
    let chunked = upload(to_api, &api, "transfer-encoding: chunked");
    let json = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let shape = |name, begin: String, rest: &[u8]| Shape { name, begin, rest: rest.to_vec() };
    vec![
        shape("a form token without end", form(to_page, &page, &field("form_token")), b"a"),
        shape("a part header without end", form(to_api, &api, "--b\r\nx: "), b"a"),
        shape("the same on the website", form(to_page, &page, "--b\r\nx: "), b"a"),
        shape("part headers without end", form(to_api, &api, "--b\r\n"), b"x: y\r\n"),
        shape("a preamble without end", form(to_api, &api, ""), b"a"),
        shape("spaces behind a boundary without end", form(to_api, &api, "--b"), b" "),
        shape("a field without end", form(to_api, &api, &field("other")), b"a"),
        shape("a file without end", form(to_api, &api, &field("plugin_file")), b"a"),
        shape("half boundaries without end", form(to_api, &api, &field("plugin_file")), b"\r\n--"),
        shape("parts without end", form(to_api, &api, ""), format!("{}\r\n", field("other")).as_bytes()),
        shape(
            "a boundary of 60 KB",
            form(to_api, &api, &field("other")).replace("boundary=b", &format!("boundary={}", "b".repeat(60_000))),
            b"a",
        ),
        shape("a chunk extension without end", format!("{chunked}5;x="), b"a"),
        shape("chunks of one byte without end", chunked.clone(), b"1\r\na\r\n"),
        shape("trailers without end", format!("{chunked}0\r\n"), b"x: y\r\n"),
        shape("a trailer without end", format!("{chunked}0\r\nx: "), b"a"),
        shape("a header without end", "GET / HTTP/1.1\r\nhost: x\r\nx: ".to_owned(), b"a"),
        shape("headers without end", "GET / HTTP/1.1\r\nhost: x\r\n".to_owned(), b"x: y\r\n"),
        shape("an address without end", "GET /".to_owned(), b"a"),
        shape("1 TiB declared, nothing sent", upload(to_api, &api, "content-length: 1099511627776"), b""),
        shape("JSON of empty lists", format!("{json}content-length: 250000\r\n\r\n{{\"a\":["), b"[],"),
        shape("JSON without end", format!("{json}transfer-encoding: chunked\r\n\r\n"), b"5\r\n{\"a\":\r\n"),
        shape("requests without end", String::new(), b"GET /plugins HTTP/1.1\r\nhost: x\r\n\r\n"),
    ]
}

/// Sends a shape until it is all sent or the server takes no more, and returns the connection, still open.
async fn send(address: &str, shape: &Shape) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let piece = shape.rest.repeat(65_536 / shape.rest.len().max(1));
    let sending = async {
        stream.write_all(shape.begin.as_bytes()).await?;
        for _ in 0..SENT.checked_div(piece.len()).unwrap_or_default() {
            stream.write_all(&piece).await?;
        }
        std::io::Result::Ok(())
    };
    let _ = timeout(Duration::from_secs(10), sending).await;
    stream
}

/// Sends a shape in small pieces, so that each has to be looked at by itself.
async fn send_slowly(address: &str, shape: &Shape) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(shape.begin.as_bytes()).await;
    let piece = shape.rest.repeat(1024 / shape.rest.len().max(1));
    for _ in 0..100 {
        if stream.write_all(&piece).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    stream
}

type Http2 = h2::client::SendRequest<Bytes>;

async fn http2(address: &str, window: u32) -> (Http2, tokio::task::JoinHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(window);
    let (client, driver) = builder.handshake(stream).await.unwrap();
    let driver = tokio::spawn(async move { driver.await.unwrap_or_default() });
    (client, driver)
}

fn request(method: &str, path: &str, token: &str) -> axum::http::request::Builder {
    let media = "multipart/form-data; boundary=b";
    let bearer = format!("Bearer {token}");
    axum::http::Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .header("content-type", media)
        .header("authorization", bearer)
}

/// One HTTP/2 connection of many streams that each have large headers and a form without end.
async fn many_streams(address: &str, token: &str) -> tokio::task::JoinHandle<()> {
    let (client, driver) = http2(address, 1 << 20).await;
    let mut held = Vec::new();
    for i in 0..200 {
        let Ok(Ok(mut client)) = timeout(Duration::from_millis(200), client.clone().ready()).await else { break };
        let head = request("POST", "/api/v1/plugins", token).header("x", format!("{i}{}", "h".repeat(12_000)));
        let Ok((answer, mut body)) = client.send_request(head.body(()).unwrap(), false) else { break };
        let file = "--b\r\ncontent-disposition: form-data; name=\"plugin_file\"; filename=\"a.tar.gz\"\r\n\r\n";
        let begin = if i % 2 == 0 { "--b\r\nx: " } else { file };
        let _ = body.send_data(Bytes::from(format!("{begin}{}", "a".repeat(25_000))), false);
        held.push((answer, body));
    }
    sleep(Duration::from_secs(1)).await;
    drop(held);
    driver
}

/// One HTTP/2 connection that asks for many responses and reads none, with windows of this size. Pages are made for each
/// request, because it is signed in.
async fn not_read(address: &str, path: &str, token: &str, window: u32) -> (TcpStream, Vec<u8>) {
    // The frames by hand: a client library would read.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| {
        bytes.extend(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
        bytes.extend([kind, flags]);
        bytes.extend(id.to_be_bytes());
        bytes.extend(payload);
    };
    // SETTINGS_INITIAL_WINDOW_SIZE, then WINDOW_UPDATE of the connection.
    frame(4, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
    frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    // :method GET, :scheme http (both from the static table), :path and :authority as literals.
    let mut head = [&[0x82, 0x86, 0x04, path.len() as u8][..], path.as_bytes(), &[0x01, 1], b"x"].concat();
    let cookie = format!("session={token}");
    // `cookie` from the static table; the length of its value takes more than seven bits.
    let (low, high) = ((cookie.len() - 0x7f) % 0x80, (cookie.len() - 0x7f) / 0x80);
    head.extend([0x0f, 0x11, 0x7f, low as u8 | 0x80, high as u8]);
    head.extend(cookie.as_bytes());
    for i in 0..100 {
        frame(1, 0x5, 2 * i + 1, &head);
    }
    stream.write_all(&bytes).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    (stream, bytes)
}

/// One HTTP/2 connection that begins requests and takes them back at once.
async fn resets(address: &str, token: &str) {
    let (client, driver) = http2(address, 1 << 20).await;
    for _ in 0..2_000 {
        let Ok(Ok(mut client)) = timeout(Duration::from_millis(200), client.clone().ready()).await else { break };
        let head = request("GET", "/api/v1/plugins", token).body(()).unwrap();
        let Ok((answer, mut body)) = client.send_request(head, false) else { break };
        body.send_reset(h2::Reason::CANCEL);
        drop(answer);
    }
    drop(client);
    driver.abort();
}

/// The server at rest.
struct Idle {
    /// KiB.
    memory: u64,
    descriptors: u64,
}

/// KiB above idle at the peak of `attack`; the connections that it returns are held until then.
async fn cost<T>(server: &Server, ada: &Client, name: &str, idle: &Idle, attack: impl Future<Output = T>) -> u64 {
    // The clients before are gone, and the allocator has had a moment to give back what they cost.
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline
        && (server.descriptors() > idle.descriptors || server.memory("VmRSS") > idle.memory + MOST_MEMORY / 8)
    {
        sleep(Duration::from_millis(100)).await;
    }
    server.forget_peak();
    let held = attack.await;
    ada.get("/plugins").await.expect(200);
    let memory = server.memory("VmHWM").saturating_sub(idle.memory);
    drop(held);
    println!("| {name} | {memory} KiB |");
    memory
}

#[sqlx::test]
async fn memory_is_flat_whatever_is_sent(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let ada = server.user("ada").await;
    let noise: String = (0..400_000_u64).map(|i| format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    ada.publish(&PackageBuilder::new("big", "1.0.0").file("noise.txt", noise)).await.expect(201);
    ada.get("/plugins/big/download").await.expect(200);
    for (version, end) in [("1.0.0", "\n"), ("1.1.0", "!\n")] {
        let text: String = (0..9_000).map(|i| format!("line {i} of a text{end}")).collect();
        ada.publish(&PackageBuilder::new("wordy", version).file("a.txt", text)).await.expect(201);
    }
    let token = ada.token.clone().unwrap();
    let (address, shapes) = (server.address(), shapes(&token));
    // Once, so that what any request needs is there.
    join_all(shapes.iter().map(|shape| send(address, shape))).await;
    sleep(Duration::from_secs(1)).await;
    let idle = Idle { memory: server.memory("VmRSS"), descriptors: server.descriptors() };
    println!("idle: {} KiB", idle.memory);
    println!("| {CLIENTS} clients at once | memory above idle |");
    let mut worst = Vec::new();
    for shape in &shapes {
        let attack = join_all((0..CLIENTS).map(|_| send(address, shape)));
        worst.push((cost(&server, &ada, shape.name, &idle, attack).await, shape.name));
    }
    let mix = join_all((0..CLIENTS).map(|i| send(address, &shapes[i % shapes.len()])));
    worst.push((cost(&server, &ada, "all of these", &idle, mix).await, "mix"));
    let slow = join_all((0..CLIENTS).map(|i| send_slowly(address, &shapes[i % shapes.len()])));
    worst.push((cost(&server, &ada, "all of these, slowly", &idle, slow).await, "slow mix"));
    // What the slow ones cost is given back within the allocator's decay time only, and would be counted here.
    sleep(Duration::from_secs(12)).await;
    let streams = join_all((0..CLIENTS).map(|_| many_streams(address, &token)));
    worst.push((
        cost(&server, &ada, "HTTP/2: uploads that stop midway, with large headers", &idle, streams).await,
        "streams",
    ));
    let resets = join_all((0..CLIENTS).map(|_| resets(address, &token)));
    worst.push((cost(&server, &ada, "HTTP/2: requests that are reset", &idle, resets).await, "resets"));
    let paths =
        ["/api/v1/plugins/big/download", "/plugins/wordy/files/1.0.0/a.txt", "/plugins/wordy/compare/1.0.0...1.1.0"];
    for path in paths.into_iter().chain(["/api/v1/plugins/wordy/compare/1.0.0...1.1.0", "/api/openapi.json"]) {
        for window in [0, 0x7fff_ffff] {
            let name = format!("HTTP/2: 100 of {path} not read, with windows of {window}");
            let unread = join_all((0..CLIENTS).map(|_| not_read(address, path, &token, window)));
            worst.push((cost(&server, &ada, &name, &idle, unread).await, path));
        }
    }
    worst.sort();
    assert!(worst.last().is_some_and(|(memory, _)| *memory < MOST_MEMORY), "{worst:?}");
    let incoming = std::fs::read_dir(home.path("store/incoming")).unwrap().count();
    assert_eq!(incoming, 0, "temporary files were left behind");
}

#[sqlx::test]
async fn a_client_that_sends_all_of_a_refused_body_reads_the_refusal(db: PgPool) {
    let home = Home::new(&db);
    let server = home.start().await;
    let token = server.user("ada").await.token.unwrap();
    let piece = vec![b'a'; 1 << 20];
    for (framing, count) in [("content-length: 209715200", 200), ("transfer-encoding: chunked", 120)] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let head = format!(
            "POST /api/v1/plugins HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: multipart/form-data; boundary=b\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // As many simple clients do: everything is sent before the answer is read.
        let part = "--b\r\ncontent-disposition: form-data; name=\"plugin_file\"; filename=\"a.tar.gz\"\r\n\r\n";
        let is_chunked = framing.contains("chunked");
        if is_chunked {
            stream.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).await.unwrap();
        }
        for _ in 0..count {
            if is_chunked {
                stream.write_all(b"100000\r\n").await.unwrap();
            }
            stream.write_all(&piece).await.unwrap();
            if is_chunked {
                stream.write_all(b"\r\n").await.unwrap();
            }
        }
        let mut answer = vec![0; 64 * 1024];
        let read = timeout(Duration::from_secs(20), stream.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("package_too_large"), "{framing}: {answer}");
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "{framing}: a clean end");
    }
}
