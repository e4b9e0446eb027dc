//! One's own account: profile, password, sessions.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use uuid::Uuid;

use super::{
    Web,
    form::{Form, FormState, done},
    page_context::PageContext,
    visitor::Member,
};
use crate::{
    accounts::{self, LiveSession, PasswordChange, ProfileChange, SessionUser, User},
    error::{Error, OrRefuse, Result, codes},
};

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    page: PageContext,
    user: User,
    sessions: Vec<LiveSession>,
    own_session: Uuid,
    profile: FormState,
    password: FormState,
}

impl Account {
    /// What a session was begun with, such as `Firefox on Windows`.
    fn device(&self, session: &LiveSession) -> String {
        let lang = self.page.lang;
        match (session.browser.as_deref(), session.system.as_deref()) {
            (Some(browser), Some(system)) => {
                lang.pick(format!("{system} 上的 {browser}"), format!("{browser} on {system}"))
            }
            (Some(name), None) | (None, Some(name)) => name.to_owned(),
            (None, None) => lang.pick("未知设备", "Unknown device").to_owned(),
        }
    }
}

/// Shows the account.
pub(super) async fn page(State(web): State<Arc<Web>>, member: Member) -> Result<Response> {
    show(&web, member, None, FormState::default()).await
}

async fn show(web: &Web, member: Member, profile: Option<FormState>, password: FormState) -> Result<Response> {
    let Member { look, session } = member;
    let user = accounts::find_by_id(&web.db, session.user.id).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    let sessions = accounts::live_sessions(&web.db, session.user.id).await?;
    let profile =
        profile.unwrap_or_else(|| FormState::with(&[("display_name", &user.display_name), ("email", &user.email)]));
    let status = profile.status().max(password.status());
    let page = Account { page: look, user, sessions, own_session: session.session, profile, password };
    page.page.show_with(status, &page)
}

/// Changes profile or password, or ends a session.
pub(super) async fn change(State(web): State<Arc<Web>>, member: Member, form: Form) -> Result<Response> {
    let error = match change_read(&web, &member.session, &form).await {
        Ok(code) => return Ok(done("/account", code)),
        Err(error) => error,
    };
    let refused = form.refused(error)?;
    match form.get("what") {
        "profile" => show(&web, member, Some(refused), FormState::default()).await,
        _ => show(&web, member, None, refused).await,
    }
}

async fn change_read(web: &Web, by: &SessionUser, form: &Form) -> Result<&'static str> {
    match form.get("what") {
        "profile" => {
            accounts::update_profile(&web.accounts, by.user.id, form.read::<ProfileChange>()?).await?;
            Ok("saved")
        }
        "password" => {
            let changed = accounts::set_password(&web.accounts, by, form.read::<PasswordChange>()?).await?;
            Ok(if changed.remaining_tokens == 0 { "password" } else { "password_not_tokens" })
        }
        "other_sessions" => {
            accounts::end_other_sessions(&web.db, by.user.id, by.session).await?;
            Ok("ended")
        }
        "session" => {
            let session = form.get("session").parse().map_err(|_| Error::new(&codes::NOT_FOUND))?;
            accounts::end_own_session(&web.db, by.user.id, session).await?;
            Ok("ended")
        }
        _ => Err(Error::new(&codes::NOT_FOUND)),
    }
}
