//! How the page of a package will look that is not published yet.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use package::{Manifest, PackagedFile};

use super::{
    Web,
    page_context::PageContext,
    rendered::{self, PackageTexts},
};
use crate::{
    error::Result,
    plugins::{Contents, ScriptItem},
    storage::Received,
};

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
    pub contents: Contents,
    pub received: Received,
    pub is_new: bool,
}

/// Shows how the page of a package will look; gives the package back to be kept.
pub(super) async fn show(web: &Web, look: PageContext, checked: Checked) -> Result<(Response, Received)> {
    let Checked { package, contents, received, is_new } = checked;
    let script = |script: &package::Script| ScriptItem {
        name: script.name.clone(),
        file: script.file.clone(),
        description: script.description.clone(),
        executable: script.executable,
    };
    let scripts: Vec<ScriptItem> = package.manifest.scripts.iter().map(script).collect();
    let files = format!("/plugins/{}/files/{}", package.manifest.id, package.manifest.version);
    let texts = rendered::package(web, &received.hash, files, &scripts, Arc::new(contents)).await?;
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
