//! Counts: downloads by version and day, ratings as sum and number.

use sqlx::{PgConnection, PgExecutor, query, query_scalar};
use time::Date;
use uuid::Uuid;

use crate::error::Result;

/// Notes that a journal segment is in the tables; false when it was before.
pub async fn insert_segment(db: &mut PgConnection, id: Uuid) -> Result<bool> {
    let done = query!("insert into counted_segments (id) values ($1) on conflict do nothing", id).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// Downloads to be added: the columns of a table.
#[derive(Default)]
pub struct Downloads {
    /// Row ids of versions.
    pub versions: Vec<i64>,
    /// UTC days.
    pub days: Vec<Date>,
    /// What they came from, as far as it is known.
    pub sources: Vec<Option<String>>,
    /// How many.
    pub counts: Vec<i64>,
}

/// Adds downloads to days, sources, versions and plugins; returns the plugins counted for.
/// Versions deleted meanwhile are passed over.
pub async fn add_downloads(db: &mut PgConnection, added: &Downloads) -> Result<Vec<String>> {
    // Plugins are locked in the order of their ids, here and wherever several are, so that no two
    // transactions wait for each other.
    let plugins = query_scalar!(
        "select id from plugins where id in (select plugin_id from plugin_versions where id = any($1)) order by id for no key update",
        &added.versions
    )
    .fetch_all(&mut *db)
    .await?;
    query!(
        "insert into download_days as d (version_id, day, downloads)
         select n.version_id, n.day, sum(n.downloads)::bigint
         from unnest($1::bigint[], $2::date[], $3::bigint[]) as n (version_id, day, downloads)
         where exists (select from plugin_versions v where v.id = n.version_id)
         group by n.version_id, n.day
         on conflict (version_id, day) do update set downloads = d.downloads + excluded.downloads",
        &added.versions,
        &added.days,
        &added.counts
    )
    .execute(&mut *db)
    .await?;
    query!(
        "insert into download_sources as d (plugin_id, day, source, downloads)
         select v.plugin_id, n.day, n.source, sum(n.downloads)::bigint
         from unnest($1::bigint[], $2::date[], $3::text[], $4::bigint[]) as n (version_id, day, source, downloads)
         join plugin_versions v on v.id = n.version_id
         where n.source is not null
         group by v.plugin_id, n.day, n.source
         on conflict (plugin_id, day, source) do update set downloads = d.downloads + excluded.downloads",
        &added.versions,
        &added.days,
        &added.sources as &[Option<String>],
        &added.counts
    )
    .execute(&mut *db)
    .await?;
    query!(
        "with counted as (
             select version_id, sum(downloads)::bigint as downloads
             from unnest($1::bigint[], $2::bigint[]) as n (version_id, downloads) group by version_id),
         versions as (
             update plugin_versions v set downloads = v.downloads + counted.downloads
             from counted where v.id = counted.version_id returning v.plugin_id, counted.downloads)
         update plugins p set downloads = p.downloads + added.downloads
         from (select plugin_id, sum(downloads)::bigint as downloads from versions group by plugin_id) added
         where p.id = added.plugin_id",
        &added.versions,
        &added.counts
    )
    .execute(db)
    .await?;
    Ok(plugins)
}

/// Downloads of a plugin by source since a day, most first.
pub async fn downloads_by_source(db: impl PgExecutor<'_>, id: &str, since: Date) -> Result<Vec<(String, i64)>> {
    let rows = query!(
        r#"select source, sum(downloads)::bigint as "downloads!" from download_sources
           where plugin_id = $1 and day >= $2 group by source order by 2 desc, 1"#,
        id,
        since
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|r| (r.source, r.downloads)).collect())
}

/// Downloads of a plugin by version since a day, most first.
pub async fn downloads_by_version(db: impl PgExecutor<'_>, id: &str, since: Date) -> Result<Vec<(String, i64)>> {
    let rows = query!(
        r#"select v.version, sum(d.downloads)::bigint as "downloads!" from download_days d
           join plugin_versions v on v.id = d.version_id
           where v.plugin_id = $1 and d.day >= $2 group by v.id order by 2 desc, v.id desc"#,
        id,
        since
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|r| (r.version, r.downloads)).collect())
}

/// Downloads of one version by day since a day.
pub async fn version_downloads_by_day(
    db: impl PgExecutor<'_>,
    id: &str,
    version: &str,
    since: Date,
) -> Result<Vec<(Date, i64)>> {
    let rows = query!(
        "select day, d.downloads from download_days d join plugin_versions v on v.id = d.version_id
         where v.plugin_id = $1 and v.version = $2 and day >= $3",
        id,
        version,
        since
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|r| (r.day, r.downloads)).collect())
}

/// Forgets segments whose files are gone for good.
pub async fn forget_segments(db: &mut PgConnection, ids: &[Uuid]) -> Result<()> {
    query!("delete from counted_segments where id = any($1)", ids).execute(db).await?;
    Ok(())
}

/// Forgets segments so old that their files are long gone.
///
/// # Errors
/// If the database is unavailable.
pub async fn forget_old_segments(db: &mut PgConnection) -> Result<()> {
    query!("delete from counted_segments where counted_at < now() - interval '90 days'").execute(db).await?;
    Ok(())
}

/// A change of one rating.
pub struct RatingChange {
    /// The rating before, if there was one.
    pub before: Option<i16>,
    /// The rating now, if there is one.
    pub after: Option<i16>,
}

/// Brings a plugin's sum and number of ratings up to date with one change.
///
/// # Errors
/// If the database is unavailable.
pub async fn apply_rating(db: &mut PgConnection, id: &str, change: &RatingChange) -> Result<()> {
    let sum = i64::from(change.after.unwrap_or(0)) - i64::from(change.before.unwrap_or(0));
    let count = i64::from(change.after.is_some()) - i64::from(change.before.is_some());
    query!(
        "update plugins set rating_sum = rating_sum + $2, rating_count = rating_count + $3 where id = $1",
        id,
        sum,
        count
    )
    .execute(db)
    .await?;
    Ok(())
}
