//! What plugins look like in lists. Fields that can hold any text come after those that are ASCII:
//! released clients cut a list's first 200 bytes and fail inside a multi-byte character.

#![expect(missing_docs, reason = "names of the contract; what they do not say is documented")]

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::data::timestamps;

/// The id of a plugin; only holds what an id can be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PluginId(String);

impl PluginId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PluginId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        if package::is_valid_id(&id) { Ok(Self(id)) } else { Err("no plugin can have this id") }
    }
}

/// Where a plugin is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Status {
    /// In lists and searches.
    Active,
    /// Out of lists, still served; its owners say what to use instead.
    Deprecated,
    /// Gone from every public route.
    Banned,
}

/// The account that published a plugin.
#[derive(Clone, Serialize, ToSchema)]
pub struct Publisher {
    pub username: String,
    pub display_name: String,
    /// Whether an administrator has verified who this is.
    pub is_verified: bool,
}

impl Publisher {
    /// The publisher in the columns of a row; none when all three are null.
    pub fn of_row(username: Option<String>, display_name: Option<String>, is_verified: Option<bool>) -> Option<Self> {
        Some(Self { username: username?, display_name: display_name?, is_verified: is_verified? })
    }
}

/// A plugin in a list.
#[derive(Clone, Serialize, ToSchema)]
pub struct PluginItem {
    #[schema(example = "system_tools")]
    pub id: String,
    #[schema(example = "1.0.0")]
    pub current_version: String,
    /// SHA-256 of the current package, in hex.
    pub file_hash: String,
    /// Bytes of the current package.
    pub file_size: i64,
    /// Absolute address of the current package; empty when the server knows no public address.
    pub file_url: String,
    pub downloads: i32,
    /// Mean of all ratings, two decimals; 0 without any.
    pub rating: f64,
    pub rating_count: i32,
    /// Downloads of the last seven days; only where plugins are sorted by them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub recent_downloads: Option<i32>,
    pub status: Status,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    pub updated_at: OffsetDateTime,
    /// The lowest GeekTools version it runs on; empty when it does not say.
    pub min_geektools_version: String,
    pub name: String,
    /// The first owner who still is one; null when there is none.
    pub publisher: Option<Publisher>,
    /// What `info.json` says, unchecked.
    pub author: String,
    pub description: String,
    pub tags: Vec<String>,
    /// SPDX expression or name; `Unknown` when it does not say.
    pub license: String,
}

impl PluginItem {
    /// Bytes it takes in memory, about.
    pub fn weight(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| 24 + tag.len()).sum();
        let publisher = self.publisher.as_ref().map_or(0, |p| p.username.len() + p.display_name.len());
        450 + publisher
            + self.id.len()
            + self.file_url.len()
            + self.name.len()
            + self.author.len()
            + self.description.len()
            + tags
    }
}

/// A count as clients can hold it: 32 bits, signed.
pub fn clamp(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
