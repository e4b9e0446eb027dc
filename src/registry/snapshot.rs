//! All services in memory: an immutable value that every request reads, replaced when something changed.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderValue;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    endpoints::Endpoints,
    instance::{Instance, InstanceState, Status},
    model::{Endpoint, check_path},
    queries::{InstanceRow, ServiceRow},
    traffic::Traffic,
};
use crate::upstream::{Host, Origin};

/// One service.
pub struct Service {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// The version that registered last.
    pub version: String,
    /// As registered.
    pub metadata: Map<String, Value>,
    /// As registered.
    pub tags: Vec<String>,
    /// Whether calls need somebody who is known, unless an endpoint is public.
    pub requires_auth: bool,
    /// Who registered it first.
    pub owner: String,
    /// False when an administrator switched it off.
    pub is_active: bool,
    /// When it was registered first.
    pub created_at: OffsetDateTime,
    /// When anything was changed last.
    pub updated_at: OffsetDateTime,
    /// Its instances.
    pub instances: Vec<Arc<Instance>>,
    /// Those that were deregistered by name and may yet turn out to live.
    pub(super) deregistered: Vec<Arc<Instance>>,
    /// Its versions that have instances: the highest stable one first.
    pub versions: Vec<Version>,
    /// Requests to it.
    pub traffic: Arc<Traffic>,
    /// Its own time limit for the head of an answer.
    pub head_timeout: Option<Duration>,
    /// Whether what it does not declare is unknown.
    pub is_strict: bool,
}

/// One version of a service.
pub struct Version {
    /// As registered.
    pub text: String,
    /// As a header of answers.
    pub header: Option<HeaderValue>,
    /// The same to compare.
    pub number: semver::Version,
    /// Its instances.
    pub instances: Vec<Arc<Instance>>,
    /// What it declares.
    pub endpoints: Arc<Endpoints>,
}

impl Service {
    /// Whether it was deregistered as a whole and is only kept in case one of its instances lives.
    pub fn is_gone(&self) -> bool {
        self.instances.is_empty()
    }

    /// Whether requests are sent to it.
    pub fn is_routed(&self) -> bool {
        self.is_active && self.instances.iter().any(|instance| instance.state.status().is_routed())
    }

    /// The best status of its instances, or `disabled`.
    pub fn status(&self) -> &'static str {
        if !self.is_active {
            return "disabled";
        }
        let best = self.instances.iter().map(|instance| instance.state.status()).min();
        best.unwrap_or(Status::Expired).name()
    }

    /// The endpoints of a version; none when it declares none.
    pub fn endpoints_of(&self, version: &str) -> &[Endpoint] {
        let found = self.versions.iter().find(|known| known.text == version);
        found.map_or(&[], |version| &version.endpoints.list)
    }
}

/// All services.
#[derive(Clone, Default)]
pub struct Snapshot {
    by_name: HashMap<String, Arc<Service>>,
    names: HashMap<Uuid, String>,
}

impl Snapshot {
    /// The service of a name, one that is gone included.
    pub(super) fn any(&self, name: &str) -> Option<&Arc<Service>> {
        self.by_name.get(name)
    }

    /// The service of a name.
    pub fn find(&self, name: &str) -> Option<&Arc<Service>> {
        self.any(name).filter(|service| !service.is_gone())
    }

    /// The service of an id.
    pub fn find_id(&self, id: Uuid) -> Option<&Arc<Service>> {
        self.find(self.names.get(&id)?)
    }

    /// The instance of an id, with its service.
    pub fn find_instance(&self, id: Uuid) -> Option<(&Arc<Service>, &Arc<Instance>)> {
        self.services().find_map(|service| {
            let instance = service.instances.iter().find(|instance| instance.id == id)?;
            Some((service, instance))
        })
    }

    /// All services.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_name.values().filter(|service| !service.is_gone())
    }

    /// All services, those that are gone included.
    pub(super) fn everything(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_name.values()
    }

    /// How many services there are.
    pub fn count(&self) -> usize {
        self.services().count()
    }

    /// How many services requests are sent to, and how many there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.services().filter(|service| service.is_routed()).count(), self.count())
    }

    /// How many services are kept, those that are gone included.
    pub(super) fn count_all(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn remove(&mut self, id: Uuid) {
        if let Some(name) = self.names.remove(&id)
            && self.by_name.get(&name).is_some_and(|service| service.id == id)
        {
            self.by_name.remove(&name);
        }
    }

    pub(super) fn insert(&mut self, service: Service) {
        self.remove(service.id);
        self.names.insert(service.id, service.name.clone());
        let replaced = self.by_name.insert(service.name.clone(), Arc::new(service));
        if let Some(replaced) = replaced {
            self.names.remove(&replaced.id);
        }
    }
}

/// What a service is made of besides its rows.
pub(super) struct Parts {
    pub instances: Vec<InstanceRow>,
    /// By version.
    pub endpoints: HashMap<String, Vec<Endpoint>>,
    pub traffic: Arc<Traffic>,
    pub first_check: Duration,
    /// Whether leases that ran out begin anew: the server has just started.
    pub is_start: bool,
    pub lease: Duration,
}

impl Service {
    /// A service by its rows; what is known of instances is taken over from before.
    pub(super) fn new(row: ServiceRow, parts: Parts, before: Option<&Self>) -> Self {
        let (mut present, mut deregistered) = (Vec::new(), Vec::new());
        for instance in &parts.instances {
            let list = if instance.deregistered_at.is_some() { &mut deregistered } else { &mut present };
            list.push(Arc::new(build(instance, &parts, before)));
        }
        let metadata: Map<String, Value> = match row.metadata {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let mut endpoints = parts.endpoints;
        let versions = versions(&present, |version| endpoints.remove(version).unwrap_or_default());
        Self {
            id: row.id,
            name: row.name,
            display_name: row.display_name,
            description: row.description,
            version: row.version,
            head_timeout: metadata.get("timeout_ms").and_then(Value::as_u64).map(Duration::from_millis),
            is_strict: metadata.get("strict_endpoints") == Some(&Value::Bool(true)),
            metadata,
            tags: row.tags,
            requires_auth: row.requires_auth,
            owner: row.owner,
            is_active: row.is_active,
            created_at: row.created_at,
            updated_at: row.updated_at,
            instances: present,
            deregistered,
            versions,
            traffic: parts.traffic,
        }
    }
}

fn build(row: &InstanceRow, parts: &Parts, before: Option<&Service>) -> Instance {
    let all = before.into_iter().flat_map(|service| service.instances.iter().chain(&service.deregistered));
    let known = all.into_iter().find(|instance| instance.id == row.id);
    let from: IpAddr = row.registered_from.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let host = Host::parse(&row.host).unwrap_or_else(|| Host::Name(row.host.clone()));
    let port = u16::try_from(row.port).unwrap_or(0);
    let age = |seconds: f64| if seconds > 0.0 { (seconds * 1000.0) as u64 } else { 0 };
    let state = match known {
        Some(known) => {
            if known.registered_at != row.registered_at {
                known.state.restart(age(row.registered_age), parts.first_check);
            }
            known.state.clone()
        }
        None => {
            let state = InstanceState::new(parts.first_check);
            state.set_registered(age(row.registered_age));
            let last = row.beat_age.filter(|seconds| *seconds < row.registered_age);
            let reported = row.reported.filter(|_| last.is_some()).unwrap_or_default();
            let seen = age(last.unwrap_or(row.registered_age));
            let has_run_out = seen >= super::instance::ms(parts.lease);
            state.seen(if parts.is_start && has_run_out { 0 } else { seen }, reported);
            Arc::new(state)
        }
    };
    let origin = known.map(|known| known.origin.clone()).filter(|origin| origin.is(&row.host, port, from));
    Instance {
        id: row.id,
        version: row.version.clone(),
        base_path: row.base_path.clone(),
        check_path: row.health_check_url.as_deref().and_then(|url| check_path(url, &host, port, &row.base_path)),
        health_check_url: row.health_check_url.clone(),
        host: row.host.clone(),
        port,
        registered_from: from,
        registered_at: row.registered_at,
        deregistered_at: row.deregistered_at,
        origin: origin.unwrap_or_else(|| Arc::new(Origin::new(host, port, from))),
        state,
    }
}

/// A version as a number; what is none counts as the lowest.
pub fn version_number(text: &str) -> semver::Version {
    let lowest = || semver::Version::new(0, 0, 0);
    let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let parts = bare.split(['-', '+']).next().unwrap_or_default().split('.').count();
    let padded = if parts < 3 && !bare.contains(['-', '+']) {
        format!("{bare}{}", ".0".repeat(3 - parts))
    } else {
        bare.to_owned()
    };
    padded.parse().unwrap_or_else(|_| lowest())
}

fn versions(instances: &[Arc<Instance>], mut endpoints: impl FnMut(&str) -> Vec<Endpoint>) -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::new();
    for instance in instances {
        match versions.iter_mut().find(|version| version.text == instance.version) {
            Some(version) => version.instances.push(instance.clone()),
            None => versions.push(Version {
                header: HeaderValue::from_str(&instance.version).ok(),
                number: version_number(&instance.version),
                instances: vec![instance.clone()],
                endpoints: Arc::new(Endpoints::new(endpoints(&instance.version))),
                text: instance.version.clone(),
            }),
        }
    }
    versions.sort_by_key(|version| (!version.number.pre.is_empty(), Reverse(version.number.clone())));
    versions
}
