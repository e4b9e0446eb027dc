//! SQL of reports.

use sqlx::{PgConnection, PgPool, query, query_scalar};

use super::{Reason, Report, ReportState};
use crate::{error::Result, http::page::Page};

fn state(is_open: bool) -> ReportState {
    if is_open { ReportState::Open } else { ReportState::Closed }
}

/// Whether a plugin has this rating.
pub(super) async fn is_rating_of(db: &mut PgConnection, plugin: &str, rating: i64) -> Result<bool> {
    let found = query_scalar!("select 1 as one from plugin_ratings where id = $1 and plugin_id = $2", rating, plugin);
    Ok(found.fetch_optional(db).await?.is_some())
}

/// Inserts a report; none when the user has reported the same before.
pub(super) async fn insert(
    db: &mut PgConnection,
    plugin: &str,
    rating: Option<i64>,
    user: i64,
    reason: Reason,
    text: Option<&str>,
) -> Result<Option<i64>> {
    let id = query_scalar!(
        "insert into reports (plugin_id, rating_id, user_id, reason, text) values ($1, $2, $3, $4, $5)
         on conflict (user_id, plugin_id, coalesce(rating_id, 0)) do nothing returning id",
        plugin,
        rating,
        user,
        reason as Reason,
        text
    );
    Ok(id.fetch_optional(db).await?)
}

/// What a user has reported.
pub(super) async fn find_own(
    db: &mut PgConnection,
    plugin: &str,
    rating: Option<i64>,
    user: i64,
) -> Result<(i64, ReportState)> {
    let row = query!(
        r#"select id, closed_at is null as "is_open!" from reports
           where user_id = $1 and plugin_id = $2 and coalesce(rating_id, 0) = coalesce($3::bigint, 0)"#,
        user,
        plugin,
        rating
    )
    .fetch_one(db)
    .await?;
    Ok((row.id, state(row.is_open)))
}

/// A page of reports, newest first, and how many there are.
pub(super) async fn list(db: &PgPool, is_open: Option<bool>, page: Page) -> Result<(Vec<Report>, i64)> {
    let rows = query!(
        r#"select r.id, r.plugin_id, r.rating_id, r.reason as "reason: Reason", r.text, r.created_at, r.closed_at, r.closed_by,
               r.resolution, u.username, p.review as "review?"
           from reports r join users u on u.id = r.user_id left join plugin_ratings p on p.id = r.rating_id
           where $1::bool is null or (r.closed_at is null) = $1 order by r.id desc limit $2 offset $3"#,
        is_open,
        i64::from(page.limit),
        i64::try_from(page.offset()).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await?;
    let total = query_scalar!(
        r#"select count(*) as "n!" from reports where $1::bool is null or (closed_at is null) = $1"#,
        is_open
    );
    let reports = rows.into_iter().map(|r| Report {
        id: r.id,
        state: state(r.closed_at.is_none()),
        reason: r.reason,
        plugin_id: r.plugin_id,
        rating_id: r.rating_id,
        created_at: r.created_at,
        closed_at: r.closed_at,
        closed_by: r.closed_by,
        reported_by: r.username,
        text: r.text,
        review: r.review,
        resolution: r.resolution,
    });
    Ok((reports.collect(), total.fetch_one(db).await?))
}

/// Closes a report; false when there is none that is open.
pub(super) async fn close(db: &mut PgConnection, id: i64, by: &str, resolution: &str) -> Result<bool> {
    let done = query!(
        "update reports set closed_at = now(), closed_by = $2, resolution = $3 where id = $1 and closed_at is null",
        id,
        by,
        resolution
    );
    Ok(done.execute(db).await?.rows_affected() == 1)
}

pub(super) async fn exists(db: &mut PgConnection, id: i64) -> Result<bool> {
    Ok(query_scalar!("select 1 as one from reports where id = $1", id).fetch_optional(db).await?.is_some())
}
