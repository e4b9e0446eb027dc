//! Taking instances and services out of the registry.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Registry, RegistryApi, Service, caller::Caller, heartbeat::near, instance::Instance, queries};
use crate::{
    data::{audit, database},
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::extract::Path,
    upstream::ConnectFault,
};

/// How long an instance may take to accept a connection.
const PROBE: Duration = Duration::from_millis(500);

/// What was taken out.
#[derive(Serialize, ToSchema)]
pub struct Deregistered {
    #[schema(example = "ok")]
    status: &'static str,
    message: String,
}

impl Deregistered {
    fn of(lang: Lang, name: &str) -> Json<Self> {
        let message = lang.pick(format!("服务 {name} 已注销"), format!("{name} was deregistered"));
        Json(Self { status: "ok", message })
    }
}

/// Takes instances out: one by its id, all by the id of the service, and by name the one that stops. The last instance takes
/// its service with it.
#[utoipa::path(post, path = "/api/registry/deregister/{name}", tag = "services",
    params(("name" = String, Path, description = "The name or the id of a service, or the id of an instance")),
    responses((status = 200, body = Deregistered)), security(("bearer" = [])))]
pub async fn deregister(
    State(api): State<Arc<RegistryApi>>,
    caller: Caller,
    lang: Lang,
    Path(id): Path<String>,
) -> Result<Json<Deregistered>> {
    let registry = &api.registry;
    let (service, instances) = registry.find_for(&caller, &id)?;
    if service.is_gone() {
        return Err(Error::new(&codes::SERVICE_NOT_FOUND));
    }
    let is_by_name = id.parse::<Uuid>().is_err();
    let instances = if is_by_name { registry.stopping(near(&instances, &caller)).await } else { instances };
    let ids: Vec<Uuid> = instances.iter().map(|instance| instance.id).collect();
    let mut tx = database::begin(&registry.db).await?;
    queries::lock(&mut tx, &service.name).await?.or_refuse(&codes::SERVICE_NOT_FOUND)?;
    if is_by_name {
        if queries::deregister_instances(&mut tx, &ids).await? == 0 {
            return Err(Error::new(&codes::SERVICE_NOT_FOUND));
        }
    } else if ids.len() >= service.instances.len() {
        queries::delete_service(&mut tx, service.id).await?;
    } else {
        queries::delete_instances(&mut tx, &ids).await?;
    }
    let target = format!("service:{}", service.name);
    audit::record(&mut tx, &caller.actor(), "service.deregister", &target, None).await?;
    tx.commit().await?;
    registry.settle(service.id).await;
    Ok(Deregistered::of(lang, &service.name))
}

/// Removes a service with all its instances.
#[utoipa::path(delete, path = "/api/registry/services/{id}", tag = "services", params(("id" = String, Path)),
    responses((status = 200, body = Deregistered)), security(("bearer" = [])))]
pub async fn delete(
    State(api): State<Arc<RegistryApi>>,
    caller: Caller,
    lang: Lang,
    Path(id): Path<Uuid>,
) -> Result<Json<Deregistered>> {
    let service = api.registry.snapshot().find_id(id).cloned().or_refuse(&codes::SERVICE_NOT_FOUND)?;
    caller.may_register(&service.name)?;
    caller.owns(&service.name, &service.owner)?;
    remove_service(&api.registry, &service, &caller.actor()).await?;
    Ok(Deregistered::of(lang, &service.name))
}

/// Removes a service with all its instances, on behalf of somebody who may.
///
/// # Errors
/// If the database is unavailable; 404 when it is gone.
pub async fn remove_service(registry: &Registry, service: &Service, actor: &str) -> Result<()> {
    let mut tx = database::begin(&registry.db).await?;
    if !queries::delete_service(&mut tx, service.id).await? {
        return Err(Error::new(&codes::SERVICE_NOT_FOUND));
    }
    audit::record(&mut tx, actor, "service.deregister", &format!("service:{}", service.name), None).await?;
    tx.commit().await?;
    registry.settle(service.id).await;
    Ok(())
}

/// Switches a service off, so that nothing is sent to it whatever it says, or on again.
///
/// # Errors
/// If the database is unavailable; 404 when there is no such service.
pub async fn set_active(registry: &Registry, name: &str, is_active: bool, actor: &str) -> Result<()> {
    let mut tx = database::begin(&registry.db).await?;
    let id = queries::set_active(&mut tx, name, is_active).await?.or_refuse(&codes::SERVICE_NOT_FOUND)?;
    let reason = if is_active { "enabled" } else { "disabled" };
    audit::record(&mut tx, actor, "service.change", &format!("service:{name}"), Some(reason)).await?;
    tx.commit().await?;
    registry.settle(id).await;
    Ok(())
}

impl Registry {
    /// Of several instances those that have closed their port, which a program does before it says that it stops; all
    /// when none has. One that has just registered may not listen yet.
    async fn stopping(&self, instances: Vec<Arc<Instance>>) -> Vec<Arc<Instance>> {
        if instances.len() < 2 {
            return instances;
        }
        let probes = join_all(instances.iter().map(|instance| self.refuses_connections(instance))).await;
        let refusing =
            instances.iter().zip(probes).filter(|(instance, refuses)| *refuses && !instance.state.is_starting());
        let stopping: Vec<_> = refusing.map(|(instance, _)| instance.clone()).collect();
        if stopping.is_empty() { instances } else { stopping }
    }

    async fn probe(&self, instance: &Instance) -> std::result::Result<(), ConnectFault> {
        let connected = timeout(PROBE, self.upstream.probe(&instance.origin)).await;
        connected.unwrap_or(Err(ConnectFault::Timeout))
    }

    async fn refuses_connections(&self, instance: &Instance) -> bool {
        self.probe(instance).await == Err(ConnectFault::Refused)
    }

    /// Those that accept connections.
    pub(super) async fn living(&self, instances: &[Arc<Instance>]) -> Vec<Arc<Instance>> {
        let probes = join_all(instances.iter().map(|instance| self.probe(instance))).await;
        instances.iter().zip(probes).filter(|(_, probe)| probe.is_ok()).map(|(instance, _)| instance.clone()).collect()
    }
}
