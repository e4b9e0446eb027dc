//! Transactions whose caller leaves, at every `await`.

use std::{
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use marketplace::{config, data::database};
use sqlx::{ConnectOptions, PgPool, query, query_scalar};
use tokio::time::sleep;

/// When a caller leaves.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// After so many polls of the work.
    polls: usize,
    /// Only when the answer it waits for has arrived, unread.
    when_answered: bool,
}

impl Leaving {
    /// What the work came to; `None` when its caller left before its end.
    async fn apply<F: Future>(self, work: F) -> Option<F::Output> {
        let (mut work, mut left) = (pin!(work), self.polls);
        std::future::poll_fn(|context: &mut Context<'_>| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            match work.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if left == 0 && !self.when_answered => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

async fn insert(db: &PgPool, name: &str) -> sqlx::Result<()> {
    let mut tx = database::begin(db).await?;
    query("insert into job_runs (name) values ($1)").bind(name).execute(&mut *tx).await?;
    tx.commit().await
}

async fn read(db: &PgPool) -> sqlx::Result<()> {
    let mut tx = database::begin_snapshot(db).await?;
    query("select name from job_runs").fetch_all(&mut *tx).await?;
    tx.rollback().await
}

async fn is_there(db: &PgPool, name: &str) -> bool {
    let found = query_scalar("select exists (select from job_runs where name = $1)").bind(name);
    found.fetch_one(db).await.unwrap()
}

#[sqlx::test]
async fn a_caller_that_leaves_at_any_await_leaves_no_transaction(db: PgPool) {
    let url = db.connect_options().to_url_lossy().to_string();
    let settings = config::Database { max_connections: 1, ..Default::default() };
    let pool = database::open(&settings, &url).await.unwrap();
    let (mut left, mut done) = (0, 0);
    for when_answered in [false, true] {
        for reads in [false, true] {
            for polls in 1..100 {
                let leaving = Leaving { polls, when_answered };
                let name = format!("{leaving:?} {reads}");
                let outcome =
                    if reads { leaving.apply(read(&pool)).await } else { leaving.apply(insert(&pool, &name)).await };
                // The only connection is free again, and what is written on it now is durable at once.
                query("insert into job_runs (name) values ($1)")
                    .bind(format!("{name} next"))
                    .execute(&pool)
                    .await
                    .unwrap();
                assert!(is_there(&db, &format!("{name} next")).await, "{name}: written into a stranger's transaction");
                let open: i64 = query_scalar(
                    "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in %'",
                )
                .fetch_one(&db)
                .await
                .unwrap();
                assert_eq!(open, 0, "{name}");
                if let Some(ended) = outcome {
                    ended.unwrap();
                    assert!(reads || is_there(&db, &name).await, "{name}");
                    done += 1;
                    break;
                }
                left += 1;
            }
        }
    }
    assert_eq!(done, 4);
    // Each of the four was left at least once; how much oftener depends on how fast the database answers.
    assert!(left >= 4, "only {left} moments");
}

#[sqlx::test]
async fn a_commit_that_was_begun_happens_without_its_caller(db: PgPool) {
    let mut tx = database::begin(&db).await.unwrap();
    query("insert into job_runs (name) values ('begun')").execute(&mut *tx).await.unwrap();

    let left = Leaving { polls: 1, when_answered: false }.apply(tx.commit()).await;

    assert!(left.is_none());
    sleep(Duration::from_millis(200)).await;
    assert!(is_there(&db, "begun").await);
}
