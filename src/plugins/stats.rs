//! Statistics of one plugin and of the whole marketplace, from real rows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use time::{Date, Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::{
    Plugins,
    details::{find_visible, of_plugin},
    queries,
};
use crate::{
    catalogue::PluginId,
    error::Result,
    http::{
        cache::{self, Kind},
        envelope::Success,
        extract::{FromParams, Params, Path, Query},
    },
};

/// Days of a trend nobody asked to be longer or shorter.
const DAYS: u32 = 30;

/// How far back a trend goes.
pub struct Days(u32);

impl FromParams for Days {
    fn from_params(params: &mut Params) -> Self {
        Self(params.count(&["days"], DAYS, 365))
    }
}

fn kind(days: u32) -> Kind {
    if days == DAYS { Kind::Listed } else { Kind::Query }
}

/// Downloads of a plugin.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
pub struct PluginStats {
    pub total_downloads: i64,
    /// Today and the six days before, UTC.
    pub weekly_downloads: i64,
    /// Today and the 29 days before, UTC.
    pub monthly_downloads: i64,
    /// Downloads by version.
    pub version_distribution: BTreeMap<String, i64>,
    /// One point per day, oldest first, days without downloads included.
    pub download_trend: Vec<Point>,
}

/// Downloads of one day.
#[derive(Serialize, ToSchema)]
pub struct Point {
    /// UTC day.
    #[schema(format = Date, example = "2026-01-15")]
    pub date: String,
    /// How many.
    pub downloads: i64,
}

/// Counts a plugin's downloads.
#[utoipa::path(get, path = "/plugins/{id}/stats", tag = "plugins",
    params(("id" = String, Path), ("days" = Option<u32>, Query, description = "Length of the trend, 30 by default, at most 365")),
    responses((status = 200, body = Success<PluginStats>)))]
pub async fn plugin_stats(
    State(plugins): State<Arc<Plugins>>,
    Path(id): Path<PluginId>,
    Query(Days(days)): Query<Days>,
    headers: HeaderMap,
) -> Result<Response> {
    let today = OffsetDateTime::now_utc().date();
    let what = format!("stats/{days}");
    let ready = of_plugin(&plugins, kind(days), id.as_str(), &what, today.to_julian_day(), || async {
        find_visible(&plugins, &id).await?;
        cache::json(&*Success::of(find_stats(&plugins, id.as_str(), days).await?))
    });
    Ok(ready.await?.respond(&headers))
}

/// Downloads of a plugin that is known to be there, day by day for so many days.
///
/// # Errors
/// When the database is unavailable.
pub async fn find_stats(plugins: &Plugins, id: &str, days: u32) -> Result<PluginStats> {
    let trend = Trend::read(plugins, Some(id), days).await?;
    let versions = queries::version_downloads(&plugins.db, id).await?;
    let version_distribution: BTreeMap<String, i64> = versions.into_iter().collect();
    Ok(PluginStats {
        total_downloads: version_distribution.values().sum(),
        weekly_downloads: trend.last(7),
        monthly_downloads: trend.last(30),
        version_distribution,
        download_trend: trend.points(days),
    })
}

/// Downloads of a plugin within some days, in more ways than its page shows.
pub struct DetailedStats {
    /// Day by day, oldest first; of one version when one is asked for.
    pub download_trend: Vec<Point>,
    /// By version, most first.
    pub by_version: Vec<(String, i64)>,
    /// By kind of program, most first; those counted before sources were are left out.
    pub by_source: Vec<(String, i64)>,
}

/// Downloads of a plugin that is known to be there, within the last `days`.
///
/// # Errors
/// When the database is unavailable.
pub async fn find_detailed_stats(
    plugins: &Plugins,
    id: &str,
    version: Option<&str>,
    days: u32,
) -> Result<DetailedStats> {
    let today = OffsetDateTime::now_utc().date();
    let since = first_day(today, days);
    let by_day = async {
        match version {
            Some(version) => queries::version_downloads_by_day(&plugins.db, id, version, since).await,
            None => queries::downloads_by_day(&plugins.db, Some(id), since).await,
        }
    };
    let (by_day, by_version, by_source) = tokio::try_join!(
        by_day,
        queries::downloads_by_version(&plugins.db, id, since),
        queries::downloads_by_source(&plugins.db, id, since),
    )?;
    let trend = Trend { today, by_day: by_day.into_iter().collect() };
    Ok(DetailedStats { download_trend: trend.points(days), by_version, by_source })
}

/// The first of so many days that end today.
fn first_day(today: Date, days: u32) -> Date {
    today - Duration::days(i64::from(days) - 1)
}

/// Totals of the whole marketplace; banned plugins are left out.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
pub struct MarketplaceStats {
    pub total_plugins: i64,
    pub total_versions: i64,
    pub total_downloads: i64,
    pub total_ratings: i64,
    pub total_users: i64,
    pub weekly_downloads: i64,
    pub monthly_downloads: i64,
    pub download_trend: Vec<Point>,
}

/// Counts the whole marketplace.
#[utoipa::path(get, path = "/stats", tag = "plugins",
    params(("days" = Option<u32>, Query, description = "Length of the trend, 30 by default, at most 365")),
    responses((status = 200, body = Success<MarketplaceStats>)))]
pub async fn marketplace_stats(
    State(plugins): State<Arc<Plugins>>,
    Query(Days(days)): Query<Days>,
    headers: HeaderMap,
) -> Result<Response> {
    // Users are in no generation, and whole tables are counted here: once a second at most.
    let version = plugins.catalogue.lists.version(OffsetDateTime::now_utc().unix_timestamp());
    let ready = plugins.cache.local(kind(days), format!("stats/{days}"), version, || async {
        cache::json(&*Success::of(find_marketplace_stats(&plugins, days).await?))
    });
    Ok(ready.await?.respond(&headers))
}

/// Totals of the whole marketplace, and its downloads day by day for so many days.
///
/// # Errors
/// If the database is unavailable.
pub async fn find_marketplace_stats(plugins: &Plugins, days: u32) -> Result<MarketplaceStats> {
    let totals = queries::totals(&plugins.db).await?;
    let trend = Trend::read(plugins, None, days).await?;
    Ok(MarketplaceStats {
        total_plugins: totals.plugins,
        total_versions: totals.versions,
        total_downloads: totals.downloads,
        total_ratings: totals.ratings,
        total_users: totals.users,
        weekly_downloads: trend.last(7),
        monthly_downloads: trend.last(30),
        download_trend: trend.points(days),
    })
}

/// Downloads by day, up to today.
struct Trend {
    today: Date,
    by_day: HashMap<Date, i64>,
}

impl Trend {
    async fn read(plugins: &Plugins, id: Option<&str>, days: u32) -> Result<Self> {
        let today = OffsetDateTime::now_utc().date();
        let by_day =
            queries::downloads_by_day(&plugins.db, id, first_day(today, days.max(30))).await?.into_iter().collect();
        Ok(Self { today, by_day })
    }

    fn days(&self, days: u32) -> impl Iterator<Item = (Date, i64)> {
        let day = |back| self.today - Duration::days(i64::from(back));
        (0..days).rev().map(day).map(|day| (day, self.by_day.get(&day).copied().unwrap_or(0)))
    }

    fn last(&self, days: u32) -> i64 {
        self.days(days).map(|(_, downloads)| downloads).sum()
    }

    fn points(&self, days: u32) -> Vec<Point> {
        self.days(days).map(|(day, downloads)| Point { date: day.to_string(), downloads }).collect()
    }
}
