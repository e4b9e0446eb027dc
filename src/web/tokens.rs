//! One's own API tokens.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Web, confirm,
    form::{Form, FormState, done},
    page_context::PageContext,
    visitor::Member,
};
use crate::{
    accounts::{self, ApiToken, NewToken},
    error::{Error, Result, codes},
};

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    page: PageContext,
    tokens: Vec<ApiToken>,
    form: FormState,
    /// The secret of the token just made: shown in this one answer only.
    made: Option<String>,
}

/// Shows the tokens.
pub(super) async fn page(State(web): State<Arc<Web>>, member: Member) -> Result<Response> {
    show(&web, member, proposed(), None).await
}

/// What the form proposes.
fn proposed() -> FormState {
    FormState::with(&[("scopes", "publish"), ("expires_in_days", "90")])
}

async fn show(web: &Web, member: Member, form: FormState, made: Option<String>) -> Result<Response> {
    let tokens = accounts::list_api_tokens(&web.db, member.session.user.id).await?;
    let status = form.status();
    let page = Tokens { page: member.look, tokens, form, made };
    let mut response = page.page.show_with(status, &page)?;
    // The secret must not stay in any cache, not even the browser's own.
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, no_store);
    Ok(response)
}

/// Makes a token or ends one.
pub(super) async fn change(State(web): State<Arc<Web>>, member: Member, form: Form) -> Result<Response> {
    if form.get("what") == "revoke" && !form.is_confirmed() {
        let look = member.look;
        let question =
            look.t("删除令牌后，使用它的脚本将无法再访问。", "Scripts that use this token stop working.").to_owned();
        return confirm::ask(look, &form, &question, "/account/tokens");
    }
    if form.get("what") == "revoke" {
        let id = form.get("id").parse().map_err(|_| Error::new(&codes::TOKEN_NOT_FOUND))?;
        accounts::revoke_token(&web.accounts, &member.session.user, id).await?;
        return Ok(done("/account/tokens", "revoked"));
    }
    match make(&web, &member, &form).await {
        Ok(secret) => show(&web, member, proposed(), Some(secret)).await,
        Err(error) => {
            let refused = form.refused(error)?;
            show(&web, member, refused, None).await
        }
    }
}

async fn make(web: &Web, member: &Member, form: &Form) -> Result<String> {
    let new = form.read::<NewToken>()?;
    Ok(accounts::make_token(&web.accounts, &member.session.user, new).await?.token)
}
