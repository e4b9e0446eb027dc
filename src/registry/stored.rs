//! Services as the database has them, for those who look without a server.

use std::{collections::HashMap, time::Duration};

use sqlx::PgPool;
use uuid::Uuid;

use super::queries;
use crate::error::Result;

/// A service.
#[expect(missing_docs, reason = "the names say it")]
pub struct StoredService {
    pub name: String,
    pub version: String,
    pub owner: String,
    pub instances: Vec<StoredInstance>,
}

/// An instance.
#[expect(missing_docs, reason = "the names say it")]
pub struct StoredInstance {
    pub host: String,
    pub port: i32,
    pub version: String,
    /// What it said last, `expired` when that is too long ago, `disabled` when its service is.
    pub status: &'static str,
}

/// All services by name. What health checks found is known to running servers only.
///
/// # Errors
/// If the database is unavailable.
pub async fn list_stored(db: &PgPool, lease: Duration) -> Result<Vec<StoredService>> {
    let mut instances: HashMap<Uuid, Vec<StoredInstance>> = HashMap::new();
    let rows = queries::instances(db, None).await?;
    let services = queries::services(db, None).await?;
    let disabled: Vec<Uuid> = services.iter().filter(|service| !service.is_active).map(|service| service.id).collect();
    for row in rows.into_iter().filter(|row| row.deregistered_at.is_none()) {
        let age = row.beat_age.unwrap_or(row.registered_age).min(row.registered_age);
        let status = match row.reported.unwrap_or_default() {
            _ if disabled.contains(&row.service_id) => "disabled",
            _ if age >= lease.as_secs_f64() => "expired",
            reported => reported.name(),
        };
        let instance = StoredInstance { host: row.host, port: row.port, version: row.version, status };
        instances.entry(row.service_id).or_default().push(instance);
    }
    let mut found: Vec<StoredService> = services
        .into_iter()
        .filter_map(|row| {
            let instances = instances.remove(&row.id)?;
            Some(StoredService { name: row.name, version: row.version, owner: row.owner, instances })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
