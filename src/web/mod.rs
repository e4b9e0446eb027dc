//! The website: server-rendered pages over what the other domains export.
//!
//! Every page works without JavaScript; `assets/site.js` only makes some of them nicer. Texts stand in
//! both languages side by side, in the templates and here, so that neither can be forgotten.

mod account;
mod admin;
mod admin_changes;
mod assets;
mod badge;
mod browse;
mod charts;
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
mod look;
mod manage;
mod markdown;
mod marks;
mod plugin;
mod preview;
mod publish;
mod redirect;
mod reviews;
mod sign_in;
mod site;
mod tokens;
mod visitor;

pub use error_page::around;

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::{extract::MAX_JSON, package::MAX_COMPRESSED, state::AppState};

/// Every page, form and asset of the website.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(home::home))
        .route("/plugins", get(browse::browse))
        .route("/tags", get(browse::tags))
        .merge(plugin_pages())
        .merge(account_pages())
        .merge(admin_pages())
        .route("/guide", get(guide::guide))
        .route("/guide/template.tar.gz", get(guide::template))
        .route("/publish", get(publish::form).post(publish::publish))
        .route("/feed.atom", get(feeds::newest))
        .route("/robots.txt", get(site::robots))
        .route("/sitemap.xml", get(site::sitemap))
        .route("/favicon.ico", get(assets::favicon))
        .route("/assets/{*path}", get(assets::asset))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .merge(upload_page())
        .layer(Extension(preview::Drafts::default()))
}

fn plugin_pages() -> Router<AppState> {
    Router::new()
        .route("/plugins/{id}", get(plugin::overview))
        .route("/plugins/{id}/versions", get(plugin::versions))
        .route("/plugins/{id}/files", get(contents::current_files))
        .route("/plugins/{id}/files/{version}", get(contents::files))
        .route("/plugins/{id}/files/{version}/{*path}", get(contents::file))
        .route("/plugins/{id}/compare", get(contents::choose))
        .route("/plugins/{id}/compare/{range}", get(contents::compare))
        .route("/plugins/{id}/reviews", get(reviews::list).post(reviews::save))
        .route("/plugins/{id}/reviews/delete", post(reviews::delete))
        .route("/plugins/{id}/manage", get(manage::page).post(manage::change))
        .route("/plugins/{id}/badge.svg", get(badge::badge))
        .route("/plugins/{id}/feed.atom", get(feeds::of_plugin))
}

fn account_pages() -> Router<AppState> {
    Router::new()
        .route("/register", get(sign_in::register_form).post(sign_in::register))
        .route("/login", get(sign_in::login_form).post(sign_in::login))
        .route("/logout", post(sign_in::logout))
        .route("/account", get(account::page).post(account::change))
        .route("/account/plugins", get(manage::mine))
        .route("/account/tokens", get(tokens::page).post(tokens::change))
}

fn admin_pages() -> Router<AppState> {
    Router::new()
        .route("/admin", get(admin::overview))
        .route("/admin/users", get(admin::users).post(admin_changes::change_user))
        .route("/admin/plugins", get(admin::plugins).post(admin_changes::change_plugin))
        .route("/admin/reviews", get(admin::reviews).post(admin_changes::remove_review))
        .route("/admin/audit", get(admin::audit_log))
}

/// The page that receives packages, apart for its larger body.
fn upload_page() -> Router<AppState> {
    let most = DefaultBodyLimit::max(MAX_COMPRESSED as usize + 64 * 1024);
    Router::new().route("/publish/check", post(publish::check)).layer(most)
}
