//! Completions while somebody types.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Search;
use crate::{
    catalogue::Filter,
    error::Result,
    http::{
        cache,
        cached_response::CachedResponse,
        envelope::Success,
        extract::{FromParams, Params, Query},
    },
};

/// What has been typed so far.
pub struct Typed {
    q: String,
    limit: u32,
}

impl FromParams for Typed {
    fn from_params(params: &mut Params) -> Self {
        Self { q: params.short_text("q", 200).unwrap_or_default(), limit: params.count(&["limit"], 10, 20) }
    }
}

/// Completions, best first.
#[derive(Serialize, ToSchema)]
pub struct Suggestions {
    suggestions: Vec<String>,
}

/// Completes a query with names, ids, tags and authors.
#[utoipa::path(get, path = "/search/suggestions", tag = "search",
    params(("q" = String, Query), ("limit" = Option<u32>, Query, description = "10 by default, at most 20")),
    responses((status = 200, body = Success<Suggestions>)))]
pub async fn suggestions(
    State(search): State<Arc<Search>>,
    Query(typed): Query<Typed>,
    headers: HeaderMap,
) -> Result<Response> {
    let ranking = search.catalogue.lists.ranking();
    let filter = Filter::default();
    let (fits, popularity) = (ranking.fits(&filter), |key| ranking.popularity(key));
    let mut suggestions = search.suggestions.suggest(&typed.q, typed.limit as usize, &fits, &popularity);
    if suggestions.is_empty() {
        // Mistyped, in another order or in pinyin: the search understands it.
        let found = search.index.search(&typed.q, &fits, &popularity, None, typed.limit as usize)?;
        let best = found.hits.first().map_or(0.0, |(_, score)| *score);
        let good = found.hits.iter().filter(|(_, score)| found.ignored.is_empty() && *score > best / 2.0);
        suggestions = search.suggestions.names(good.map(|(key, _)| *key));
    }
    Ok(CachedResponse::new(cache::json(&*Success::of(Suggestions { suggestions }))?.into()).respond(&headers))
}
