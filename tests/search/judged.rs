//! How good searching is, measured against queries that people have judged.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::{Context, Result};
use serde::Deserialize;

use marketplace::catalogue::popularity;
use search_engine::{Document, Index};

/// A plugin of a set.
#[derive(Deserialize)]
pub(crate) struct Plugin {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) author: String,
    pub(crate) tags: Vec<String>,
    pub(crate) scripts: Vec<String>,
    pub(crate) downloads: i64,
    pub(crate) rating: f32,
    pub(crate) votes: i64,
}

/// Plugins and the queries judged over them, as JSON lines.
pub(crate) struct Set {
    plugins: &'static str,
    queries: &'static str,
}

/// The set that the engine was made with.
pub(crate) const FIRST: Set = Set { plugins: include_str!("plugins.jsonl"), queries: include_str!("queries.jsonl") };

/// A set judged by someone who had not seen the engine nor the first set's queries.
pub(crate) const SECOND: Set =
    Set { plugins: include_str!("second/plugins.jsonl"), queries: include_str!("second/queries.jsonl") };

/// A set judged by someone who had seen neither the engine nor the other sets, after the engine was made.
pub(crate) const THIRD: Set =
    Set { plugins: include_str!("third/plugins.jsonl"), queries: include_str!("third/queries.jsonl") };

/// A query and what a person expects of it: plugin ids with grades from 1 (acceptable) to 3.
#[derive(Deserialize)]
pub(crate) struct Query {
    category: String,
    pub(crate) query: String,
    grades: HashMap<String, u8>,
}

/// Figures for one category of queries, each from 0 to 1.
#[derive(Debug, Default, Clone)]
pub(crate) struct Figures {
    /// How many queries were asked.
    pub(crate) queries: usize,
    /// How well the first ten are ordered, compared with the best possible order.
    pub(crate) ndcg: f64,
    /// How often the first hit is among the best.
    pub(crate) success: f64,
    /// How much of what is relevant (at most ten per query) is among the first ten.
    pub(crate) recall: f64,
}

/// What [`evaluate`] measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// By category; for queries that should find nothing, all figures say how often they did.
    pub(crate) categories: BTreeMap<String, Figures>,
    /// Over all queries that should find something.
    pub(crate) overall: Figures,
    /// The queries that did worst, with what they found.
    pub(crate) weak: Vec<String>,
}

/// The category of queries that should find nothing.
pub(crate) const NOTHING: &str = "nothing";

impl Set {
    /// The plugins to search.
    pub(crate) fn plugins(&self) -> Result<Vec<Plugin>> {
        lines(self.plugins).context("reading plugins")
    }

    /// What to ask.
    pub(crate) fn queries(&self) -> Result<Vec<Query>> {
        lines(self.queries).context("reading queries")
    }
}

/// Asks all judged queries of an index of the set's plugins.
pub(crate) fn evaluate(set: &Set) -> Result<Report> {
    let plugins = set.plugins()?;
    let index = Index::in_memory()?;
    index.rebuild(plugins.iter().zip(0..).map(|(plugin, key)| document(plugin, key)), 1, |_| {})?;
    let lift: Vec<f32> =
        plugins.iter().map(|p| popularity(p.downloads, (100.0 * p.rating).round() as i32, p.votes)).collect();
    judge(&set.queries()?, |query| {
        let found = index.search(query, &|_| true, &|key| lift[key as usize], Some(0), 10)?;
        Ok(found.hits.iter().map(|(key, _)| plugins[*key as usize].id.clone()).collect())
    })
}

/// Compares what is found, the first ten ids at most, with what should be.
pub(crate) fn judge(queries: &[Query], mut find: impl FnMut(&str) -> Result<Vec<String>>) -> Result<Report> {
    let mut report = Report::default();
    for query in queries {
        let ids = find(&query.query)?;
        let figures = figures(query, &ids);
        if figures.ndcg < 0.9 || figures.recall < 1.0 {
            let note = format!(
                "{:.2} {:.2}  {} «{}»: {}",
                figures.ndcg,
                figures.recall,
                query.category,
                query.query,
                ids.join(" ")
            );
            report.weak.push(note);
        }
        report.categories.entry(query.category.clone()).or_default().add(&figures);
        if query.category != NOTHING {
            report.overall.add(&figures);
        }
    }
    report.weak.sort();
    report.categories.values_mut().chain([&mut report.overall]).for_each(Figures::finish);
    Ok(report)
}

fn document(plugin: &Plugin, key: u64) -> Document {
    Document {
        key,
        id: plugin.id.clone(),
        name: plugin.name.clone(),
        tags: plugin.tags.clone(),
        author: plugin.author.clone(),
        description: plugin.description.clone(),
        scripts: plugin.scripts.clone(),
    }
}

fn lines<T: for<'a> Deserialize<'a>>(text: &str) -> Result<Vec<T>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn figures(query: &Query, ids: &[String]) -> Figures {
    if query.grades.is_empty() {
        let rightly = f64::from(u8::from(ids.is_empty()));
        return Figures { queries: 1, ndcg: rightly, success: rightly, recall: rightly };
    }
    let grade = |id: &str| query.grades.get(id).copied().unwrap_or(0);
    let mut best: Vec<u8> = query.grades.values().copied().collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    best.truncate(10);
    let gain = |grades: &[u8]| -> f64 {
        let gain = |(rank, grade): (usize, &u8)| (2_f64.powi(i32::from(*grade)) - 1.0) / (rank as f64 + 2.0).log2();
        grades.iter().enumerate().map(gain).sum()
    };
    let found: Vec<u8> = ids.iter().map(|id| grade(id)).collect();
    let relevant = found.iter().filter(|grade| **grade > 0).count();
    Figures {
        queries: 1,
        ndcg: gain(&found) / gain(&best),
        success: f64::from(u8::from(found.first() == best.first())),
        recall: relevant as f64 / best.len() as f64,
    }
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.queries += other.queries;
        self.ndcg += other.ndcg;
        self.success += other.success;
        self.recall += other.recall;
    }

    fn finish(&mut self) {
        let queries = self.queries.max(1) as f64;
        self.ndcg /= queries;
        self.success /= queries;
        self.recall /= queries;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22}{:>8}{:>9}{:>11}{:>9}", "category", "queries", "NDCG@10", "success@1", "recall")?;
        let all = [("all but nothing".to_owned(), self.overall.clone())];
        for (category, figures) in self.categories.iter().map(|(c, f)| (c.clone(), f.clone())).chain(all) {
            let Figures { queries, ndcg, success, recall } = figures;
            writeln!(f, "{category:<22}{queries:>8}{ndcg:>9.3}{success:>11.3}{recall:>9.3}")?;
        }
        Ok(())
    }
}
