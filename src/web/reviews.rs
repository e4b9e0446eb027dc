//! RatingList and reviews of a plugin, and writing one's own.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    Web,
    browse::steps,
    charts::Bar,
    confirm,
    form::{Form, FormState, done},
    page_context::PageContext,
    plugin::{self, Header},
    visitor::{Member, Visitor},
};
use crate::{
    accounts::CurrentUser,
    catalogue::PluginId,
    error::{Error, Result, codes},
    http::{
        cache::Kind,
        extract::{Path, Query},
        page::Page,
    },
    plugins::PluginDetail,
    ratings::{self, NewRating, NewReply, RatingList},
};

#[derive(Template)]
#[template(path = "reviews.html")]
struct Reviews {
    page: PageContext,
    header: Header,
    plugin: Arc<PluginDetail>,
    ratings: RatingList,
    distribution: Vec<Bar>,
    steps: Vec<u32>,
    form: FormState,
    has_own: bool,
    /// Reviews that the visitor found helpful.
    voted: Vec<i64>,
    /// The name of the visitor.
    own_name: String,
}

/// Shows the ratings of a plugin.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(id): Path<PluginId>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Result<Response> {
    let make = |visitor| make(&web, visitor, &id, page, None);
    visitor.show_of_plugin(&web, &headers, (&id, Kind::Listed), &["page", "limit", "per_page"], make).await
}

async fn make(web: &Web, visitor: Visitor, id: &PluginId, page: Page, refused: Option<FormState>) -> Result<Reviews> {
    let plugin = plugin::find(web, id).await?;
    let ratings = ratings::find(&web.ratings, id.as_str(), page).await?;
    let own = match visitor.user() {
        Some(user) => ratings::find_own(&web.db, id.as_str(), user.id).await?,
        None => None,
    };
    let voted = match visitor.user() {
        Some(user) => ratings::find_votes(&web.db, id.as_str(), user.id).await?,
        None => Vec::new(),
    };
    let own_name = visitor.user().map(|user| user.username.clone()).unwrap_or_default();
    let has_own = own.is_some();
    let filled = || {
        own.map(|(rating, review)| FormState::with(&[("rating", &rating.to_string()), ("review", &review)]))
            .unwrap_or_default()
    };
    let form = refused.unwrap_or_else(filled);
    Ok(Reviews {
        header: plugin::header(&plugin, "reviews", &visitor),
        page: visitor.look,
        distribution: plugin::distribution(&ratings),
        steps: steps(&ratings.pagination),
        ratings,
        plugin,
        form,
        has_own,
        voted,
        own_name,
    })
}

fn address(id: &PluginId) -> String {
    format!("/plugins/{}/reviews", id.as_str())
}

/// Saves one's own rating.
pub(super) async fn save(
    State(web): State<Arc<Web>>,
    Member { look, session }: Member,
    Path(id): Path<PluginId>,
    form: Form,
) -> Result<Response> {
    match save_read(&web, &session.user, &id, &form).await {
        Ok(()) => Ok(done(&address(&id), "reviewed")),
        Err(error) => {
            let refused = form.refused(error)?;
            let visitor = Visitor { look, session: Some(session) };
            let page = make(&web, visitor, &id, Page::FIRST, Some(refused)).await?;
            page.page.show_with(page.form.status(), &page)
        }
    }
}

async fn save_read(web: &Web, user: &CurrentUser, id: &PluginId, form: &Form) -> Result<()> {
    let new = form.read::<NewRating>()?;
    ratings::save(&web.ratings, user, id, new).await?;
    Ok(())
}

/// Votes for a review, or replies to it.
pub(super) async fn answer(
    State(web): State<Arc<Web>>,
    Member { session, .. }: Member,
    Path((id, rating)): Path<(PluginId, i64)>,
    form: Form,
) -> Result<Response> {
    let user = &session.user;
    let code = match form.get("what") {
        "helpful" | "unhelpful" => {
            ratings::set_helpful(&web.ratings, user, &id, rating, form.get("what") == "helpful").await?;
            "saved"
        }
        "reply" => {
            ratings::save_reply(&web.ratings, user, &id, rating, Some(form.read::<NewReply>()?)).await?;
            "replied"
        }
        "delete_reply" => {
            ratings::save_reply(&web.ratings, user, &id, rating, None).await?;
            "deleted"
        }
        _ => return Err(Error::new(&codes::NOT_FOUND)),
    };
    Ok(done(&address(&id), code))
}

/// Takes one's own rating back.
pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Member { look, session }: Member,
    Path(id): Path<PluginId>,
    form: Form,
) -> Result<Response> {
    if !form.is_confirmed() {
        let question = look.t("删除你的评分和评价？", "Delete your rating and review?").to_owned();
        return confirm::ask(look, &form, &question, &address(&id));
    }
    ratings::remove(&web.ratings, id.as_str(), session.user.id, async |_: &mut sqlx::PgConnection| Ok(())).await?;
    Ok(done(&address(&id), "unreviewed"))
}
