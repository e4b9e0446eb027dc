//! A TCP proxy that fails in every way a network can.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

/// What the proxy does to its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Open,
    /// Cuts what is open and closes what is new.
    Cut,
    /// Passes on after a pause.
    Slow(Duration),
    /// Takes everything and passes nothing on; new connections are accepted and never answered.
    Stalled,
}

/// Where the proxy leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(String),
    Unix(PathBuf),
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    pub(crate) async fn start(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = watch::channel(Mode::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), receiver.clone()));
            }
        });
        Self { address, mode: Arc::new(sender) }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn pass(client: TcpStream, target: Target, mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    let (client_read, client_write) = client.into_split();
    // What was stalled once stays so: a network that forgot a connection does not remember it later.
    match target {
        Target::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            let (read, write) = server.into_split();
            both(client_read, client_write, read, write, mode).await;
        }
        Target::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            let (read, write) = server.into_split();
            both(client_read, client_write, read, write, mode).await;
        }
    }
}

async fn both(
    client_read: impl AsyncRead + Unpin,
    client_write: impl AsyncWrite + Unpin,
    server_read: impl AsyncRead + Unpin,
    server_write: impl AsyncWrite + Unpin,
    mode: watch::Receiver<Mode>,
) {
    tokio::select! {
        () = one_way(client_read, server_write, mode.clone()) => {}
        () = one_way(server_read, client_write, mode.clone()) => {}
        () = until(mode, Mode::Cut) => {}
    }
}

async fn until(mut mode: watch::Receiver<Mode>, wanted: Mode) {
    let _ = mode.wait_for(|mode| *mode == wanted).await;
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = until(mode.clone(), Mode::Stalled) => return std::future::pending().await,
        };
        let now = *mode.borrow();
        if let Mode::Slow(pause) = now {
            tokio::time::sleep(pause).await;
        }
        match read {
            Ok(read) if read > 0 && to.write_all(&buffer[..read]).await.is_ok() => {}
            _ => return,
        }
    }
}
