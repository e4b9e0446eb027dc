//! What administrators change: users, plugins, reviews. Refusals are shown as a page of their own.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{
    Web, confirm,
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
    AdminPage { look, admin }: AdminPage,
    form: Form,
) -> Result<Response> {
    let list = form.list("/admin/users");
    if form.get("is_active") == "false" && !form.is_confirmed() {
        let question = look.t(
            "停用后，此用户的会话和 API 令牌立即失效，重新启用也不会恢复。",
            "Disabling this user ends their sessions and API tokens at once; enabling them again does not bring these back.",
        );
        let question = question.to_owned();
        return confirm::ask(look, &form, &question, &list);
    }
    let id = form.get("id").parse().map_err(|_| Error::new(&codes::USER_NOT_FOUND))?;
    admin::change_user(&web.admin, &admin, id, form.read::<UserChange>()?).await?;
    Ok(done(&list, "saved"))
}

/// Changes a plugin's state, or deletes it.
pub(super) async fn change_plugin(
    State(web): State<Arc<Web>>,
    AdminPage { look, admin }: AdminPage,
    form: Form,
) -> Result<Response> {
    let (id, list) = (form.get("id"), form.list("/admin/plugins"));
    if form.get("status") == "deleted" && !form.is_confirmed() {
        let question = look.lang.pick(
            format!("永久删除插件 {id} 及其全部版本、评价和统计？此操作无法撤销，该 ID 也不能再用。"),
            format!("Delete the plugin {id} with all its versions, reviews and statistics? This cannot be undone, and the id stays taken."),
        );
        return confirm::ask(look, &form, &question, &list);
    }
    if form.get("status") == "deleted" {
        let reason = Some(form.get("reason")).filter(|reason| !reason.is_empty());
        plugins::delete(&web.plugins, &admin, id, reason).await?;
        return Ok(done(&list, "deleted"));
    }
    let change = form.read::<PluginChange>()?;
    plugins::set_status(&web.plugins, &admin, id, change.status, &change.reason).await?;
    Ok(done(&list, "saved"))
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
