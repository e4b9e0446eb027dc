//! One's own plugins, and looking after one of them.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Web, confirm,
    form::{Form, FormState, done},
    page_context::PageContext,
    plugin::{self, Header},
    visitor::{Member, Visitor},
};
use crate::{
    accounts::CurrentUser,
    catalogue::PluginId,
    error::{Error, Result, codes},
    http::extract::{Fields, FromFields, Path},
    plugins::{self, Invitation, OwnPlugin, Owner, PluginDetail, StatusChange},
};

#[derive(Template)]
#[template(path = "mine.html")]
struct Mine {
    page: PageContext,
    plugins: Vec<OwnPlugin>,
    downloads: i64,
    invitations: Vec<Invitation>,
}

/// Lists one's own plugins with their numbers.
pub(super) async fn mine(State(web): State<Arc<Web>>, Member { look, session }: Member) -> Result<Response> {
    let plugins = plugins::owned_by(&web.db, session.user.id).await?;
    let invitations = plugins::find_invitations(&web.plugins, session.user.id).await?;
    let downloads = plugins.iter().map(|plugin| plugin.downloads).sum();
    let page = Mine { page: look, downloads, plugins, invitations };
    page.page.show(&page)
}

#[derive(Template)]
#[template(path = "manage.html")]
struct Manage {
    page: PageContext,
    header: Header,
    plugin: Arc<PluginDetail>,
    /// Who is invited to be an owner.
    invited: Vec<Owner>,
    form: FormState,
    /// Which of the forms was refused.
    what: String,
}

impl Manage {
    /// Why a form was refused; empty for the others.
    fn problem(&self, what: &str) -> &str {
        if self.what == what { self.form.problem(&self.page.lang) } else { "" }
    }

    fn fault(&self, what: &str, field: &str) -> &str {
        if self.what == what { self.form.fault(field, &self.page.lang) } else { "" }
    }
}

/// Shows what an owner can change.
pub(super) async fn page(State(web): State<Arc<Web>>, member: Member, Path(id): Path<PluginId>) -> Result<Response> {
    show(&web, member, &id, FormState::default(), String::new()).await
}

async fn show(web: &Web, member: Member, id: &PluginId, form: FormState, what: String) -> Result<Response> {
    let plugin = plugin::find(web, id).await?;
    let Member { look, session } = member;
    let visitor = Visitor { look, session: Some(session) };
    let header = plugin::header(&plugin, "manage", &visitor);
    if !header.may_manage {
        return Err(Error::with(&codes::NOT_OWNER, &[id.as_str()]));
    }
    let status = form.status();
    let invited = plugins::find_invited(&web.db, id.as_str()).await?;
    let page = Manage { header, page: visitor.look, plugin, invited, form, what };
    page.page.show_with(status, &page)
}

/// Why a version is yanked.
struct Reason(String);

impl FromFields for Reason {
    fn from_fields(fields: &mut Fields) -> Self {
        Self(plugins::read_reason(fields))
    }
}

/// Changes something about a plugin.
pub(super) async fn change(
    State(web): State<Arc<Web>>,
    member: Member,
    Path(id): Path<PluginId>,
    form: Form,
) -> Result<Response> {
    let path = format!("/plugins/{}/manage", id.as_str());
    if form.get("what") == "remove_owner" && !form.is_confirmed() {
        let owner = form.get("username").trim();
        let question = member.look.lang.pick(
            format!("移除所有者 @{owner}？只有其他所有者邀请后才能恢复。"),
            format!("Remove the owner @{owner}? Only another owner can invite them back."),
        );
        return confirm::ask(member.look, &form, &question, &path);
    }
    match change_read(&web, &member.session.user, &id, &form).await {
        // Whoever gave up a plugin may not see its page any more.
        Ok("left") => Ok(done("/account/plugins", "saved")),
        Ok(code) => Ok(done(&path, code)),
        Err(error) => {
            let refused = form.refused(error)?;
            show(&web, member, &id, refused, form.get("what").to_owned()).await
        }
    }
}

async fn change_read(web: &Web, user: &CurrentUser, id: &PluginId, form: &Form) -> Result<&'static str> {
    let (version, owner) = (form.get("version"), form.get("username").trim());
    Ok(match form.get("what") {
        "yank" => {
            let Reason(reason) = form.read()?;
            plugins::set_yanked(&web.plugins, user, id, version, Some(&reason)).await?;
            "yanked"
        }
        "unyank" => {
            plugins::set_yanked(&web.plugins, user, id, version, None).await?;
            "unyanked"
        }
        "status" => {
            plugins::change_own_status(&web.plugins, user, id, form.read::<StatusChange>()?).await?;
            "saved"
        }
        "add_owner" => {
            plugins::invite_owner(&web.plugins, user, id, owner).await?;
            "invited"
        }
        "remove_owner" => {
            plugins::delete_owner(&web.plugins, user, id, owner).await?;
            if owner == user.username && !user.is_admin() { "left" } else { "saved" }
        }
        _ => return Err(Error::new(&codes::NOT_FOUND)),
    })
}
