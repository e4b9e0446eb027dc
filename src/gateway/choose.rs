//! Which version and which instance gets a request.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::http::HeaderValue;
use rand::RngExt;
use semver::VersionReq;
use uuid::Uuid;

use super::unavailable;
use crate::{
    error::{Error, Result, codes},
    registry::{Instance, Service, Status, Version, version_number},
};

/// The version that a request asks for, or the highest stable one to which requests are sent.
///
/// # Errors
/// 503 when there is none; 400 when what was asked for is no version.
pub(super) fn version<'a>(service: &'a Service, asked: Option<&HeaderValue>) -> Result<&'a Version> {
    if !service.is_active {
        return Err(unavailable());
    }
    let is_routed = |version: &&Version| version.instances.iter().any(|instance| instance.state.status().is_routed());
    let mut routed = service.versions.iter().filter(is_routed);
    let found = match asked {
        None => routed.next(),
        Some(asked) => {
            let asked = asked.to_str().map_err(|_| no_version())?.trim();
            match Wanted::parse(asked)? {
                Wanted::Exactly(number) => routed.find(|version| version.text == asked || version.number == number),
                Wanted::Within(range) => routed.find(|version| version.text == asked || range.matches(&version.number)),
            }
        }
    };
    found.ok_or_else(unavailable)
}

enum Wanted {
    Exactly(semver::Version),
    Within(VersionReq),
}

impl Wanted {
    fn parse(asked: &str) -> Result<Self> {
        let bare = asked.strip_prefix(['v', 'V', '=']).unwrap_or(asked);
        if bare.parse::<semver::Version>().is_ok() {
            return Ok(Self::Exactly(version_number(bare)));
        }
        if asked.is_empty() {
            return Err(no_version());
        }
        VersionReq::parse(asked).map(Self::Within).map_err(|_| no_version())
    }
}

fn no_version() -> Error {
    Error::new(&codes::INVALID_INPUT)
        .saying("X-Service-Version 不是版本号或版本范围", "X-Service-Version is neither a version nor a range")
}

/// The less busy one of two instances drawn at random: among those that are well, else among those whose heartbeats are
/// late, else among those left out for their failures.
pub(super) fn instance(version: &Version, except: Option<Uuid>) -> Option<&Arc<Instance>> {
    let tier = |instance: &Arc<Instance>| match instance.state.status() {
        _ if Some(instance.id) == except => None,
        status if !status.is_routed() => None,
        _ if instance.state.is_ejected() => Some(2),
        Status::Suspect => Some(1),
        _ => Some(0),
    };
    if let [only] = version.instances.as_slice() {
        return tier(only).map(|_| only);
    }
    let best = version.instances.iter().filter_map(tier).min()?;
    let of_best = || version.instances.iter().filter(|instance| tier(instance) == Some(best));
    let count = of_best().count();
    let mut random = rand::rng();
    let first = random.random_range(0..count.max(1));
    let a = of_best().nth(first).or_else(|| of_best().next())?;
    if count < 2 {
        return Some(a);
    }
    let second = (first + random.random_range(1..count)) % count;
    let Some(b) = of_best().nth(second) else { return Some(a) };
    let busy = |instance: &Arc<Instance>| instance.state.in_flight.load(Relaxed);
    Some(if busy(b) < busy(a) { b } else { a })
}
