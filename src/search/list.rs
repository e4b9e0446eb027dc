//! Lists and searches: two ways to ask, one answer.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use search_engine::{Found, fold};
use semver::Version;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};
use utoipa::ToSchema;

use super::Search;
use crate::{
    accounts::is_username,
    catalogue::{Filter, Listed, Order, PluginList, Sort, StatusFilter, fill_page},
    error::Result,
    http::{
        cache::{self, Kind},
        envelope::Success,
        extract::{Body, Fields, FromFields, FromParams, Params, Query, query_values},
        page::Page,
    },
};

/// The most characters of a query; longer ones are refused.
const MAX_QUERY: usize = 1_000;
/// The most tags of a filter.
const MAX_TAGS: usize = 20;
/// Searches among more than so many plugins, counted once for every four bytes of the query, may take milliseconds.
const LONG: u64 = 800_000;

/// Whether a list is asked for by words, which is a search.
pub(super) fn is_search(uri: &Uri) -> bool {
    // The same value that `from_params` takes.
    ["search", "q"].into_iter().any(|name| query_values(uri, name).next().is_some_and(|words| !words.trim().is_empty()))
}

/// What to show.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Wanted {
    pub words: Option<String>,
    pub filter: Filter,
    /// By relevance with words, else by downloads, when absent.
    pub sort: Option<Sort>,
    /// The sort's own direction when absent.
    pub order: Option<Order>,
    pub page: Page,
}

impl Wanted {
    /// The best matches for some words.
    pub fn words(words: &str, limit: u32) -> Self {
        let page = Page { page: 1, limit };
        Self { words: Some(words.to_owned()), filter: Filter::default(), sort: None, order: None, page }
    }
}

impl FromParams for Wanted {
    fn from_params(params: &mut Params) -> Self {
        let tags = params.all("tag");
        if tags.len() > MAX_TAGS {
            params.fault("tag", format!("至多 {MAX_TAGS} 个"), format!("must be at most {MAX_TAGS}"));
        }
        let all_tags = match params.text(&["tags_match"]) {
            None | Some("" | "any") => false,
            Some("all") => true,
            Some(_) => {
                params.fault("tags_match", "应为 any 或 all", "must be any or all");
                false
            }
        };
        let filter = Filter {
            status: params.choice(&["status"]).unwrap_or_default(),
            tags: tags.iter().map(|tag| fold(tag)).collect(),
            all_tags,
            author: params.short_text("author", 255).as_deref().map(fold),
            author_word: None,
            owner: None,
            min_rating: None,
            runs_on: None,
        };
        Self {
            words: params.short_text("search", MAX_QUERY).or_else(|| params.short_text("q", MAX_QUERY)),
            filter,
            sort: params.choice(&["sort", "sort_by"]),
            order: params.choice(&["order"]),
            page: Page::from_params(params),
        }
    }
}

/// Lists plugins; with `search`, those that match.
#[utoipa::path(get, path = "/plugins", tag = "search", params(
        Page,
        ("search" = Option<String>, Query, description = "Words; at most 1,000 characters"),
        ("q" = Option<String>, Query, description = "Words in which `tag:`, `author:` and `@username` narrow the list; at most 1,000 characters"),
        ("tag" = Option<Vec<String>>, Query, description = "Any of these tags"),
        ("tags_match" = Option<String>, Query, description = "`all`: every one of the tags"),
        ("author" = Option<String>, Query, description = "By this author"),
        ("status" = Option<String>, Query, description = "`active` (default), `deprecated` or `any`"),
        ("sort" = Option<String>, Query, description = "`downloads`, `trending` (downloads of the last 7 days), `rating` (Bayesian mean), `updated_at`, `created_at`, `name` or `relevance`; alias `sort_by`"),
        ("order" = Option<String>, Query, description = "`asc` or `desc`"),
    ),
    responses((status = 200, body = Success<PluginList>)))]
pub async fn list(
    State(search): State<Arc<Search>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response> {
    let query = query.unwrap_or_default();
    let kind = if query.is_empty() { Kind::Listed } else { Kind::Query };
    let ready = search.cache.local(kind, format!("list?{query}"), search.catalogue.lists.version(0), || async {
        let Query(wanted) = Query::<Wanted>::parse(&query)?;
        cache::json(&*Success::of(find(&search, &wanted).await?))
    });
    Ok(ready.await?.respond(&headers))
}

/// What to find; every part is optional.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of the body, for the documentation")]
pub struct SearchBody {
    #[schema(max_length = 1000, example = "system monitoring")]
    query: Option<String>,
    filters: Option<SearchFilters>,
    sort: Option<SearchSort>,
    pagination: Option<SearchPage>,
}

/// Which plugins may be found.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of the body, for the documentation")]
pub struct SearchFilters {
    tags: Option<Vec<String>>,
    /// `any` (default) or `all`.
    tags_match: Option<String>,
    author: Option<String>,
    #[schema(minimum = 0, maximum = 5)]
    min_rating: Option<f64>,
    /// A GeekTools version the plugins must run on.
    #[schema(example = "0.5.0")]
    min_geektools_version: Option<String>,
}

/// In which order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of the body, for the documentation")]
pub struct SearchSort {
    #[schema(example = "downloads")]
    field: Option<String>,
    #[schema(example = "desc")]
    order: Option<String>,
}

/// Which page.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of the body, for the documentation")]
pub struct SearchPage {
    #[schema(minimum = 1)]
    page: Option<u32>,
    #[schema(minimum = 1)]
    limit: Option<u32>,
}

impl FromFields for Wanted {
    fn from_fields(fields: &mut Fields) -> Self {
        let words = fields.short_text("query", MAX_QUERY);
        let filter = fields.nested("filters", read_filters);
        let (sort, order) =
            fields.nested("sort", |sort| (sort.optional_choice("field"), sort.optional_choice("order")));
        let page = fields.nested("pagination", Page::from_fields);
        Self { words, filter, sort, order, page }
    }
}

fn read_filters(fields: &mut Fields) -> Filter {
    let tags = fields.texts("tags");
    if tags.len() > MAX_TAGS {
        fields.fault("tags", format!("至多 {MAX_TAGS} 个"), format!("must be at most {MAX_TAGS}"));
    }
    let all_tags = match fields.optional_text("tags_match").as_deref() {
        None | Some("any") => false,
        Some("all") => true,
        Some(_) => {
            fields.fault("tags_match", "应为 any 或 all", "must be any or all");
            false
        }
    };
    let runs_on = fields.optional_text("min_geektools_version").filter(|text| !text.is_empty()).and_then(|text| {
        let version = Version::parse(&text).ok();
        if version.is_none() {
            fields.fault("min_geektools_version", "不是有效的语义化版本", "is no SemVer version");
        }
        version
    });
    Filter {
        status: fields.optional_choice::<StatusFilter>("status").unwrap_or_default(),
        tags: tags.iter().map(|tag| fold(tag)).collect(),
        all_tags,
        author: fields.short_text("author", 255).as_deref().map(fold),
        author_word: None,
        owner: None,
        min_rating: fields.optional_number("min_rating", 0.0..=5.0),
        runs_on,
    }
}

/// Finds plugins by words, filters, order and page.
#[utoipa::path(post, path = "/search", tag = "search", request_body = SearchBody,
    responses((status = 200, body = Success<PluginList>)))]
pub async fn search(
    State(search): State<Arc<Search>>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Response> {
    let ready =
        search.cache.local(Kind::Query, format!("search {wanted:?}"), search.catalogue.lists.version(0), || async {
            cache::json(&*Success::of(find(&search, &wanted).await?))
        });
    Ok(ready.await?.respond(&headers))
}

/// Lists or searches.
///
/// # Errors
/// If the database is unavailable.
pub async fn find(search: &Search, wanted: &Wanted) -> Result<PluginList> {
    let words = wanted.words.as_deref().map(str::trim).filter(|words| !words.is_empty());
    let Some(words) = words.filter(|words| words.contains([':', '：', '@'])) else {
        return find_words(search, words, wanted).await;
    };
    let (words, filter) = qualified(words, &wanted.filter);
    let Wanted { sort, order, page, .. } = *wanted;
    let wanted = Wanted { words: None, filter, sort, order, page };
    find_words(search, Some(words.trim()).filter(|words| !words.is_empty()), &wanted).await
}

/// Takes `tag:`, `author:` and `@username` out of what was typed.
fn qualified(words: &str, filter: &Filter) -> (String, Filter) {
    let (mut rest, mut filter) = (String::new(), filter.clone());
    for word in words.split_whitespace() {
        if let Some(name) = word.strip_prefix('@').filter(|name| is_username(name)) {
            filter.owner = Some(name.to_owned());
            continue;
        }
        match word.split_once([':', '：']) {
            Some((name, tag)) if name.eq_ignore_ascii_case("tag") && !tag.is_empty() => {
                filter.tags.push(fold(tag));
                filter.all_tags = true;
                continue;
            }
            // Authors are found by their words, too: that finds the candidates.
            Some((name, author)) if name.eq_ignore_ascii_case("author") && !author.is_empty() => {
                filter.author_word = Some(fold(author));
                rest.push_str(author);
            }
            _ => rest.push_str(word),
        }
        rest.push(' ');
    }
    (rest, filter)
}

/// The tags of everything that is wanted, most used first.
///
/// # Errors
/// If the index cannot be read.
pub fn tags(search: &Search, wanted: &Wanted) -> Result<Vec<(String, usize)>> {
    let (words, filter) = qualified(wanted.words.as_deref().unwrap_or_default(), &wanted.filter);
    let ranking = search.catalogue.lists.ranking();
    if words.trim().is_empty() {
        return Ok(ranking.tags(&filter));
    }
    let (fits, popularity) = (|key| ranking.fits(key, &filter), |key| ranking.popularity(key));
    let found = search.index.search(words.trim(), &fits, &popularity, ranking.unwanted(&filter), usize::MAX)?;
    let keys: Vec<u64> = found.hits.iter().map(|(key, _)| *key).collect();
    Ok(ranking.tags_of(&keys))
}

async fn find_words(search: &Search, words: Option<&str>, wanted: &Wanted) -> Result<PluginList> {
    let sort = wanted.sort.unwrap_or(if words.is_some() { Sort::Relevance } else { Sort::Downloads });
    let order = wanted.order.unwrap_or(sort.default_order());
    let Some(words) = words else {
        let (listed, total) = search.catalogue.lists.page(&wanted.filter, sort, order, wanted.page);
        return fill_page(&search.catalogue, &listed, sort, total, wanted.page).await;
    };
    let work = search.index.documents().saturating_mul(1 + words.len() as u64 / 4);
    let matched = || match_words(search, words, wanted, sort, order);
    // What may take long must not keep other requests waiting.
    let is_long = work > LONG && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    let (listed, found) = if is_long { block_in_place(matched) } else { matched() }?;
    let mut list = fill_page(&search.catalogue, &listed, sort, found.total as u64, wanted.page).await?;
    list.pagination.total_is_exact = found.is_exact;
    list.ignored_words = found.ignored;
    Ok(list)
}

fn match_words(
    search: &Search,
    words: &str,
    wanted: &Wanted,
    sort: Sort,
    order: Order,
) -> Result<(Vec<Listed>, Found)> {
    let (page, filter) = (wanted.page, &wanted.filter);
    let ranking = search.catalogue.lists.ranking();
    let is_best_first = sort == Sort::Relevance && order == Order::Desc;
    let end = usize::try_from(page.offset() + u64::from(page.limit)).unwrap_or(usize::MAX);
    let most = if is_best_first { end } else { usize::MAX };
    let (fits, popularity) = (|key| ranking.fits(key, filter), |key| ranking.popularity(key));
    let found = search.index.search(words, &fits, &popularity, ranking.unwanted(filter), most)?;
    let mut keys: Vec<u64> = found.hits.iter().map(|(key, _)| *key).collect();
    if sort != Sort::Relevance {
        // What is merely related stays behind the answers.
        let related = keys.split_off(found.answers);
        if related.is_empty() {
            return Ok((ranking.sorted_page(&keys, sort, order, page).0, found));
        }
        let whole = Page { page: 1, limit: Page::MAX_LIMIT };
        let mut listed = ranking.sorted_page(&keys, sort, order, whole).0;
        listed.extend(ranking.listed(&related));
        let start = usize::try_from(page.offset()).unwrap_or(usize::MAX).min(listed.len());
        return Ok((listed[start..end.min(listed.len())].to_vec(), found));
    }
    if order == Order::Asc {
        keys.reverse();
    }
    let start = usize::try_from(page.offset()).unwrap_or(usize::MAX).min(keys.len());
    Ok((ranking.listed(&keys[start..end.min(keys.len())]), found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_search_when_it_is_read_as_one() {
        for query in [
            "",
            "search=a",
            "%73earch=a",
            "s%65arch=%61",
            "search=",
            "search",
            "search=+",
            "search=%20",
            "search=&search=a",
            "search=a&search=",
            "research=1",
            "note=search=",
            "note=search%3Da",
            "search=%E6%97%A5",
            "a&&search=b",
            "search=a=b",
        ] {
            let uri = Uri::builder().path_and_query(format!("/plugins?{query}")).build().expect("an address");
            let Query(wanted) = Query::<Wanted>::parse(query).expect("a query");
            let has_words = wanted.words.is_some_and(|words| !words.trim().is_empty());
            assert_eq!(is_search(&uri), has_words, "{query}");
        }
    }
}
