//! What the registry shows.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    RegistryApi, Service,
    caller::Caller,
    instance::{Instance, Status},
    model::Endpoint,
};
use crate::{
    config,
    data::timestamps,
    error::{OrRefuse, Result, codes},
    http::extract::{FromParams, Params, Path, Query},
};

/// A service and its instances.
#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
pub struct ServiceObject {
    id: Uuid,
    /// That of the call, else the first that requests are sent to.
    instance_id: Option<Uuid>,
    name: String,
    display_name: String,
    description: String,
    version: String,
    host: String,
    port: u16,
    base_path: String,
    url: String,
    /// Whether requests are sent to any instance.
    is_active: bool,
    status: &'static str,
    health_check_url: Option<String>,
    #[serde(serialize_with = "timestamps::serialize_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_heartbeat: Option<OffsetDateTime>,
    metadata: Map<String, Value>,
    service_metadata: Map<String, Value>,
    tags: Vec<String>,
    requires_auth: bool,
    #[serde(serialize_with = "timestamps::serialize")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: OffsetDateTime,
    endpoints: Vec<Endpoint>,
    lease_seconds: u64,
    heartbeat_seconds: u64,
    instances: Vec<InstanceObject>,
}

/// One instance.
#[derive(Serialize, ToSchema)]
#[schema(as = ServiceInstance)]
pub struct InstanceObject {
    instance_id: Uuid,
    host: String,
    port: u16,
    version: String,
    status: Status,
    #[serde(serialize_with = "timestamps::serialize")]
    #[schema(value_type = String, format = DateTime)]
    last_heartbeat: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    #[schema(value_type = String, format = DateTime)]
    registered_at: OffsetDateTime,
    /// Requests that it is answering now.
    in_flight: usize,
}

impl InstanceObject {
    fn of(instance: &Instance) -> Self {
        Self {
            instance_id: instance.id,
            host: instance.host.clone(),
            port: instance.port,
            version: instance.version.clone(),
            status: instance.state.status(),
            last_heartbeat: instance.last_seen(),
            registered_at: instance.registered_at,
            in_flight: instance.state.in_flight(),
        }
    }
}

impl ServiceObject {
    /// A service, shown by one of its instances.
    pub fn of(service: &Service, instance: Option<Uuid>, config: &config::Registry) -> Self {
        let asked = instance.and_then(|id| service.instances.iter().find(|instance| instance.id == id));
        let routed = || service.instances.iter().find(|instance| instance.state.status().is_routed());
        let shown = asked.or_else(routed).or_else(|| service.instances.first());
        let version = shown.map_or(&service.version, |instance| &instance.version);
        let base_path = shown.map_or("/", |instance| &instance.base_path);
        let authority = shown.and_then(|instance| instance.origin.authority().to_str().ok()).unwrap_or_default();
        Self {
            id: service.id,
            instance_id: shown.map(|instance| instance.id),
            name: service.name.clone(),
            display_name: service.display_name.clone(),
            description: service.description.clone(),
            version: version.clone(),
            host: shown.map(|instance| instance.host.clone()).unwrap_or_default(),
            port: shown.map_or(0, |instance| instance.port),
            base_path: base_path.to_owned(),
            url: format!("http://{authority}{}", base_path.trim_end_matches('/')),
            is_active: service.is_routed(),
            status: service.status(),
            health_check_url: shown.and_then(|instance| instance.health_check_url.clone()),
            last_heartbeat: service.instances.iter().map(|instance| instance.last_seen()).max(),
            metadata: service.metadata.clone(),
            service_metadata: service.metadata.clone(),
            tags: service.tags.clone(),
            requires_auth: service.requires_auth,
            created_at: service.created_at,
            updated_at: service.updated_at,
            endpoints: service.endpoints_of(version).to_vec(),
            lease_seconds: config.lease_seconds,
            heartbeat_seconds: config.heartbeat_seconds,
            instances: service.instances.iter().map(|instance| InstanceObject::of(instance)).collect(),
        }
    }
}

/// Which services are listed, and how.
pub struct Filter {
    active_only: bool,
    name: Option<String>,
    tag: Option<String>,
    is_page: bool,
}

impl FromParams for Filter {
    fn from_params(params: &mut Params) -> Self {
        let active_only = match params.text(&["active_only"]).map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            Some(_) => {
                params.fault("active_only", "应为 true 或 false", "must be true or false");
                true
            }
        };
        let is_page = match params.text(&["format"]) {
            None | Some("" | "list") => false,
            Some("page") => true,
            Some(_) => {
                params.fault("format", "应为 page", "must be page");
                false
            }
        };
        Self { active_only, name: params.short_text("name", 100), tag: params.short_text("tag", 100), is_page }
    }
}

/// Services as a page.
#[derive(Serialize, ToSchema)]
#[schema(as = ServicePage)]
pub struct ServicePage {
    total: usize,
    count: usize,
    services: Vec<ServiceObject>,
}

/// Lists services by name.
#[utoipa::path(get, path = "/api/registry/services", tag = "services",
    params(("active_only" = Option<bool>, Query, description = "Only services that requests are sent to; `true` unless given"),
        ("name" = Option<String>, Query), ("tag" = Option<String>, Query),
        ("format" = Option<String>, Query, description = "`page` for an object with the number of services")),
    responses((status = 200, body = Vec<ServiceObject>)), security(("bearer" = [])))]
pub async fn list(
    State(api): State<Arc<RegistryApi>>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Response> {
    caller.may_read()?;
    let snapshot = api.registry.snapshot();
    let is_wanted = |service: &&Arc<Service>| {
        (!filter.active_only || service.is_routed())
            && filter.name.as_ref().is_none_or(|name| service.name == *name)
            && filter.tag.as_ref().is_none_or(|tag| service.tags.contains(tag))
    };
    let mut services: Vec<_> = snapshot.services().filter(is_wanted).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let services: Vec<_> =
        services.into_iter().map(|service| ServiceObject::of(service, None, &api.registry.config)).collect();
    if filter.is_page {
        let count = services.len();
        return Ok(Json(ServicePage { total: count, count, services }).into_response());
    }
    Ok(Json(services).into_response())
}

/// Shows a service by its id.
#[utoipa::path(get, path = "/api/registry/services/{id}", tag = "services", params(("id" = String, Path)),
    responses((status = 200, body = ServiceObject)), security(("bearer" = [])))]
pub async fn by_id(
    State(api): State<Arc<RegistryApi>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ServiceObject>> {
    caller.may_read()?;
    let snapshot = api.registry.snapshot();
    let id: Uuid = id.parse().ok().or_refuse(&codes::SERVICE_NOT_FOUND)?;
    let service = snapshot.find_id(id).or_refuse(&codes::SERVICE_NOT_FOUND)?;
    Ok(Json(ServiceObject::of(service, None, &api.registry.config)))
}

/// Shows a service by its name.
#[utoipa::path(get, path = "/api/registry/services/by-name/{name}", tag = "services", params(("name" = String, Path)),
    responses((status = 200, body = ServiceObject)), security(("bearer" = [])))]
pub async fn by_name(
    State(api): State<Arc<RegistryApi>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<ServiceObject>> {
    caller.may_read()?;
    let snapshot = api.registry.snapshot();
    let service = snapshot.find(&name).or_refuse(&codes::SERVICE_NOT_FOUND)?;
    Ok(Json(ServiceObject::of(service, None, &api.registry.config)))
}

/// How the registry is doing.
#[derive(Serialize, ToSchema)]
pub struct RegistryHealth {
    #[schema(example = "healthy")]
    status: &'static str,
    #[serde(serialize_with = "timestamps::serialize")]
    #[schema(value_type = String, format = DateTime)]
    checked_at: OffsetDateTime,
    services: usize,
    instances: usize,
    /// Services whose heartbeats are late or missing.
    stale_services_count: usize,
    stale_services: Vec<String>,
}

/// Counts services, and names those whose heartbeats are late.
#[utoipa::path(get, path = "/api/registry/health", tag = "services", responses((status = 200, body = RegistryHealth)),
    security(("bearer" = [])))]
pub async fn health(State(api): State<Arc<RegistryApi>>, caller: Caller) -> Result<Json<RegistryHealth>> {
    caller.may_read()?;
    let snapshot = api.registry.snapshot();
    let is_late = |instance: &Arc<Instance>| matches!(instance.state.status(), Status::Suspect | Status::Expired);
    let is_stale = |service: &&Arc<Service>| service.instances.iter().all(is_late);
    let mut stale: Vec<String> = snapshot.services().filter(is_stale).map(|service| service.name.clone()).collect();
    stale.sort();
    Ok(Json(RegistryHealth {
        status: "healthy",
        checked_at: OffsetDateTime::now_utc(),
        services: snapshot.count(),
        instances: snapshot.services().map(|service| service.instances.len()).sum(),
        stale_services_count: stale.len(),
        stale_services: stale,
    }))
}
