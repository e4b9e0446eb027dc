//! `POST /api/registry/register`.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use uuid::Uuid;

use super::{
    Registry, RegistryApi,
    caller::Caller,
    list::ServiceObject,
    model::{Registration, is_reserved},
    queries,
};
use crate::{
    data::{audit, database},
    error::{Error, OrRefuse, Result, codes},
    http::extract::Body,
    upstream::{Host, Refusal},
};

/// The most instances of one service.
const MAX_INSTANCES: i64 = 100;

/// Registers an instance of a service. Registering again replaces everything.
#[utoipa::path(post, path = "/api/registry/register", tag = "services", request_body = Registration,
    responses((status = 201, description = "A new instance", body = ServiceObject), (status = 200, body = ServiceObject)),
    security(("bearer" = [])))]
pub async fn register(
    State(api): State<Arc<RegistryApi>>,
    caller: Caller,
    Body(mut new): Body<Registration>,
) -> Result<(StatusCode, Json<ServiceObject>)> {
    let registry = &api.registry;
    caller.may_register(&new.name)?;
    if is_reserved(&new.name) {
        return Err(Error::with(&codes::SERVICE_NAME_RESERVED, &[&new.name]));
    }
    registry.check_host(&mut new, caller.address).await?;
    let (service, instance, is_new) = registry.save(&new, &caller).await?;
    registry.settle(service).await;
    let snapshot = registry.snapshot();
    let service = snapshot.find_id(service).or_refuse(&codes::SERVICE_NOT_FOUND)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(ServiceObject::of(service, Some(instance), &registry.config))))
}

impl Registry {
    /// Refuses a host that the caller may not register, and replaces one that means the caller itself.
    async fn check_host(&self, new: &mut Registration, from: IpAddr) -> Result<()> {
        if new.host.is_local() && !from.is_loopback() {
            new.host = Host::Address(from);
        }
        match self.upstream.rules.resolve(&new.host, new.port, from).await {
            Ok(_) => Ok(()),
            Err(Refusal::Forbidden | Refusal::Unresolved) => {
                Err(Error::with(&codes::UPSTREAM_FORBIDDEN, &[&new.host.to_string()]))
            }
        }
    }

    /// Saves a registration: the ids of service and instance, and whether the instance is new.
    async fn save(&self, new: &Registration, caller: &Caller) -> Result<(Uuid, Uuid, bool)> {
        let mut tx = database::begin(&self.db).await?;
        let mut found = queries::lock(&mut tx, &new.name).await?;
        if let Some(gone) = found.as_ref().filter(|found| found.is_gone && found.owner != caller.subject()) {
            // Nobody's any more: a name that was given up is free.
            queries::delete_service(&mut tx, gone.id).await?;
            found = None;
        }
        let service = match found {
            Some(found) => {
                caller.owns(&new.name, &found.owner)?;
                queries::update_service(&mut tx, found.id, new).await?;
                found.id
            }
            None => {
                let most = self.config.max_services;
                if self.snapshot().count_all() >= most {
                    return Err(Error::with(&codes::TOO_MANY_SERVICES, &[&most.to_string()]));
                }
                let id = Uuid::now_v7();
                if !queries::insert_service(&mut tx, id, new, &caller.subject()).await? {
                    let found = queries::lock(&mut tx, &new.name).await?.or_refuse(&codes::UNAVAILABLE)?;
                    caller.owns(&new.name, &found.owner)?;
                    queries::update_service(&mut tx, found.id, new).await?;
                    found.id
                } else {
                    audit::record(&mut tx, &caller.actor(), "service.register", &format!("service:{}", new.name), None)
                        .await?;
                    id
                }
            }
        };
        let (instance, is_new) =
            queries::upsert_instance(&mut tx, service, new, &caller.address.to_string(), &caller.subject()).await?;
        if is_new && queries::count_instances(&mut tx, service).await? > MAX_INSTANCES {
            return Err(Error::with(&codes::TOO_MANY_SERVICES, &[&MAX_INSTANCES.to_string()]));
        }
        queries::set_endpoints(&mut tx, service, &new.version, &new.endpoints).await?;
        tx.commit().await?;
        Ok((service, instance, is_new))
    }
}
