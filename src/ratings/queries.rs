//! SQL of ratings: `plugin_ratings`.

use sqlx::{PgConnection, PgExecutor, PgPool, query, query_as, query_scalar};
use time::OffsetDateTime;

use super::{Rating, Reply};
use crate::{error::Result, http::page::Page};

/// A rating with what others made of it, as a row.
struct Row {
    id: i64,
    rating: i16,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    version: Option<String>,
    helpful: i64,
    username: String,
    display_name: String,
    review: String,
    reply: Option<String>,
    reply_by: Option<String>,
    reply_at: Option<OffsetDateTime>,
}

impl From<Row> for Rating {
    fn from(row: Row) -> Self {
        let Row { id, rating, created_at, updated_at, version, helpful, username, display_name, review, .. } = row;
        let reply = match (row.reply, row.reply_by, row.reply_at) {
            (Some(text), Some(username), Some(created_at)) => Some(Reply { username, created_at, text }),
            _ => None,
        };
        Self { id, rating, created_at, updated_at, version, helpful, username, display_name, review, reply }
    }
}

pub(super) async fn list(db: impl PgExecutor<'_>, plugin: &str, page: Page) -> Result<Vec<Rating>> {
    let rows = query_as!(
        Row,
        r#"select r.id, r.rating, r.created_at, r.updated_at, r.version, u.username, u.display_name,
               coalesce(r.review, '') as "review!",
               (select count(*) from rating_votes v where v.rating_id = r.id) as "helpful!",
               a.text as "reply?", w.username as "reply_by?", a.created_at as "reply_at?"
           from plugin_ratings r join users u on u.id = r.user_id
           left join rating_replies a on a.rating_id = r.id left join users w on w.id = a.user_id
           where r.plugin_id = $1 order by r.updated_at desc, r.id desc limit $2 offset $3"#,
        plugin,
        i64::from(page.limit),
        i64::try_from(page.offset()).unwrap_or(i64::MAX)
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Into::into).collect())
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

/// Saves a rating of the version that is current now, in place of the one before.
pub(super) async fn upsert(
    db: &mut PgConnection,
    plugin: &str,
    user: i64,
    rating: i16,
    review: Option<&str>,
) -> Result<Rating> {
    let row = query_as!(
        Row,
        r#"with saved as (
               insert into plugin_ratings (plugin_id, user_id, rating, review, version)
               values ($1, $2, $3, $4, (select current_version from plugins where id = $1))
               on conflict on constraint plugin_ratings_once do update set
                   rating = excluded.rating, review = excluded.review, version = excluded.version, updated_at = now()
               returning id, rating, review, version, created_at, updated_at, user_id)
           select s.id as "id!", s.rating as "rating!", s.created_at as "created_at!", s.updated_at as "updated_at!",
               s.version, u.username, u.display_name, coalesce(s.review, '') as "review!",
               (select count(*) from rating_votes v where v.rating_id = s.id) as "helpful!",
               a.text as "reply?", w.username as "reply_by?", a.created_at as "reply_at?"
           from saved s join users u on u.id = s.user_id
           left join rating_replies a on a.rating_id = s.id left join users w on w.id = a.user_id"#,
        plugin,
        user,
        rating,
        review
    );
    Ok(row.fetch_one(db).await?.into())
}

/// The author of a plugin's rating.
pub(super) async fn author_of(db: impl PgExecutor<'_>, plugin: &str, rating: i64) -> Result<Option<i64>> {
    let found = query_scalar!("select user_id from plugin_ratings where id = $1 and plugin_id = $2", rating, plugin);
    Ok(found.fetch_optional(db).await?)
}

pub(super) async fn insert_vote(db: &mut PgConnection, rating: i64, user: i64) -> Result<()> {
    query!("insert into rating_votes (rating_id, user_id) values ($1, $2) on conflict do nothing", rating, user)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn delete_vote(db: &mut PgConnection, rating: i64, user: i64) -> Result<()> {
    query!("delete from rating_votes where rating_id = $1 and user_id = $2", rating, user).execute(db).await?;
    Ok(())
}

pub(super) async fn count_votes(db: &mut PgConnection, rating: i64) -> Result<i64> {
    let count = query_scalar!(r#"select count(*) as "n!" from rating_votes where rating_id = $1"#, rating);
    Ok(count.fetch_one(db).await?)
}

/// The ratings of a plugin that a user voted for.
///
/// # Errors
/// When the database is unavailable.
pub async fn find_votes(db: impl PgExecutor<'_>, plugin: &str, user: i64) -> Result<Vec<i64>> {
    Ok(query_scalar!(
        "select v.rating_id from rating_votes v join plugin_ratings r on r.id = v.rating_id
         where r.plugin_id = $1 and v.user_id = $2",
        plugin,
        user
    )
    .fetch_all(db)
    .await?)
}

/// Saves the reply to a rating in place of the one before.
pub(super) async fn upsert_reply(db: &mut PgConnection, rating: i64, user: i64, text: &str) -> Result<Reply> {
    Ok(query_as!(
        Reply,
        r#"with saved as (
               insert into rating_replies (rating_id, user_id, text) values ($1, $2, $3)
               on conflict (rating_id) do update set
                   user_id = excluded.user_id, text = excluded.text, created_at = excluded.created_at
               returning user_id, text, created_at)
           select u.username, s.created_at as "created_at!", s.text as "text!"
           from saved s join users u on u.id = s.user_id"#,
        rating,
        user,
        text
    )
    .fetch_one(db)
    .await?)
}

/// Deletes the reply to a rating; false when there is none.
pub(super) async fn delete_reply(db: &mut PgConnection, rating: i64) -> Result<bool> {
    let done = query!("delete from rating_replies where rating_id = $1", rating).execute(db).await?;
    Ok(done.rows_affected() == 1)
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
