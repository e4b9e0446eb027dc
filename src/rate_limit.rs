//! How often one user or address may do what.
//!
//! Requests are counted in fixed windows in this process. With Redis, each process writes its totals
//! there a few times a second and reads the others', so that all of them together keep one limit
//! without a round trip per request; without Redis each process keeps its own.

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
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{AUTHORIZATION, RETRY_AFTER},
        request::Parts,
    },
};
use ipnet::IpNet;
use uuid::Uuid;

use crate::{
    codes,
    config::{self, Rate},
    error::{Error, Result},
    token::{Signer, Use},
};

/// Who a request's budget belongs to, as far as its headers alone can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The user of a session token with our signature.
    User(i64),
    /// Whoever an API token belongs to, or nobody.
    Unproven,
    /// Nobody in particular.
    Nobody,
}

impl Caller {
    /// Reads the credentials without asking the database.
    pub fn of(headers: &HeaderMap, signer: &Signer) -> Self {
        let Some(value) = headers.get(AUTHORIZATION) else { return Self::Nobody };
        let token = value.to_str().ok().and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
        let claims = token.and_then(|token| signer.verify(token, Use::Access));
        claims.and_then(|claims| claims.sub.parse().ok()).map_or(Self::Unproven, Self::User)
    }
}

/// The key of a user's budgets.
pub fn user_key(user: i64) -> String {
    format!("user:{user}")
}

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
    const ALL: [Self; 8] = [
        Self::Login,
        Self::LoginAccount,
        Self::Register,
        Self::Publish,
        Self::Write,
        Self::Search,
        Self::Read,
        Self::Download,
    ];

    /// The kind of a request by method, path (below the API's base) and query. Sign-ins count in
    /// their handler, where it is known whether they failed.
    pub fn of(method: &Method, path: &str, query: &str) -> Option<Self> {
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        Some(match path.trim_end_matches('/') {
            "/auth/login" => return None,
            // Asked often by whatever watches over the server, and answered from memory.
            "/health" | "/metrics" => return None,
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

    /// Whether only users do such things, so that an address without one has no budget to spend.
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
/// The stream of budgets that are half used, and how much of it is kept.
const WARNINGS: &str = "limit:warnings";
const MOST_WARNINGS: &str = "10000";

/// All budgets.
pub struct Limits {
    config: config::Limits,
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, Window>>; SHARDS],
    /// This process's name among those that share.
    process: String,
    /// The last entry read of what others told.
    heard: tokio::sync::Mutex<String>,
}

type Key = (Kind, Box<str>);

#[derive(Clone, Copy)]
struct Window {
    /// Windows of this length since 1970.
    number: u64,
    /// Counted here.
    own: u32,
    /// Of it, what the other processes know.
    told: u32,
    /// The sum of all other processes when last heard.
    others: u32,
}

impl Window {
    fn new(number: u64) -> Self {
        Self { number, own: 0, told: 0, others: 0 }
    }

    fn used(self) -> u32 {
        self.own.saturating_add(self.others)
    }
}

impl Limits {
    /// Budgets by configuration, all unused.
    pub fn new(config: config::Limits) -> Self {
        Self {
            config,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            process: Uuid::now_v7().simple().to_string(),
            heard: tokio::sync::Mutex::new("0".into()),
        }
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
    pub fn charge(&self, kind: Kind, key: &str) -> Option<Standing> {
        self.count(kind, key, 1, 0).ok().flatten()
    }

    /// Adds `cost`, unless less than `need` is left before.
    fn count(&self, kind: Kind, key: &str, cost: u32, need: u32) -> Result<Option<Standing>> {
        if !self.config.enabled {
            return Ok(None);
        }
        let rate = self.rate(kind);
        let (number, reset) = position(rate);
        let mut shard = self.shard(kind, key);
        let window = shard.entry((kind, key.into())).or_insert(Window::new(number));
        if window.number != number {
            *window = Window::new(number);
        }
        let left = rate.requests.saturating_sub(window.used());
        if left < need {
            return Err(Standing { limit: rate.requests, remaining: 0, reset }.refusal());
        }
        window.own = window.own.saturating_add(cost);
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

    /// One round of housekeeping: forgets windows that are over and, with Redis, tells the others
    /// what was counted here and learns what they counted.
    ///
    /// Every process writes its own total, so that a round may be repeated after an answer got lost.
    pub async fn share(&self, redis: Option<&crate::cache::Redis>) {
        let mut counted = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|(kind, _), window| window.number >= position(self.rate(*kind)).0);
            if redis.is_some() {
                let fresh = shard.iter().filter(|(_, window)| window.own > window.told);
                counted.extend(fresh.map(|(key, window)| (key.clone(), *window)));
            }
        }
        let Some(redis) = redis else { return };
        let told = self.tell(redis, &counted).await;
        if !told.is_empty() {
            self.warn_others(redis, &told).await;
        }
        self.listen(redis).await;
    }

    /// Writes the totals and reads those of the others; without an answer all is tried again later.
    async fn tell(&self, redis: &crate::cache::Redis, counted: &[(Key, Window)]) -> Vec<Key> {
        if counted.is_empty() {
            return Vec::new();
        }
        let mut pipe = redis::pipe();
        for ((kind, key), window) in counted {
            let name = format!("limit:{}:{}:{key}", kind.name(), window.number);
            pipe.hset(&name, &self.process, window.own).ignore();
            pipe.expire(&name, self.rate(*kind).window.as_secs() as i64 + 1).ignore();
            pipe.hgetall(&name);
        }
        let Some(totals) = redis.run::<Vec<HashMap<String, u32>>>(&pipe).await else { return Vec::new() };
        let mut nearly_full = Vec::new();
        for (((kind, key), counted), totals) in counted.iter().zip(totals) {
            let others = totals.iter().filter(|(process, _)| **process != self.process);
            let others = others.fold(0_u32, |sum, (_, total)| sum.saturating_add(*total));
            if let Some(used) = self.learn(*kind, key, counted.number, others, counted.own)
                && used >= self.rate(*kind).requests / 2
            {
                nearly_full.push((*kind, key.clone()));
            }
        }
        nearly_full
    }

    /// Notes what others counted; what is used of the budget now.
    fn learn(&self, kind: Kind, key: &str, number: u64, others: u32, told: u32) -> Option<u32> {
        let mut shard = self.shard(kind, key);
        let window = shard.entry((kind, key.into())).or_insert(Window::new(number));
        if window.number != number {
            return None;
        }
        // A Redis that was emptied knows less than before; what was used stays used.
        window.others = window.others.max(others);
        window.told = window.told.max(told);
        Some(window.used())
    }

    /// Puts budgets that are half used where all processes look: one that was not asked by a client
    /// yet would not know that others were.
    async fn warn_others(&self, redis: &crate::cache::Redis, keys: &[Key]) {
        let mut pipe = redis::pipe();
        for (kind, key) in keys {
            let Some(window) = self.shard(*kind, key).get(&(*kind, key.clone())).copied() else { continue };
            let about = format!("{} {} {} {key}", kind.name(), window.number, window.used());
            pipe.cmd("XADD").arg(WARNINGS).arg(&["MAXLEN", "~", MOST_WARNINGS, "*", "about"]).arg(about).ignore();
        }
        pipe.expire(WARNINGS, 2 * 86_400).ignore();
        redis.run::<()>(&pipe).await;
    }

    async fn listen(&self, redis: &crate::cache::Redis) {
        type Entries = Vec<(String, HashMap<String, String>)>;
        let mut heard = self.heard.lock().await;
        let mut pipe = redis::pipe();
        pipe.cmd("XRANGE").arg(WARNINGS).arg(format!("({heard}")).arg(&["+", "COUNT", MOST_WARNINGS]);
        let Some((entries,)) = redis.run::<(Entries,)>(&pipe).await else { return };
        for (id, fields) in entries {
            let about = fields.get("about").map(String::as_str).unwrap_or_default();
            if let [kind, number, used, key] = about.splitn(4, ' ').collect::<Vec<_>>()[..]
                && let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == kind)
                && let (Ok(number), Ok(used)) = (number.parse::<u64>(), used.parse::<u32>())
                && number == position(self.rate(kind)).0
            {
                let own = self.shard(kind, key).get(&(kind, key.into())).map_or(0, |window| window.own);
                self.learn(kind, key, number, used.saturating_sub(own), 0);
            }
            *heard = id;
        }
    }
}

/// The current window's number and the seconds left of it.
fn position(rate: Rate) -> (u64, u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let length = rate.window.as_secs().max(1);
    (now / length, length - now % length)
}

/// Counts a request of a user whom the headers alone did not prove.
///
/// # Errors
/// 429 when the budget is used up.
pub fn check_user(limits: &Limits, parts: &Parts, user: i64) -> Result<()> {
    let (Some(kind), Some(slot)) = (parts.extensions.get::<Kind>(), parts.extensions.get::<StandingSlot>()) else {
        return Ok(());
    };
    if kind.is_per_user()
        && slot.get().is_none()
        && let Some(standing) = limits.check(*kind, &user_key(user))?
    {
        let _ = slot.set(standing);
    }
    Ok(())
}

/// Counts a request whose credentials were wrong against its address.
pub fn charge_wrong(limits: &Limits, parts: &Parts) {
    let (Some(kind), Some(client)) = (parts.extensions.get::<Kind>(), parts.extensions.get::<Client>()) else {
        return;
    };
    if kind.is_per_user() {
        limits.charge(*kind, &client.key());
    }
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
            let Some(ip) = address(hop.trim()) else { break };
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

/// An address as proxies write it, some with a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(in_brackets)
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
        assert_eq!(client("10.0.0.1", "198.51.100.1:4711"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(client("10.0.0.1", "[2001:db8::1]"), "2001:db8::1");
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
