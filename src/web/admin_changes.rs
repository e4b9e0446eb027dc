//! What administrators change: users, plugins, reviews. Refusals are shown as a page of their own.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{
    Web,
    form::{Form, done},
    visitor::AdminPage,
};
use crate::{
    admin::{self, PluginChange, UserChange},
    error::{Error, Result, codes},
    plugins,
};

/// Changes a user's role or state.
pub(super) async fn change_user(
    State(web): State<Arc<Web>>,
    AdminPage { admin, .. }: AdminPage,
    form: Form,
) -> Result<Response> {
    let id = form.get("id").parse().map_err(|_| Error::new(&codes::USER_NOT_FOUND))?;
    admin::change_user(&web.admin, &admin, id, form.read::<UserChange>()?).await?;
    Ok(done("/admin/users", "saved"))
}

/// Changes a plugin's state, or deletes it.
pub(super) async fn change_plugin(
    State(web): State<Arc<Web>>,
    AdminPage { admin, .. }: AdminPage,
    form: Form,
) -> Result<Response> {
    let id = form.get("id");
    if form.get("status") == "deleted" {
        let reason = Some(form.get("reason")).filter(|reason| !reason.is_empty());
        plugins::delete(&web.plugins, &admin, id, reason).await?;
        return Ok(done("/admin/plugins", "deleted"));
    }
    let change = form.read::<PluginChange>()?;
    plugins::set_status(&web.plugins, &admin, id, change.status, &change.reason).await?;
    Ok(done("/admin/plugins", "saved"))
}

/// Removes a rating with its review.
pub(super) async fn remove_review(
    State(web): State<Arc<Web>>,
    AdminPage { admin, .. }: AdminPage,
    form: Form,
) -> Result<Response> {
    let id = form.get("id").parse().map_err(|_| Error::new(&codes::NO_OWN_RATING))?;
    admin::remove_rating(&web.admin, &admin, id, None).await?;
    Ok(done("/admin/reviews", "deleted"))
}
