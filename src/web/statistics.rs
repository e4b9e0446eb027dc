//! How often a plugin is downloaded: by day or week, by version and, for its owners, by kind of program.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    Web,
    charts::{self, Bar, DayChart},
    page_context::PageContext,
    plugin::{self, Header},
    visitor::Visitor,
};
use crate::{
    catalogue::PluginId,
    error::{Error, Result, codes},
    http::{
        cache::Kind,
        extract::{FromParams, Params, Path, Query},
    },
    plugins::{self, DownloadSource, PluginDetail, Point},
};

/// Versions of the table by version.
const VERSIONS: usize = 100;

/// How far back charts go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Period(u32);

impl Period {
    /// What can be chosen.
    pub const ALL: [Self; 3] = [Self(30), Self(90), Self(365)];

    /// Its days.
    pub fn days(self) -> u32 {
        self.0
    }

    /// The one asked for, or another; a page is for people, so what makes no sense is passed over.
    pub fn read(params: &Params, default: Self) -> Self {
        let asked = params.text(&["days"]).and_then(|days| days.parse().ok());
        Self::ALL.into_iter().find(|period| Some(period.0) == asked).unwrap_or(default)
    }

    /// Whether bars are weeks.
    pub fn is_by_week(self) -> bool {
        self.0 > 120
    }

    /// The drawing of its days or weeks, and their numbers for the table beside it.
    pub fn chart(self, days: Vec<Point>) -> (DayChart, Vec<Point>) {
        let points = if self.is_by_week() { charts::weeks(&days) } else { days };
        (charts::days(&points), points)
    }
}

impl PageContext {
    /// How a period is called.
    pub fn period(&self, period: &Period) -> &str {
        match period.0 {
            30 => self.t("近 30 天", "Last 30 days"),
            90 => self.t("近 90 天", "Last 90 days"),
            _ => self.t("近一年", "Last year"),
        }
    }

    /// This page with another period.
    pub fn in_period(&self, period: &Period) -> String {
        let query = self.query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("days="));
        let pairs: Vec<String> = query.map(str::to_owned).chain([format!("days={}", period.0)]).collect();
        format!("{}?{}", self.path, pairs.join("&"))
    }
}

pub(super) struct Asked {
    period: Period,
    version: Option<String>,
}

impl FromParams for Asked {
    fn from_params(params: &mut Params) -> Self {
        let version = params.text(&["version"]).filter(|version| !version.is_empty()).map(str::to_owned);
        Self { period: Period::read(params, Period::ALL[0]), version }
    }
}

#[derive(Template)]
#[template(path = "statistics.html")]
struct Statistics {
    page: PageContext,
    header: Header,
    plugin: Arc<PluginDetail>,
    period: Period,
    /// The version that the chart is of; all without one.
    version: Option<String>,
    total: i64,
    chart: DayChart,
    points: Vec<Point>,
    by_version: Vec<Bar>,
    /// For owners and administrators.
    by_source: Option<Vec<Bar>>,
}

impl Statistics {
    fn source(&self, name: &str) -> &str {
        if name == DownloadSource::Browser.name() {
            self.page.t("浏览器", "Browsers")
        } else if name == DownloadSource::CommandLine.name() {
            self.page.t("curl 和 wget", "curl and wget")
        } else {
            self.page.t("GeekTools 和其他程序", "GeekTools and other programs")
        }
    }
}

/// Shows the statistics of a plugin.
pub(super) async fn page(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(id): Path<PluginId>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response> {
    let make = |visitor| make(&web, visitor, &id, asked);
    visitor.show_of_plugin(&web, &headers, (&id, Kind::Query), &["days", "version"], make).await
}

async fn make(web: &Web, visitor: Visitor, id: &PluginId, asked: Asked) -> Result<Statistics> {
    let plugin = plugin::find(web, id).await?;
    let Asked { period, version } = asked;
    if version.as_ref().is_some_and(|asked| !plugin.versions.iter().any(|item| item.version == *asked)) {
        return Err(Error::new(&codes::VERSION_NOT_FOUND));
    }
    let stats = plugins::find_detailed_stats(&web.plugins, id.as_str(), version.as_deref(), period.days()).await?;
    let header = plugin::header(&plugin, "statistics", &visitor);
    let total = stats.download_trend.iter().map(|point| point.downloads).sum();
    let (chart, points) = period.chart(stats.download_trend);
    Ok(Statistics {
        by_source: header.may_manage.then(|| charts::bars(stats.by_source, true)),
        header,
        page: visitor.look,
        plugin,
        period,
        version,
        total,
        chart,
        points,
        by_version: charts::bars(stats.by_version.into_iter().take(VERSIONS), false),
    })
}
