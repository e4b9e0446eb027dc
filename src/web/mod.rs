//! The website: server-rendered pages over what the other domains export.
//!
//! Every page works without JavaScript; `assets/site.js` only makes some of them nicer. Texts stand in
//! both languages side by side, in the templates and here, so that neither can be forgotten.

mod account;
mod admin;
mod admin_changes;
mod api_docs;
mod assets;
mod badge;
mod browse;
mod charts;
mod confirm;
mod contents;
mod cookies;
mod error_page;
mod feeds;
mod form;
mod format;
mod guide;
mod highlight;
mod home;
mod icons;
mod manage;
mod markdown;
mod marks;
mod page_context;
mod people;
mod plugin;
mod preview;
mod publish;
mod raw_html;
mod redirect;
mod rendered;
mod reports;
mod reviews;
mod services;
mod sign_in;
mod site;
mod statistics;
mod tokens;
mod visitor;
mod word_diff;

pub use error_page::{html_errors, not_found};

use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use journal::Journal;
use serde_json::Value;
use sqlx::PgPool;

pub use api_docs::ApiDocument;

use crate::{
    accounts::Accounts,
    admin::Admin,
    catalogue::Catalogue,
    data::derived::DerivedData,
    http::{
        cache::Cache,
        health::Health,
        policy::{Policy, Routes},
    },
    plugins::{self, Plugins},
    ratings::Ratings,
    registry::Registry,
    reports::Reports,
    search::Search,
};

/// The website.
pub struct Web {
    pub(crate) db: PgPool,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) search: Arc<Search>,
    pub(crate) ratings: Arc<Ratings>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) admin: Arc<Admin>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) derived: Arc<DerivedData>,
    pub(crate) health: Arc<Health>,
    pub(crate) journal: Arc<Journal>,
    /// Where the site is; empty when it is where requests say.
    pub(crate) public_url: String,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// What the page about the API shows; known once all parts have told their routes.
    pub(crate) api_document: OnceLock<ApiDocument>,
}

impl Web {
    /// Shows this OpenAPI document from now on.
    pub fn show_api_document(&self, document: &Value) {
        self.api_document.get_or_init(|| ApiDocument::read(document));
    }
}

impl AsRef<Accounts> for Web {
    fn as_ref(&self) -> &Accounts {
        &self.accounts
    }
}

/// Every page, form and asset of the website.
pub fn router(web: Arc<Web>) -> Routes {
    let services = if web.registry.is_enabled() { services::pages() } else { Routes::new() };
    pages().merge(services).with_state(web)
}

fn pages() -> Routes<Arc<Web>> {
    Routes::new()
        .get("/", Policy::read(), home::home)
        .get("/plugins", Policy::read_or_search(browse::is_search), browse::browse)
        .get("/tags", Policy::read(), browse::tags)
        .get("/tags/{tag}", Policy::read(), browse::tag)
        .merge(plugin_pages())
        .merge(account_pages())
        .merge(admin_pages())
        .merge(publish_pages())
        .get("/api/docs", Policy::read(), api_docs::page)
        .get("/feed.atom", Policy::read(), feeds::newest)
        .get("/robots.txt", Policy::read(), site::robots)
        .get("/sitemap.xml", Policy::read(), site::sitemap)
        .get("/favicon.ico", Policy::read(), assets::favicon)
        .get("/assets/{*path}", Policy::read(), assets::asset)
}

fn plugin_pages() -> Routes<Arc<Web>> {
    Routes::new()
        .get("/plugins/{id}", Policy::read(), plugin::overview)
        .get("/plugins/{id}/versions", Policy::read(), plugin::versions)
        .get("/plugins/{id}/files", Policy::read(), contents::current_files)
        .get("/plugins/{id}/files/{version}", Policy::read(), contents::files)
        .get("/plugins/{id}/files/{version}/{*path}", Policy::read(), contents::file)
        .get("/plugins/{id}/compare", Policy::read(), contents::choose)
        .get("/plugins/{id}/compare/{range}", Policy::read(), contents::compare)
        .get("/plugins/{id}/stats", Policy::read(), statistics::page)
        .get("/plugins/{id}/reviews", Policy::read(), reviews::list)
        .post("/plugins/{id}/reviews", Policy::write(), reviews::save)
        .post("/plugins/{id}/reviews/delete", Policy::write(), reviews::delete)
        .post("/plugins/{id}/reviews/{rating}", Policy::write(), reviews::answer)
        .get("/plugins/{id}/report", Policy::read(), reports::form)
        .post("/plugins/{id}/report", Policy::report(), reports::send)
        .get("/@{username}", Policy::read(), people::person)
        .get("/plugins/{id}/manage", Policy::read(), manage::page)
        .post("/plugins/{id}/manage", Policy::write(), manage::change)
        .get("/plugins/{id}/badge.svg", Policy::read(), badge::badge)
        .get("/plugins/{id}/feed.atom", Policy::read(), feeds::of_plugin)
}

fn account_pages() -> Routes<Arc<Web>> {
    Routes::new()
        .get("/register", Policy::read(), sign_in::register_form)
        .post("/register", Policy::register(), sign_in::register)
        .get("/login", Policy::read(), sign_in::login_form)
        .post("/login", Policy::login(), sign_in::login)
        .post("/logout", Policy::write(), sign_in::logout)
        .get("/account", Policy::read(), account::page)
        .post("/account", Policy::write(), account::change)
        .get("/account/plugins", Policy::read(), manage::mine)
        .post("/account/invitations", Policy::write(), people::answer_invitation)
        .get("/account/tokens", Policy::read(), tokens::page)
        .post("/account/tokens", Policy::write(), tokens::change)
}

fn admin_pages() -> Routes<Arc<Web>> {
    Routes::new()
        .get("/admin", Policy::read(), admin::overview)
        .get("/admin/users", Policy::read(), admin::users)
        .post("/admin/users", Policy::write(), admin_changes::change_user)
        .get("/admin/plugins", Policy::read(), admin::plugins)
        .post("/admin/plugins", Policy::write(), admin_changes::change_plugin)
        .get("/admin/reviews", Policy::read(), admin::reviews)
        .post("/admin/reviews", Policy::write(), admin_changes::remove_review)
        .get("/admin/reports", Policy::read(), reports::list)
        .post("/admin/reports", Policy::write(), reports::close)
        .get("/admin/audit", Policy::read(), admin::audit_log)
}

fn publish_pages() -> Routes<Arc<Web>> {
    Routes::new()
        .get("/guide", Policy::read(), guide::guide)
        .get("/guide/template.tar.gz", Policy::read(), guide::template)
        .get("/publish", Policy::read(), publish::form)
        .post("/publish", Policy::publish(), publish::publish)
        .post("/publish/check", plugins::UPLOAD, publish::check)
}
