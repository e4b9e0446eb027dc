//! Lists and searches as pages; everything a page shows is in its address.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use search_engine::fold;

use super::{Web, page_context::PageContext, visitor::Visitor};
use crate::{
    catalogue::{Filter, Order, PluginItem, Sort, StatusFilter},
    error::{Error, Result, codes, lang::Lang},
    http::{
        extract::{Choice, FromParams, Params, Path, Query, query_values},
        page::{Page, Pagination},
    },
    search::{self, Wanted},
};

/// Entries of a page.
const LIMIT: u32 = 20;
/// The most characters of a value in the address.
const MAX_VALUE: usize = 255;
/// Tags offered as filters.
const TAGS: usize = 18;

/// What a list can be asked for.
const PARAMETERS: [&str; 9] = ["q", "tag", "author", "rating", "runs_on", "status", "sort", "order", "page"];

/// What the address asks for. What makes no sense is passed over: a page is for people.
pub(super) struct Asked {
    pairs: Vec<(String, String)>,
}

impl FromParams for Asked {
    fn from_params(params: &mut Params) -> Self {
        let pairs =
            PARAMETERS.iter().flat_map(|name| params.all(name).into_iter().map(|value| ((*name).to_owned(), value)));
        Self { pairs: pairs.filter(|(_, value)| value.chars().count() <= MAX_VALUE).take(30).collect() }
    }
}

/// Whether a list is asked for by words, which is a search.
pub(super) fn is_search(uri: &Uri) -> bool {
    // The same values that `Asked` takes.
    query_values(uri, "q").any(|words| words.chars().count() <= MAX_VALUE && !words.trim().is_empty())
}

impl Asked {
    fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn tags(&self) -> Vec<String> {
        self.pairs.iter().filter(|(name, _)| name == "tag").map(|(_, value)| value.clone()).take(10).collect()
    }

    fn choice<T: Choice>(&self, name: &str) -> Option<T> {
        T::from_name(self.get(name))
    }

    /// Every filter that is set: what it says, and the address of the list without it.
    fn chosen(&self, lang: &Lang) -> Vec<(String, String)> {
        let tags = self.tags().into_iter().map(|tag| (format!("#{tag}"), self.toggled(&tag)));
        let names = [
            ("author", "作者：", "Author: "),
            ("rating", "评分 ≥ ", "Rating ≥ "),
            ("runs_on", "GeekTools ", "GeekTools "),
        ];
        let others = names
            .into_iter()
            .filter(|(name, ..)| !self.get(name).is_empty())
            .map(|(name, zh, en)| (format!("{}{}", lang.pick(zh, en), self.get(name)), self.with(name, "")));
        let status = match self.get("status") {
            "any" => Some(lang.pick("含已弃用", "Including deprecated")),
            "deprecated" => Some(lang.pick("仅已弃用", "Deprecated only")),
            _ => None,
        };
        tags.chain(others).chain(status.map(|text| (text.to_owned(), self.with("status", "")))).collect()
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.pairs.iter().any(|(name, value)| name == "tag" && value.eq_ignore_ascii_case(tag))
    }

    fn wanted(&self) -> Wanted {
        let filter = Filter {
            status: self.choice::<StatusFilter>("status").unwrap_or_default(),
            tags: self.tags().iter().map(|tag| fold(tag)).collect(),
            all_tags: true,
            author: Some(fold(self.get("author"))).filter(|author| !author.is_empty()),
            author_word: None,
            owner: None,
            min_rating: self.get("rating").parse().ok().filter(|rating| (0.0..=5.0).contains(rating)),
            runs_on: self.get("runs_on").parse().ok(),
        };
        Wanted {
            words: Some(self.get("q").to_owned()).filter(|words| !words.trim().is_empty()),
            filter,
            sort: self.choice::<Sort>("sort"),
            order: self.choice::<Order>("order"),
            page: Page { page: self.get("page").parse().unwrap_or(1).clamp(1, 100_000), limit: LIMIT },
        }
    }

    /// The address of this list with one thing changed; always back on its first page.
    fn with(&self, name: &str, value: &str) -> String {
        let others = self.pairs.iter().filter(|(known, _)| known != name && known != "page");
        let changed = Some((name, value)).filter(|(_, value)| !value.is_empty());
        address(others.map(|(name, value)| (name.as_str(), value.as_str())).chain(changed))
    }

    /// The address of this list with a tag added, or taken away when it was there.
    fn toggled(&self, tag: &str) -> String {
        let is_kept =
            |(name, value): &&(String, String)| name != "page" && !(name == "tag" && value.eq_ignore_ascii_case(tag));
        let others = self.pairs.iter().filter(is_kept).map(|(name, value)| (name.as_str(), value.as_str()));
        address(others.chain(Some(("tag", tag)).filter(|_| !self.has_tag(tag))))
    }
}

fn address<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
    if pairs.is_empty() { "/plugins".to_owned() } else { format!("/plugins?{}", pairs.join("&")) }
}

/// One step of the pages' navigation; 0 stands for pages left out.
pub(super) fn steps(pagination: &Pagination) -> Vec<u32> {
    let (page, pages) = (pagination.page, pagination.pages);
    let near = page.saturating_sub(1).max(1)..=(page + 1).min(pages);
    let mut shown: Vec<u32> = [1, pages].into_iter().chain(near).filter(|n| (1..=pages).contains(n)).collect();
    shown.sort_unstable();
    shown.dedup();
    let mut steps = Vec::new();
    for n in shown {
        if steps.last().is_some_and(|last| n > last + 1) {
            steps.push(0);
        }
        steps.push(n);
    }
    steps
}

#[derive(Template)]
#[template(path = "browse.html")]
struct Browse {
    page: PageContext,
    asked: Asked,
    words: String,
    sort: &'static str,
    plugins: Vec<Arc<PluginItem>>,
    /// Words that were left out of the search.
    ignored: String,
    pagination: Pagination,
    steps: Vec<u32>,
    tags: Vec<(String, usize)>,
    active_filters: usize,
}

/// Lists plugins; with words, those found.
pub(super) async fn browse(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response> {
    visitor.show_shared(&web, &headers, &PARAMETERS, |visitor| make(&web, visitor.look, asked)).await
}

async fn make(web: &Web, page: PageContext, asked: Asked) -> Result<Browse> {
    let wanted = asked.wanted();
    let found = search::find(&web.search, &wanted).await?;
    let default = if wanted.words.is_some() { Sort::Relevance } else { Sort::Downloads };
    let sort = wanted.sort.unwrap_or(default);
    let sort = Sort::NAMES.iter().find(|(_, known)| *known == sort).map_or("", |(name, _)| *name);
    // Those that would narrow this very list, or widen it again.
    let mut tags = search::tags(&web.search, &wanted)?;
    tags.retain(|(tag, _)| !asked.has_tag(tag));
    tags.truncate(TAGS);
    let filters = ["author", "rating", "runs_on", "status"];
    Ok(Browse {
        words: asked.get("q").trim().to_owned(),
        sort,
        plugins: found.plugins,
        ignored: found.ignored_words.join(page.t("、", ", ")),
        page,
        pagination: found.pagination,
        steps: steps(&found.pagination),
        tags,
        active_filters: filters.iter().filter(|name| !asked.get(name).is_empty()).count() + asked.tags().len(),
        asked,
    })
}

#[derive(Template)]
#[template(path = "tags.html")]
struct Tags {
    page: PageContext,
    tags: Vec<(String, usize)>,
}

/// Shows all tags.
pub(super) async fn tags(State(web): State<Arc<Web>>, visitor: Visitor, headers: HeaderMap) -> Result<Response> {
    let make = async |visitor: Visitor| Ok(Tags { page: visitor.look, tags: web.catalogue.lists.tags() });
    visitor.show_shared(&web, &headers, &[], make).await
}

/// Shows the plugins with one tag, at an address that search engines may list.
pub(super) async fn tag(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Path(tag): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let pairs = vec![("tag".to_owned(), tag)];
    let asked = Asked { pairs: pairs.into_iter().filter(|(_, tag)| tag.chars().count() <= MAX_VALUE).collect() };
    let make = async |visitor: Visitor| {
        let made = make(&web, visitor.look, asked).await?;
        if made.plugins.is_empty() { Err(Error::new(&codes::NOT_FOUND)) } else { Ok(made) }
    };
    visitor.show_shared(&web, &headers, &[], make).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::from_params(&mut Params::parse(query).expect("a query"))
    }

    #[test]
    fn addresses_change_one_thing_and_go_back_to_the_first_page() {
        let asked = asked("q=磁盘&tag=a&tag=b&page=3");
        assert_eq!(asked.with("sort", "name"), "/plugins?q=%E7%A3%81%E7%9B%98&tag=a&tag=b&sort=name");
        assert_eq!(asked.toggled("A"), "/plugins?q=%E7%A3%81%E7%9B%98&tag=b");
        assert_eq!(asked.toggled("c&d"), "/plugins?q=%E7%A3%81%E7%9B%98&tag=a&tag=b&tag=c%26d");
        assert_eq!(asked.with("q", ""), "/plugins?tag=a&tag=b");
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        let wanted = asked("page=x&rating=99&runs_on=abc&sort=size").wanted();
        assert_eq!((wanted.page.page, wanted.sort, wanted.filter.min_rating), (1, None, None));
        assert!(wanted.filter.runs_on.is_none() && wanted.words.is_none());
    }

    #[test]
    fn a_list_is_a_search_when_it_is_read_as_one() {
        let long = format!("q={}", "a".repeat(256));
        for query in ["", "q=a", "%71=a", "q=", "q=+", "q=&q=a", "faq=1", "search=a", "tag=q=a", &long, "q=%E6%97%A5"] {
            let uri = Uri::builder().path_and_query(format!("/plugins?{query}")).build().expect("an address");
            assert_eq!(is_search(&uri), asked(query).wanted().words.is_some(), "{query}");
        }
    }

    #[test]
    fn far_pages_are_left_out() {
        let at = |page| steps(&Pagination::new(Page { page, limit: 20 }, 200));
        assert_eq!(at(1), [1, 2, 0, 10]);
        assert_eq!(at(5), [1, 0, 4, 5, 6, 0, 10]);
        assert_eq!(at(10), [1, 0, 9, 10]);
    }
}
