//! Download counts: noted in the journal, brought to the database in batches.

use axum::http::{HeaderMap, HeaderValue, header};
use journal::Segment;
use time::{Date, OffsetDateTime};
use tracing::{error, warn};

use super::{
    Plugins,
    queries::{self, VersionFile},
};
use crate::{
    data::{changes::Topic, database},
    error::Result,
    observe::failpoint,
};

const EPOCH: Date = OffsetDateTime::UNIX_EPOCH.date();

/// A record's second number holds the day in its lower bits and the source above; those of earlier releases have none.
const DAY_BITS: u32 = 24;

/// What kind of program a download goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadSource {
    /// A browser: the button of the plugin's page.
    Browser,
    /// curl or wget: the commands of the plugin's page, and scripts.
    CommandLine,
    /// GeekTools and every other program.
    Program,
}

impl DownloadSource {
    const ALL: [Self; 3] = [Self::Browser, Self::CommandLine, Self::Program];

    /// By what the program says it is.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let name = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        match name {
            name if name.starts_with(b"Mozilla/") => Self::Browser,
            name if name.starts_with(b"curl/") || name.starts_with(b"Wget/") => Self::CommandLine,
            _ => Self::Program,
        }
    }

    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::CommandLine => "command_line",
            Self::Program => "program",
        }
    }

    /// The day with the source, as it is recorded.
    fn with_day(self, day: i32) -> i32 {
        let code = Self::ALL.iter().position(|source| *source == self).map_or(0, |at| at as i32 + 1);
        day | code << DAY_BITS
    }

    /// The day and the source of a record.
    fn split(recorded: i32) -> (i32, Option<Self>) {
        let (day, code) = (recorded & ((1 << DAY_BITS) - 1), recorded >> DAY_BITS);
        (day, usize::try_from(code - 1).ok().and_then(|at| Self::ALL.get(at)).copied())
    }
}

/// Notes that a transfer begins. It will be counted, once, whatever dies.
pub(super) fn note_download(plugins: &Plugins, id: &str, file: &VersionFile, source: DownloadSource) {
    let day = OffsetDateTime::now_utc().date().to_julian_day() - EPOCH.to_julian_day();
    plugins.journal.append((file.version_id, source.with_day(day)));
    plugins.metrics.downloaded(id);
}

/// Brings everything noted so far to the database.
///
/// # Errors
/// If the database is unavailable; nothing is lost, the next round tries again.
pub async fn flush_once(plugins: &Plugins) -> Result<()> {
    let _turn = plugins.journal.turn().await;
    while let Some(segment) = plugins.journal.next()? {
        let ids = apply(plugins, &segment).await?;
        plugins.journal.applied(&segment);
        plugins.feed.wait_until_applied(Topic::Catalogue, ids).await;
    }
    Ok(())
}

async fn apply(plugins: &Plugins, segment: &Segment) -> Result<Vec<String>> {
    let mut counted = queries::Downloads::default();
    for ((version, recorded), count) in &segment.counts {
        let (day, source) = DownloadSource::split(*recorded);
        match Date::from_julian_day(EPOCH.to_julian_day().saturating_add(day)) {
            Ok(day) => {
                counted.versions.push(*version);
                counted.days.push(day);
                counted.sources.push(source.map(|source| source.name().to_owned()));
                counted.counts.push(*count);
            }
            Err(e) => error!(error = %e, "a journal record holds no day"),
        }
    }
    let mut tx = database::begin(&plugins.db).await?;
    if !queries::insert_segment(&mut tx, segment.id).await? {
        warn!(segment = %segment.id, "these counts are in the database already");
        return Ok(Vec::new());
    }
    let finished = plugins.journal.finished();
    queries::forget_segments(&mut tx, &finished).await?;
    let ids = queries::add_downloads(&mut tx, &counted).await?;
    failpoint::reach("before_counting");
    tx.commit().await?;
    failpoint::reach("after_counting");
    plugins.journal.forgotten(&finished);
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_day_and_source_and_one_of_an_earlier_release_has_no_source() {
        for source in DownloadSource::ALL {
            assert_eq!(DownloadSource::split(source.with_day(20_500)), (20_500, Some(source)));
        }
        assert_eq!(DownloadSource::split(20_500), (20_500, None));
    }
}
