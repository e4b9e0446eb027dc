//! Publishing in the browser: choose a package, see what is wrong with it or how it will look, publish.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};

use super::{
    Web,
    form::{Form, check_origin, done},
    page_context::PageContext,
    preview::{self, Checked},
    visitor::Member,
};
use crate::{
    accounts::CurrentUser,
    error::{Error, OrRefuse, Refusal, Result, codes, lang::Lang},
    http::multipart::Form as Upload,
    plugins::{self, Inspected},
    storage::Received,
};

#[derive(Template)]
#[template(path = "publish.html")]
struct Publish {
    page: PageContext,
    /// Why the package was refused; empty at first.
    problem: String,
    advice: &'static str,
    /// Where and what, fault by fault.
    faults: Vec<(String, String)>,
}

/// Shows the form to choose a package.
pub(super) async fn form(Member { look, .. }: Member) -> Result<Response> {
    let page = Publish { page: look, problem: String::new(), advice: "", faults: Vec::new() };
    page.page.show(&page)
}

/// Receives a package and shows what is wrong with it, or how it will look.
pub(super) async fn check(
    State(web): State<Arc<Web>>,
    Member { look, session }: Member,
    request: Request,
) -> Result<Response> {
    match receive_and_check(&web, &session.user, request).await {
        Ok(checked) => {
            let (response, received) = preview::show(&web, look, checked).await?;
            plugins::keep_draft(&web.plugins, session.user.id, received).await?;
            Ok(response)
        }
        Err(Error::Refused(refusal)) => refused(look, &refusal),
        Err(error) => Err(error),
    }
}

async fn receive_and_check(web: &Web, user: &CurrentUser, request: Request) -> Result<Checked> {
    let received = receive(web, request).await?;
    let Inspected { received, package, contents, .. } = plugins::inspect(&web.plugins, received).await?;
    let is_new = plugins::dry_run(&web.plugins, user, &package.manifest, &received.hash).await?;
    Ok(Checked { package, contents, received, is_new })
}

/// Reads the form to its end even when something is wrong with it: a browser shows no answer before
/// it has sent everything.
async fn receive(web: &Web, request: Request) -> Result<Received> {
    let headers = request.headers().clone();
    let mut form = Upload::open(request).await?;
    let (mut is_ours, mut received) = (Err(Error::new(&codes::FORM_EXPIRED)), None);
    while let Some(mut part) = form.next().await? {
        match part.name() {
            Some("form_token") => is_ours = check_origin(&headers, &part.text().await?),
            // The token comes first, so nobody else's package is ever written to disk.
            Some("plugin_file") if is_ours.is_ok() && received.is_none() => {
                received = Some(plugins::receive_file(&web.plugins, &mut part).await);
                part.skip().await?;
            }
            _ => part.skip().await?,
        }
    }
    is_ours?;
    received.or_refuse(&codes::FILE_MISSING)?
}

fn refused(look: PageContext, refusal: &Refusal) -> Result<Response> {
    let lang = look.lang;
    let faults = refusal.details.iter().map(|fault| (fault.field.clone(), fault.text.in_lang(lang).to_owned()));
    // What is wrong is said once: where a detail says it, or all of them do, the heading does not.
    let is_told = refusal.code == codes::INVALID_PACKAGE.code || refusal.details.iter().any(|f| f.text == refusal.text);
    let problem = match is_told {
        false => refusal.text.in_lang(lang),
        true => lang.pick("这个插件包暂时不能发布", "This package can’t be published yet"),
    };
    let page = Publish {
        problem: problem.to_owned(),
        advice: advice(lang, refusal.code),
        faults: faults.collect(),
        page: look,
    };
    page.page.show_with(refusal.status, &page)
}

/// What to do about a refusal.
fn advice(lang: Lang, code: &str) -> &'static str {
    let own = codes::ALL.iter().find(|known| known.code == code);
    let own = own.map(|known| lang.pick(known.advice_zh, known.advice_en));
    let of_package = || {
        let known = package::CODES.iter().find(|known| known.code == code);
        known.map(|known| lang.pick(known.advice_zh, known.advice_en))
    };
    own.or_else(of_package).unwrap_or_default()
}

/// Publishes the package that was shown.
pub(super) async fn publish(
    State(web): State<Arc<Web>>,
    Member { look, session }: Member,
    form: Form,
) -> Result<Response> {
    let Some(received) = plugins::take_draft(&web.plugins, session.user.id, form.get("hash")).await? else {
        let problem = look.t("预览已过期，请重新选择文件。", "This preview has expired. Choose the file again.");
        let page = Publish { problem: problem.to_owned(), advice: "", faults: Vec::new(), page: look };
        return page.page.show_with(StatusCode::CONFLICT, &page);
    };
    match plugins::publish(&web.plugins, &session.user, received).await {
        Ok(outcome) => {
            let code = if outcome.is_new { "published" } else { "same" };
            Ok(done(&format!("/plugins/{}", outcome.manifest.id), code))
        }
        Err(Error::Refused(refusal)) => self::refused(look, &refusal),
        Err(error) => Err(error),
    }
}
