//! Budgets: what is counted, at which rate, and for whom.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use axum::http::{HeaderName, HeaderValue, header::RETRY_AFTER};

use crate::{
    config::{self, Rate},
    error::{Error, codes},
};

/// How often one user or address may do one kind of thing. A part whose requests are of another kind declares its own.
#[derive(Debug)]
pub struct Budget {
    /// Its name in Redis; no other budget has it.
    pub name: &'static str,
    /// Its rate, by configuration.
    pub rate: fn(&config::Limits) -> Rate,
    /// Whose requests are counted together.
    pub per: Per,
}

/// Whose requests a budget counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Requests of an address, with or without a user.
    Address,
    /// Those of a signed-in user, or else of an address.
    UserOrAddress,
    /// Those of a user. An API token's user is known only after a look into the database; until then its address must
    /// not have sent too many wrong ones.
    User,
}

/// Failed sign-ins of an address.
pub static LOGIN: Budget = Budget { name: "login", rate: |limits| limits.login, per: Per::Address };
/// Wrong passwords for an account.
pub static LOGIN_ACCOUNT: Budget =
    Budget { name: "login_account", rate: |limits| limits.login_account, per: Per::Address };
/// New accounts.
pub static REGISTER: Budget = Budget { name: "register", rate: |limits| limits.register, per: Per::Address };
/// Uploads.
pub static PUBLISH: Budget = Budget { name: "publish", rate: |limits| limits.publish, per: Per::User };
/// Other changes.
pub static WRITE: Budget = Budget { name: "write", rate: |limits| limits.write, per: Per::User };
/// Reports to administrators.
pub static REPORT: Budget = Budget { name: "report", rate: |limits| limits.report, per: Per::User };
/// Searches.
pub static SEARCH: Budget = Budget { name: "search", rate: |limits| limits.search, per: Per::UserOrAddress };
/// Other reads.
pub static READ: Budget = Budget { name: "read", rate: |limits| limits.read, per: Per::UserOrAddress };
/// Questions of browsers whether a page of another site may call (CORS preflights): as many as other reads, without
/// taking any of them.
pub static PREFLIGHT: Budget = Budget { name: "preflight", rate: |limits| limits.read, per: Per::Address };
/// Downloads of packages.
pub static DOWNLOAD: Budget = Budget { name: "download", rate: |limits| limits.download, per: Per::UserOrAddress };
/// Registrations, heartbeats and lists of services.
pub static REGISTRY: Budget = Budget { name: "registry", rate: |limits| limits.registry, per: Per::Address };
/// Calls of services through the gateway.
pub static GATEWAY: Budget = Budget { name: "gateway", rate: |limits| limits.gateway, per: Per::UserOrAddress };

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A user, by id.
    User(i64),
    /// An IPv4 address, or the first address of the /64 network that a site gets in IPv6.
    Network(IpAddr),
    /// Anything else that a part counts, such as a name that somebody tries passwords for.
    Name(Box<str>),
}

impl Subject {
    /// The network of an address.
    pub fn network(ip: IpAddr) -> Self {
        Self::Network(match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
        })
    }

    /// Something that a part counts; `kind` keeps it apart from what others count.
    pub fn name(kind: &str, name: &str) -> Self {
        Self::Name(format!("{kind}:{name}").into())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Network(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Network(IpAddr::V6(ip)) => write!(f, "{ip}/64"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Subject {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let user = text.strip_prefix("user:").and_then(|id| id.parse().ok()).map(Self::User);
        let network = || text.strip_suffix("/64").unwrap_or(text).parse().ok().map(Self::network);
        Ok(user.or_else(network).unwrap_or_else(|| Self::Name(text.into())))
    }
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug)]
pub struct BudgetStatus {
    /// The most requests of a window.
    pub(super) limit: u32,
    /// How many of them are left.
    pub(super) remaining: u32,
    /// Seconds until the window ends.
    pub(super) reset: u64,
}

impl BudgetStatus {
    /// `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`.
    pub fn headers(self) -> [(HeaderName, HeaderValue); 3] {
        [
            (HeaderName::from_static("ratelimit-limit"), self.limit.into()),
            (HeaderName::from_static("ratelimit-remaining"), self.remaining.into()),
            (HeaderName::from_static("ratelimit-reset"), self.reset.into()),
        ]
    }

    /// 429 with the headers and `Retry-After`.
    pub fn refusal(self) -> Error {
        let error =
            Error::with(&codes::RATE_LIMITED, &[&self.reset.to_string()]).header(RETRY_AFTER, self.reset.into());
        self.headers().into_iter().fold(error, |error, (name, value)| error.header(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_was_written() {
        let network = |text: &str| Subject::network(text.parse().expect("an address"));
        for (subject, text) in [
            (Subject::User(7), "user:7"),
            (network("192.0.2.1"), "192.0.2.1"),
            (network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"),
            (Subject::name("name", "ada lovelace"), "name:ada lovelace"),
        ] {
            assert_eq!(subject.to_string(), text);
            assert_eq!(text.parse(), Ok(subject));
        }
    }
}
