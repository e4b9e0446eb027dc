//! A small picture for the README of a plugin: its version, downloads or rating.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{Web, page_context::PageContext, plugin};
use crate::{
    catalogue::PluginId,
    error::{Result, lang::Lang},
    http::extract::{FromParams, Params, Path, Query},
};

/// What a badge tells.
pub(super) struct Shows {
    what: String,
    lang: Lang,
}

impl FromParams for Shows {
    fn from_params(params: &mut Params) -> Self {
        // Not the viewer's language: a badge stands in a text that has one.
        let lang = if params.text(&["lang"]) == Some("zh") { Lang::Zh } else { Lang::En };
        Self { what: params.text(&["show"]).unwrap_or("version").to_owned(), lang }
    }
}

#[derive(Template)]
#[template(path = "badge.svg", escape = "html")]
struct Badge {
    label: String,
    value: String,
    label_width: u32,
    value_width: u32,
}

/// Draws the badge of a plugin.
pub(super) async fn badge(
    State(web): State<Arc<Web>>,
    mut page: PageContext,
    Path(id): Path<PluginId>,
    Query(Shows { what: shows, lang }): Query<Shows>,
) -> Result<Response> {
    page.lang = lang;
    let plugin = plugin::find(&web, &id).await?;
    let (label, value) = match shows.as_str() {
        "downloads" => (page.t("下载", "downloads"), page.short(&plugin.downloads)),
        "rating" if plugin.rating_count == 0 => (page.t("评分", "rating"), "—".to_owned()),
        "rating" => (page.t("评分", "rating"), format!("★ {:.1}", plugin.rating)),
        _ => (
            "geektools",
            plugin.current_version.as_ref().map_or_else(|| "—".to_owned(), |version| format!("v{version}")),
        ),
    };
    let (label_width, value_width) = (width(label), width(&value));
    let badge = Badge { label: label.to_owned(), value, label_width, value_width };
    Ok(page.file("image/svg+xml", 300, badge.render().map_err(anyhow::Error::from)?))
}

/// About how wide a text is in Verdana 11, with room at both ends.
fn width(text: &str) -> u32 {
    let chars = text.chars().map(|c| match c {
        'i' | 'l' | 'j' | '.' | ' ' | '\'' | '1' => 45,
        'm' | 'w' | 'M' | 'W' => 100,
        c if c.is_ascii() => 70,
        _ => 115,
    });
    chars.sum::<u32>() / 10 + 14
}
