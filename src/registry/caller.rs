//! Who talks to the registry.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use ipnet::IpNet;

use super::Registry;
use crate::{
    accounts::{Accounts, CurrentUser, Scope},
    error::{Error, Result, codes},
    limits::Client,
};

/// The registry as one listener shows it.
pub struct RegistryApi {
    /// The registry.
    pub registry: Arc<Registry>,
    trusts_peers: bool,
}

impl RegistryApi {
    /// `trusts_peers` on the registry's own listener.
    pub fn new(registry: Arc<Registry>, trusts_peers: bool) -> Self {
        Self { registry, trusts_peers }
    }
}

impl AsRef<Accounts> for RegistryApi {
    fn as_ref(&self) -> &Accounts {
        self.registry.as_ref().as_ref()
    }
}

/// Headers that a program which talks to this server directly does not send: those of credentials, of proxies, and of
/// browsers, through which any website could reach a listener of this machine.
const INDIRECT: [&str; 9] = [
    "authorization",
    "x-plugin-jwt",
    "cookie",
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "via",
    "origin",
    "sec-fetch-site",
];

/// Whether the other end of a connection is trusted by its address alone.
pub fn is_trusted_peer(trusted: &[IpNet], peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    let is_near = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    peer.is_some_and(|peer| is_near(peer.ip().to_canonical()))
        && INDIRECT.iter().all(|name| !headers.contains_key(*name))
}

/// Whoever sent a request, and from where.
pub struct Caller {
    who: Who,
    /// The address it came from.
    pub address: IpAddr,
}

enum Who {
    /// A program trusted by its address.
    Peer,
    User(CurrentUser),
}

impl FromRequestParts<Arc<RegistryApi>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<RegistryApi>) -> Result<Self> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        if state.trusts_peers && is_trusted_peer(&state.registry.config.trusted, peer, &parts.headers) {
            let address = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip().to_canonical());
            return Ok(Self { who: Who::Peer, address });
        }
        if parts.headers.contains_key("x-plugin-jwt") {
            return Err(Error::new(&codes::INVALID_TOKEN));
        }
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Err(Error::new(&codes::UNAUTHENTICATED));
        }
        let user = <CurrentUser as FromRequestParts<Arc<RegistryApi>>>::from_request_parts(parts, state).await?;
        let client = parts.extensions.get::<Client>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0);
        Ok(Self { who: Who::User(user), address: client })
    }
}

impl Caller {
    /// Who owns what this caller registers. All programs that are trusted by their address are one subject.
    pub fn subject(&self) -> String {
        match &self.who {
            Who::Peer => "trusted".to_owned(),
            Who::User(user) => user.subject(),
        }
    }

    /// The actor in the audit log.
    pub fn actor(&self) -> String {
        match &self.who {
            Who::Peer => format!("trusted peer {}", self.address),
            Who::User(user) if user.is_token() => user.subject(),
            Who::User(user) => user.username.clone(),
        }
    }

    /// Refuses those who may not register a service of this name, or speak for it.
    ///
    /// # Errors
    /// 403.
    pub fn may_register(&self, name: &str) -> Result<()> {
        match &self.who {
            Who::Peer => Ok(()),
            Who::User(user) if user.is_token() => user.allows(Scope::Services, name),
            Who::User(user) if user.is_admin() => Ok(()),
            Who::User(_) => Err(Error::new(&codes::PERMISSION_DENIED)),
        }
    }

    /// Refuses those who may not see services.
    ///
    /// # Errors
    /// 403.
    pub fn may_read(&self) -> Result<()> {
        match &self.who {
            Who::Peer => Ok(()),
            Who::User(user) => user.has_scope(Scope::Services),
        }
    }

    /// Refuses those whose service it is not; administrators pass.
    ///
    /// # Errors
    /// 403 `not_service_owner`.
    pub fn owns(&self, name: &str, owner: &str) -> Result<()> {
        let is_admin = matches!(&self.who, Who::User(user) if user.is_admin());
        if is_admin || self.subject() == owner { Ok(()) } else { Err(Error::with(&codes::NOT_SERVICE_OWNER, &[name])) }
    }
}
