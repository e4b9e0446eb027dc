//! The arrays and tables that lists are read from.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use search_engine::fold;
use semver::Version;
use time::OffsetDateTime;

use super::{Entry, Filter, Listed, Order, Sort, StatusFilter, TextChange, model::Status, popularity};
use crate::http::page::Page;

pub(super) type Slot = u32;
const ORDERS: [Sort; 6] = [Sort::Downloads, Sort::Trending, Sort::Rating, Sort::UpdatedAt, Sort::CreatedAt, Sort::Name];
/// How many votes of the marketplace's mean are added to those of each plugin.
const PRIOR_VOTES: f64 = 5.0;

#[derive(Default)]
pub(super) struct State {
    slots: Vec<Option<Row>>,
    free: Vec<Slot>,
    pub(super) by_id: HashMap<Arc<str>, Slot>,
    /// By key; keys are given out one after the other, so few places stay empty.
    by_key: Vec<Slot>,
    /// What searching asks of thousands of plugins, by key, close together in memory.
    standings: Vec<Standing>,
    /// Active plugins, by each of [`ORDERS`], as the sort's default direction shows them.
    pub(super) orders: [Vec<Slot>; ORDERS.len()],
    deprecated: HashSet<Slot>,
    pub(super) by_tag: HashMap<String, HashSet<Slot>>,
    by_author: HashMap<String, HashSet<Slot>>,
    by_owner: HashMap<String, HashSet<Slot>>,
    /// Sum and number of the ratings of all plugins.
    ratings: (i64, i64),
    /// The mean of all ratings that the order by rating was made with.
    prior: f64,
}

/// A plugin as far as ranking goes, in four bytes: its popularity if it is active, else what is below zero.
#[derive(Clone, Copy)]
struct Standing(f32);

impl Standing {
    const NONE: Self = Self(f32::NEG_INFINITY);

    fn new(popularity: f32, is_active: bool) -> Self {
        Self(if is_active { popularity } else { -1.0 - popularity })
    }

    fn is_active(self) -> bool {
        self.0 >= 0.0
    }

    fn popularity(self) -> f32 {
        match self.0 {
            popularity if popularity >= 0.0 => popularity,
            f32::NEG_INFINITY => 0.0,
            inactive => -1.0 - inactive,
        }
    }
}

const NO_SLOT: Slot = Slot::MAX;

pub(super) struct Row {
    pub(super) key: i64,
    pub(super) id: Arc<str>,
    /// Lower case, for sorting.
    pub(super) name: Box<str>,
    /// Folded, as those of a filter are.
    pub(super) author: Box<str>,
    pub(super) status: Status,
    pub(super) downloads: i64,
    pub(super) recent_downloads: i64,
    pub(super) rating: i32,
    pub(super) rating_sum: i64,
    pub(super) rating_count: i64,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
    pub(super) revision: i64,
    pub(super) text_revision: i64,
    pub(super) min_geektools_version: Option<Version>,
    /// Usernames in lower case.
    pub(super) owners: Box<[Box<str>]>,
    pub(super) tags: Box<[Box<str>]>,
}

impl Row {
    pub(super) fn listed(&self) -> Listed {
        Listed { key: self.key, id: self.id.clone(), revision: self.revision, recent_downloads: self.recent_downloads }
    }

    /// The mean of its ratings and of [`PRIOR_VOTES`] that gave the mean of all plugins: few votes hardly move it.
    fn bayesian_mean(&self, prior: f64) -> f64 {
        (prior * PRIOR_VOTES + self.rating_sum as f64) / (PRIOR_VOTES + self.rating_count as f64)
    }
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        Self {
            key: entry.key,
            id: entry.id.into(),
            name: entry.name.to_lowercase().into(),
            author: fold(&entry.author).into(),
            status: entry.status,
            downloads: entry.downloads,
            recent_downloads: entry.recent_downloads,
            rating: entry.rating,
            rating_sum: entry.rating_sum,
            rating_count: entry.rating_count,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            revision: entry.revision,
            text_revision: entry.text_revision,
            min_geektools_version: entry.min_geektools_version,
            owners: entry.owners.into_iter().map(|owner| owner.to_lowercase().into()).collect(),
            tags: entry.tags.into_iter().map(Into::into).collect(),
        }
    }
}

fn bounds(len: usize, page: Page) -> (usize, usize) {
    let start = usize::try_from(page.offset()).unwrap_or(usize::MAX).min(len);
    (start, start.saturating_add(page.limit as usize).min(len))
}

pub(super) fn slice(slots: &[Slot], reversed: bool, page: Page) -> (Vec<Slot>, u64) {
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
    pub(super) fn slot(&self, key: u64) -> Option<Slot> {
        self.by_key.get(usize::try_from(key).ok()?).copied().filter(|slot| *slot != NO_SLOT)
    }

    fn standing(&self, key: u64) -> Standing {
        usize::try_from(key).ok().and_then(|place| self.standings.get(place)).copied().unwrap_or(Standing::NONE)
    }

    /// Whether the plugin with this key is active.
    pub(super) fn is_active(&self, key: u64) -> bool {
        self.standing(key).is_active()
    }

    /// How popular the plugin with this key is, from 0 to 1.
    pub(super) fn popularity(&self, key: u64) -> f32 {
        self.standing(key).popularity()
    }

    /// Tags with the number of these plugins that have them, most used first.
    pub(super) fn count_tags(&self, slots: impl Iterator<Item = Slot>) -> Vec<(String, usize)> {
        let mut counts: HashMap<String, (&str, usize)> = HashMap::new();
        for tag in slots.filter_map(|slot| self.row(slot)).flat_map(|row| &row.tags) {
            counts.entry(tag.to_lowercase()).or_insert((tag, 0)).1 += 1;
        }
        let mut tags: Vec<_> = counts.into_values().map(|(tag, count)| (tag.to_owned(), count)).collect();
        tags.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        tags
    }

    /// What differs in the text of `fresh`.
    pub(super) fn text_change(&self, fresh: &Self) -> TextChange {
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

    pub(super) fn sorted_page(&self, mut slots: Vec<Slot>, sort: Sort, order: Order, page: Page) -> (Vec<Listed>, u64) {
        let reversed = order != sort.default_order();
        partial_sort(&mut slots, reversed, page, |a, b| self.compare(*a, *b, sort));
        let (slots, total) = slice(&slots, reversed, page);
        (self.listed(slots), total)
    }

    pub(super) fn row(&self, slot: Slot) -> Option<&Row> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn listed(&self, slots: Vec<Slot>) -> Vec<Listed> {
        slots.into_iter().filter_map(|slot| self.row(slot).map(Row::listed)).collect()
    }

    /// Better first; equal ones by id, so that pages never overlap.
    fn compare(&self, a: Slot, b: Slot, sort: Sort) -> Ordering {
        let (Some(a), Some(b)) = (self.row(a), self.row(b)) else { return a.cmp(&b) };
        let by_sort = match sort {
            Sort::Downloads | Sort::Relevance => b.downloads.cmp(&a.downloads),
            Sort::Trending => (b.recent_downloads, b.downloads).cmp(&(a.recent_downloads, a.downloads)),
            Sort::Rating => b
                .bayesian_mean(self.prior)
                .total_cmp(&a.bayesian_mean(self.prior))
                .then_with(|| b.rating_count.cmp(&a.rating_count)),
            Sort::UpdatedAt => b.updated_at.cmp(&a.updated_at),
            Sort::CreatedAt => b.created_at.cmp(&a.created_at),
            Sort::Name => a.name.cmp(&b.name),
        };
        by_sort.then_with(|| a.id.cmp(&b.id))
    }

    /// The mean of all ratings, in steps so small that no order depends on them, and so large that in a big marketplace
    /// hardly any rating changes it.
    fn mean(&self) -> f64 {
        let (sum, count) = self.ratings;
        if count == 0 { 0.0 } else { (sum as f64 / count as f64 * 1e4).round() / 1e4 }
    }

    /// Sorts by rating again when the mean of all ratings has changed.
    pub(super) fn sort_by_rating_if_outdated(&mut self) {
        let mean = self.mean();
        if mean == self.prior {
            return;
        }
        self.prior = mean;
        for (i, _) in ORDERS.iter().enumerate().filter(|(_, sort)| **sort == Sort::Rating) {
            let mut slots = std::mem::take(&mut self.orders[i]);
            // Stable, because it is fast where most are in order.
            slots.sort_by(|a, b| self.compare(*a, *b, Sort::Rating));
            self.orders[i] = slots;
        }
    }

    pub(super) fn sort(&mut self) {
        self.prior = self.mean();
        for (i, sort) in ORDERS.iter().enumerate() {
            let mut slots = std::mem::take(&mut self.orders[i]);
            slots.sort_unstable_by(|a, b| self.compare(*a, *b, *sort));
            self.orders[i] = slots;
        }
    }

    pub(super) fn insert(&mut self, row: Row, in_place: bool) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as Slot
        });
        self.by_id.insert(row.id.clone(), slot);
        let place = usize::try_from(row.key).unwrap_or_default();
        if place >= self.by_key.len() {
            self.by_key.resize(place + 1, NO_SLOT);
            self.standings.resize(place + 1, Standing::NONE);
        }
        self.by_key[place] = slot;
        let popularity = popularity(row.downloads, row.rating, row.rating_count);
        self.standings[place] = Standing::new(popularity, row.status == Status::Active);
        for tag in &row.tags {
            self.by_tag.entry(fold(tag)).or_default().insert(slot);
        }
        self.by_author.entry(row.author.to_string()).or_default().insert(slot);
        for owner in &row.owners {
            self.by_owner.entry(owner.to_string()).or_default().insert(slot);
        }
        self.ratings.0 += row.rating_sum;
        self.ratings.1 += row.rating_count;
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

    pub(super) fn remove(&mut self, id: &str, in_place: bool) -> Option<Row> {
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
        let place = usize::try_from(row.key).unwrap_or_default();
        self.by_key[place] = NO_SLOT;
        self.standings[place] = Standing::NONE;
        let tags = row.tags.iter().map(|tag| fold(tag)).collect::<Vec<_>>();
        let owners = row.owners.iter().map(ToString::to_string).collect();
        self.ratings.0 -= row.rating_sum;
        self.ratings.1 -= row.rating_count;
        let keys = [
            (&mut self.by_tag, tags),
            (&mut self.by_author, vec![row.author.to_string()]),
            (&mut self.by_owner, owners),
        ];
        for (map, keys) in keys {
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
    pub(super) fn whole_order(&self, filter: &Filter, sort: Sort) -> Option<&[Slot]> {
        let index = ORDERS.iter().position(|known| *known == sort)?;
        filter.is_plain().then(|| self.orders[index].as_slice())
    }

    /// The smallest known set that holds everything that can fit.
    pub(super) fn candidates<'a>(&'a self, filter: &Filter) -> Box<dyn Iterator<Item = Slot> + 'a> {
        if let Some(owner) = &filter.owner {
            return Box::new(self.by_owner.get(&owner.to_lowercase()).into_iter().flatten().copied());
        }
        if let Some(author) = &filter.author {
            return Box::new(self.by_author.get(author).into_iter().flatten().copied());
        }
        if !filter.tags.is_empty() {
            let mut sets: Vec<_> = filter.tags.iter().filter_map(|tag| self.by_tag.get(tag)).collect();
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

    pub(super) fn fits(&self, slot: Slot, filter: &Filter) -> bool {
        let Some(row) = self.row(slot) else { return false };
        let has = |tag: &String| self.by_tag.get(tag).is_some_and(|slots| slots.contains(&slot));
        let status = match filter.status {
            StatusFilter::Active => row.status == Status::Active,
            StatusFilter::Deprecated => row.status == Status::Deprecated,
            StatusFilter::Any => true,
        };
        status
            && (filter.tags.is_empty()
                || if filter.all_tags { filter.tags.iter().all(has) } else { filter.tags.iter().any(has) })
            && filter.owner.as_ref().is_none_or(|owner| row.owners.iter().any(|own| **own == *owner.to_lowercase()))
            && filter.author.as_ref().is_none_or(|author| *row.author == **author)
            && filter.author_word.as_ref().is_none_or(|word| row.author.split(' ').any(|own| own.starts_with(&**word)))
            && filter.min_rating.is_none_or(|least| f64::from(row.rating) >= least * 100.0 - 1e-6)
            && filter.runs_on.as_ref().is_none_or(|on| row.min_geektools_version.as_ref().is_none_or(|min| min <= on))
    }
}
