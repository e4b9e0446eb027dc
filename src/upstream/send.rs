//! Sending requests over kept connections and new ones.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use axum::{body::Body, http::Request, response::Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use super::{Host, Origin, Rules, rules::Refusal};
use crate::config::Config;

/// The most bytes of the head of an answer, and of the buffer for reading from a connection.
const MAX_HEAD: usize = 128 * 1024;
/// How long a kept connection may take until it takes the next request. It has read its last answer, so this is the time
/// until its task ran.
const READY: Duration = Duration::from_millis(20);

/// Connects to hosts that somebody else chose, and sends them requests.
pub struct Upstream {
    /// Where connections may go.
    pub rules: Rules,
    connect_timeout: Duration,
    idle: Duration,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// The host has an address that it may not have.
    Forbidden,
    /// The name has no address.
    Unresolved,
    /// Nobody listens at the port.
    Refused,
    /// It did not answer in time.
    Timeout,
    /// Anything else.
    Failed,
}

/// Why there is no answer.
pub enum SendFault {
    /// There was no connection; here is the request, of which nothing was sent.
    Connect(ConnectFault, Box<Request<Body>>),
    /// The connection ended before there was an answer, or the answer was none.
    Broken(hyper::Error),
}

/// An answer whose body is still to be read.
pub struct Sent {
    /// The answer.
    pub response: Response<Incoming>,
    /// The connection that it comes on.
    pub connection: Kept,
}

/// A connection in use; dropping it closes it.
pub struct Kept {
    origin: Arc<Origin>,
    sender: SendRequest<Body>,
}

impl Kept {
    /// Keeps the connection for further requests: request and answer were read to their end.
    pub fn release(self) {
        self.origin.keep(self.sender);
    }
}

impl Upstream {
    /// Connections as configured.
    ///
    /// # Errors
    /// As [`Rules::new`].
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            rules: Rules::new(config)?,
            connect_timeout: Duration::from_millis(config.gateway.connect_timeout_ms),
            idle: Duration::from_millis(config.gateway.pool_idle_ms),
        })
    }

    /// How long a connection may wait for its next request.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Sends a request and waits for the head of its answer. A kept connection that turns out to be closed before
    /// anything was sent is replaced; `is_fresh` asks for a new one.
    ///
    /// # Errors
    /// When there is no connection, or no answer.
    pub async fn send(
        &self,
        origin: &Arc<Origin>,
        mut request: Request<Body>,
        is_fresh: bool,
    ) -> Result<Sent, SendFault> {
        while !is_fresh && let Some(mut sender) = origin.take(self.idle) {
            if !matches!(timeout(READY, sender.ready()).await, Ok(Ok(()))) {
                continue;
            }
            match self.try_send(origin, sender, request).await {
                Ok(sent) => return Ok(sent),
                Err(Unsent::Request(unsent)) => request = *unsent,
                Err(Unsent::Broken(error)) => return Err(SendFault::Broken(error)),
            }
        }
        let stream = match self.connect(&origin.host, origin.port, origin.from).await {
            Ok(stream) => stream,
            Err(fault) => return Err(SendFault::Connect(fault, Box::new(request))),
        };
        let sender = handshake(stream).await.map_err(SendFault::Broken)?;
        self.try_send(origin, sender, request).await.map_err(|unsent| match unsent {
            Unsent::Request(unsent) => SendFault::Connect(ConnectFault::Failed, unsent),
            Unsent::Broken(error) => SendFault::Broken(error),
        })
    }

    async fn try_send(
        &self,
        origin: &Arc<Origin>,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
    ) -> Result<Sent, Unsent> {
        match sender.try_send_request(request).await {
            Ok(response) => Ok(Sent { response, connection: Kept { origin: origin.clone(), sender } }),
            Err(mut failed) => Err(match failed.take_message() {
                Some(request) => Unsent::Request(Box::new(request)),
                None => Unsent::Broken(failed.into_error()),
            }),
        }
    }

    /// Whether an origin accepts a connection now.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn probe(&self, origin: &Origin) -> Result<(), ConnectFault> {
        self.connect(&origin.host, origin.port, origin.from).await.map(drop)
    }

    /// Connects to an address of the host that was checked, the first that answers.
    ///
    /// # Errors
    /// Why none does.
    async fn connect(&self, host: &Host, port: u16, from: IpAddr) -> Result<TcpStream, ConnectFault> {
        let deadline = Instant::now() + self.connect_timeout;
        let addresses = timeout_at(deadline, self.rules.resolve(host, port, from)).await;
        let addresses = addresses.map_err(|_| ConnectFault::Timeout)?.map_err(|refusal| match refusal {
            Refusal::Forbidden => ConnectFault::Forbidden,
            Refusal::Unresolved => ConnectFault::Unresolved,
        })?;
        let mut fault = ConnectFault::Failed;
        for address in addresses {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => fault = ConnectFault::Refused,
                Ok(Err(_)) => fault = if fault == ConnectFault::Refused { fault } else { ConnectFault::Failed },
                Err(_) => return Err(ConnectFault::Timeout),
            }
        }
        Err(fault)
    }
}

enum Unsent {
    Request(Box<Request<Body>>),
    Broken(hyper::Error),
}

async fn handshake(stream: TcpStream) -> hyper::Result<SendRequest<Body>> {
    let (sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(e) = connection.with_upgrades().await {
            debug!(error = %e, "a connection to a service ended early");
        }
    });
    Ok(sender)
}
