//! What lists are sorted and filtered by.

use semver::Version;

use crate::http::extract::Choice;

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Sort {
    Downloads,
    /// Downloads of the last seven days.
    Trending,
    /// The Bayesian mean.
    Rating,
    UpdatedAt,
    CreatedAt,
    Name,
    /// Best match first; without words the same as downloads.
    Relevance,
}

impl Choice for Sort {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("downloads", Self::Downloads),
        ("download_count", Self::Downloads),
        ("trending", Self::Trending),
        ("rating", Self::Rating),
        ("updated_at", Self::UpdatedAt),
        ("created_at", Self::CreatedAt),
        ("name", Self::Name),
        ("relevance", Self::Relevance),
    ];
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Order {
    Asc,
    Desc,
}

impl Choice for Order {
    const NAMES: &'static [(&'static str, Self)] = &[("asc", Self::Asc), ("desc", Self::Desc)];
}

/// Which states a list shows; banned plugins are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StatusFilter {
    #[default]
    Active,
    Deprecated,
    Any,
}

impl Choice for StatusFilter {
    const NAMES: &'static [(&'static str, Self)] =
        &[("active", Self::Active), ("deprecated", Self::Deprecated), ("any", Self::Any)];
}

/// Which plugins a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// By state.
    pub status: StatusFilter,
    /// With any of these tags, folded ([`search_engine::fold`]); empty = all plugins.
    pub tags: Vec<String>,
    /// With every one of the tags instead of any.
    pub all_tags: bool,
    /// By this author, folded.
    pub author: Option<String>,
    /// Owned by the account with this name, ignoring case.
    pub owner: Option<String>,
    /// By an author of whose name some word begins with this, folded.
    pub author_word: Option<String>,
    /// Rated at least so.
    pub min_rating: Option<f64>,
    /// Running on this GeekTools version.
    pub runs_on: Option<Version>,
}

impl Filter {
    /// Whether it asks for nothing but active plugins.
    pub(super) fn is_plain(&self) -> bool {
        self.status == StatusFilter::Active
            && self.tags.is_empty()
            && self.author.is_none()
            && self.owner.is_none()
            && self.author_word.is_none()
            && self.min_rating.is_none()
            && self.runs_on.is_none()
    }
}

impl Sort {
    /// The direction when none is asked for: names from A, everything else from the top.
    pub fn default_order(self) -> Order {
        if self == Self::Name { Order::Asc } else { Order::Desc }
    }
}
