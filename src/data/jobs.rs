//! Work that this process repeats beside the requests.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::warn;

/// The longest one round of anything may take; removing strays from a large store does.
const MAX_ROUND: Duration = Duration::from_secs(600);

/// The running jobs; they end when this is dropped.
#[derive(Default)]
pub struct Jobs(JoinSet<()>);

impl Jobs {
    /// Runs a job that repeats itself.
    pub fn spawn(&mut self, job: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(job);
    }

    /// Runs `round` now and then once every `period`, or later when a round takes longer.
    pub fn every<P, F>(&mut self, period: Duration, part: &Arc<P>, round: impl Fn(Arc<P>) -> F + Send + 'static)
    where
        P: Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let part = part.clone();
        self.0.spawn(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // A database that takes a question and never answers must not end the job.
                if timeout(MAX_ROUND, round(part.clone())).await.is_err() {
                    warn!("a job took too long and was cancelled; it runs again");
                }
            }
        });
    }

    /// Ends all jobs and waits until they have ended.
    pub async fn stop(mut self) {
        self.0.shutdown().await;
    }
}
