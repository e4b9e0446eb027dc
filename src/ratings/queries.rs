//! SQL of ratings: `plugin_ratings`.

use sqlx::{PgConnection, PgExecutor, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;

use super::Rating;
use crate::{error::Result, http::page::Page};

pub(super) async fn list(db: impl PgExecutor<'_>, plugin: &str, page: Page) -> Result<Vec<Rating>> {
    Ok(query_as!(
        Rating,
        r#"select r.id, r.rating, r.created_at, r.updated_at, u.username, u.display_name, coalesce(r.review, '') as "review!"
           from plugin_ratings r join users u on u.id = r.user_id
           where r.plugin_id = $1 order by r.updated_at desc, r.id desc limit $2 offset $3"#,
        plugin,
        i64::from(page.limit),
        i64::try_from(page.offset()).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await?)
}

/// How many gave 1, 2, 3, 4 and 5.
pub(super) async fn distribution(db: impl PgExecutor<'_>, plugin: &str) -> Result<[i64; 5]> {
    let rows =
        query!(r#"select rating, count(*) as "n!" from plugin_ratings where plugin_id = $1 group by rating"#, plugin);
    let mut distribution = [0; 5];
    for row in rows.fetch_all(db).await? {
        if let Some(n) = usize::try_from(row.rating - 1).ok().and_then(|i| distribution.get_mut(i)) {
            *n = row.n;
        }
    }
    Ok(distribution)
}

pub(super) async fn find(db: &mut PgConnection, plugin: &str, user: i64) -> Result<Option<i16>> {
    let found = query_scalar!("select rating from plugin_ratings where plugin_id = $1 and user_id = $2", plugin, user);
    Ok(found.fetch_optional(db).await?)
}

pub(super) async fn upsert(
    db: &mut PgConnection,
    plugin: &str,
    user: i64,
    rating: i16,
    review: Option<&str>,
) -> Result<Rating> {
    Ok(query_as!(
        Rating,
        r#"with saved as (
               insert into plugin_ratings (plugin_id, user_id, rating, review) values ($1, $2, $3, $4)
               on conflict on constraint plugin_ratings_once
               do update set rating = excluded.rating, review = excluded.review, updated_at = now()
               returning id, rating, review, created_at, updated_at, user_id)
           select s.id as "id!", s.rating as "rating!", s.created_at as "created_at!", s.updated_at as "updated_at!",
               u.username, u.display_name, coalesce(s.review, '') as "review!"
           from saved s join users u on u.id = s.user_id"#,
        plugin,
        user,
        rating,
        review
    )
    .fetch_one(db)
    .await?)
}

/// Deletes a rating and returns what it was.
pub(super) async fn delete(db: &mut PgConnection, plugin: &str, user: i64) -> Result<Option<i16>> {
    let gone = query_scalar!(
        "delete from plugin_ratings where plugin_id = $1 and user_id = $2 returning rating",
        plugin,
        user
    );
    Ok(gone.fetch_optional(db).await?)
}

/// A user's own rating of a plugin, with its review.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_own(db: impl PgExecutor<'_>, plugin: &str, user: i64) -> Result<Option<(i16, String)>> {
    let row = query!(
        r#"select rating, coalesce(review, '') as "review!" from plugin_ratings where plugin_id = $1 and user_id = $2"#,
        plugin,
        user
    );
    Ok(row.fetch_optional(db).await?.map(|r| (r.rating, r.review)))
}

/// A rating of any plugin.
#[expect(missing_docs, reason = "the names say it")]
pub struct Reviewed {
    pub id: i64,
    pub plugin_id: String,
    pub username: String,
    pub rating: i16,
    pub review: String,
    pub updated_at: OffsetDateTime,
}

/// A page of all ratings, newest first, and how many there are.
///
/// # Errors
/// If the database is unavailable.
pub async fn recent(db: &PgPool, page: Page) -> Result<(Vec<Reviewed>, i64)> {
    let rows = query_as!(
        Reviewed,
        r#"select r.id, r.plugin_id, u.username, r.rating, coalesce(r.review, '') as "review!", r.updated_at
           from plugin_ratings r join users u on u.id = r.user_id order by r.updated_at desc, r.id desc limit $1 offset $2"#,
        i64::from(page.limit),
        i64::try_from(page.offset()).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await?;
    let total = query_scalar!(r#"select count(*) as "n!" from plugin_ratings"#).fetch_one(db).await?;
    Ok((rows, total))
}

/// Which plugin and user a rating belongs to.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_plugin_of(db: impl PgExecutor<'_>, rating: i64) -> Result<Option<(String, i64)>> {
    let row = query!("select plugin_id, user_id from plugin_ratings where id = $1", rating).fetch_optional(db).await?;
    Ok(row.map(|r| (r.plugin_id, r.user_id)))
}
