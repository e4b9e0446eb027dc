//! `POST /api/registry/heartbeat`.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use tracing::warn;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Registry, RegistryApi, Service,
    caller::Caller,
    instance::Instance,
    model::{Heartbeat, Reported},
};
use crate::{
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::extract::Body,
};

/// What a heartbeat renewed.
#[derive(Serialize, ToSchema)]
pub struct Renewed {
    #[schema(example = "ok")]
    status: &'static str,
    message: &'static str,
    /// The name of the service.
    service: String,
    /// The instances whose leases were renewed.
    instance_ids: Vec<Uuid>,
    lease_seconds: u64,
}

/// Renews leases: of one instance by its id, else of all instances of a service that were registered from the caller's
/// address. Answered from memory, also while the database is unavailable.
#[utoipa::path(post, path = "/api/registry/heartbeat", tag = "services", request_body = Heartbeat,
    responses((status = 200, body = Renewed)), security(("bearer" = [])))]
pub async fn heartbeat(
    State(api): State<Arc<RegistryApi>>,
    caller: Caller,
    lang: Lang,
    Body(beat): Body<Heartbeat>,
) -> Result<Json<Renewed>> {
    let registry = &api.registry;
    let (service, instances) = registry.find_for(&caller, &beat.service_id)?;
    let instances = registry.with_restored(&service, instances, &caller).await?;
    if instances.is_empty() {
        return Err(Error::new(&codes::SERVICE_NOT_FOUND));
    }
    for instance in &instances {
        registry.renew(instance, beat.status);
    }
    Ok(Json(Renewed {
        status: "ok",
        message: lang.pick("心跳已接收", "The heartbeat was received"),
        service: service.name.clone(),
        instance_ids: instances.iter().map(|instance| instance.id).collect(),
        lease_seconds: registry.config.lease_seconds,
    }))
}

impl Registry {
    /// The service of a name or an id, and the instances that the caller speaks for: none when all are deregistered.
    pub(super) fn find_for(&self, caller: &Caller, id: &str) -> Result<(Arc<Service>, Vec<Arc<Instance>>)> {
        let snapshot = self.snapshot();
        let by_uuid = id.parse::<Uuid>().ok();
        let (service, one) = match by_uuid {
            Some(uuid) => match snapshot.find_instance(uuid) {
                Some((service, instance)) => (Some(service), Some(instance.clone())),
                None => (snapshot.find_id(uuid), None),
            },
            None => (snapshot.any(id), None),
        };
        let service = service.or_refuse(&codes::SERVICE_NOT_FOUND)?;
        caller.may_register(&service.name)?;
        if !service.is_gone() {
            caller.owns(&service.name, &service.owner)?;
        } else if caller.subject() != service.owner {
            return Err(Error::new(&codes::SERVICE_NOT_FOUND));
        }
        let instances = match (one, by_uuid) {
            (Some(instance), _) => vec![instance],
            (None, Some(_)) => service.instances.clone(),
            (None, None) => near(&service.instances, caller),
        };
        Ok((service.clone(), instances))
    }

    /// Notes a sign of life.
    pub(super) fn renew(&self, instance: &Instance, reported: Reported) {
        instance.state.seen(0, reported);
        self.beats.add(instance.id);
    }

    /// Brings back instances that were deregistered by name a short while ago and accept connections all the same. Nobody
    /// waits for that while there are others.
    async fn with_restored(
        self: &Arc<Self>,
        service: &Arc<Service>,
        instances: Vec<Arc<Instance>>,
        caller: &Caller,
    ) -> Result<Vec<Arc<Instance>>> {
        let earliest = OffsetDateTime::now_utc() - Duration::from_secs(self.config.lease_seconds);
        let mut gone = near(&service.deregistered, caller);
        gone.retain(|instance| instance.deregistered_at.is_some_and(|at| at > earliest));
        if gone.is_empty() || self.database.is_down() {
            return Ok(instances);
        }
        if instances.is_empty() {
            return self.restore_living(service.id, gone).await;
        }
        let (registry, id) = (self.clone(), service.id);
        tokio::spawn(async move {
            if let Err(e) = registry.restore_living(id, gone).await {
                warn!(error = format!("{:#}", anyhow::Error::from(e)), "cannot bring back an instance that lives");
            }
        });
        Ok(instances)
    }

    async fn restore_living(&self, service: Uuid, gone: Vec<Arc<Instance>>) -> Result<Vec<Arc<Instance>>> {
        let living = self.living(&gone).await;
        if !living.is_empty() {
            let ids: Vec<Uuid> = living.iter().map(|instance| instance.id).collect();
            super::queries::restore_instances(&self.db, &ids).await?;
            self.settle(service).await;
        }
        Ok(living)
    }
}

/// The instances that were registered from the caller's address, or all when none was.
pub(super) fn near(instances: &[Arc<Instance>], caller: &Caller) -> Vec<Arc<Instance>> {
    let near: Vec<_> =
        instances.iter().filter(|instance| instance.registered_from == caller.address).cloned().collect();
    if near.is_empty() { instances.to_vec() } else { near }
}
