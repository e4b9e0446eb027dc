//! How often one user or address may do what.
//!
//! Requests are counted in fixed windows in this process. With Redis, what each process counted is
//! added up there a few times a second, so that all of them together keep one limit without a round
//! trip per request; without Redis each process keeps its own.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header::RETRY_AFTER, request::Parts},
};
use ipnet::IpNet;

use crate::{
    codes,
    config::{self, Rate},
    error::{Error, Result},
};

/// What a request does, as far as limits are concerned; each kind has its own budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "config.toml explains each kind")]
pub enum Kind {
    Login,
    LoginAccount,
    Register,
    Publish,
    Write,
    Search,
    Read,
    Download,
}

impl Kind {
    /// The kind of a request by method, path (below the API's base) and query. Sign-ins count in
    /// their handler, where it is known whether they failed.
    pub fn of(method: &Method, path: &str, query: &str) -> Option<Self> {
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        Some(match path.trim_end_matches('/') {
            "/auth/login" => return None,
            "/auth/register" => Self::Register,
            "/plugins" | "/plugins/upload" if !reads => Self::Publish,
            "/search" | "/search/suggestions" => Self::Search,
            "/plugins" if query.contains("search=") => Self::Search,
            path if path.ends_with("/download") => Self::Download,
            _ if reads => Self::Read,
            _ => Self::Write,
        })
    }

    /// The kind of a request to the website.
    pub fn of_page(method: &Method, path: &str, query: &str) -> Option<Self> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        Some(match path {
            // What machines fetch, and packages under the addresses of a CDN, count elsewhere or not at all.
            path if ["/health", "/metrics", "/assets/", "/api/"].iter().any(|start| path.starts_with(start)) => {
                return None;
            }
            path if path.ends_with(".tar.gz") => return None,
            "/login" if !reads => return None,
            "/register" if !reads => Self::Register,
            "/publish" | "/publish/check" if !reads => Self::Publish,
            "/plugins" if query.contains("q=") => Self::Search,
            _ if reads => Self::Read,
            _ => Self::Write,
        })
    }

    /// Whether the budget is the signed-in user's; otherwise it is the address's.
    pub fn is_per_user(self) -> bool {
        matches!(self, Self::Publish | Self::Write)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginAccount => "login_account",
            Self::Register => "register",
            Self::Publish => "publish",
            Self::Write => "write",
            Self::Search => "search",
            Self::Read => "read",
            Self::Download => "download",
        }
    }
}

/// How a budget stands after a request.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until the window ends.
    reset: u64,
}

impl Standing {
    /// `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`.
    pub fn headers(self) -> [(HeaderName, HeaderValue); 3] {
        [
            (HeaderName::from_static("ratelimit-limit"), self.limit.into()),
            (HeaderName::from_static("ratelimit-remaining"), self.remaining.into()),
            (HeaderName::from_static("ratelimit-reset"), self.reset.into()),
        ]
    }

    fn refusal(self) -> Error {
        let error =
            Error::with(&codes::RATE_LIMITED, &[&self.reset.to_string()]).header(RETRY_AFTER, self.reset.into());
        self.headers().into_iter().fold(error, |error, (name, value)| error.header(name, value))
    }
}

/// Where an extractor leaves the standing it found, for the answer's headers.
pub type StandingSlot = Arc<OnceLock<Standing>>;

const SHARDS: usize = 16;

/// All budgets.
pub struct Limits {
    config: config::Limits,
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, Window>>; SHARDS],
}

type Key = (Kind, Box<str>);

#[derive(Clone, Copy)]
struct Window {
    /// Windows of this length since 1970.
    number: u64,
    /// Counted here and not yet added to the shared sum.
    unshared: u32,
    /// The sum of all processes when last heard.
    shared: u32,
}

impl Limits {
    /// Budgets by configuration, all unused.
    pub fn new(config: config::Limits) -> Self {
        Self { config, hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 when the budget is used up.
    pub fn check(&self, kind: Kind, key: &str) -> Result<Option<Standing>> {
        self.count(kind, key, 1, 1)
    }

    /// Looks whether the budget is used up, without counting.
    ///
    /// # Errors
    /// 429 when it is.
    pub fn peek(&self, kind: Kind, key: &str) -> Result<Option<Standing>> {
        self.count(kind, key, 0, 1)
    }

    /// Counts something whatever the budget says.
    pub fn charge(&self, kind: Kind, key: &str) {
        let _ = self.count(kind, key, 1, 0);
    }

    /// Adds `cost`, unless less than `need` is left before.
    fn count(&self, kind: Kind, key: &str, cost: u32, need: u32) -> Result<Option<Standing>> {
        if !self.config.enabled {
            return Ok(None);
        }
        let rate = self.rate(kind);
        let (number, reset) = position(rate);
        let mut shard = self.shard(kind, key);
        let window = shard.entry((kind, key.into())).or_insert(Window { number, unshared: 0, shared: 0 });
        if window.number != number {
            *window = Window { number, unshared: 0, shared: 0 };
        }
        let used = window.shared.saturating_add(window.unshared);
        let left = rate.requests.saturating_sub(used);
        if left < need {
            return Err(Standing { limit: rate.requests, remaining: 0, reset }.refusal());
        }
        window.unshared = window.unshared.saturating_add(cost);
        Ok(Some(Standing { limit: rate.requests, remaining: left.saturating_sub(cost), reset }))
    }

    fn rate(&self, kind: Kind) -> Rate {
        match kind {
            Kind::Login => self.config.login,
            Kind::LoginAccount => self.config.login_account,
            Kind::Register => self.config.register,
            Kind::Publish => self.config.publish,
            Kind::Write => self.config.write,
            Kind::Search => self.config.search,
            Kind::Read => self.config.read,
            Kind::Download => self.config.download,
        }
    }

    fn shard(&self, kind: Kind, key: &str) -> MutexGuard<'_, HashMap<Key, Window>> {
        let index = self.hasher.hash_one((kind, key)) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One round of housekeeping: forgets windows that are over and, with Redis, adds what was
    /// counted here to the shared sums and learns them.
    pub async fn share(&self, redis: Option<&crate::cache::Redis>) {
        let mut counted = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|(kind, _), window| window.number >= position(self.rate(*kind)).0);
            if redis.is_some() {
                let fresh = shard.iter_mut().filter(|(_, window)| window.unshared > 0);
                counted.extend(fresh.map(|(key, window)| (key.clone(), window.number, window.unshared)));
            }
        }
        let Some(redis) = redis.filter(|_| !counted.is_empty()) else { return };
        let mut pipe = redis::pipe();
        for ((kind, key), number, unshared) in &counted {
            let name = format!("limit:{}:{number}:{key}", kind.name());
            pipe.incr(&name, *unshared);
            pipe.expire(&name, self.rate(*kind).window.as_secs() as i64).ignore();
        }
        // Without an answer everything stays unshared and is tried again next time.
        let Some(sums) = redis.run::<Vec<u32>>(&pipe).await else { return };
        for (((kind, key), number, unshared), sum) in counted.into_iter().zip(sums) {
            if let Some(window) = self.shard(kind, &key).get_mut(&(kind, key.clone()))
                && window.number == number
            {
                window.unshared = window.unshared.saturating_sub(unshared);
                window.shared = sum;
            }
        }
    }
}

/// The current window's number and the seconds left of it.
fn position(rate: Rate) -> (u64, u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let length = rate.window.as_secs().max(1);
    (now / length, length - now % length)
}

/// Counts a request against the signed-in user's budget, when its kind is per user.
///
/// # Errors
/// 429 when the budget is used up.
pub fn check_user(limits: &Limits, parts: &Parts, user: i64) -> Result<()> {
    let Some(kind) = parts.extensions.get::<Kind>().filter(|kind| kind.is_per_user()) else { return Ok(()) };
    let standing = limits.check(*kind, &format!("user:{user}"))?;
    if let (Some(slot), Some(standing)) = (parts.extensions.get::<StandingSlot>(), standing) {
        let _ = slot.set(standing);
    }
    Ok(())
}

/// The address a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub IpAddr);

impl Client {
    /// The connection's peer, or what trusted proxies say of it: the last address of
    /// `X-Forwarded-For` that is not itself a trusted proxy.
    pub fn of(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip().to_canonical());
        let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
        if !is_trusted(&peer) {
            return Self(peer);
        }
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .collect();
        let mut client = peer;
        for hop in forwarded.iter().rev() {
            // Beyond something unreadable nothing can be believed.
            let Ok(ip) = hop.trim().parse::<IpAddr>() else { break };
            client = ip.to_canonical();
            if !is_trusted(&client) {
                break;
            }
        }
        Self(client)
    }

    /// What a budget is kept for: an IPv4 address, or the network a site gets in IPv6.
    pub fn key(self) -> String {
        match self.0 {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().copied();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        Ok(known.unwrap_or_else(|| Self::of(peer, &parts.headers, &[])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().expect("a header"));
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        Client::of(Some(SocketAddr::new(peer.parse().expect("an address"), 1)), &headers, &trusted).0.to_string()
    }

    #[test]
    fn a_forwarded_address_is_believed_from_trusted_proxies_only() {
        assert_eq!(client("192.0.2.1", "198.51.100.1"), "192.0.2.1");
        assert_eq!(client("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "203.0.113.9, nonsense"), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", "198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn a_budget_ends_and_is_kept_per_kind_and_key() {
        let config = config::Limits { register: "2/hour".parse().expect("a rate"), ..Default::default() };
        let limits = Limits::new(config);
        assert!(limits.check(Kind::Register, "a").is_ok());
        assert!(limits.check(Kind::Register, "a").is_ok());
        assert!(limits.check(Kind::Register, "a").is_err());
        assert!(limits.check(Kind::Register, "b").is_ok());
        assert!(limits.check(Kind::Read, "a").is_ok());
    }
}
