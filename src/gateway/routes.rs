//! What the gateway tells of itself.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, State},
    http::request::Parts,
};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Gateway;
use crate::{
    accounts::{Accounts, Administrator},
    data::timestamps,
    error::{Error, Result},
    http::policy::{Policy, Routes},
    registry::is_trusted_peer,
};

/// The routes below `/gateway`.
pub fn router(gateway: Arc<Gateway>) -> Routes {
    Routes::new()
        .at_root(Policy::registry(), routes!(services))
        .at_root(Policy::registry(), routes!(refresh))
        .with_state(gateway)
}

impl AsRef<Accounts> for Gateway {
    fn as_ref(&self) -> &Accounts {
        &self.accounts
    }
}

/// A program trusted by its address, or an administrator.
pub struct Operator;

impl FromRequestParts<Arc<Gateway>> for Operator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Gateway>) -> Result<Self> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        if !is_trusted_peer(&state.registry.config().trusted, peer, &parts.headers) {
            Administrator::from_request_parts(parts, state).await?;
        }
        Ok(Self)
    }
}

/// The services that the gateway knows.
#[derive(Serialize, ToSchema)]
pub struct Known {
    services: Vec<KnownService>,
    count: usize,
}

/// A service that the gateway knows.
#[derive(Serialize, ToSchema)]
pub struct KnownService {
    name: String,
    /// The best status of its instances, or `disabled`.
    status: &'static str,
}

/// Lists the services that the gateway knows.
#[utoipa::path(get, path = "/gateway/services", tag = "services", responses((status = 200, body = Known)),
    security(("bearer" = [])))]
pub async fn services(State(gateway): State<Arc<Gateway>>, _: Operator) -> Json<Known> {
    let snapshot = gateway.registry.snapshot();
    let known = |name: &String, status| KnownService { name: name.clone(), status };
    let mut services: Vec<_> = snapshot.services().map(|service| known(&service.name, service.status())).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    Json(Known { count: services.len(), services })
}

/// How many services the gateway knows.
#[derive(Serialize, ToSchema)]
pub struct Refreshed {
    #[schema(example = "ok")]
    status: &'static str,
    services_count: usize,
    #[serde(serialize_with = "timestamps::serialize")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: OffsetDateTime,
}

/// Tells how many services there are. Routes follow every change at once, so there is nothing to refresh.
#[utoipa::path(post, path = "/gateway/refresh-services", tag = "services", responses((status = 200, body = Refreshed)),
    security(("bearer" = [])))]
pub async fn refresh(State(gateway): State<Arc<Gateway>>, _: Operator) -> Json<Refreshed> {
    let services_count = gateway.registry.snapshot().count();
    Json(Refreshed { status: "ok", services_count, updated_at: OffsetDateTime::now_utc() })
}
