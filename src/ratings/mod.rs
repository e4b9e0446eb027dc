//! Ratings: one to five stars and a review, one per user and plugin.

mod feedback;
mod queries;

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    accounts::{Accounts, CurrentUser, Scope},
    catalogue::{PluginId, Status},
    data::{
        changes::{Feed, Topic},
        database::{self, Transaction},
        timestamps,
    },
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        cache,
        envelope::{Nothing, Success},
        extract::{Body, Fields, FromFields, Path, Query},
        page::{Page, Pagination},
        policy::{Policy, Routes},
    },
    plugins::{self, Plugins, RatingChange},
};

pub use feedback::{NewReply, Reply, save_reply, set_helpful};
pub use queries::{Reviewed, find_own, find_plugin_of, find_votes, recent};

/// The most characters of a review.
const MAX_REVIEW: usize = 5_000;

/// The ratings of plugins.
pub struct Ratings {
    db: PgPool,
    accounts: Arc<Accounts>,
    plugins: Arc<Plugins>,
    feed: Feed,
}

impl Ratings {
    /// Ratings of these plugins by users of these accounts.
    pub fn new(db: PgPool, accounts: Arc<Accounts>, plugins: Arc<Plugins>, feed: Feed) -> Self {
        Self { db, accounts, plugins, feed }
    }
}

impl AsRef<Accounts> for Ratings {
    fn as_ref(&self) -> &Accounts {
        &self.accounts
    }
}

/// The routes below `/plugins/{id}/ratings`.
pub fn router(ratings: Arc<Ratings>) -> Routes {
    Routes::new()
        .api(Policy::read(), routes!(list))
        .api(Policy::write(), routes!(rate))
        .api(Policy::write(), routes!(unrate))
        .api(Policy::write(), routes!(feedback::vote))
        .api(Policy::write(), routes!(feedback::unvote))
        .api(Policy::write(), routes!(feedback::reply))
        .api(Policy::write(), routes!(feedback::delete_reply))
        .with_state(ratings)
}

/// A rating as others see it.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
pub struct Rating {
    pub id: i64,
    pub rating: i16,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    pub updated_at: OffsetDateTime,
    /// The version that was current when it was written; null when that is not known.
    pub version: Option<String>,
    /// How many found it helpful.
    pub helpful: i64,
    pub username: String,
    pub display_name: String,
    /// Empty when there is none.
    pub review: String,
    /// What an owner of the plugin replied.
    pub reply: Option<Reply>,
}

/// A page of ratings, and how all of them are spread.
#[derive(Serialize, ToSchema)]
#[schema(as = Ratings)]
pub struct RatingList {
    /// Where it stands in the whole list.
    pub pagination: Pagination,
    /// Mean of all, two decimals; 0 without any.
    pub average: f64,
    /// How many gave 1, 2, 3, 4 and 5.
    pub distribution: [i64; 5],
    /// Newest first.
    pub ratings: Vec<Rating>,
}

/// Lists a plugin's ratings, newest first.
#[utoipa::path(get, path = "/plugins/{id}/ratings", tag = "ratings", params(("id" = String, Path), Page),
    responses((status = 200, body = Success<RatingList>)))]
pub async fn list(
    State(ratings): State<Arc<Ratings>>,
    Path(id): Path<PluginId>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Result<Response> {
    let what = format!("ratings/{}/{}", page.page, page.limit);
    let ready = plugins::of_plugin(&ratings.plugins, page.kind(), id.as_str(), &what, 0, || async {
        plugins::find_visible(&ratings.plugins, &id).await?;
        cache::json(&*Success::of(find(&ratings, id.as_str(), page).await?))
    });
    Ok(ready.await?.respond(&headers))
}

/// One page of the ratings of a plugin that is known to be there.
///
/// # Errors
/// If the database is unavailable.
pub async fn find(ratings: &Ratings, id: &str, page: Page) -> Result<RatingList> {
    let distribution = queries::distribution(&ratings.db, id).await?;
    let total: i64 = distribution.iter().sum();
    let ratings = queries::list(&ratings.db, id, page).await?;
    let sum: i64 = (1..).zip(distribution).map(|(stars, n)| stars * n).sum();
    let average = if total == 0 { 0.0 } else { (100.0 * sum as f64 / total as f64).round() / 100.0 };
    Ok(RatingList { pagination: Pagination::new(page, total.cast_unsigned()), average, distribution, ratings })
}

/// One's own rating.
#[derive(ToSchema)]
pub struct NewRating {
    #[schema(minimum = 1, maximum = 5)]
    rating: i16,
    #[schema(required = false, max_length = 5000)]
    review: Option<String>,
}

impl FromFields for NewRating {
    fn from_fields(fields: &mut Fields) -> Self {
        let rating = fields.integer("rating", 1..=5) as i16;
        let review = fields.optional_block_text("review", MAX_REVIEW);
        Self { rating, review }
    }
}

/// Rates a plugin; rating again replaces the earlier rating.
#[utoipa::path(post, path = "/plugins/{id}/ratings", tag = "ratings", params(("id" = String, Path)), request_body = NewRating,
    security(("bearer" = [])),
    responses((status = 200, body = Success<Rating>)))]
pub async fn rate(
    State(ratings): State<Arc<Ratings>>,
    lang: Lang,
    user: CurrentUser,
    Path(id): Path<PluginId>,
    Body(new): Body<NewRating>,
) -> Result<Json<Success<Rating>>> {
    let rating = save(&ratings, &user, &id, new).await?;
    Ok(Success::saying(rating, lang.pick("评分成功", "Rated")))
}

/// Saves a user's rating in place of the one before.
///
/// # Errors
/// 404 when there is no such plugin, 403 for its owners.
pub async fn save(ratings: &Ratings, user: &CurrentUser, id: &PluginId, new: NewRating) -> Result<Rating> {
    user.allows(Scope::Rate, id.as_str())?;
    let mut tx = begin(ratings, id.as_str()).await?;
    if plugins::is_owner(&mut tx, id.as_str(), user.id).await? {
        return Err(Error::new(&codes::OWN_PLUGIN));
    }
    let before = queries::find(&mut tx, id.as_str(), user.id).await?;
    let rating = queries::upsert(&mut tx, id.as_str(), user.id, new.rating, new.review.as_deref()).await?;
    let change = RatingChange { before, after: Some(new.rating) };
    finish(ratings, tx, id.as_str(), change).await?;
    Ok(rating)
}

/// Takes one's own rating back.
#[utoipa::path(delete, path = "/plugins/{id}/ratings", tag = "ratings", params(("id" = String, Path)), security(("bearer" = [])),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn unrate(
    State(ratings): State<Arc<Ratings>>,
    lang: Lang,
    user: CurrentUser,
    Path(id): Path<PluginId>,
) -> Result<Json<Success<Nothing>>> {
    user.allows(Scope::Rate, id.as_str())?;
    remove(&ratings, id.as_str(), user.id, async |_: &mut PgConnection| Ok(())).await?;
    Ok(Success::saying(Nothing {}, lang.pick("评分已删除", "Rating deleted")))
}

/// Removes a user's rating of a plugin; `also` runs in the same transaction.
///
/// # Errors
/// 404 when there is none.
pub async fn remove(
    ratings: &Ratings,
    id: &str,
    user: i64,
    also: impl AsyncFnOnce(&mut PgConnection) -> Result<()>,
) -> Result<()> {
    let mut tx = begin(ratings, id).await?;
    let before = queries::delete(&mut tx, id, user).await?.or_refuse(&codes::NO_OWN_RATING)?;
    also(&mut tx).await?;
    finish(ratings, tx, id, RatingChange { before: Some(before), after: None }).await
}

/// Locks the plugin, so that its sum and its ratings change together.
async fn begin(ratings: &Ratings, id: &str) -> Result<Transaction> {
    let mut tx = database::begin(&ratings.db).await?;
    match plugins::lock(&mut tx, id).await? {
        Some(plugin) if plugin.status != Status::Banned => Ok(tx),
        _ => Err(Error::new(&codes::PLUGIN_NOT_FOUND)),
    }
}

async fn finish(ratings: &Ratings, mut tx: Transaction, id: &str, change: RatingChange) -> Result<()> {
    plugins::apply_rating(&mut tx, id, &change).await?;
    tx.commit().await?;
    ratings.feed.wait_until_applied(Topic::Catalogue, vec![id.to_owned()]).await;
    Ok(())
}
