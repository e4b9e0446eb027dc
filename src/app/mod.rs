//! The assembly: builds each part with what it needs. The only module that knows all parts.

mod jobs;
mod routes;

pub use jobs::{start as start_jobs, tidy_once};
pub use routes::{gateway_router, registry_router, router};

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use journal::Journal;
use sqlx::PgPool;

use crate::{
    accounts::{Accounts, load_or_create_secret},
    admin::Admin,
    catalogue::Catalogue,
    config::Config,
    data::{
        changes::{self, Feed, Worker},
        derived::DerivedData,
        monitor::DatabaseMonitor,
        redis::Redis,
    },
    gateway::Gateway,
    http::{cache::Cache, health::Health},
    limits::Limits,
    observe::metrics::Metrics,
    plugins::{self, Files, KnownDetails, MostDownloaded, Plugins, Turns},
    ratings::Ratings,
    registry::Registry,
    reports::Reports,
    search::Search,
    storage::Storage,
    upstream::Upstream,
    web::Web,
};

/// The running server: foundations, and the parts that stand on them.
#[expect(missing_docs, reason = "each type says what it is")]
pub struct App {
    pub config: Config,
    pub db: PgPool,
    pub redis: Option<Arc<Redis>>,
    pub cache: Arc<Cache>,
    pub journal: Arc<Journal>,
    pub limits: Arc<Limits>,
    pub derived: Arc<DerivedData>,
    pub feed: Feed,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    pub accounts: Arc<Accounts>,
    pub catalogue: Arc<Catalogue>,
    pub plugins: Arc<Plugins>,
    pub search: Arc<Search>,
    pub ratings: Arc<Ratings>,
    pub reports: Arc<Reports>,
    pub upstream: Arc<Upstream>,
    pub registry: Arc<Registry>,
    pub gateway: Arc<Gateway>,
    pub admin: Arc<Admin>,
    pub web: Arc<Web>,
}

impl App {
    /// Opens foundations and parts on top of a connected database, in a folder that is there. The workers bring
    /// changes of the database to the parts; [`start_jobs`] runs them.
    ///
    /// # Errors
    /// If a file cannot be opened or the secret not kept.
    pub fn open(config: Config, db: PgPool) -> anyhow::Result<(Arc<Self>, Vec<Worker>)> {
        let data_dir = config.data_dir()?;
        let secret = match config.auth.jwt_secret.get() {
            Some(secret) => secret.to_owned(),
            None => load_or_create_secret(&data_dir.join("jwt_secret"))?,
        };
        let (feed, workers) = changes::feed();
        let metrics = Metrics::install()?;
        let database = Arc::<DatabaseMonitor>::default();
        let redis = config.redis.url.get().map(Redis::connect).transpose()?.map(Arc::new);
        // Three eighths of the memory for list entries, the rest for whole answers.
        let (entries, answers) = ((config.cache.memory_mb << 17) * 3, (config.cache.memory_mb << 17) * 5);
        let cache = Arc::new(Cache::new(answers, config.cache.seconds, redis.clone(), database.clone()));
        let storage = Storage::open_configured(&config.storage, &data_dir)?;
        let journal = Arc::new(Journal::open(&data_dir.join("journal")).context("cannot open the journal of counts")?);
        let limits = Arc::new(Limits::new(config.limits.clone()));
        let derived = Arc::<DerivedData>::default();
        let has_registry = config.registry.enabled;
        let health =
            Health::new(database.clone(), db.clone(), redis.clone(), storage.clone(), journal.clone(), has_registry);
        let health = Arc::new(health);
        let accounts =
            Accounts::new(db.clone(), database.clone(), limits.clone(), feed.clone(), config.auth.clone(), &secret);
        let accounts = Arc::new(accounts);
        let catalogue = Catalogue::new(db.clone(), database.clone(), cache.clone(), entries, config.public_url());
        let catalogue = Arc::new(catalogue);
        let upstream = Arc::new(Upstream::new(&config)?);
        let registry = Registry::new(
            db.clone(),
            database.clone(),
            accounts.clone(),
            feed.clone(),
            upstream.clone(),
            config.registry.clone(),
            metrics.clone(),
        );
        let registry = Arc::new(registry);
        let gateway = Gateway::new(
            registry.clone(),
            accounts.clone(),
            upstream.clone(),
            limits.clone(),
            metrics.clone(),
            &config,
        );
        let gateway = Arc::new(gateway);
        let plugins = Arc::new(Plugins {
            db: db.clone(),
            database,
            accounts: accounts.clone(),
            catalogue: catalogue.clone(),
            cache: cache.clone(),
            storage,
            journal: journal.clone(),
            derived: derived.clone(),
            feed: feed.clone(),
            metrics: metrics.clone(),
            files: Files::default(),
            known_details: KnownDetails::default(),
            turns: Turns::default(),
            most_downloaded: MostDownloaded::default(),
            cdn: config.cdn().map(str::to_owned),
            accel_redirect: config.storage.accel_redirect.clone(),
            stray_age: plugins::stray_age(&config),
        });
        let search = Search::open(&data_dir.join("search"), db.clone(), catalogue.clone(), cache.clone());
        let search = Arc::new(search.context("cannot open the search index")?);
        let ratings = Ratings::new(db.clone(), accounts.clone(), plugins.clone(), feed.clone());
        let ratings = Arc::new(ratings);
        let reports = Arc::new(Reports::new(db.clone(), accounts.clone()));
        let admin =
            Admin::new(db.clone(), accounts.clone(), plugins.clone(), ratings.clone(), journal.clone(), feed.clone());
        let admin = Arc::new(admin);
        let web = Arc::new(Web {
            db: db.clone(),
            accounts: accounts.clone(),
            catalogue: catalogue.clone(),
            plugins: plugins.clone(),
            search: search.clone(),
            ratings: ratings.clone(),
            reports: reports.clone(),
            registry: registry.clone(),
            admin: admin.clone(),
            cache: cache.clone(),
            derived: derived.clone(),
            health: health.clone(),
            journal: journal.clone(),
            public_url: config.public_url().to_owned(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            api_document: OnceLock::new(),
        });
        let app = Self {
            config,
            db,
            redis,
            cache,
            journal,
            limits,
            derived,
            feed,
            health,
            metrics,
            accounts,
            catalogue,
            plugins,
            search,
            ratings,
            reports,
            upstream,
            registry,
            gateway,
            admin,
            web,
        };
        Ok((Arc::new(app), workers))
    }
}
