//! Reporting a plugin or a review, and what administrators see of it.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Web,
    admin::Wanted,
    form::{Form, FormState, done},
    page_context::PageContext,
    plugin,
    visitor::{AdminPage, Member},
};
use crate::{
    catalogue::PluginId,
    error::{Error, Result, codes},
    http::{
        extract::{FromParams, Params, Path, Query},
        page::Pagination,
    },
    plugins::PluginDetail,
    reports::{self, NewReport, Reason, Report, ReportState, Resolution},
};

const REASONS: [(Reason, &str, &str); 5] = [
    (Reason::Malware, "恶意代码", "Malware"),
    (Reason::Spam, "垃圾信息", "Spam"),
    (Reason::Impersonation, "冒充他人", "Impersonation"),
    (Reason::Abuse, "辱骂或骚扰", "Abuse"),
    (Reason::Other, "其他", "Something else"),
];

/// Which review a report is about; empty for the plugin itself.
pub(super) struct Subject(String);

impl FromParams for Subject {
    fn from_params(params: &mut Params) -> Self {
        Self(params.short_text("rating", 20).unwrap_or_default())
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportForm {
    page: PageContext,
    plugin: Arc<PluginDetail>,
    rating: String,
    form: FormState,
}

impl ReportForm {
    fn reasons(&self) -> impl Iterator<Item = (&'static str, &str)> {
        REASONS.iter().map(|(reason, zh, en)| (reason.name(), self.page.t(zh, en)))
    }
}

/// Shows the form.
pub(super) async fn form(
    State(web): State<Arc<Web>>,
    member: Member,
    Path(id): Path<PluginId>,
    Query(Subject(rating)): Query<Subject>,
) -> Result<Response> {
    show(&web, member, &id, rating, FormState::default()).await
}

async fn show(web: &Web, member: Member, id: &PluginId, rating: String, form: FormState) -> Result<Response> {
    let plugin = plugin::find(web, id).await?;
    let status = form.status();
    let page = ReportForm { page: member.look, plugin, rating, form };
    page.page.show_with(status, &page)
}

/// Sends a report.
pub(super) async fn send(
    State(web): State<Arc<Web>>,
    member: Member,
    Path(id): Path<PluginId>,
    form: Form,
) -> Result<Response> {
    let error = match send_read(&web, &member, &id, &form).await {
        Ok(()) => return Ok(done(&format!("/plugins/{}", id.as_str()), "reported")),
        Err(error) => error,
    };
    let refused = form.refused(error)?;
    show(&web, member, &id, form.get("rating_id").to_owned(), refused).await
}

async fn send_read(web: &Web, member: &Member, id: &PluginId, form: &Form) -> Result<()> {
    let rating = match form.get("rating_id") {
        "" => None,
        rating => Some(rating.parse().map_err(|_| Error::new(&codes::NO_OWN_RATING))?),
    };
    reports::save(&web.reports, &member.session.user, id, rating, form.read::<NewReport>()?).await?;
    Ok(())
}

#[derive(Template)]
#[template(path = "admin_reports.html")]
struct Reports {
    page: PageContext,
    is_closed: bool,
    reports: Vec<Report>,
    pagination: Pagination,
    steps: Vec<u32>,
}

impl Reports {
    fn reason(&self, reason: &Reason) -> &str {
        let known = REASONS.iter().find(|(known, ..)| known == reason);
        known.map_or("", |(_, zh, en)| self.page.t(zh, en))
    }
}

/// Lists reports that are open, or those that are closed.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    AdminPage { look, .. }: AdminPage,
    Query(wanted): Query<Wanted>,
) -> Result<Response> {
    let is_closed = wanted.status == "closed";
    let state = Some(if is_closed { ReportState::Closed } else { ReportState::Open });
    let found = reports::find(&web.reports, &reports::Wanted { state, page: wanted.page }).await?;
    let (pagination, steps) = wanted.pages(found.pagination.total.into());
    let page = Reports { page: look, is_closed, reports: found.reports, pagination, steps };
    page.page.show(&page)
}

/// Closes a report.
pub(super) async fn close(
    State(web): State<Arc<Web>>,
    AdminPage { admin, .. }: AdminPage,
    form: Form,
) -> Result<Response> {
    let id = form.get("id").parse().map_err(|_| Error::new(&codes::REPORT_NOT_FOUND))?;
    reports::close_report(&web.reports, &admin, id, form.read::<Resolution>()?).await?;
    Ok(done("/admin/reports", "saved"))
}
