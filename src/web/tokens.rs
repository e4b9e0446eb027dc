//! One's own API tokens.

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    form::{Filled, Form, done},
    look::Look,
    visitor::Member,
};
use crate::{
    accounts::{self, ApiToken, NewToken},
    error::{Error, Result, codes},
    state::{App, AppState},
};

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    page: Look,
    tokens: Vec<ApiToken>,
    form: Filled,
    /// The secret of the token just made: shown in this one answer only.
    made: Option<String>,
}

/// Shows the tokens.
pub(super) async fn page(State(app): State<AppState>, member: Member) -> Result<Response> {
    let form = Filled::with(&[("scopes", "publish"), ("expires_in_days", "90")]);
    show(&app, member, form, None).await
}

async fn show(app: &App, member: Member, form: Filled, made: Option<String>) -> Result<Response> {
    let tokens = accounts::list_api_tokens(&app.db, member.session.user.id).await?;
    let status = form.status();
    let page = Tokens { page: member.look, tokens, form, made };
    let mut response = page.page.show_with(status, &page)?;
    // The secret must not stay in any cache, not even the browser's own.
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, no_store);
    Ok(response)
}

/// Makes a token or ends one.
pub(super) async fn change(State(app): State<AppState>, member: Member, form: Form) -> Result<Response> {
    if form.get("what") == "revoke" {
        let id = form.get("id").parse().map_err(|_| Error::new(&codes::TOKEN_NOT_FOUND))?;
        accounts::revoke_token(&app, &member.session.user, id).await?;
        return Ok(done("/account/tokens", "revoked"));
    }
    match make(&app, &member, &form).await {
        Ok(secret) => show(&app, member, Filled::default(), Some(secret)).await,
        Err(error) => {
            let refused = form.refused(error)?;
            show(&app, member, refused, None).await
        }
    }
}

async fn make(app: &App, member: &Member, form: &Form) -> Result<String> {
    let new = form.read::<NewToken>()?;
    Ok(accounts::make_token(app, &member.session.user, new).await?.token)
}
