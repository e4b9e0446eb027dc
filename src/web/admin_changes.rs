//! What administrators change: users, plugins, reviews. Refusals are shown as a page of their own.

use axum::{extract::State, response::Response};

use super::{
    form::{Form, done},
    visitor::Boss,
};
use crate::{
    admin::{self, PluginChange, UserChange},
    error::{Error, Result, codes},
    plugins,
    state::AppState,
};

/// Changes a user's role or state.
pub(super) async fn change_user(State(app): State<AppState>, Boss { admin, .. }: Boss, form: Form) -> Result<Response> {
    let id = form.get("id").parse().map_err(|_| Error::new(&codes::USER_NOT_FOUND))?;
    admin::change_user(&app, &admin, id, form.read::<UserChange>()?).await?;
    Ok(done("/admin/users", "saved"))
}

/// Changes a plugin's state, or deletes it.
pub(super) async fn change_plugin(
    State(app): State<AppState>,
    Boss { admin, .. }: Boss,
    form: Form,
) -> Result<Response> {
    let id = form.get("id");
    if form.get("status") == "deleted" {
        let reason = Some(form.get("reason")).filter(|reason| !reason.is_empty());
        plugins::delete(&app, &admin, id, reason).await?;
        return Ok(done("/admin/plugins", "deleted"));
    }
    let change = form.read::<PluginChange>()?;
    plugins::set_status(&app, &admin, id, change.status, &change.reason).await?;
    Ok(done("/admin/plugins", "saved"))
}

/// Removes a rating with its review.
pub(super) async fn remove_review(
    State(app): State<AppState>,
    Boss { admin, .. }: Boss,
    form: Form,
) -> Result<Response> {
    let id = form.get("id").parse().map_err(|_| Error::new(&codes::NO_OWN_RATING))?;
    admin::remove_rating(&app, &admin, id, None).await?;
    Ok(done("/admin/reviews", "deleted"))
}
