//! The page of a person, and answering invitations.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Web,
    form::{Form, done},
    page_context::PageContext,
    visitor::{Member, Visitor},
};
use crate::{
    catalogue::{self, Filter, Order, PluginItem, Sort, StatusFilter},
    error::{Error, OrRefuse, Result, codes},
    http::{extract::Path, page::Page},
    plugins::{self, Person, WrittenReview},
};

/// Plugins on a person's page.
const PLUGINS: u32 = 24;
/// Reviews on a person's page.
const REVIEWS: i64 = 10;

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    page: PageContext,
    person: Person,
    plugins: Vec<Arc<PluginItem>>,
    /// All plugins of this person.
    total: u64,
    reviews: Vec<WrittenReview>,
}

/// Shows a person: plugins, reviews, totals.
pub(super) async fn person(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(username): Path<String>,
) -> Result<Response> {
    let person = plugins::find_person(&web.db, &username).await?.or_refuse(&codes::USER_NOT_FOUND)?;
    let filter = Filter { owner: Some(person.username.clone()), status: StatusFilter::Any, ..Filter::default() };
    let page = Page { page: 1, limit: PLUGINS };
    let (listed, total) = web.catalogue.lists.page(&filter, Sort::Downloads, Order::Desc, page);
    let plugins = catalogue::fill_page(&web.catalogue, &listed, Sort::Downloads, total, page).await?.plugins;
    let reviews = plugins::reviews_by(&web.db, &username, REVIEWS).await?;
    let page = PersonPage { page: visitor.look, person, plugins, total, reviews };
    page.page.show(&page)
}

/// Accepts or declines an invitation to own a plugin.
pub(super) async fn answer_invitation(
    State(web): State<Arc<Web>>,
    Member { session, .. }: Member,
    form: Form,
) -> Result<Response> {
    let id = form.get("id").parse().map_err(|_| Error::new(&codes::INVITATION_NOT_FOUND))?;
    let accepts = form.get("what") == "accept";
    plugins::answer_invitation(&web.plugins, &session.user, id, accepts).await?;
    Ok(done("/account/plugins", if accepts { "accepted" } else { "declined" }))
}
