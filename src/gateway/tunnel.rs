//! Connections that client and service have agreed to use for another protocol.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, sync::OwnedSemaphorePermit};
use tracing::debug;

use super::body::ServiceInFlight;
use crate::upstream::Kept;

/// Whether a request asks for a WebSocket (RFC 6455, 4.1). Other upgrades do not pass: HTTP/2 in clear text would carry
/// requests past everything that is decided here.
pub(super) fn is_websocket(version: Version, headers: &HeaderMap) -> bool {
    let lists = |name, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value: &HeaderValue| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    version == Version::HTTP_11 && lists(header::CONNECTION, "upgrade") && lists(header::UPGRADE, "websocket")
}

/// Asks a service for a WebSocket, or tells a client that it is one.
pub(super) fn set_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Both ends of a tunnel, and what is held while it is open.
pub(super) struct Tunnel {
    pub client: OnUpgrade,
    pub service: OnUpgrade,
    pub connection: Kept,
    pub in_flight: ServiceInFlight,
    pub permit: Arc<OwnedSemaphorePermit>,
}

impl Tunnel {
    /// Copies bytes both ways until both ends have closed.
    pub async fn run(self) {
        let Self { client, service, connection, in_flight, permit } = self;
        let copied = async {
            let (client, service) = (client.await?, service.await?);
            let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
            copy_bidirectional(&mut client, &mut service).await?;
            anyhow::Ok(())
        };
        if let Err(e) = copied.await {
            debug!(error = format!("{e:#}"), "an upgraded connection ended early");
        }
        drop((connection, in_flight, permit));
    }
}
