//! Ids and names that resemble others.

use sqlx::{PgConnection, PgExecutor, query, query_scalar};

use crate::error::Result;

/// Whether an id is taken, or was.
pub struct Taken {
    pub is_known: bool,
    pub is_retired: bool,
}

pub async fn taken(db: &mut PgConnection, id: &str) -> Result<Taken> {
    Ok(sqlx::query_as!(
        Taken,
        r#"select exists (select from plugins where id = $1) as "is_known!",
               exists (select from retired_ids where id = $1) as "is_retired!""#,
        id
    )
    .fetch_one(db)
    .await?)
}

/// Until the transaction ends, keeps others from making a plugin whose id or name is the same when folded.
pub async fn lock_folded(db: &mut PgConnection, id: &str, folded_name: &str) -> Result<()> {
    query!(
        "select pg_advisory_xact_lock(key) as locked from (
             select unnest(array[hashtextextended(folded_id($1), 8), hashtextextended($2, 9)]) as key order by key) keys",
        id,
        folded_name
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// A plugin that this user does not own, and of which the folded id is the same.
pub async fn same_when_folded(db: &mut PgConnection, id: &str, user: i64) -> Result<Option<String>> {
    let found = query_scalar!(
        "select id from plugins p where folded_id(id) = folded_id($1) and id <> $1
         and not exists (select from plugin_owners o where o.plugin_id = p.id and o.user_id = $2)
         order by downloads desc, id limit 1",
        id,
        user
    );
    Ok(found.fetch_optional(db).await?)
}

/// Ids and names of those of the newest plugins that this user does not own; memory may not know them yet.
pub async fn newest_of_others(db: &mut PgConnection, user: i64, limit: i64) -> Result<Vec<(String, String)>> {
    let rows = query!(
        "select id, name from (select id, name from plugins order by key desc limit $2) p
         where not exists (select from plugin_owners o where o.plugin_id = p.id and o.user_id = $1)",
        user,
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|r| (r.id, r.name)).collect())
}

/// Whether an administrator has decided that this user may publish this id, whatever it resembles.
pub async fn is_reserved_for(db: &mut PgConnection, id: &str, user: i64) -> Result<bool> {
    let found = query_scalar!(
        "select 1 as one from reserved_names where id = $1 and (user_id is null or user_id = $2)",
        id,
        user
    );
    Ok(found.fetch_optional(db).await?.is_some())
}

/// Lets a user, or everybody, publish an id whatever it resembles; true when nothing was decided of it before.
///
/// # Errors
/// When the database is unavailable.
pub async fn reserve_name(db: impl PgExecutor<'_>, id: &str, user: Option<i64>) -> Result<bool> {
    let is_new = query_scalar!(
        r#"insert into reserved_names (id, user_id) values ($1, $2)
           on conflict (id) do update set user_id = excluded.user_id, created_at = now() returning xmax = 0 as "is_new!""#,
        id,
        user
    );
    Ok(is_new.fetch_one(db).await?)
}
