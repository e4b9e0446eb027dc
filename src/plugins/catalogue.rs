//! The catalogue in memory: for every plugin what lists sort and filter by, in ready-made orders.
//!
//! PostgreSQL has no cheap way to the nine-thousandth page or to the number of matches; here a page
//! is a slice of an array and a total is its length. It is filled from the database at start and
//! kept right by the change feed, so it can be lost at any time.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{self, AtomicU64},
    },
};

use futures_util::{Stream, TryStreamExt};
use semver::Version;
use time::OffsetDateTime;

use super::{model::Status, queries};
use crate::{changes::Change, extract::Choice, page::Page, state::App};

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Sort {
    Downloads,
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
    /// With any of these tags, ignoring case; empty = all plugins.
    pub tags: Vec<String>,
    /// With every one of the tags instead of any.
    pub all_tags: bool,
    /// By this author, ignoring case.
    pub author: Option<String>,
    /// Rated at least so.
    pub min_rating: Option<f64>,
    /// Running on this GeekTools version.
    pub runs_on: Option<Version>,
}

impl Filter {
    /// Whether it asks for nothing but active plugins.
    fn is_plain(&self) -> bool {
        self.status == StatusFilter::Active
            && self.tags.is_empty()
            && self.author.is_none()
            && self.min_rating.is_none()
            && self.runs_on.is_none()
    }
}

/// What lists need to know of one plugin.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: i64,
    pub id: String,
    pub name: String,
    pub author: String,
    pub status: Status,
    pub downloads: i64,
    /// In hundredths.
    pub rating: i32,
    pub rating_count: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub revision: i64,
    pub text_revision: i64,
    pub min_geektools_version: Option<Version>,
    pub tags: Vec<String>,
}

type Slot = u32;
const ORDERS: [Sort; 5] = [Sort::Downloads, Sort::Rating, Sort::UpdatedAt, Sort::CreatedAt, Sort::Name];
/// Above this many changes at once, sorting anew is cheaper than moving entries one by one.
const MANY: usize = 256;

/// The catalogue of this process.
#[derive(Default)]
pub struct Catalogue {
    state: RwLock<State>,
    generation: AtomicU64,
}

#[derive(Default)]
struct State {
    slots: Vec<Option<Row>>,
    free: Vec<Slot>,
    by_id: HashMap<Arc<str>, Slot>,
    /// By key; keys are given out one after the other, so few places stay empty.
    by_key: Vec<Slot>,
    /// What searching asks of thousands of plugins, close together in memory.
    hot: Vec<Hot>,
    /// Active plugins, by each of [`ORDERS`], as the sort's default direction shows them.
    orders: [Vec<Slot>; ORDERS.len()],
    deprecated: HashSet<Slot>,
    by_tag: HashMap<String, HashSet<Slot>>,
    by_author: HashMap<String, HashSet<Slot>>,
}

/// A plugin as far as ranking goes.
#[derive(Clone, Copy, Default)]
struct Hot {
    popularity: f32,
    is_active: bool,
}

const NO_SLOT: Slot = Slot::MAX;

struct Row {
    key: i64,
    id: Arc<str>,
    /// Lower case, for sorting.
    name: Box<str>,
    author: Box<str>,
    status: Status,
    downloads: i64,
    rating: i32,
    rating_count: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    revision: i64,
    text_revision: i64,
    min_geektools_version: Option<Version>,
    tags: Box<[Box<str>]>,
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        Self {
            key: entry.key,
            id: entry.id.into(),
            name: entry.name.to_lowercase().into(),
            author: entry.author.to_lowercase().into(),
            status: entry.status,
            downloads: entry.downloads,
            rating: entry.rating,
            rating_count: entry.rating_count,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            revision: entry.revision,
            text_revision: entry.text_revision,
            min_geektools_version: entry.min_geektools_version,
            tags: entry.tags.into_iter().map(Into::into).collect(),
        }
    }
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

impl Catalogue {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces everything, once all entries have come.
    ///
    /// # Errors
    /// Those of the entries; everything stays as it was.
    pub async fn replace(
        &self,
        entries: impl Stream<Item = anyhow::Result<Entry>> + Send,
    ) -> anyhow::Result<TextChange> {
        let mut fresh = State::default();
        let mut entries = pin!(entries);
        while let Some(entry) = entries.try_next().await? {
            fresh.insert(entry.into(), false);
        }
        fresh.sort();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let change = state.text_change(&fresh);
        *state = fresh;
        self.generation.fetch_add(1, atomic::Ordering::Release);
        Ok(change)
    }

    /// Brings the plugins `ids` to what `entries` say; those without an entry are gone.
    pub fn apply(&self, ids: &[String], entries: Vec<Entry>) -> TextChange {
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
        if !in_place {
            state.sort();
        }
        self.generation.fetch_add(1, atomic::Ordering::Release);
        change
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

    /// A plugin as a page lists it; none when it is not listed.
    pub fn find_listed(&self, id: &str) -> Option<Listed> {
        let state = self.read();
        let row = state.row(*state.by_id.get(id)?)?;
        Some(Listed { id: row.id.clone(), revision: row.revision })
    }

    /// Changes whenever any list may; means nothing in another process.
    pub fn generation(&self) -> u64 {
        self.generation.load(atomic::Ordering::Acquire)
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
            let spelling = first.tags.iter().find(|own| own.to_lowercase() == *tag);
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
}

/// The catalogue, held still for a search: while this lives, nothing changes.
pub struct Ranking<'a>(RwLockReadGuard<'a, State>);

impl Ranking<'_> {
    /// Whether the plugin with this key fits.
    pub fn fits(&self, key: u64, filter: &Filter) -> bool {
        let Some(slot) = self.0.slot(key) else { return false };
        if filter.is_plain() { self.0.hot[slot as usize].is_active } else { self.0.fits(slot, filter) }
    }

    /// How popular the plugin with this key is, from 0 to 1.
    pub fn popularity(&self, key: u64) -> f32 {
        self.0.slot(key).map_or(0.0, |slot| self.0.hot[slot as usize].popularity)
    }

    /// A page of found plugins, sorted anew.
    pub fn sorted_page(&self, found: &[u64], sort: Sort, order: Order, page: Page) -> (Vec<Listed>, u64) {
        let slots = found.iter().filter_map(|key| self.0.slot(*key)).collect();
        self.0.sorted_page(slots, sort, order, page)
    }

    /// The found plugins as listed, in the order found.
    pub fn listed(&self, found: &[u64]) -> Vec<Listed> {
        self.0.listed(found.iter().filter_map(|key| self.0.slot(*key)).collect())
    }
}

impl Sort {
    /// The direction when none is asked for: names from A, everything else from the top.
    pub fn default_order(self) -> Order {
        if self == Self::Name { Order::Asc } else { Order::Desc }
    }
}

fn bounds(len: usize, page: Page) -> (usize, usize) {
    let start = usize::try_from(page.offset()).unwrap_or(usize::MAX).min(len);
    (start, start.saturating_add(page.limit as usize).min(len))
}

fn slice(slots: &[Slot], reversed: bool, page: Page) -> (Vec<Slot>, u64) {
    let len = slots.len();
    let (start, end) = bounds(len, page);
    let shown = if reversed {
        slots[len - end..len - start].iter().rev().copied().collect()
    } else {
        slots[start..end].to_vec()
    };
    (shown, len as u64)
}

/// Puts the entries of one page into their places, leaving the others in any order.
fn partial_sort(slots: &mut [Slot], reversed: bool, page: Page, compare: impl Fn(&Slot, &Slot) -> Ordering) {
    let len = slots.len();
    let (start, end) = bounds(len, page);
    let (start, end) = if reversed { (len - end, len - start) } else { (start, end) };
    if start >= end {
        return;
    }
    if end < len {
        slots.select_nth_unstable_by(end, &compare);
    }
    if start > 0 {
        slots[..end].select_nth_unstable_by(start, &compare);
    }
    slots[start..end].sort_unstable_by(&compare);
}

impl State {
    fn slot(&self, key: u64) -> Option<Slot> {
        self.by_key.get(usize::try_from(key).ok()?).copied().filter(|slot| *slot != NO_SLOT)
    }

    /// What differs in the text of `fresh`.
    fn text_change(&self, fresh: &Self) -> TextChange {
        let rows = |state: &Self| -> HashMap<i64, i64> {
            state.slots.iter().flatten().map(|row| (row.key, row.text_revision)).collect()
        };
        let (before, after) = (rows(self), rows(fresh));
        let differs = |row: &&Row| before.get(&row.key) != Some(&row.text_revision);
        TextChange {
            changed: fresh.slots.iter().flatten().filter(differs).map(|row| row.id.to_string()).collect(),
            removed: before.into_keys().filter(|key| !after.contains_key(key)).collect(),
        }
    }

    fn sorted_page(&self, mut slots: Vec<Slot>, sort: Sort, order: Order, page: Page) -> (Vec<Listed>, u64) {
        let reversed = order != sort.default_order();
        partial_sort(&mut slots, reversed, page, |a, b| self.compare(*a, *b, sort));
        let (slots, total) = slice(&slots, reversed, page);
        (self.listed(slots), total)
    }

    fn row(&self, slot: Slot) -> Option<&Row> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn listed(&self, slots: Vec<Slot>) -> Vec<Listed> {
        let listed = |row: &Row| Listed { id: row.id.clone(), revision: row.revision };
        slots.into_iter().filter_map(|slot| self.row(slot).map(listed)).collect()
    }

    /// Better first; equal ones by id, so that pages never overlap.
    fn compare(&self, a: Slot, b: Slot, sort: Sort) -> Ordering {
        let (Some(a), Some(b)) = (self.row(a), self.row(b)) else { return a.cmp(&b) };
        let by_sort = match sort {
            Sort::Downloads | Sort::Relevance => b.downloads.cmp(&a.downloads),
            Sort::Rating => (b.rating, b.rating_count).cmp(&(a.rating, a.rating_count)),
            Sort::UpdatedAt => b.updated_at.cmp(&a.updated_at),
            Sort::CreatedAt => b.created_at.cmp(&a.created_at),
            Sort::Name => a.name.cmp(&b.name),
        };
        by_sort.then_with(|| a.id.cmp(&b.id))
    }

    fn sort(&mut self) {
        for (i, sort) in ORDERS.iter().enumerate() {
            let mut slots = std::mem::take(&mut self.orders[i]);
            slots.sort_unstable_by(|a, b| self.compare(*a, *b, *sort));
            self.orders[i] = slots;
        }
    }

    fn insert(&mut self, row: Row, in_place: bool) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.hot.push(Hot::default());
            (self.slots.len() - 1) as Slot
        });
        self.by_id.insert(row.id.clone(), slot);
        let place = usize::try_from(row.key).unwrap_or_default();
        if place >= self.by_key.len() {
            self.by_key.resize(place + 1, NO_SLOT);
        }
        self.by_key[place] = slot;
        self.hot[slot as usize] = Hot {
            popularity: popularity(row.downloads, row.rating, row.rating_count),
            is_active: row.status == Status::Active,
        };
        for tag in &row.tags {
            self.by_tag.entry(tag.to_lowercase()).or_default().insert(slot);
        }
        self.by_author.entry(row.author.to_string()).or_default().insert(slot);
        let status = row.status;
        self.slots[slot as usize] = Some(row);
        if status == Status::Deprecated {
            self.deprecated.insert(slot);
            return;
        }
        for (i, sort) in ORDERS.iter().enumerate() {
            let mut order = std::mem::take(&mut self.orders[i]);
            let at = if in_place {
                order.partition_point(|other| self.compare(*other, slot, *sort).is_lt())
            } else {
                order.len()
            };
            order.insert(at, slot);
            self.orders[i] = order;
        }
    }

    fn remove(&mut self, id: &str, in_place: bool) -> Option<Row> {
        let slot = self.by_id.remove(id)?;
        if !self.deprecated.remove(&slot) && in_place {
            for (i, sort) in ORDERS.iter().enumerate() {
                let mut order = std::mem::take(&mut self.orders[i]);
                let at = order.partition_point(|other| self.compare(*other, slot, *sort).is_lt());
                if order.get(at) == Some(&slot) {
                    order.remove(at);
                }
                self.orders[i] = order;
            }
        }
        let row = self.slots[slot as usize].take()?;
        self.by_key[usize::try_from(row.key).unwrap_or_default()] = NO_SLOT;
        let tags = row.tags.iter().map(|tag| tag.to_lowercase()).collect::<Vec<_>>();
        for (map, keys) in [(&mut self.by_tag, tags), (&mut self.by_author, vec![row.author.to_string()])] {
            for key in keys {
                if let Some(slots) = map.get_mut(&key) {
                    slots.remove(&slot);
                    if slots.is_empty() {
                        map.remove(&key);
                    }
                }
            }
        }
        self.free.push(slot);
        Some(row)
    }

    /// The ready-made order, when the filter asks for nothing but active plugins.
    fn whole_order(&self, filter: &Filter, sort: Sort) -> Option<&[Slot]> {
        let index = ORDERS.iter().position(|known| *known == sort)?;
        filter.is_plain().then(|| self.orders[index].as_slice())
    }

    /// The smallest known set that holds everything that can fit.
    fn candidates<'a>(&'a self, filter: &Filter) -> Box<dyn Iterator<Item = Slot> + 'a> {
        if let Some(author) = &filter.author {
            return Box::new(self.by_author.get(&author.to_lowercase()).into_iter().flatten().copied());
        }
        if !filter.tags.is_empty() {
            let mut sets: Vec<_> = filter.tags.iter().filter_map(|tag| self.by_tag.get(&tag.to_lowercase())).collect();
            if filter.all_tags || sets.len() <= 1 {
                let smallest = sets.into_iter().min_by_key(|set| set.len());
                return Box::new(smallest.into_iter().flatten().copied());
            }
            sets.dedup_by(|a, b| std::ptr::eq(*a, *b));
            let slots: HashSet<Slot> = sets.into_iter().flatten().copied().collect();
            return Box::new(slots.into_iter());
        }
        let active = self.orders[0].iter().copied();
        match filter.status {
            StatusFilter::Active => Box::new(active),
            StatusFilter::Deprecated => Box::new(self.deprecated.iter().copied()),
            StatusFilter::Any => Box::new(active.chain(self.deprecated.iter().copied())),
        }
    }

    fn fits(&self, slot: Slot, filter: &Filter) -> bool {
        let Some(row) = self.row(slot) else { return false };
        let has = |tag: &String| row.tags.iter().any(|own| own.to_lowercase() == tag.to_lowercase());
        let status = match filter.status {
            StatusFilter::Active => row.status == Status::Active,
            StatusFilter::Deprecated => row.status == Status::Deprecated,
            StatusFilter::Any => true,
        };
        status
            && (filter.tags.is_empty()
                || if filter.all_tags { filter.tags.iter().all(has) } else { filter.tags.iter().any(has) })
            && filter.author.as_ref().is_none_or(|author| *row.author == *author.to_lowercase())
            && filter.min_rating.is_none_or(|least| f64::from(row.rating) >= least * 100.0 - 1e-6)
            && filter.runs_on.as_ref().is_none_or(|on| row.min_geektools_version.as_ref().is_none_or(|min| min <= on))
    }
}

/// Brings the catalogue up to date with the database.
///
/// # Errors
/// When the database is away.
pub async fn refresh(app: &App, change: &Change) -> anyhow::Result<TextChange> {
    match change {
        Change::Everything => app.catalogue.replace(queries::entries(&app.db, None)).await,
        Change::Plugins(announced) => {
            let is_news = |(id, revision): &&(String, i64)| {
                app.catalogue.revisions(id).is_none_or(|(known, _)| known < *revision)
            };
            let ids: Vec<String> = announced.iter().filter(is_news).map(|(id, _)| id.clone()).collect();
            if ids.is_empty() {
                return Ok(TextChange::default());
            }
            Ok(app.catalogue.apply(&ids, queries::entries(&app.db, Some(&ids)).try_collect().await?))
        }
    }
}
