//! Ids that may be published whatever they resemble.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use crate::{
    accounts::{self, Administrator},
    catalogue::PluginId,
    data::{audit, database},
    error::{OrRefuse, Result, codes, lang::Lang},
    http::{
        envelope::Success,
        extract::{Body, Fields, FromFields},
    },
    plugins::{self, read_optional_reason},
};

/// An id, and who may publish it although it resembles another's.
#[derive(ToSchema)]
pub struct Reservation {
    /// The id of a plugin that is not published yet.
    #[schema(example = "port-checker")]
    id: String,
    /// Who may publish it; anybody when absent.
    #[schema(required = false)]
    username: Option<String>,
    /// For the audit log.
    #[schema(required = false, max_length = 1000)]
    reason: Option<String>,
}

impl FromFields for Reservation {
    fn from_fields(fields: &mut Fields) -> Self {
        let id = fields.text("id");
        if fields.has("id") && PluginId::try_from(id.clone()).is_err() {
            let (zh, en) = ("应为 3–50 个小写字母、数字、- 或 _", "must be 3–50 of a–z, 0–9, - and _");
            fields.fault("id", zh, en);
        }
        Self { id, username: fields.short_text("username", 50), reason: read_optional_reason(fields) }
    }
}

/// What was decided.
#[derive(Serialize, ToSchema)]
pub struct Reserved {
    id: String,
    /// Null for anybody.
    username: Option<String>,
}

/// Lets somebody publish a new id although it resembles that of another owner. Deciding again replaces the decision.
#[utoipa::path(post, path = "/admin/reserved-names", tag = "admin", request_body = Reservation, security(("bearer" = [])),
    responses(
        (status = 201, body = Success<Reserved>),
        (status = 200, body = Success<Reserved>, description = "An earlier decision was replaced"),
    ))]
pub async fn reserve(
    State(admin): State<Arc<Admin>>,
    lang: Lang,
    Administrator(by): Administrator,
    Body(wanted): Body<Reservation>,
) -> Result<(StatusCode, Json<Success<Reserved>>)> {
    let Reservation { id, username, reason } = wanted;
    let mut tx = database::begin(&admin.db).await?;
    let user = match &username {
        Some(name) => Some(accounts::find_active_user(&mut *tx, name).await?.or_refuse(&codes::USER_NOT_FOUND)?),
        None => None,
    };
    let is_new = plugins::reserve_name(&mut *tx, &id, user).await?;
    let action = "name.reserve";
    audit::record(&mut tx, &by.username, action, &format!("plugin:{id}"), reason.as_deref()).await?;
    tx.commit().await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Success::saying(Reserved { id, username }, lang.pick("已允许发布此 id", "This id may be published"))))
}
