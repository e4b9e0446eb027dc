//! The documentation of the API as a page of the site, made from the OpenAPI document.

mod chinese;
mod document;
mod example;

pub use document::ApiDocument;

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use document::{Answer, Field, Group, Operation, Type};
use example::Sample;

use super::{Web, marks::escape, page_context::PageContext, visitor::Visitor};
use crate::{
    catalogue::{self, Filter, Sort},
    error::{
        OrRefuse, Result,
        codes::{self, status_of_package},
    },
    http::page::Page,
};

#[derive(Template)]
#[template(path = "api_docs.html")]
struct ApiDocs<'a> {
    page: PageContext,
    document: &'a ApiDocument,
    sample: Sample,
}

/// Shows the documentation.
pub(super) async fn page(State(web): State<Arc<Web>>, visitor: Visitor, headers: HeaderMap) -> Result<Response> {
    let document = web.api_document.get().or_refuse(&codes::NOT_FOUND)?;
    let make = async |visitor: Visitor| {
        let sample = sample(&web, &visitor.look.base).await?;
        Ok(ApiDocs { page: visitor.look, document, sample })
    };
    visitor.show_shared(&web, &headers, &[], make).await
}

/// What examples that only read are about: the most downloaded plugin, so that they work when they are pasted.
async fn sample(web: &Web, base: &str) -> Result<Sample> {
    const FIRST: Page = Page { page: 1, limit: 1 };
    let sort = Sort::Downloads;
    let (listed, total) = web.catalogue.lists.page(&Filter::default(), sort, sort.default_order(), FIRST);
    let found = catalogue::fill_page(&web.catalogue, &listed, sort, total, FIRST).await?.plugins;
    let mut sample = Sample::written_by_caller(base.to_owned());
    if let Some(plugin) = found.into_iter().next() {
        sample.id.clone_from(&plugin.id);
        sample.version.clone_from(&plugin.current_version);
        if let Some(publisher) = &plugin.publisher {
            sample.username.clone_from(&publisher.username);
        }
    }
    Ok(sample)
}

impl ApiDocs<'_> {
    fn group<'t>(&'t self, group: &'t Group) -> &'t str {
        let known = chinese::GROUPS.iter().find(|(name, ..)| *name == group.name);
        known.map_or(group.name.as_str(), |(_, zh, en)| self.page.t(zh, en))
    }

    fn summary(&self, operation: &Operation) -> String {
        let translated = chinese::summary(&operation.method, &operation.path).unwrap_or(&operation.summary);
        prose(self.page.t(translated, &operation.summary))
    }

    fn prose(&self, text: &str) -> String {
        prose(text)
    }

    fn kind(&self, field: &Field) -> String {
        linked(&field.kind, field.type_name.as_deref())
    }

    fn carries(&self, answer: &Answer) -> String {
        linked(&answer.kind, answer.type_name.as_deref())
    }

    fn fields<'t>(&self, of: &'t Type) -> &'t [Field] {
        &of.fields
    }

    fn example(&self, operation: &Operation) -> String {
        example::curl(operation, &self.sample)
    }

    /// Every stable error code with its status and its text.
    fn error_codes(&self) -> Vec<(&'static str, u16, &'static str)> {
        let lang = self.page.lang;
        let ours = codes::ALL.iter().map(|code| (code.code, code.status.as_u16(), lang.pick(code.zh, code.en)));
        let of_packages = package::CODES.iter().filter(|doc| codes::ALL.iter().all(|code| code.code != doc.code));
        let of_packages =
            of_packages.map(|doc| (doc.code, status_of_package(doc.code).as_u16(), lang.pick(doc.zh, doc.en)));
        ours.chain(of_packages).collect()
    }
}

/// A text of the document as HTML: what stands between backquotes is code.
fn prose(text: &str) -> String {
    let part = |(i, part): (usize, &str)| match i % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    text.split('`').enumerate().map(part).collect()
}

/// The kind of a value, as a link to its type when it has one of its own.
fn linked(kind: &str, type_name: Option<&str>) -> String {
    match type_name {
        Some(name) => format!("<a href=\"#type-{}\">{}</a>", escape(name), escape(kind)),
        None => escape(kind),
    }
}
