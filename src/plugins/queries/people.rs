//! Who owns plugins, who is invited to, and what a person has published.

use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use time::OffsetDateTime;

use super::super::{
    model::Owner,
    people::{Invitation, Person},
};
use crate::error::Result;

/// The owners of a plugin, first owner first.
pub async fn owners(db: impl PgExecutor<'_>, id: &str) -> Result<Vec<Owner>> {
    Ok(query_as!(
        Owner,
        "select u.username, u.display_name, u.is_verified from plugin_owners o join users u on u.id = o.user_id
         where o.plugin_id = $1 order by o.added_at, u.id",
        id
    )
    .fetch_all(db)
    .await?)
}

/// Who is invited to own a plugin, in the order invited.
pub async fn invited(db: impl PgExecutor<'_>, id: &str) -> Result<Vec<Owner>> {
    Ok(query_as!(
        Owner,
        "select u.username, u.display_name, u.is_verified from owner_invitations i join users u on u.id = i.user_id
         where i.plugin_id = $1 and i.expires_at > now() order by i.id",
        id
    )
    .fetch_all(db)
    .await?)
}

/// Adds an owner; false when they are one already.
pub async fn insert_owner(db: &mut PgConnection, id: &str, user: i64) -> Result<bool> {
    let done =
        query!("insert into plugin_owners (plugin_id, user_id) values ($1, $2) on conflict do nothing", id, user)
            .execute(db)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes an owner, and with them the invitations they gave; false when they are none.
pub async fn delete_owner(db: &mut PgConnection, id: &str, user: i64) -> Result<bool> {
    let done = query!("delete from plugin_owners where plugin_id = $1 and user_id = $2", id, user).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

pub async fn count_owners(db: &mut PgConnection, id: &str) -> Result<i64> {
    Ok(query_scalar!(r#"select count(*) as "n!" from plugin_owners where plugin_id = $1"#, id).fetch_one(db).await?)
}

/// Invites a user to own a plugin, or renews the invitation they have.
pub async fn invite(db: &mut PgConnection, id: &str, user: i64, by: i64) -> Result<()> {
    query!(
        "insert into owner_invitations as i (plugin_id, user_id, invited_by) values ($1, $2, $3)
         on conflict on constraint owner_invitations_once do update
         set invited_by = excluded.invited_by, created_at = excluded.created_at, expires_at = excluded.expires_at",
        id,
        user,
        by
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes an invitation back; false when there is none.
pub async fn delete_invitation(db: &mut PgConnection, id: &str, user: i64) -> Result<bool> {
    let done =
        query!("delete from owner_invitations where plugin_id = $1 and user_id = $2", id, user).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// The invitations of a user that have not ended, newest first.
pub async fn invitations(db: impl PgExecutor<'_>, user: i64) -> Result<Vec<Invitation>> {
    Ok(query_as!(
        Invitation,
        "select i.id, i.plugin_id, i.created_at, i.expires_at, u.username as invited_by
         from owner_invitations i join users u on u.id = i.invited_by join plugins p on p.id = i.plugin_id
         where i.user_id = $1 and i.expires_at > now() and p.status <> 'banned' order by i.id desc",
        user
    )
    .fetch_all(db)
    .await?)
}

/// The plugin that a user is invited to own.
pub async fn plugin_of_invitation(db: impl PgExecutor<'_>, invitation: i64, user: i64) -> Result<Option<String>> {
    let found = query_scalar!(
        "select plugin_id from owner_invitations where id = $1 and user_id = $2 and expires_at > now()",
        invitation,
        user
    );
    Ok(found.fetch_optional(db).await?)
}

/// Forgets invitations that have ended.
///
/// # Errors
/// When the database is unavailable.
pub async fn delete_ended_invitations(db: &mut PgConnection) -> Result<()> {
    query!("delete from owner_invitations where expires_at <= now()").execute(db).await?;
    Ok(())
}

/// Deletes what somebody who is an owner now had rated the plugin with.
pub async fn delete_rating_of(db: &mut PgConnection, id: &str, user: i64) -> Result<Option<i16>> {
    let deleted =
        query_scalar!("delete from plugin_ratings where plugin_id = $1 and user_id = $2 returning rating", id, user);
    Ok(deleted.fetch_optional(db).await?)
}

/// What everybody may know of an account that is not disabled.
pub async fn person(db: impl PgExecutor<'_>, username: &str) -> Result<Option<Person>> {
    Ok(query_as!(
        Person,
        r#"select u.username, u.is_verified, u.created_at, u.display_name,
               (select count(*) from plugin_owners o join plugins p on p.id = o.plugin_id
                where o.user_id = u.id and p.status <> 'banned' and p.current_version is not null) as "plugins!",
               coalesce((select sum(p.downloads) from plugin_owners o join plugins p on p.id = o.plugin_id
                where o.user_id = u.id and p.status <> 'banned' and p.current_version is not null), 0)::bigint
                   as "downloads!",
               (select count(*) from plugin_ratings r join plugins p on p.id = r.plugin_id
                where r.user_id = u.id and p.status <> 'banned') as "reviews!"
           from users u where lower(u.username) = lower($1) and u.is_active"#,
        username
    )
    .fetch_optional(db)
    .await?)
}

/// A review as its author's page shows it.
#[expect(missing_docs, reason = "the names say it")]
pub struct WrittenReview {
    pub plugin_id: String,
    pub plugin_name: String,
    pub rating: i16,
    pub review: String,
    pub updated_at: OffsetDateTime,
}

/// What a person wrote of plugins, newest first.
///
/// # Errors
/// When the database is unavailable.
pub async fn reviews_by(db: impl PgExecutor<'_>, username: &str, limit: i64) -> Result<Vec<WrittenReview>> {
    Ok(query_as!(
        WrittenReview,
        r#"select r.plugin_id, p.name as plugin_name, r.rating, coalesce(r.review, '') as "review!", r.updated_at
           from plugin_ratings r join plugins p on p.id = r.plugin_id join users u on u.id = r.user_id
           where lower(u.username) = lower($1) and p.status <> 'banned' and coalesce(r.review, '') <> ''
           order by r.updated_at desc, r.id desc limit $2"#,
        username,
        limit
    )
    .fetch_all(db)
    .await?)
}
