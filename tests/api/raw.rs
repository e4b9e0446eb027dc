//! HTTP as bytes, for what no client library would send.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Sends bytes and returns everything that comes back until the server closes or is silent.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses early need not read the rest.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(Ok(read)) = timeout(Duration::from_millis(700), stream.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        answer.extend(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer; 0 when there was none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// How many answers there are in what came back.
pub(crate) fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

/// Waits for a time as this runtime keeps it: where the machine is too busy to wake it in time, so much longer.
pub(crate) async fn pass(time: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    for _ in 0..time.as_millis() / STEP.as_millis() {
        tokio::time::sleep(STEP).await;
    }
}

/// Sends `begin` at once and then one byte of `rest` a second, until the server closes; how long it
/// took, or `None` when it does not within `patience`.
pub(crate) async fn trickle(address: SocketAddr, begin: &[u8], rest: u8, patience: Duration) -> Option<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let started = Instant::now();
    let _ = stream.write_all(begin).await;
    let mut buffer = [0; 4096];
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut end = std::pin::pin!(pass(patience));
    loop {
        tokio::select! {
            () = &mut end => return None,
            read = stream.read(&mut buffer) => if !matches!(read, Ok(n) if n > 0) {
                return Some(started.elapsed());
            },
            _ = ticks.tick() => if stream.write_all(&[rest]).await.is_err() {
                return Some(started.elapsed());
            },
        }
    }
}
