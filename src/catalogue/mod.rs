//! The catalogue in memory: for every plugin what lists sort and filter by, in ready-made orders.
//!
//! PostgreSQL has no cheap way to the nine-thousandth page or to the number of matches; here a page
//! is a slice of an array and a total is its length. It is filled from the database at start and
//! kept right by the change feed, so it can be lost at any time.

mod filter;
mod list;
mod model;
mod queries;
mod state;

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{self, AtomicU64},
    },
};

use futures_util::{Stream, TryStreamExt};
use semver::Version;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa_axum::routes;

use self::state::{Slot, State, slice};
pub use self::{
    filter::{Filter, Order, Sort, StatusFilter},
    list::{Items, PluginList, file_url, fill_page},
    model::{PluginId, PluginItem, Publisher, Status, clamp},
    queries::{Release, Text, addresses, all_texts, newest_releases, newest_text, texts, texts_since},
};
use crate::{
    data::{changes::Change, monitor::DatabaseMonitor},
    http::{
        cache::{Cache, Version as CacheVersion},
        page::Page,
        policy::{Policy, Routes},
    },
};

/// What lists need to know of one plugin.
#[derive(Clone, Debug)]
struct Entry {
    pub key: i64,
    pub id: String,
    pub name: String,
    pub author: String,
    pub status: Status,
    pub downloads: i64,
    /// In the last seven days.
    pub recent_downloads: i64,
    /// In hundredths.
    pub rating: i32,
    pub rating_sum: i64,
    pub rating_count: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub revision: i64,
    pub text_revision: i64,
    pub min_geektools_version: Option<Version>,
    pub owners: Vec<String>,
    pub tags: Vec<String>,
}

/// The route `/tags`.
pub fn router(catalogue: Arc<Catalogue>) -> Routes {
    Routes::new().api(Policy::read(), routes!(list::tags)).with_state(catalogue)
}

/// Above this many changes at once, sorting again is cheaper than moving entries one by one.
const MANY: usize = 256;

/// What lists, searches and feeds show, kept in memory and filled from the database.
pub struct Catalogue {
    /// Every plugin in ready-made orders.
    pub lists: Lists,
    db: PgPool,
    database: Arc<DatabaseMonitor>,
    cache: Arc<Cache>,
    items: Items,
    public_url: String,
}

impl Catalogue {
    /// A catalogue that is filled by its first [`refresh`] and keeps at most about `bytes` of list entries.
    pub fn new(db: PgPool, database: Arc<DatabaseMonitor>, cache: Arc<Cache>, bytes: u64, public_url: &str) -> Self {
        let (lists, items) = (Lists::default(), Items::new(bytes));
        Self { lists, db, database, cache, items, public_url: public_url.to_owned() }
    }
}

/// For every plugin what lists sort and filter by, in ready-made orders.
#[derive(Default)]
pub struct Lists {
    state: RwLock<State>,
    generation: AtomicU64,
    /// How often plugins left the lists.
    removals: AtomicU64,
}

/// How popular a plugin is, from 0 to 1: the logarithm of its downloads (a million is the most that
/// counts) and its rating (in hundredths), which few votes hardly move.
pub fn popularity(downloads: i64, rating: i32, votes: i64) -> f32 {
    let downloads = (1.0 + downloads as f32).ln() / 1_000_001_f32.ln();
    let votes = votes.min(1_000_000) as f32;
    let rating = (rating as f32 / 100.0 * votes + 3.5 * 5.0) / (votes + 5.0);
    0.75 * downloads.min(1.0) + 0.25 * ((rating - 1.0) / 4.0).clamp(0.0, 1.0)
}

/// What of the searchable text changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TextChange {
    /// Ids of plugins that are new or read differently now.
    pub changed: Vec<String>,
    /// Keys of plugins that are gone from all lists.
    pub removed: Vec<i64>,
}

impl Lists {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces everything, once all entries have come.
    ///
    /// # Errors
    /// Those of the entries; everything stays as it was.
    async fn replace(&self, entries: impl Stream<Item = anyhow::Result<Entry>> + Send) -> anyhow::Result<TextChange> {
        let mut fresh = State::default();
        let mut entries = pin!(entries);
        while let Some(entry) = entries.try_next().await? {
            fresh.insert(entry.into(), false);
        }
        fresh.sort();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let change = state.text_change(&fresh);
        *state = fresh;
        self.changed(&change);
        Ok(change)
    }

    /// Brings the plugins `ids` to what `entries` say; those without an entry are gone.
    fn apply(&self, ids: &[String], entries: Vec<Entry>) -> TextChange {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let in_place = ids.len() <= MANY;
        if !in_place {
            let gone: HashSet<Slot> = ids.iter().filter_map(|id| state.by_id.get(id.as_str()).copied()).collect();
            for order in &mut state.orders {
                order.retain(|slot| !gone.contains(slot));
            }
        }
        let mut before: HashMap<i64, i64> =
            ids.iter().filter_map(|id| state.remove(id, in_place)).map(|row| (row.key, row.text_revision)).collect();
        let mut change = TextChange::default();
        for entry in entries {
            if before.remove(&entry.key) != Some(entry.text_revision) {
                change.changed.push(entry.id.clone());
            }
            state.insert(entry.into(), in_place);
        }
        change.removed = before.into_keys().collect();
        if in_place {
            state.sort_by_rating_if_outdated();
        } else {
            state.sort();
        }
        self.changed(&change);
        change
    }

    fn changed(&self, change: &TextChange) {
        if !change.removed.is_empty() {
            self.removals.fetch_add(1, atomic::Ordering::Release);
        }
        self.generation.fetch_add(1, atomic::Ordering::Release);
    }

    /// The revision of a listed plugin, and that of its text.
    pub fn revisions(&self, id: &str) -> Option<(i64, i64)> {
        let state = self.read();
        let row = state.row(*state.by_id.get(id)?)?;
        Some((row.revision, row.text_revision))
    }

    /// Says that what was made from this generation may be outdated: the search index has caught up.
    pub fn renew(&self) {
        self.generation.fetch_add(1, atomic::Ordering::Release);
    }

    /// Changes whenever any list may; means nothing in another process.
    pub fn generation(&self) -> u64 {
        self.generation.load(atomic::Ordering::Acquire)
    }

    /// The state that an answer about several plugins is made from, at a time it depends on. An answer from before a
    /// plugin left the lists is never given again: the plugin may be banned.
    pub fn version(&self, time: i64) -> CacheVersion {
        let removals = self.removals.load(atomic::Ordering::Acquire);
        CacheVersion { state: [self.generation(), time.cast_unsigned()], mark: removals }
    }

    /// One page of the plugins that fit, and how many fit in all.
    pub fn page(&self, filter: &Filter, sort: Sort, order: Order, page: Page) -> (Vec<Listed>, u64) {
        let state = self.read();
        let sort = if sort == Sort::Relevance { Sort::Downloads } else { sort };
        if let Some(slots) = state.whole_order(filter, sort) {
            let (slots, total) = slice(slots, order != sort.default_order(), page);
            return (state.listed(slots), total);
        }
        let slots = state.candidates(filter).filter(|slot| state.fits(*slot, filter)).collect();
        state.sorted_page(slots, sort, order, page)
    }

    /// Of so many of the most downloaded plugins, those for whose id and name `find` has a value, with that.
    pub fn find_most_downloaded<T>(&self, count: usize, find: impl Fn(&str, &str) -> Option<T>) -> Vec<(String, T)> {
        let state = self.read();
        let slots = state.whole_order(&Filter::default(), Sort::Downloads).unwrap_or_default();
        let rows = slots.iter().take(count).filter_map(|slot| state.row(*slot));
        rows.filter_map(|row| Some((row.id.to_string(), find(&row.id, &row.name)?))).collect()
    }

    /// Holds the catalogue still for a search.
    pub fn ranking(&self) -> Ranking<'_> {
        Ranking(self.read())
    }

    /// Tags of active plugins with their numbers, most used first.
    pub fn tags(&self) -> Vec<(String, usize)> {
        let state = self.read();
        let mut tags = Vec::new();
        for (tag, slots) in &state.by_tag {
            let mut active = slots.iter().filter(|slot| state.hot[**slot as usize].is_active);
            let Some(first) = active.next().and_then(|slot| state.row(*slot)) else { continue };
            let spelling = first.tags.iter().find(|own| search_engine::fold(own) == *tag);
            tags.push((spelling.map_or(tag.as_str(), |s| s).to_owned(), 1 + active.count()));
        }
        tags.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        tags
    }

    /// Plugins in default lists.
    pub fn active(&self) -> usize {
        self.read().orders[0].len()
    }

    /// Plugins in any list.
    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Whether there is no plugin at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A plugin on a page.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id.
    pub id: Arc<str>,
    /// What it shows was so at this revision.
    pub revision: i64,
    /// Downloads of the last seven days.
    pub recent_downloads: i64,
}

/// The catalogue, held still for a search: while this lives, nothing changes.
pub struct Ranking<'a>(RwLockReadGuard<'a, State>);

impl Ranking<'_> {
    /// Whether the plugin with this key fits.
    pub fn fits(&self, key: u64, filter: &Filter) -> bool {
        let Some(slot) = self.0.slot(key) else { return false };
        if filter.is_plain() { self.0.hot[slot as usize].is_active } else { self.0.fits(slot, filter) }
    }

    /// The tags of the plugins that fit, most used first.
    pub fn tags(&self, filter: &Filter) -> Vec<(String, usize)> {
        self.0.count_tags(self.0.candidates(filter).filter(|slot| self.0.fits(*slot, filter)))
    }

    /// The tags of the found plugins, most used first.
    pub fn tags_of(&self, found: &[u64]) -> Vec<(String, usize)> {
        self.0.count_tags(found.iter().filter_map(|key| self.0.slot(*key)))
    }

    /// How many plugins do not fit, where that is known without asking each.
    pub fn unwanted(&self, filter: &Filter) -> Option<u64> {
        filter.is_plain().then(|| (self.0.by_id.len() - self.0.orders[0].len()) as u64)
    }

    /// How popular the plugin with this key is, from 0 to 1.
    pub fn popularity(&self, key: u64) -> f32 {
        self.0.slot(key).map_or(0.0, |slot| self.0.hot[slot as usize].popularity)
    }

    /// A page of found plugins in another order.
    pub fn sorted_page(&self, found: &[u64], sort: Sort, order: Order, page: Page) -> (Vec<Listed>, u64) {
        let slots = found.iter().filter_map(|key| self.0.slot(*key)).collect();
        self.0.sorted_page(slots, sort, order, page)
    }

    /// The found plugins as listed, in the order found.
    pub fn listed(&self, found: &[u64]) -> Vec<Listed> {
        self.0.listed(found.iter().filter_map(|key| self.0.slot(*key)).collect())
    }
}

/// Brings the catalogue up to date with the database.
///
/// # Errors
/// If the database is unavailable.
pub async fn refresh(catalogue: &Catalogue, change: &Change) -> anyhow::Result<TextChange> {
    match change {
        Change::Everything => catalogue.lists.replace(queries::entries(&catalogue.db, None)).await,
        Change::Keys(announced) => {
            let is_news = |(id, revision): &&(String, i64)| {
                catalogue.lists.revisions(id).is_none_or(|(known, _)| known < *revision)
            };
            let ids: Vec<String> = announced.iter().filter(is_news).map(|(id, _)| id.clone()).collect();
            if ids.is_empty() {
                return Ok(TextChange::default());
            }
            Ok(catalogue.lists.apply(&ids, queries::entries(&catalogue.db, Some(&ids)).try_collect().await?))
        }
    }
}
