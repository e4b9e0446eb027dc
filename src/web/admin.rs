//! Administration: totals and charts, users, plugins, reviews, the audit log.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{Web, browse::steps, charts::DayChart, page_context::PageContext, statistics::Period, visitor::AdminPage};
use crate::{
    accounts::{self, UserRow},
    catalogue::Status,
    data::audit::{self, Act},
    error::Result,
    http::{
        extract::{Choice, FromParams, Params, Query},
        health::DependencyStatus,
        page::{Page, Pagination},
    },
    plugins::{self, AdminRow, MarketplaceStats, Point},
    ratings::{self, Reviewed},
};

#[derive(Template)]
#[template(path = "admin.html")]
struct Overview {
    page: PageContext,
    stats: MarketplaceStats,
    period: Period,
    chart: DayChart,
    points: Vec<Point>,
    dependency_statuses: [DependencyStatus; 3],
    journal_bytes: u64,
    connections: (u32, usize),
    /// Services to which requests are sent, and all.
    services: Option<(usize, usize)>,
    is_preserving: bool,
    acts: Vec<Act>,
}

impl Overview {
    /// How a dependency stands, in a word.
    fn word(&self, status: &DependencyStatus) -> &str {
        match status {
            DependencyStatus::Up => self.page.t("正常", "up"),
            DependencyStatus::Down => self.page.t("中断", "down"),
            DependencyStatus::Full => self.page.t("磁盘已满", "disk full"),
            DependencyStatus::Internal => self.page.t("内置", "built in"),
        }
    }

    fn is_down(&self, status: &DependencyStatus) -> bool {
        matches!(status, DependencyStatus::Down | DependencyStatus::Full)
    }
}

/// How far back the chart goes.
pub(super) struct Asked(Period);

impl FromParams for Asked {
    fn from_params(params: &mut Params) -> Self {
        Self(Period::read(params, Period::ALL[1]))
    }
}

/// Shows health and totals.
pub(super) async fn overview(
    State(web): State<Arc<Web>>,
    AdminPage { look, .. }: AdminPage,
    Query(Asked(period)): Query<Asked>,
) -> Result<Response> {
    let mut stats = plugins::find_marketplace_stats(&web.plugins, period.days()).await?;
    let (chart, points) = period.chart(std::mem::take(&mut stats.download_trend));
    let (acts, _) = audit::list(&web.db, None, 8, 0).await?;
    let page = Overview {
        page: look,
        period,
        chart,
        points,
        stats,
        dependency_statuses: web.health.dependency_statuses(),
        journal_bytes: web.journal.backlog(),
        connections: (web.db.size(), web.db.num_idle()),
        services: web.registry.is_enabled().then(|| web.registry.snapshot().counts()),
        is_preserving: web.registry.is_preserving(),
        acts,
    };
    page.page.show(&page)
}

/// Which entries of a list to show.
pub(super) struct Wanted {
    pub search: String,
    pub status: String,
    pub page: Page,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params) -> Self {
        let search = params.short_text("search", 255).unwrap_or_default();
        let status = params.short_text("status", 20).unwrap_or_default();
        Self { search, status, page: Page::from_params(params) }
    }
}

impl Wanted {
    fn words(&self) -> Option<&str> {
        Some(self.search.trim()).filter(|words| !words.is_empty())
    }

    fn limit(&self) -> i64 {
        self.page.limit.into()
    }

    fn offset(&self) -> i64 {
        i64::try_from(self.page.offset()).unwrap_or(i64::MAX)
    }

    /// This list's pages.
    pub fn pages(&self, total: i64) -> (Pagination, Vec<u32>) {
        let pagination = Pagination::new(self.page, total.cast_unsigned());
        (pagination, steps(&pagination))
    }
}

#[derive(Template)]
#[template(path = "admin_users.html")]
struct Users {
    page: PageContext,
    own_id: i64,
    wanted: Wanted,
    users: Vec<UserRow>,
    pagination: Pagination,
    steps: Vec<u32>,
}

/// Lists users.
pub(super) async fn users(
    State(web): State<Arc<Web>>,
    AdminPage { look, admin }: AdminPage,
    Query(wanted): Query<Wanted>,
) -> Result<Response> {
    let (users, total) = accounts::find_users(&web.db, wanted.words(), wanted.limit(), wanted.offset()).await?;
    let (pagination, steps) = wanted.pages(total);
    let page = Users { page: look, own_id: admin.id, wanted, users, pagination, steps };
    page.page.show(&page)
}

#[derive(Template)]
#[template(path = "admin_plugins.html")]
struct Plugins {
    page: PageContext,
    wanted: Wanted,
    plugins: Vec<AdminRow>,
    pagination: Pagination,
    steps: Vec<u32>,
}

/// Lists plugins, banned ones too.
pub(super) async fn plugins(
    State(web): State<Arc<Web>>,
    AdminPage { look, .. }: AdminPage,
    Query(wanted): Query<Wanted>,
) -> Result<Response> {
    let status = Status::from_name(&wanted.status);
    let (plugins, total) =
        plugins::list_for_admin(&web.db, status, wanted.words(), wanted.limit(), wanted.offset()).await?;
    let (pagination, steps) = wanted.pages(total);
    let page = Plugins { page: look, wanted, plugins, pagination, steps };
    page.page.show(&page)
}

#[derive(Template)]
#[template(path = "admin_reviews.html")]
struct Reviews {
    page: PageContext,
    reviews: Vec<Reviewed>,
    pagination: Pagination,
    steps: Vec<u32>,
}

/// Lists ratings, newest first.
pub(super) async fn reviews(
    State(web): State<Arc<Web>>,
    AdminPage { look, .. }: AdminPage,
    Query(wanted): Query<Wanted>,
) -> Result<Response> {
    let (reviews, total) = ratings::recent(&web.db, wanted.page).await?;
    let (pagination, steps) = wanted.pages(total);
    let page = Reviews { page: look, reviews, pagination, steps };
    page.page.show(&page)
}

#[derive(Template)]
#[template(path = "admin_audit.html")]
struct AuditLog {
    page: PageContext,
    wanted: Wanted,
    acts: Vec<Act>,
    pagination: Pagination,
    steps: Vec<u32>,
}

/// Shows the audit log, all of it or that of one target.
pub(super) async fn audit_log(
    State(web): State<Arc<Web>>,
    AdminPage { look, .. }: AdminPage,
    Query(wanted): Query<Wanted>,
) -> Result<Response> {
    let (acts, total) = audit::list(&web.db, wanted.words(), wanted.limit(), wanted.offset()).await?;
    let (pagination, steps) = wanted.pages(total);
    let page = AuditLog { page: look, wanted, acts, pagination, steps };
    page.page.show(&page)
}
