//! Atom feeds (RFC 4287): new versions of all plugins, and of one.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use time::OffsetDateTime;

use super::{Web, page_context::PageContext, plugin};
use crate::{
    catalogue,
    catalogue::{PluginId, Release},
    error::Result,
    http::extract::Path,
};

const ATOM: &str = "application/atom+xml; charset=utf-8";
/// Entries of a feed.
const ENTRIES: i64 = 50;

#[derive(Template)]
#[template(path = "feed.xml")]
struct Feed {
    page: PageContext,
    title: String,
    /// What the feed is about.
    subject: String,
    updated: OffsetDateTime,
    releases: Vec<Release>,
}

impl Feed {
    fn answer(self) -> Result<Response> {
        let text = self.render().map_err(anyhow::Error::from)?;
        Ok(self.page.file(ATOM, 300, text))
    }
}

/// The newest versions of all plugins.
pub(super) async fn newest(State(web): State<Arc<Web>>, page: PageContext, headers: HeaderMap) -> Result<Response> {
    let make = async |page: PageContext| {
        let releases = catalogue::newest_releases(&web.db, ENTRIES).await?;
        let updated = releases.first().map_or(OffsetDateTime::UNIX_EPOCH, |release| release.created_at);
        let title = page.t("GeekTools 插件市场：新版本", "GeekTools Marketplace: new versions").to_owned();
        Ok(Feed { page, title, subject: "/".into(), updated, releases })
    };
    page.show_file(&web, &headers, (ATOM, 300), make).await
}

/// The versions of one plugin.
pub(super) async fn of_plugin(
    State(web): State<Arc<Web>>,
    page: PageContext,
    Path(id): Path<PluginId>,
) -> Result<Response> {
    let plugin = plugin::find(&web, &id).await?;
    let shown = plugin.versions.iter().filter(|item| !item.yanked).take(ENTRIES as usize);
    let releases = shown.map(|item| Release {
        id: plugin.id.clone(),
        name: plugin.name.clone(),
        publisher: plugin.publisher.as_ref().map(|publisher| publisher.username.clone()),
        author: plugin.author.clone(),
        description: plugin.description.clone(),
        version: item.version.clone(),
        changelog: item.changelog.clone(),
        created_at: item.created_at,
    });
    let (releases, updated) = (releases.collect(), plugin.updated_at);
    let title = format!("{} · GeekTools", plugin.name);
    Feed { page, title, subject: format!("/plugins/{}", plugin.id), updated, releases }.answer()
}
