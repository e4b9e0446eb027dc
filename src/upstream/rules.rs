//! Where connections may go.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use ipnet::IpNet;
use tokio::{net::lookup_host, time::timeout};

use super::addresses::{Host, is_never_allowed, is_own, readings};
use crate::config::Config;

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(2);

/// An entry of `gateway.upstream_allow` or `upstream_deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    host: Which,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Network(IpNet),
    Name(String),
}

impl Pattern {
    /// Reads `host`, `network` or either with a port.
    pub fn parse(text: &str) -> Option<Self> {
        let which = |text: &str| {
            if let Ok(net) = text.parse::<IpNet>() {
                return Some(Which::Network(net));
            }
            match Host::parse(text)? {
                Host::Address(ip) => Some(Which::Network(ip.into())),
                Host::Name(name) => Some(Which::Name(name)),
            }
        };
        if let Some(host) = which(text) {
            return Some(Self { host, port: None });
        }
        let (host, port) = text.rsplit_once(':')?;
        Some(Self { host: which(host)?, port: Some(port.parse().ok()?) })
    }

    fn matches(&self, host: &Host, address: SocketAddr) -> bool {
        let is_host = match &self.host {
            Which::Network(net) => readings(address.ip()).any(|ip| net.contains(&ip)),
            Which::Name(name) => matches!(host, Host::Name(asked) if asked == name),
        };
        is_host && self.port.is_none_or(|port| port == address.port())
    }
}

/// What decides where connections may go.
pub struct Rules {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
    /// Ports of this server, on any address of this machine.
    listeners: OnceLock<Vec<u16>>,
    /// Where this server keeps its data.
    stores: Vec<(Host, u16)>,
}

impl Rules {
    /// The rules of a configuration.
    ///
    /// # Errors
    /// When an entry is neither a host nor a network.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let read = |name: &str, list: &[String]| -> anyhow::Result<Vec<Pattern>> {
            let parse = |entry: &String| {
                Pattern::parse(entry)
                    .ok_or_else(|| anyhow::anyhow!("gateway.{name}: '{entry}' is neither a host nor a network"))
            };
            list.iter().map(parse).collect()
        };
        let endpoint = &config.storage.s3_endpoint;
        let stores = [config.database.url.get(), config.redis.url.get(), Some(endpoint.as_str())];
        Ok(Self {
            allow: read("upstream_allow", &config.gateway.upstream_allow)?,
            deny: read("upstream_deny", &config.gateway.upstream_deny)?,
            listeners: OnceLock::new(),
            stores: stores.into_iter().flatten().filter_map(store_address).collect(),
        })
    }

    /// Tells at which ports this server listens; the first call counts.
    pub fn set_listeners(&self, addresses: &[SocketAddr]) {
        let _ = self.listeners.set(addresses.iter().map(SocketAddr::port).collect());
    }

    /// The addresses of a host that a service registered from `from` may have: all of them, or none.
    pub async fn resolve(&self, host: &Host, port: u16, from: IpAddr) -> Result<Vec<SocketAddr>, Refusal> {
        let addresses = look_up(host, port).await.ok_or(Refusal::Unresolved)?;
        for address in &addresses {
            if !self.allows(host, *address, from).await {
                return Err(Refusal::Forbidden);
            }
        }
        Ok(addresses)
    }

    async fn allows(&self, host: &Host, address: SocketAddr, from: IpAddr) -> bool {
        if readings(address.ip()).any(is_never_allowed)
            || self.deny.iter().any(|pattern| pattern.matches(host, address))
            || self.is_listener(address)
            || self.is_store(address).await
        {
            return false;
        }
        let ip = address.ip().to_canonical();
        self.allow.iter().any(|pattern| pattern.matches(host, address))
            || ip == from.to_canonical()
            || ip.is_loopback() && from.to_canonical().is_loopback()
    }

    fn is_listener(&self, address: SocketAddr) -> bool {
        self.listeners.get().is_some_and(|ports| ports.contains(&address.port())) && readings(address.ip()).any(is_own)
    }

    async fn is_store(&self, address: SocketAddr) -> bool {
        for (host, port) in self.stores.iter().filter(|(_, port)| *port == address.port()) {
            // What cannot be resolved now may be so the next moment.
            let Some(stores) = look_up(host, *port).await else { return true };
            let is_same = |ip: IpAddr| stores.iter().any(|store| store.ip() == ip || is_own(store.ip()) && is_own(ip));
            if readings(address.ip()).any(is_same) {
                return true;
            }
        }
        false
    }
}

async fn look_up(host: &Host, port: u16) -> Option<Vec<SocketAddr>> {
    let name = match host {
        Host::Address(ip) => return Some(vec![SocketAddr::new(*ip, port)]),
        Host::Name(_) if host.is_local() => {
            return Some(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
        }
        Host::Name(name) => name,
    };
    let found = timeout(RESOLVE, lookup_host((name.as_str(), port))).await.ok()?.ok()?;
    let addresses: Vec<_> = found.collect();
    (!addresses.is_empty()).then_some(addresses)
}

/// Why a host was not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has an address that this service may not have.
    Forbidden,
    /// Its name has no address.
    Unresolved,
}

/// The host and port of a URL that data is kept at; none for Unix sockets.
fn store_address(url: &str) -> Option<(Host, u16)> {
    let uri: axum::http::Uri = url.parse().ok()?;
    let default = match uri.scheme_str()? {
        "postgres" | "postgresql" => 5432,
        "redis" | "rediss" => 6379,
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    Some((Host::parse(uri.host()?)?, uri.port_u16().unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(adjust: impl FnOnce(&mut Config)) -> Rules {
        let mut config = Config::default();
        adjust(&mut config);
        Rules::new(&config).expect("rules")
    }

    async fn verdict(rules: &Rules, host: &str, port: u16, from: &str) -> Result<usize, Refusal> {
        let host = Host::parse(host).expect("a host");
        rules.resolve(&host, port, from.parse().expect("an address")).await.map(|addresses| addresses.len())
    }

    #[tokio::test]
    async fn a_service_is_where_its_registration_came_from() {
        let rules = rules(|_| {});
        assert_eq!(verdict(&rules, "localhost", 8010, "127.0.0.1").await, Ok(2));
        assert_eq!(verdict(&rules, "127.0.0.5", 8010, "::1").await, Ok(1));
        assert_eq!(verdict(&rules, "192.0.2.1", 8010, "192.0.2.1").await, Ok(1));
        for (host, from) in
            [("localhost", "192.0.2.1"), ("192.0.2.2", "192.0.2.1"), ("192.0.2.2", "127.0.0.1"), ("::1", "2001:db8::1")]
        {
            assert_eq!(verdict(&rules, host, 8010, from).await, Err(Refusal::Forbidden), "{host} from {from}");
        }
    }

    #[tokio::test]
    async fn what_is_denied_is_denied_whoever_asks_and_whatever_is_allowed() {
        let rules = rules(|config| {
            config.gateway.upstream_allow = vec!["0.0.0.0/0".into(), "::/0".into(), "localhost".into()];
            config.gateway.upstream_deny = vec!["198.51.100.0/24".into(), "192.0.2.9:81".into(), "localhost:82".into()];
            config.database.url = toml::Value::from("postgres://a@127.0.0.1:5433/b").try_into().expect("a secret");
        });
        rules.set_listeners(&["0.0.0.0:8001".parse().expect("an address")]);
        assert_eq!(verdict(&rules, "203.0.113.1", 80, "127.0.0.1").await, Ok(1));
        assert_eq!(verdict(&rules, "192.0.2.9", 80, "127.0.0.1").await, Ok(1));
        for (host, port) in [
            ("169.254.169.254", 80),
            ("::ffff:169.254.169.254", 80),
            ("64:ff9b::a9fe:a9fe", 80),
            ("100.100.100.200", 80),
            ("fd00:ec2::254", 80),
            ("fe80::1", 80),
            ("0.0.0.0", 80),
            ("224.0.0.1", 80),
            ("198.51.100.7", 80),
            ("192.0.2.9", 81),
            ("localhost", 82),
            ("127.0.0.1", 5433),
            ("127.0.0.9", 5433),
            ("::1", 5433),
            ("localhost", 8001),
            ("::ffff:127.0.0.1", 8001),
            ("64:ff9b::7f00:1", 8001),
        ] {
            assert_eq!(verdict(&rules, host, port, "127.0.0.1").await, Err(Refusal::Forbidden), "{host}:{port}");
        }
    }
}
