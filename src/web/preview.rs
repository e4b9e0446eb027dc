//! Packages somebody has uploaded and not yet published, and what they will look like.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use askama::Template;
use axum::response::Response;
use moka::{policy::EvictionPolicy, sync::Cache};
use package::{Manifest, PackagedFile};

use super::{
    Web,
    page_context::PageContext,
    rendered::{self, PackageTexts},
};
use crate::{
    error::Result,
    plugins::{self, ScriptItem},
    storage::Received,
};

/// How long an upload waits to be published.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The most mebibytes that wait altogether.
const MOST: u64 = 1024;

/// Uploads that wait to be published, one of each user; dropped ones delete their file.
#[derive(Clone)]
pub struct Drafts(Cache<i64, Arc<Draft>>);

struct Draft {
    hash: String,
    mebibytes: u32,
    received: Mutex<Option<Received>>,
}

impl Default for Drafts {
    fn default() -> Self {
        let weight = |_: &i64, draft: &Arc<Draft>| draft.mebibytes;
        // The newest is always admitted; the default policy would rather keep what was asked for more often.
        let cache = Cache::builder().max_capacity(MOST).weigher(weight).eviction_policy(EvictionPolicy::lru());
        Self(cache.time_to_live(LIFETIME).build())
    }
}

impl Drafts {
    /// Keeps an upload for its user, in place of the one before.
    pub fn keep(&self, user: i64, received: Received) {
        let mebibytes = u32::try_from(received.size >> 20).unwrap_or(u32::MAX).saturating_add(1);
        let draft = Draft { hash: received.hash.clone(), mebibytes, received: Mutex::new(Some(received)) };
        self.0.insert(user, Arc::new(draft));
        // At once, so that files over the bound do not wait on the disk for the next request.
        self.0.run_pending_tasks();
    }

    /// The user's upload, when it is still this one.
    pub fn take(&self, user: i64, hash: &str) -> Option<Received> {
        let draft = self.0.get(&user).filter(|draft| draft.hash == hash)?;
        self.0.invalidate(&user);
        draft.received.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Template)]
#[template(path = "preview.html")]
struct Preview<'a> {
    page: PageContext,
    manifest: &'a Manifest,
    files: &'a [PackagedFile],
    unpacked: u64,
    size: u64,
    hash: &'a str,
    texts: Arc<PackageTexts>,
    /// False when these very bytes are published already.
    is_new: bool,
}

/// A package as it has been read and found right.
pub(super) struct Checked {
    pub package: package::Package,
    pub received: Received,
    pub is_new: bool,
}

/// Shows how the page of a package will look; gives the package back to be kept.
pub(super) async fn show(web: &Web, look: PageContext, checked: Checked) -> Result<(Response, Received)> {
    let Checked { package, received, is_new } = checked;
    let contents = plugins::read_received(&web.plugins, &received).await?;
    let script = |script: &package::Script| ScriptItem {
        name: script.name.clone(),
        file: script.file.clone(),
        description: script.description.clone(),
        executable: script.executable,
    };
    let scripts: Vec<ScriptItem> = package.manifest.scripts.iter().map(script).collect();
    let files = format!("/plugins/{}/files/{}", package.manifest.id, package.manifest.version);
    let texts = rendered::package(web, &received.hash, files, &scripts, contents).await?;
    let page = Preview {
        page: look,
        manifest: &package.manifest,
        files: &package.files,
        unpacked: package.unpacked_size,
        size: received.size,
        hash: &received.hash,
        texts,
        is_new,
    };
    let response = page.page.show(&page)?;
    Ok((response, received))
}
