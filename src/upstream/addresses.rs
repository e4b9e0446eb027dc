//! Hosts as callers write them, and what the addresses behind them are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Longest host name (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// A host that somebody named: one notation for each address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address; IPv4 addresses are never written as IPv6.
    Address(IpAddr),
    /// A name in lower case, without a dot at its end.
    Name(String),
}

impl Host {
    /// Reads a host. Numbers that only some programs read as addresses (`0177.1`, `2130706433`, `0x7f.1`) are no hosts.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
            return (bare.is_none() || ip.is_ipv6()).then(|| Self::Address(ip.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|b| b.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        (name.len() <= MAX_NAME && name.split('.').all(is_label) && !is_number).then_some(Self::Name(name))
    }

    /// Whether it is this machine's own by its notation: loopback, unspecified, or `localhost` (RFC 6761, 6.3).
    pub fn is_local(&self) -> bool {
        match self {
            Self::Address(ip) => ip.is_loopback() || ip.is_unspecified(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64 (RFC 6052, RFC 8215) or 6to4 (RFC 3056).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let groups = ip.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match groups {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// The address itself, and the one it leads to.
pub(super) fn readings(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => embedded(ip).map(IpAddr::V4),
    };
    [Some(ip.to_canonical()), inner].into_iter().flatten()
}

/// Addresses that no service may have, whoever registers it: cloud metadata, link-local, multicast, unspecified.
pub(super) fn is_never_allowed(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets()[0] == 0
                || ip == Ipv4Addr::new(100, 100, 100, 200)
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
                || ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

/// Whether an address is this machine's.
pub(super) fn is_own(ip: IpAddr) -> bool {
    // What can be bound is here.
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_notation_for_each_host_and_none_for_numbers_in_disguise() {
        let host = |text: &str| Host::parse(text).map(|host| host.to_string());
        for (text, read) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("::ffff:169.254.169.254", "169.254.169.254"),
            ("LocalHost.", "localhost"),
            ("my_service-1.example.org", "my_service-1.example.org"),
        ] {
            assert_eq!(host(text).as_deref(), Some(read), "{text}");
        }
        for text in [
            "",
            ".",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0x7f.1",
            "a..b",
            "a b",
            "a/b",
            "a:1",
            "[127.0.0.1]",
            "fe80::1%eth0",
            "a@b",
            "é",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_within_addresses_are_read() {
        for text in
            ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "::a9fe:a9fe"]
        {
            let ip: IpAddr = text.parse().expect("an address");
            assert!(readings(ip).any(is_never_allowed), "{text}");
        }
        for text in
            ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"]
        {
            assert!(is_never_allowed(text.parse().expect("an address")), "{text}");
        }
        for text in ["127.0.0.1", "::1", "10.0.0.1", "192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = text.parse().expect("an address");
            assert!(!readings(ip).any(is_never_allowed), "{text}");
        }
    }
}
