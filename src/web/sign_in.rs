//! Signing up, in and out.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::header, response::Response};

use super::{
    Web, cookies,
    form::{Form, FormState, done},
    page_context::PageContext,
    redirect,
    visitor::Visitor,
};
use crate::{
    accounts::{self, BrowserSession, Device, Login, NewUser},
    error::Result,
    http::extract::{FromParams, Params, Query},
};

/// Where to go after signing in: only ever a path of this site.
pub(super) struct Next(String);

impl FromParams for Next {
    fn from_params(params: &mut Params) -> Self {
        Self::of(params.text(&["next"]).unwrap_or_default())
    }
}

impl Next {
    fn of(path: &str) -> Self {
        let is_fit = redirect::is_local(path) && path.len() <= 1_000;
        Self(if is_fit { path.to_owned() } else { "/".to_owned() })
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: PageContext,
    form: FormState,
    next: String,
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    page: PageContext,
    form: FormState,
    next: String,
}

/// Shows the form to sign in.
pub(super) async fn login_form(visitor: Visitor, Query(Next(next)): Query<Next>) -> Result<Response> {
    if visitor.session.is_some() {
        return Ok(redirect::see_other(&next));
    }
    let page = LoginPage { page: visitor.look.with_forms(), form: FormState::default(), next };
    page.page.show(&page)
}

/// Signs in.
pub(super) async fn login(
    State(web): State<Arc<Web>>,
    look: PageContext,
    device: Device,
    form: Form,
) -> Result<Response> {
    let Next(next) = Next::of(form.get("next"));
    match sign_in(&web, &device, &form).await {
        Ok(session) => Ok(begin(&look, &session, redirect::see_other(&next))),
        Err(error) => {
            let form = form.refused(error)?;
            let (status, page) = (form.status(), LoginPage { page: look, form, next });
            page.page.show_with(status, &page)
        }
    }
}

async fn sign_in(web: &Web, device: &Device, form: &Form) -> Result<BrowserSession> {
    accounts::sign_in(&web.accounts, device, form.read::<Login>()?).await
}

/// Shows the form to sign up.
pub(super) async fn register_form(visitor: Visitor, Query(Next(next)): Query<Next>) -> Result<Response> {
    if visitor.session.is_some() {
        return Ok(redirect::see_other(&next));
    }
    let page = RegisterPage { page: visitor.look.with_forms(), form: FormState::default(), next };
    page.page.show(&page)
}

/// Signs up, and in.
pub(super) async fn register(
    State(web): State<Arc<Web>>,
    look: PageContext,
    device: Device,
    form: Form,
) -> Result<Response> {
    let Next(next) = Next::of(form.get("next"));
    match sign_up(&web, &device, &form).await {
        Ok(session) => Ok(begin(&look, &session, done(&next, "registered"))),
        Err(error) => {
            let form = form.refused(error)?;
            let (status, page) = (form.status(), RegisterPage { page: look, form, next });
            page.page.show_with(status, &page)
        }
    }
}

async fn sign_up(web: &Web, device: &Device, form: &Form) -> Result<BrowserSession> {
    accounts::create_account(&web.accounts, &form.read::<NewUser>()?).await?;
    accounts::sign_in(&web.accounts, device, form.read::<Login>()?).await
}

/// Gives the browser its session and takes away the secret it had without one.
fn begin(look: &PageContext, session: &BrowserSession, mut response: Response) -> Response {
    let set = [look.cookie(cookies::SESSION, &session.token, session.seconds), look.cookie(cookies::VISITOR, "", 0)];
    for cookie in set.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Signs out.
pub(super) async fn logout(State(web): State<Arc<Web>>, visitor: Visitor, _form: Form) -> Result<Response> {
    if let Some(session) = &visitor.session {
        accounts::end_own_session(&web.db, session.user.id, session.session).await?;
    }
    let mut response = redirect::see_other("/");
    if let Some(cookie) = visitor.look.cookie(cookies::SESSION, "", 0) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
