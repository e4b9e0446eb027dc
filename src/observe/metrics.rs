//! Metrics, in the text format of Prometheus.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::process;

/// Plugins that get a label of their own; further ones are counted as `other`, so that the number of
/// time series is bounded whatever is published.
const MOST_LABELS: usize = 500;

/// The process's metrics, in Prometheus' text format.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    /// Downloads by plugin and durations by route, method and status: looking a series up by its labels costs more than
    /// the rest of a request.
    labelled: Arc<Mutex<HashMap<String, Counter>>>,
    durations: Arc<RwLock<Durations>>,
    in_flight: Arc<AtomicI64>,
}

type Durations = HashMap<String, HashMap<(&'static str, u16), Histogram>>;

/// Names that become labels: the first so many, `other` for all further ones.
#[derive(Default)]
pub struct Labels(Mutex<HashSet<String>>);

impl Labels {
    /// The most names with a label of their own.
    const MOST: usize = 200;

    /// The label of a name.
    pub fn of(&self, name: &str) -> String {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) || known.len() < Self::MOST {
            known.insert(name.to_owned());
            return name.to_owned();
        }
        "other".to_owned()
    }
}

/// A request being answered, until dropped.
pub struct InFlight(Arc<AtomicI64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// The recorder of this process; made once.
    ///
    /// # Errors
    /// When another recorder is installed.
    pub fn install() -> anyhow::Result<Self> {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        if let Some(metrics) = METRICS.get() {
            return Ok(metrics.clone());
        }
        let buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("request_duration_seconds".into()), &buckets)?
            .install_recorder()
            .or_else(|e| METRICS.get().map(|m| m.handle.clone()).ok_or(e))?;
        describe_counter!("plugin_uploads_total", "Versions published");
        describe_counter!("plugin_downloads_total", "Transfers of packages begun");
        describe_histogram!("request_duration_seconds", "Time to answer, by route and status");
        describe_gauge!("database_connections", "Connections to PostgreSQL, by state");
        describe_gauge!("database_connections_max", "Most connections to PostgreSQL this server opens");
        describe_gauge!("journal_bytes", "Downloads noted but not yet in the database");
        describe_gauge!("journal_lag_seconds", "Age of the oldest download not yet in the database");
        describe_gauge!(
            "queue_length",
            "What waits: passwords to be hashed, texts and packages to be shown, changes to be read"
        );
        describe_gauge!("requests_in_flight", "Requests being answered now");
        describe_gauge!("job_last_success_timestamp_seconds", "When a periodic task last succeeded here");
        describe_gauge!("marketplace_info", "Always 1; the label is the version");
        process::describe();
        describe_gauge!("dependency_up", "Whether a dependency answers and has room on its disk: 1 or 0");
        describe_gauge!("catalogue_plugins", "Plugins in default lists");
        describe_counter!("cache_requests_total", "Look-ups in the cache, by layer and outcome");
        describe_gauge!("cache_bytes", "Bytes of answers kept in memory");
        describe_gauge!("cache_entries", "Answers kept in memory");
        describe_gauge!("registry_instances", "Instances of services, by state");
        describe_counter!("registry_heartbeats_total", "Heartbeats of services received here");
        describe_gauge!("registry_self_preservation", "1 while so many leases ran out at a time that none expires");
        describe_counter!("gateway_requests_total", "Requests answered by the gateway, by service and status");
        describe_histogram!("gateway_request_duration_seconds", "Time until the head of an answer of a service");
        describe_gauge!("gateway_in_flight", "Requests that a service is answering now");
        describe_counter!("gateway_upstream_errors_total", "Requests that a service did not answer, by kind");
        describe_counter!("gateway_retries_total", "Requests sent to another instance");
        counter!("plugin_uploads_total").absolute(0);
        gauge!("marketplace_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let metrics = Self { handle, labelled: Arc::default(), durations: Arc::default(), in_flight: Arc::default() };
        Ok(METRICS.get_or_init(|| metrics).clone())
    }

    /// Counts a request as being answered.
    pub fn begin(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.in_flight.clone())
    }

    /// Notes that a periodic job has succeeded.
    pub fn done(&self, job: &'static str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.set("job_last_success_timestamp_seconds", Some(("task", job)), now.as_secs_f64());
    }

    /// Counts a published version.
    pub fn uploaded(&self) {
        counter!("plugin_uploads_total").increment(1);
    }

    /// Counts a download.
    pub fn downloaded(&self, plugin: &str) {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = labelled.get(plugin) {
            return counter.increment(1);
        }
        let label = if labelled.len() < MOST_LABELS { plugin.to_owned() } else { "other".to_owned() };
        let counter = counter!("plugin_downloads_total", "plugin_id" => label.clone());
        counter.increment(1);
        labelled.insert(label, counter);
    }

    /// Notes how long a request took.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        {
            let known = self.durations.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(duration) = known.get(route).and_then(|of_route| of_route.get(&(method, status))) {
                return duration.record(seconds);
            }
        }
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        let duration = histogram!("request_duration_seconds", &labels);
        duration.record(seconds);
        let mut known = self.durations.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(route.to_owned()).or_default().insert((method, status), duration);
    }

    /// Sets a gauge.
    pub fn set(&self, name: &'static str, label: Option<(&'static str, &'static str)>, value: f64) {
        match label {
            Some(label) => gauge!(name, &[label]).set(value),
            None => gauge!(name).set(value),
        }
    }

    /// Sets a gauge with labels that a part bounds with [`Labels`].
    pub fn set_labelled(&self, name: &'static str, labels: &[(&'static str, String)], value: f64) {
        gauge!(name, labels).set(value);
    }

    /// A counter with labels that a part bounds with [`Labels`].
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, String)]) -> Counter {
        counter!(name, labels)
    }

    /// A histogram with labels that a part bounds with [`Labels`].
    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, String)]) -> Histogram {
        histogram!(name, labels)
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        gauge!("requests_in_flight").set(self.in_flight.load(Ordering::Relaxed) as f64);
        self.handle.render()
    }

    /// Folds recorded samples together, so that memory stays bounded between scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}
