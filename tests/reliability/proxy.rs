//! A way to PostgreSQL that a test can cut.

use std::{net::SocketAddr, path::PathBuf};

use sqlx::{ConnectOptions, PgPool, postgres::PgConnectOptions};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

/// A listener that passes connections on to a test's database while it is open.
pub(crate) struct Proxy {
    address: SocketAddr,
    target: PgConnectOptions,
    is_open: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start(db: &PgPool) -> Self {
        let target = db.connect_options().as_ref().clone();
        let socket: Option<PathBuf> =
            target.get_socket().map(|folder| folder.join(format!(".s.PGSQL.{}", target.get_port())));
        let host = (target.get_host().to_owned(), target.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, mut watched) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if !*watched.borrow_and_update() {
                    continue;
                }
                let (mut cut, socket, host) = (watched.clone(), socket.clone(), host.clone());
                tokio::spawn(async move {
                    let pass = async {
                        match socket {
                            Some(path) => copy_bidirectional(&mut near, &mut UnixStream::connect(path).await?).await,
                            None => copy_bidirectional(&mut near, &mut TcpStream::connect(host).await?).await,
                        }
                    };
                    tokio::select! { _ = pass => {}, _ = cut.changed() => {} }
                });
            }
        });
        Self { address, target, is_open }
    }

    /// The address of the database by this way.
    pub(crate) fn url(&self) -> String {
        let mut url = self.target.to_url_lossy();
        url.set_query(Some("sslmode=disable"));
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.to_string()
    }

    /// Ends all connections, and every new one at once.
    pub(crate) fn cut(&self) {
        self.is_open.send_replace(false);
    }

    /// Passes connections on again.
    pub(crate) fn mend(&self) {
        self.is_open.send_replace(true);
    }
}
