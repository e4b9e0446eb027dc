//! SQL of services.

use serde_json::Value;
use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{Endpoint, Registration, Reported};
use crate::{error::Result, http::extract::Choice};

/// A service as stored.
pub struct ServiceRow {
    pub id: Uuid,
    pub name: String,
    pub display_name: String,
    pub description: String,
    pub version: String,
    pub metadata: Value,
    pub tags: Vec<String>,
    pub requires_auth: bool,
    pub owner: String,
    pub is_active: bool,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// An instance as stored, and its last sign of life.
pub struct InstanceRow {
    pub id: Uuid,
    pub service_id: Uuid,
    pub version: String,
    pub host: String,
    pub port: i32,
    pub base_path: String,
    pub health_check_url: Option<String>,
    pub registered_from: String,
    pub registered_at: OffsetDateTime,
    /// Seconds.
    pub registered_age: f64,
    pub deregistered_at: Option<OffsetDateTime>,
    /// Seconds.
    pub beat_age: Option<f64>,
    pub reported: Option<Reported>,
}

/// Services, all or those of these ids.
pub(super) async fn services(db: &PgPool, ids: Option<&[Uuid]>) -> Result<Vec<ServiceRow>> {
    let found = query_as!(
        ServiceRow,
        "select id, name, display_name, description, version, metadata, tags, requires_auth, owner, is_active,
                created_at, updated_at
         from services where $1::uuid[] is null or id = any($1)",
        ids
    );
    Ok(found.fetch_all(db).await?)
}

/// The instances of services, all or those of these ids.
pub(super) async fn instances(db: &PgPool, ids: Option<&[Uuid]>) -> Result<Vec<InstanceRow>> {
    let rows = query!(
        r#"select i.id, i.service_id, i.version, i.host, i.port, i.base_path, i.health_check_url, i.registered_from,
                  i.registered_at, i.deregistered_at,
                  extract(epoch from now() - i.registered_at)::float8 as "registered_age!",
                  extract(epoch from now() - b.last_seen)::float8 as "beat_age?", b.reported as "reported?"
           from service_instances i left join instance_beats b on b.instance_id = i.id
           where $1::uuid[] is null or i.service_id = any($1)
           order by i.service_id, i.id"#,
        ids
    );
    let rows = rows.fetch_all(db).await?;
    Ok(rows
        .into_iter()
        .map(|row| InstanceRow {
            id: row.id,
            service_id: row.service_id,
            version: row.version,
            host: row.host,
            port: row.port,
            base_path: row.base_path,
            health_check_url: row.health_check_url,
            registered_from: row.registered_from,
            registered_at: row.registered_at,
            registered_age: row.registered_age,
            deregistered_at: row.deregistered_at,
            beat_age: row.beat_age,
            reported: row.reported.as_deref().and_then(Reported::from_name),
        })
        .collect())
}

/// What versions of services declare: service, version, endpoints.
pub(super) async fn endpoints(db: &PgPool, ids: Option<&[Uuid]>) -> Result<Vec<(Uuid, String, Vec<Endpoint>)>> {
    let rows = query!(
        "select service_id, version, endpoints from service_endpoints where $1::uuid[] is null or service_id = any($1)",
        ids
    );
    let rows = rows.fetch_all(db).await?;
    let read = |endpoints: Value| serde_json::from_value(endpoints).unwrap_or_default();
    Ok(rows.into_iter().map(|row| (row.service_id, row.version, read(row.endpoints))).collect())
}

/// A service whose row is locked.
pub(super) struct Locked {
    pub id: Uuid,
    pub owner: String,
    pub is_gone: bool,
}

/// Locks the service of a name.
pub(super) async fn lock(db: &mut PgConnection, name: &str) -> Result<Option<Locked>> {
    let found =
        query!("select id, owner from services where name = $1 for update", name).fetch_optional(&mut *db).await?;
    let Some(found) = found else { return Ok(None) };
    let has_any = query_scalar!(
        r#"select exists (select 1 from service_instances where service_id = $1 and deregistered_at is null) as "any!""#,
        found.id
    );
    Ok(Some(Locked { id: found.id, owner: found.owner, is_gone: !has_any.fetch_one(&mut *db).await? }))
}

/// Inserts a service; false when another one took the name meanwhile.
pub(super) async fn insert_service(db: &mut PgConnection, id: Uuid, new: &Registration, owner: &str) -> Result<bool> {
    let inserted = query!(
        "insert into services (id, name, display_name, description, version, metadata, tags, requires_auth, owner)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (name) do nothing",
        id,
        new.name,
        new.display_name,
        new.description,
        new.version,
        Value::Object(new.metadata.clone()),
        &new.tags,
        new.requires_auth,
        owner
    );
    Ok(inserted.execute(db).await?.rows_affected() == 1)
}

/// Replaces what a service says of itself.
pub(super) async fn update_service(db: &mut PgConnection, id: Uuid, new: &Registration) -> Result<()> {
    let updated = query!(
        "update services set display_name = $2, description = $3, version = $4, metadata = $5, tags = $6,
                requires_auth = $7, updated_at = now()
         where id = $1",
        id,
        new.display_name,
        new.description,
        new.version,
        Value::Object(new.metadata.clone()),
        &new.tags,
        new.requires_auth
    );
    updated.execute(db).await?;
    Ok(())
}

/// Inserts or replaces an instance: its id, and whether it is new.
pub(super) async fn upsert_instance(
    db: &mut PgConnection,
    service: Uuid,
    new: &Registration,
    from: &str,
    by: &str,
) -> Result<(Uuid, bool)> {
    let is_new = query_scalar!(
        r#"select not exists (select 1 from service_instances
                              where service_id = $1 and host = $2 and port = $3 and deregistered_at is null) as "is_new!""#,
        service,
        new.host.to_string(),
        i32::from(new.port)
    );
    let is_new = is_new.fetch_one(&mut *db).await?;
    let id = query_scalar!(
        "insert into service_instances
             (id, service_id, version, host, port, base_path, health_check_url, registered_from, registered_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict on constraint service_instances_once do update
         set version = excluded.version, base_path = excluded.base_path, health_check_url = excluded.health_check_url,
             registered_from = excluded.registered_from, registered_by = excluded.registered_by, registered_at = now(),
             deregistered_at = null
         returning id",
        Uuid::now_v7(),
        service,
        new.version,
        new.host.to_string(),
        i32::from(new.port),
        new.base_path,
        new.health_check_url,
        from,
        by
    );
    Ok((id.fetch_one(db).await?, is_new))
}

/// How many instances a service has.
pub(super) async fn count_instances(db: &mut PgConnection, service: Uuid) -> Result<i64> {
    let count = query_scalar!(
        r#"select count(*) as "n!" from service_instances where service_id = $1 and deregistered_at is null"#,
        service
    );
    Ok(count.fetch_one(db).await?)
}

/// Replaces what a version declares.
pub(super) async fn set_endpoints(
    db: &mut PgConnection,
    service: Uuid,
    version: &str,
    list: &[Endpoint],
) -> Result<()> {
    let set = query!(
        "insert into service_endpoints (service_id, version, endpoints) values ($1, $2, $3)
         on conflict (service_id, version) do update set endpoints = excluded.endpoints",
        service,
        version,
        serde_json::to_value(list).unwrap_or_default()
    );
    set.execute(db).await?;
    Ok(())
}

/// Takes instances out, in case one of them lives after all.
pub(super) async fn deregister_instances(db: &mut PgConnection, ids: &[Uuid]) -> Result<u64> {
    let taken = query!(
        "update service_instances set deregistered_at = now() where id = any($1) and deregistered_at is null",
        ids
    );
    Ok(taken.execute(db).await?.rows_affected())
}

/// Brings instances back that were deregistered.
pub(super) async fn restore_instances(db: &PgPool, ids: &[Uuid]) -> Result<()> {
    query!("update service_instances set deregistered_at = null, registered_at = now() where id = any($1)", ids)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes instances.
pub(super) async fn delete_instances(db: &mut PgConnection, ids: &[Uuid]) -> Result<()> {
    query!("delete from service_instances where id = any($1)", ids).execute(db).await?;
    Ok(())
}

/// Deletes a service with everything.
pub(super) async fn delete_service(db: &mut PgConnection, id: Uuid) -> Result<bool> {
    Ok(query!("delete from services where id = $1", id).execute(db).await?.rows_affected() == 1)
}

/// Deletes services without any instance, and instances that were deregistered long ago.
pub(super) async fn delete_forgotten(db: &mut PgConnection, seconds: f64) -> Result<()> {
    query!("delete from service_instances where deregistered_at < now() - make_interval(secs => $1)", seconds)
        .execute(&mut *db)
        .await?;
    query!(
        "delete from services s where not exists (select 1 from service_instances i where i.service_id = s.id)
         and s.updated_at < now() - interval '1 minute'"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Switches a service on or off; none when there is no such service.
pub(super) async fn set_active(db: &mut PgConnection, name: &str, is_active: bool) -> Result<Option<Uuid>> {
    let changed = query_scalar!(
        "update services set is_active = $2, updated_at = now() where name = $1 returning id",
        name,
        is_active
    );
    Ok(changed.fetch_optional(db).await?)
}

/// A sign of life that another server received.
pub(super) struct Beat {
    pub instance_id: Uuid,
    /// Seconds.
    pub age: f64,
    pub reported: String,
}

/// Writes the signs of life that this server received, and reads the last ones of all others.
pub(super) async fn exchange_beats(
    db: &PgPool,
    server: Uuid,
    ids: &[Uuid],
    ages: &[f64],
    reported: &[String],
) -> Result<Vec<Beat>> {
    let beats = query_as!(
        Beat,
        r#"with written as (
               insert into instance_beats (instance_id, last_seen, reported, server)
               select i.id, now() - make_interval(secs => b.age), b.reported, $1
               from unnest($2::uuid[], $3::float8[], $4::text[]) as b (id, age, reported)
               join service_instances i on i.id = b.id
               on conflict (instance_id) do update
               set last_seen = greatest(instance_beats.last_seen, excluded.last_seen), reported = excluded.reported,
                   server = excluded.server, written_at = now())
           select instance_id, extract(epoch from now() - last_seen)::float8 as "age!", reported
           from instance_beats where written_at > now() - interval '5 seconds' and server <> $1"#,
        server,
        ids,
        ages,
        reported
    );
    Ok(beats.fetch_all(db).await?)
}
