//! How to make a package, with one to begin from.

use std::{io::Write, sync::LazyLock};

use anyhow::Context;
use askama::Template;
use axum::{
    body::Bytes,
    http::header,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

use super::{page_context::PageContext, visitor::Visitor};
use crate::error::Result;

/// The files of the template, as they stand in it.
const FILES: [(&str, u32, &str); 3] = [
    ("info.json", 0o644, include_str!("../../templates/package/info.json")),
    ("README.md", 0o644, include_str!("../../templates/package/README.md")),
    ("scripts/hello.sh", 0o755, include_str!("../../templates/package/scripts/hello.sh")),
];

static PACKAGE: LazyLock<anyhow::Result<Bytes>> = LazyLock::new(pack);

#[derive(Template)]
#[template(path = "guide.html")]
struct Guide {
    page: PageContext,
    manifest: String,
    script: String,
}

/// Shows the guide.
pub(super) async fn guide(visitor: Visitor) -> Result<Response> {
    let manifest = super::highlight::lines("info.json", FILES[0].2, "i", usize::MAX).html;
    let script = super::highlight::lines("hello.sh", FILES[2].2, "h", usize::MAX).html;
    let page = Guide { page: visitor.look, manifest, script };
    page.page.show(&page)
}

/// Hands out a package to begin from; it could be published as it is.
pub(super) async fn template() -> Result<Response> {
    let bytes = PACKAGE.as_ref().map_err(|e| anyhow::anyhow!("{e:#}"))?.clone();
    let headers = [
        (header::CONTENT_TYPE, "application/gzip"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"geektools-plugin.tar.gz\""),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    Ok((headers, bytes).into_response())
}

fn pack() -> anyhow::Result<Bytes> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, text) in FILES {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(mode);
        // Always the same bytes: their date is nobody's business.
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path, text.as_bytes()).context("cannot pack the template")?;
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&tar.into_inner()?)?;
    Ok(gzip.finish()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_keeps_every_rule() {
        let bytes = pack().expect("packed");
        let package = package::inspect(bytes.as_ref()).expect("a good package");
        assert!(package.files.iter().any(|file| file.path == "scripts/hello.sh" && file.executable));
    }
}
