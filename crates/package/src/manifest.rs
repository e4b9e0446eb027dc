//! `info.json`: what it must say, and what becomes of it.

use std::collections::HashSet;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::codes;
use super::faults::{Fault, Faults, Refusal};
use super::fields::{self, Rule};
use super::json::{self, Json, Object};
use super::scripts;
use super::text;
use super::{
    MAX_AUTHOR, MAX_CHANGELOG, MAX_DEPENDENCIES, MAX_DESCRIPTION, MAX_ID, MAX_LICENSE, MAX_NAME, MAX_TAG, MAX_TAGS,
    MIN_ID, PackagedFile,
};

/// Ids no plugin may have, because an address of the server already means something else.
pub const RESERVED_IDS: &[&str] = &[
    "upload",
    "search",
    "tags",
    "stats",
    "plugins",
    "admin",
    "auth",
    "health",
    "metrics",
    "api",
    "v1",
    "versions",
    "owners",
    "ratings",
    "download",
    "suggestions",
    "compare",
    "files",
    "new",
    "feed",
    "docs",
    "static",
    "account",
    "login",
    "logout",
    "register",
];

/// What an author says about a plugin; every value keeps the rules of packages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Names the plugin in addresses and folders.
    pub id: String,
    /// Names the plugin to people.
    pub name: String,
    /// What it does, in any number of lines; may be empty.
    pub description: String,
    /// Who made it.
    pub author: String,
    /// Which version of the plugin this is, without build metadata.
    pub version: Version,
    /// What a user can run, at least one.
    pub scripts: Vec<Script>,
    /// What it is found under, each once, in the author's order.
    pub tags: Vec<String>,
    /// Other plugins it needs, each once.
    pub dependencies: Vec<Dependency>,
    /// The oldest GeekTools it runs on, a SemVer version.
    pub min_geektools_version: Option<String>,
    /// An http or https address.
    pub homepage_url: Option<String>,
    /// An http or https address.
    pub repository_url: Option<String>,
    /// As the author wrote it; never blank.
    pub license: Option<String>,
    /// What changed, in any number of lines.
    pub changelog: Option<String>,
}

/// One script a user can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Names the script to people.
    pub name: String,
    /// Its path below `scripts/`.
    pub file: String,
    /// What it does; may be empty.
    pub description: String,
    /// Whether the author marked it as executable.
    pub executable: bool,
}

/// Another plugin this one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The other plugin.
    pub id: String,
    /// The oldest version of it that will do.
    pub min_version: Option<Version>,
}

/// Whether a text has the form of a plugin id; a reserved one has.
pub fn is_valid_id(id: &str) -> bool {
    (MIN_ID..=MAX_ID).contains(&id.len())
        && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Reads the manifest and collects everything that is wrong with it.
pub(super) fn read(bytes: &[u8], files: &[PackagedFile]) -> Result<Manifest, Refusal> {
    let root = json::parse_object(bytes)?;
    let mut faults = Faults::default();
    let found = &mut faults;
    let id = id(&root, found);
    let manifest = Manifest {
        name: name(&root, found),
        // Never seen: a version that cannot be read is a fault, and with a fault there is no manifest.
        version: fields::version(&root, "version", found).unwrap_or_else(|| Version::new(0, 0, 0)),
        description: fields::required(&root, "description", Rule::block(MAX_DESCRIPTION), found),
        author: fields::required(&root, "author", Rule::line(MAX_AUTHOR), found),
        scripts: scripts::read(&root, files, found),
        tags: tags(&root, found),
        dependencies: dependencies(&root, &id, found),
        min_geektools_version: fields::optional_version(&root, "min_geektools_version", found)
            .map(|version| version.to_string()),
        homepage_url: fields::url(&root, "homepage_url", found),
        repository_url: fields::url(&root, "repository_url", found),
        license: license(&root, found),
        changelog: fields::optional(&root, "changelog", Rule::block(MAX_CHANGELOG), found),
        id,
    };
    faults.or(manifest)
}

fn license(root: &Object, faults: &mut Faults) -> Option<String> {
    let rule = Rule::line(MAX_LICENSE).or_blank();
    fields::optional(root, "license", rule, faults).filter(|license| !text::is_blank(license))
}

fn id(root: &Object, faults: &mut Faults) -> String {
    let Some(id) = fields::string(root.get("id"), "id", faults) else {
        return String::new();
    };
    if !is_valid_id(id) {
        faults.add(Fault::at("id", codes::INVALID_ID));
    } else if RESERVED_IDS.contains(&id) {
        faults.add(Fault::because(
            "id",
            codes::RESERVED_ID,
            format!("{id} 是保留字，不能用作插件 ID"),
            format!("The id {id} is reserved"),
        ));
    }
    id.to_owned()
}

fn name(root: &Object, faults: &mut Faults) -> String {
    let name = fields::required(root, "name", Rule::line(MAX_NAME), faults);
    // The client puts the name into a file name.
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        faults.invalid(
            "name",
            "不能含有 / 或 \\，也不能是 . 或 ..",
            "must not contain / or \\ and must not be . or ..",
        );
    }
    name
}

fn tags(root: &Object, faults: &mut Faults) -> Vec<String> {
    let list = fields::list(root, "tags", MAX_TAGS, faults);
    let mut tags: Vec<String> = Vec::with_capacity(list.len());
    for (i, tag) in list.iter().enumerate() {
        let field = format!("tags[{i}]");
        let tag = fields::checked(Some(tag), &field, Rule::line(MAX_TAG), faults);
        let tag = tag.trim();
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    tags
}

fn dependencies(root: &Object, own_id: &str, faults: &mut Faults) -> Vec<Dependency> {
    let nothing = Object::new();
    let min_versions = match root.get("dependency_min_versions") {
        None | Some(Json::Null) => &nothing,
        Some(Json::Object(versions)) => versions,
        Some(other) => {
            fields::wrong_kind("dependency_min_versions", other, ("对象", "an object"), faults);
            &nothing
        }
    };
    let list = fields::list(root, "dependencies", MAX_DEPENDENCIES, faults);
    let mut known = HashSet::new();
    let mut dependencies = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let field = format!("dependencies[{i}]");
        let Some(id) = fields::string(Some(value), &field, faults) else {
            continue;
        };
        if !is_valid_id(id) {
            faults.add(Fault::at(&field, codes::INVALID_ID));
        } else if id == own_id {
            faults.add(Fault::at(&field, codes::SELF_DEPENDENCY));
        } else if !known.insert(id) {
            faults.invalid(&field, format!("依赖 {id} 重复"), format!("repeats the dependency {id}"));
        } else {
            dependencies.push(Dependency { id: id.to_owned(), min_version: None });
        }
    }
    for (id, value) in min_versions {
        let field = format!("dependency_min_versions.{id}");
        let version = fields::version_of(Some(value), &field, faults);
        match dependencies.iter_mut().find(|dependency| dependency.id == *id) {
            Some(dependency) => dependency.min_version = version,
            None => faults.invalid(&field, "不在 dependencies 中", "is not among the dependencies"),
        }
    }
    dependencies
}
