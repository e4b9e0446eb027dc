//! Ids and names that resemble others.

use sqlx::{PgConnection, PgExecutor, query_scalar};

use crate::error::Result;

/// Whether an id is taken, or was.
pub struct Taken {
    pub is_known: bool,
    pub is_retired: bool,
}

/// Tells whether an id is taken. Until the transaction ends, keeps others from making a plugin whose id or name is the
/// same when folded. It may wait between its statements for as long as the store takes for a package.
pub async fn lock_and_find_taken(db: &mut PgConnection, id: &str, folded_name: &str) -> Result<Taken> {
    Ok(sqlx::query_as!(
        Taken,
        r#"select exists (select from plugins where id = $1) as "is_known!",
               exists (select from retired_ids where id = $1) as "is_retired!"
           from (select count(pg_advisory_xact_lock(key)), set_config('idle_in_transaction_session_timeout', '60s', true) from (
               select unnest(array[hashtextextended(folded_id($1), 8), hashtextextended($2, 9)]) as key order by key) keys) locked"#,
        id,
        folded_name
    )
    .fetch_one(db)
    .await?)
}

/// What of others may resemble a new plugin.
pub struct Resembling {
    /// Whether an administrator has decided that this user may publish this id, whatever it resembles.
    pub is_reserved: bool,
    /// The id of one that is the same when folded.
    pub same: Option<String>,
    /// Ids and names of the newest: memory may not know them yet.
    pub newest_ids: Vec<String>,
    pub newest_names: Vec<String>,
}

/// Which of the plugins that a user does not own resemble a new one, or are among the newest ones.
pub async fn resembling(db: &mut PgConnection, id: &str, user: i64, newest: i64) -> Result<Resembling> {
    Ok(sqlx::query_as!(
        Resembling,
        r#"select exists (select from reserved_names where id = $1 and (user_id is null or user_id = $2)) as "is_reserved!",
               (select (array_agg(id order by downloads desc, id))[1] from plugins p
                where folded_id(id) = folded_id($1) and id <> $1
                and not exists (select from plugin_owners o where o.plugin_id = p.id and o.user_id = $2)) as same,
               coalesce(array_agg(id order by key), '{}') as "newest_ids!",
               coalesce(array_agg(name order by key), '{}') as "newest_names!"
           from (select id, name, key from plugins order by key desc limit $3) p
           where not exists (select from plugin_owners o where o.plugin_id = p.id and o.user_id = $2)"#,
        id,
        user,
        newest
    )
    .fetch_one(db)
    .await?)
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
