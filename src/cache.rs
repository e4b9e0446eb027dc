//! The shared cache in Redis. Every value can be made anew, so a failure is a miss, never an error.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use redis::{
    FromRedisValue, Pipeline,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tracing::{info, warn};

/// Longest wait for Redis: a slow cache is worth less than none.
const PATIENCE: Duration = Duration::from_millis(200);

/// A connection to Redis that repairs itself.
pub struct Redis {
    manager: ConnectionManager,
    is_well: AtomicBool,
}

impl Redis {
    /// Prepares the connection; whether Redis answers shows later.
    ///
    /// # Errors
    /// When the address is malformed.
    pub fn connect(url: &str) -> anyhow::Result<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        let client = redis::Client::open(url).map_err(|e| anyhow::anyhow!("redis.url: {e}"))?;
        let manager = ConnectionManager::new_lazy_with_config(client, config)?;
        Ok(Self { manager, is_well: AtomicBool::new(true) })
    }

    /// Runs commands; `None` when Redis fails or takes too long.
    pub async fn run<T: FromRedisValue>(&self, pipe: &Pipeline) -> Option<T> {
        let mut manager = self.manager.clone();
        let result = tokio::time::timeout(PATIENCE, pipe.query_async::<T>(&mut manager)).await;
        let is_well = matches!(result, Ok(Ok(_)));
        if self.is_well.swap(is_well, Ordering::Relaxed) != is_well {
            if is_well {
                info!("Redis answers again");
            } else {
                warn!("Redis does not answer; going on without it");
            }
        }
        result.ok()?.ok()
    }

    /// Whether Redis answers now.
    pub async fn ping(&self) -> bool {
        let mut ping = redis::pipe();
        ping.cmd("PING");
        self.run::<Vec<String>>(&ping).await.is_some()
    }
}
