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

impl PluginDetail {
    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let version =
            |item: &VersionItem| 300 + item.changelog.len() + item.yank_reason.as_ref().map_or(0, String::len);
        let script = |item: &ScriptItem| 100 + item.name.len() + item.file.len() + item.description.len();
        let texts = self.description.len() + self.name.len() + self.tags.iter().map(String::len).sum::<usize>();
        let owners = self.owners.iter().map(|owner| 100 + owner.display_name.len()).sum::<usize>();
        2_000
            + texts
            + owners
            + self.dependencies.len() * 100
            + self.versions.iter().map(version).sum::<usize>()
            + self.scripts.iter().map(script).sum::<usize>()
    }
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
