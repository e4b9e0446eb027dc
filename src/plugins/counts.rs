//! Download counts: noted in the journal, brought to the database in batches.

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

/// Notes that a transfer begins. It will be counted, once, whatever dies.
pub(super) fn note_download(plugins: &Plugins, id: &str, file: &VersionFile) {
    let day = OffsetDateTime::now_utc().date().to_julian_day() - EPOCH.to_julian_day();
    plugins.journal.append((file.version_id, day));
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
    let (mut versions, mut days, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for ((version, day), count) in &segment.counts {
        match Date::from_julian_day(EPOCH.to_julian_day().saturating_add(*day)) {
            Ok(day) => {
                versions.push(*version);
                days.push(day);
                counts.push(*count);
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
    let ids = queries::add_downloads(&mut tx, &versions, &days, &counts).await?;
    failpoint::reach("before_counting");
    tx.commit().await?;
    failpoint::reach("after_counting");
    plugins.journal.forgotten(&finished);
    Ok(ids)
}
