//! What others do with a review: vote that it is helpful, and, as owners of the plugin, reply.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Ratings, begin, queries};
use crate::{
    accounts::{CurrentUser, Scope},
    catalogue::PluginId,
    data::{changes::Topic, timestamps},
    error::{Error, OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::{Nothing, Success},
        extract::{Body, Fields, FromFields, Path},
    },
    plugins,
};

/// The most characters of a reply.
const MAX_REPLY: usize = 5_000;

/// An owner's reply to a review.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Serialize, ToSchema)]
pub struct Reply {
    pub username: String,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    pub text: String,
}

/// How many found a review helpful.
#[derive(Serialize, ToSchema)]
pub struct Votes {
    helpful: i64,
}

/// Votes that a review is helpful; once a user.
#[utoipa::path(put, path = "/plugins/{id}/ratings/{rating_id}/helpful", tag = "ratings", security(("bearer" = [])),
    params(("id" = String, Path), ("rating_id" = i64, Path)),
    responses((status = 200, body = Success<Votes>)))]
pub async fn vote(
    State(ratings): State<Arc<Ratings>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, rating)): Path<(PluginId, i64)>,
) -> Result<Json<Success<Votes>>> {
    let helpful = set_helpful(&ratings, &user, &id, rating, true).await?;
    Ok(Success::saying(Votes { helpful }, lang.pick("已标为有用", "Marked as helpful")))
}

/// Takes a vote back.
#[utoipa::path(delete, path = "/plugins/{id}/ratings/{rating_id}/helpful", tag = "ratings", security(("bearer" = [])),
    params(("id" = String, Path), ("rating_id" = i64, Path)),
    responses((status = 200, body = Success<Votes>)))]
pub async fn unvote(
    State(ratings): State<Arc<Ratings>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, rating)): Path<(PluginId, i64)>,
) -> Result<Json<Success<Votes>>> {
    let helpful = set_helpful(&ratings, &user, &id, rating, false).await?;
    Ok(Success::saying(Votes { helpful }, lang.pick("已取消有用标记", "No longer marked as helpful")))
}

/// Votes that a review is helpful or takes the vote back; returns how many votes it has.
///
/// # Errors
/// 404 when there is no such review, 403 for its author.
pub async fn set_helpful(
    ratings: &Ratings,
    user: &CurrentUser,
    id: &PluginId,
    rating: i64,
    is_helpful: bool,
) -> Result<i64> {
    user.allows(Scope::Rate, id.as_str())?;
    let mut tx = begin(ratings, id.as_str()).await?;
    let author = queries::author_of(&mut *tx, id.as_str(), rating).await?.or_refuse(&codes::NO_OWN_RATING)?;
    if author == user.id {
        return Err(Error::new(&codes::OWN_REVIEW));
    }
    if is_helpful {
        queries::insert_vote(&mut tx, rating, user.id).await?;
    } else {
        queries::delete_vote(&mut tx, rating, user.id).await?;
    }
    let helpful = queries::count_votes(&mut tx, rating).await?;
    tx.commit().await?;
    ratings.feed.wait_until_applied(Topic::Catalogue, vec![id.as_str().to_owned()]).await;
    Ok(helpful)
}

/// What an owner replies.
#[derive(ToSchema)]
pub struct NewReply {
    #[schema(min_length = 1, max_length = 5000)]
    text: String,
}

impl FromFields for NewReply {
    fn from_fields(fields: &mut Fields) -> Self {
        Self { text: fields.block_text("text", MAX_REPLY) }
    }
}

/// Replies to a review as an owner of the plugin; replying again replaces the reply.
#[utoipa::path(put, path = "/plugins/{id}/ratings/{rating_id}/reply", tag = "ratings", request_body = NewReply,
    security(("bearer" = [])), params(("id" = String, Path), ("rating_id" = i64, Path)),
    responses((status = 200, body = Success<Reply>)))]
pub async fn reply(
    State(ratings): State<Arc<Ratings>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, rating)): Path<(PluginId, i64)>,
    Body(new): Body<NewReply>,
) -> Result<Json<Success<Reply>>> {
    let reply = save_reply(&ratings, &user, &id, rating, Some(new)).await?;
    Ok(Success::saying(reply.or_refuse(&codes::REPLY_NOT_FOUND)?, lang.pick("回复已保存", "Reply saved")))
}

/// Removes the reply to a review.
#[utoipa::path(delete, path = "/plugins/{id}/ratings/{rating_id}/reply", tag = "ratings", security(("bearer" = [])),
    params(("id" = String, Path), ("rating_id" = i64, Path)),
    responses((status = 200, body = Success<Nothing>)))]
pub async fn delete_reply(
    State(ratings): State<Arc<Ratings>>,
    lang: Lang,
    user: CurrentUser,
    Path((id, rating)): Path<(PluginId, i64)>,
) -> Result<Json<Success<Nothing>>> {
    save_reply(&ratings, &user, &id, rating, None).await?;
    Ok(Success::saying(Nothing {}, lang.pick("回复已删除", "Reply deleted")))
}

/// Replies to a review for an owner, or without a text removes the reply.
///
/// # Errors
/// 403 for anybody but an owner, 404 when there is no such review, or no reply to remove.
pub async fn save_reply(
    ratings: &Ratings,
    user: &CurrentUser,
    id: &PluginId,
    rating: i64,
    new: Option<NewReply>,
) -> Result<Option<Reply>> {
    user.allows(Scope::Manage, id.as_str())?;
    let mut tx = begin(ratings, id.as_str()).await?;
    if !plugins::is_owner(&mut tx, id.as_str(), user.id).await? {
        return Err(Error::with(&codes::NOT_OWNER, &[id.as_str()]));
    }
    queries::author_of(&mut *tx, id.as_str(), rating).await?.or_refuse(&codes::NO_OWN_RATING)?;
    let reply = match new {
        Some(new) => Some(queries::upsert_reply(&mut tx, rating, user.id, &new.text).await?),
        None => {
            queries::delete_reply(&mut tx, rating).await?.then_some(()).or_refuse(&codes::REPLY_NOT_FOUND)?;
            None
        }
    };
    tx.commit().await?;
    ratings.feed.wait_until_applied(Topic::Catalogue, vec![id.as_str().to_owned()]).await;
    Ok(reply)
}
