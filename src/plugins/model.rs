//! What a plugin in full looks like to clients.

#![expect(missing_docs, reason = "names of the contract; what they do not say is documented")]

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    catalogue::{Publisher, Status},
    data::timestamps,
};

/// A plugin in full.
#[derive(Serialize, ToSchema)]
pub struct PluginDetail {
    pub id: String,
    /// Null while every version is yanked.
    pub current_version: Option<String>,
    pub downloads: i32,
    pub rating: f64,
    pub rating_count: i32,
    pub status: Status,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    #[serde(serialize_with = "timestamps::serialize")]
    pub updated_at: OffsetDateTime,
    pub file_url: String,
    pub name: String,
    /// The first owner who still is one; null when there is none.
    pub publisher: Option<Publisher>,
    pub description: String,
    /// What `info.json` says, unchecked.
    pub author: String,
    pub tags: Vec<String>,
    pub min_geektools_version: Option<String>,
    pub homepage_url: Option<String>,
    pub repository_url: Option<String>,
    pub license: String,
    /// Why it is deprecated, in its owners' words.
    pub status_message: Option<String>,
    /// The plugin to use instead.
    pub replacement: Option<String>,
    /// Highest version first.
    pub versions: Vec<VersionItem>,
    /// Scripts of the current version.
    pub scripts: Vec<ScriptItem>,
    /// Dependencies of the current version.
    pub dependencies: Vec<DependencyItem>,
    pub owners: Vec<Owner>,
}

/// One version of a plugin.
#[derive(Serialize, ToSchema)]
pub struct VersionItem {
    pub version: String,
    pub changelog: String,
    pub file_size: i64,
    /// SHA-256 of the package, in hex.
    pub file_hash: String,
    #[serde(serialize_with = "timestamps::serialize")]
    pub created_at: OffsetDateTime,
    pub downloads: i32,
    /// Whether it has no pre-release part.
    pub is_stable: bool,
    pub yanked: bool,
    pub yank_reason: Option<String>,
}

/// One script of a version.
#[derive(Clone, Serialize, ToSchema)]
pub struct ScriptItem {
    pub name: String,
    /// Path below `scripts/`.
    pub file: String,
    pub description: String,
    pub executable: bool,
}

/// One dependency of a version.
#[derive(Serialize, ToSchema)]
pub struct DependencyItem {
    pub id: String,
    pub min_version: Option<String>,
}

/// Somebody who may publish a plugin's versions.
#[derive(Clone, Serialize, ToSchema)]
pub struct Owner {
    pub username: String,
    pub display_name: String,
    /// Whether an administrator has verified who this is.
    pub is_verified: bool,
}

impl From<&Owner> for Publisher {
    fn from(owner: &Owner) -> Self {
        let Owner { username, display_name, is_verified } = owner.clone();
        Self { username, display_name, is_verified }
    }
}
