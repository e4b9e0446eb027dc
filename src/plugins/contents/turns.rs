//! Who reads which package now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::http::header::RETRY_AFTER;
use tokio::sync::OwnedMutexGuard;

use crate::error::{Error, Result, codes};

/// The most requests that wait until files of one package are read.
const MAX_WAITING: usize = 16;

/// One walk at a time through each package: who asks for many files of one package delays only those who ask for files
/// of the same.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn to read the package with a hash.
    pub(super) async fn wait(&self, hash: &str) -> Result<OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(hash).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(hash.to_owned(), Arc::downgrade(&turn));
            turn
        };
        if Arc::strong_count(&turn) > MAX_WAITING {
            return Err(Error::new(&codes::UNAVAILABLE).header(RETRY_AFTER, 2.into()));
        }
        Ok(turn.lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_walk_at_a_time_goes_through_a_package() {
        let turns = Turns::default();
        let first = turns.wait("a").await.expect("a turn");
        let pause = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(pause, turns.wait("a")).await.is_err(), "the same package");
        tokio::time::timeout(pause, turns.wait("b")).await.expect("another package").expect("a turn");
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(turns.wait("a"))).collect();
        let ended = futures_util::future::join_all(waiting.into_iter().map(|turn| tokio::time::timeout(pause, turn)));
        assert!(ended.await.iter().any(|turn| matches!(turn, Ok(Err(_)))), "the queue is bounded");
        drop(first);
        turns.wait("a").await.expect("a turn");
    }
}
