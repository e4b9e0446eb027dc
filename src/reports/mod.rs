//! Reports: what people tell administrators of plugins and reviews.

mod queries;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    accounts::{Accounts, Administrator, CurrentUser, SessionUser},
    catalogue::PluginId,
    data::{audit, database, timestamps},
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::{Nothing, Success},
        extract::{Body, Choice, Fields, FromFields, FromParams, Params, Path, Query},
        page::{Page, Pagination},
        policy::{Policy, Routes},
    },
    plugins,
};

/// The most characters of a report's text, and of its resolution.
const MAX_TEXT: usize = 5_000;
const MAX_RESOLUTION: usize = 1_000;

/// What people report.
pub struct Reports {
    db: PgPool,
    accounts: Arc<Accounts>,
}

impl Reports {
    /// Reports by users of these accounts.
    pub fn new(db: PgPool, accounts: Arc<Accounts>) -> Self {
        Self { db, accounts }
    }
}

impl AsRef<Accounts> for Reports {
    fn as_ref(&self) -> &Accounts {
        &self.accounts
    }
}

/// The routes that make, show and close reports.
pub fn router(reports: Arc<Reports>) -> Routes {
    Routes::new()
        .api(Policy::report(), routes!(report_plugin))
        .api(Policy::report(), routes!(report_rating))
        .api(Policy::read(), routes!(list))
        .api(Policy::write(), routes!(close))
        .with_state(reports)
}

/// Why something is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[schema(as = ReportReason)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reason {
    Malware,
    Spam,
    Impersonation,
    Abuse,
    Other,
}

impl Choice for Reason {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("malware", Self::Malware),
        ("spam", Self::Spam),
        ("impersonation", Self::Impersonation),
        ("abuse", Self::Abuse),
        ("other", Self::Other),
    ];
}

impl Reason {
    /// The name in requests and in the database.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, reason)| *reason == self).map_or("", |(name, _)| name)
    }
}

/// Whether somebody still has to look at a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ReportState {
    Open,
    Closed,
}

impl Choice for ReportState {
    const NAMES: &'static [(&'static str, Self)] = &[("open", Self::Open), ("closed", Self::Closed)];
}

/// What somebody reports.
#[derive(ToSchema)]
pub struct NewReport {
    /// `malware`, `spam`, `impersonation`, `abuse` or `other`.
    #[schema(value_type = String, example = "malware")]
    reason: Reason,
    #[schema(required = false, max_length = 5000)]
    text: Option<String>,
}

impl FromFields for NewReport {
    fn from_fields(fields: &mut Fields) -> Self {
        let reason = fields.choice("reason", Reason::Other);
        let text = fields.optional_block_text("text", MAX_TEXT);
        Self { reason, text: text.filter(|text| !text.trim().is_empty()) }
    }
}

/// A report as whoever made it is told.
#[derive(Serialize, ToSchema)]
pub struct Reported {
    id: i64,
    state: ReportState,
}

/// Reports a plugin to the administrators; once a user.
#[utoipa::path(post, path = "/plugins/{id}/reports", tag = "plugins", request_body = NewReport, security(("bearer" = [])),
    params(("id" = String, Path)),
    responses(
        (status = 202, body = Success<Reported>),
        (status = 200, body = Success<Reported>, description = "This user has reported it before"),
    ))]
pub async fn report_plugin(
    State(reports): State<Arc<Reports>>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Path(id): Path<PluginId>,
    Body(new): Body<NewReport>,
) -> Result<(StatusCode, Json<Success<Reported>>)> {
    Ok(answer(save(&reports, &user, &id, None, new).await?, lang))
}

/// Reports a review to the administrators; once a user.
#[utoipa::path(post, path = "/plugins/{id}/ratings/{rating_id}/reports", tag = "ratings", request_body = NewReport,
    security(("bearer" = [])), params(("id" = String, Path), ("rating_id" = i64, Path)),
    responses(
        (status = 202, body = Success<Reported>),
        (status = 200, body = Success<Reported>, description = "This user has reported it before"),
    ))]
pub async fn report_rating(
    State(reports): State<Arc<Reports>>,
    lang: Lang,
    SessionUser { user, .. }: SessionUser,
    Path((id, rating)): Path<(PluginId, i64)>,
    Body(new): Body<NewReport>,
) -> Result<(StatusCode, Json<Success<Reported>>)> {
    Ok(answer(save(&reports, &user, &id, Some(rating), new).await?, lang))
}

fn answer((reported, is_new): (Reported, bool), lang: Lang) -> (StatusCode, Json<Success<Reported>>) {
    match is_new {
        true => (
            StatusCode::ACCEPTED,
            Success::saying(reported, lang.pick("举报已提交，管理员会处理", "Reported to the administrators")),
        ),
        false => (StatusCode::OK, Success::saying(reported, lang.pick("你已举报过", "You have reported this before"))),
    }
}

/// Saves a report of a plugin or of one of its reviews, unless the user has reported it before.
///
/// # Errors
/// 404 when there is no such plugin or review.
pub async fn save(
    reports: &Reports,
    user: &CurrentUser,
    id: &PluginId,
    rating: Option<i64>,
    new: NewReport,
) -> Result<(Reported, bool)> {
    let id = id.as_str();
    let mut tx = database::begin(&reports.db).await?;
    plugins::is_visible(&mut *tx, id).await?.then_some(()).or_refuse(&codes::PLUGIN_NOT_FOUND)?;
    if let Some(rating) = rating {
        queries::is_rating_of(&mut tx, id, rating).await?.then_some(()).or_refuse(&codes::NO_OWN_RATING)?;
    }
    let inserted = queries::insert(&mut tx, id, rating, user.id, new.reason, new.text.as_deref()).await?;
    let Some(report) = inserted else {
        let (id, state) = queries::find_own(&mut tx, id, rating, user.id).await?;
        return Ok((Reported { id, state }, false));
    };
    let target = match rating {
        Some(rating) => format!("rating:{rating} of plugin:{id}"),
        None => format!("plugin:{id}"),
    };
    let action = if rating.is_some() { "rating.report" } else { "plugin.report" };
    audit::record(&mut tx, &user.username, action, &target, Some(new.reason.name())).await?;
    tx.commit().await?;
    Ok((Reported { id: report, state: ReportState::Open }, true))
}

/// A report as administrators read it.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
pub struct Report {
    pub id: i64,
    pub state: ReportState,
    pub reason: Reason,
    pub plugin_id: String,
    /// Null when the plugin itself is reported.
    pub rating_id: Option<i64>,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize_option")]
    pub closed_at: Option<OffsetDateTime>,
    /// Username of the administrator.
    pub closed_by: Option<String>,
    /// Username of whoever reported it.
    pub reported_by: String,
    pub text: Option<String>,
    /// What the reported review says now; null when there is none.
    pub review: Option<String>,
    pub resolution: Option<String>,
}

/// Which reports to show.
pub struct Wanted {
    /// All when absent.
    pub state: Option<ReportState>,
    /// Which page.
    pub page: Page,
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params) -> Self {
        Self { state: params.choice(&["state"]), page: Page::from_params(params) }
    }
}

/// A page of reports.
#[derive(Serialize, ToSchema)]
#[schema(as = Reports)]
pub struct ReportList {
    /// Where it stands in the whole list.
    pub pagination: Pagination,
    /// Newest first.
    pub reports: Vec<Report>,
}

/// Lists reports, newest first.
#[utoipa::path(get, path = "/admin/reports", tag = "admin", security(("bearer" = [])),
    params(Page, ("state" = Option<String>, Query, description = "`open` or `closed`; all when absent")),
    responses((status = 200, body = Success<ReportList>)))]
pub async fn list(
    State(reports): State<Arc<Reports>>,
    _: Administrator,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Success<ReportList>>> {
    Ok(Success::of(find(&reports, &wanted).await?))
}

/// A page of reports.
///
/// # Errors
/// When the database is unavailable.
pub async fn find(reports: &Reports, wanted: &Wanted) -> Result<ReportList> {
    let is_open = wanted.state.map(|state| state == ReportState::Open);
    let (found, total) = queries::list(&reports.db, is_open, wanted.page).await?;
    Ok(ReportList { pagination: Pagination::new(wanted.page, total.cast_unsigned()), reports: found })
}

/// How a report was dealt with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the state is read to refuse any other")]
pub struct Resolution {
    /// `closed`.
    #[schema(value_type = String, example = "closed")]
    state: Closed,
    #[schema(min_length = 1, max_length = 1000)]
    resolution: String,
}

/// The only state that a report is brought to.
#[derive(Clone, Copy)]
struct Closed;

impl Choice for Closed {
    const NAMES: &'static [(&'static str, Self)] = &[("closed", Self)];
}

impl FromFields for Resolution {
    fn from_fields(fields: &mut Fields) -> Self {
        let state = fields.choice("state", Closed);
        Self { state, resolution: fields.block_text("resolution", MAX_RESOLUTION) }
    }
}

/// Closes a report, saying what was done.
#[utoipa::path(patch, path = "/admin/reports/{id}", tag = "admin", params(("id" = i64, Path)), request_body = Resolution,
    security(("bearer" = [])),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn close(
    State(reports): State<Arc<Reports>>,
    lang: Lang,
    Administrator(by): Administrator,
    Path(id): Path<i64>,
    Body(resolution): Body<Resolution>,
) -> Result<Json<Success<Nothing>>> {
    close_report(&reports, &by, id, resolution).await?;
    Ok(Success::saying(Nothing {}, lang.pick("举报已处理", "Report closed")))
}

/// Closes a report for an administrator.
///
/// # Errors
/// 404 when there is no such report, 409 when it is closed already.
pub async fn close_report(reports: &Reports, by: &CurrentUser, id: i64, new: Resolution) -> Result<()> {
    let mut tx = database::begin(&reports.db).await?;
    if !queries::close(&mut tx, id, &by.username, &new.resolution).await? {
        let code = if queries::exists(&mut tx, id).await? { &codes::REPORT_CLOSED } else { &codes::REPORT_NOT_FOUND };
        return Err(Error::new(code));
    }
    audit::record(&mut tx, &by.username, "report.close", &format!("report:{id}"), Some(&new.resolution)).await?;
    tx.commit().await?;
    Ok(())
}
