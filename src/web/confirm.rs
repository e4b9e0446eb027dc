//! Asking before something is done that cannot be undone: a page of its own, which works without JavaScript.

use askama::Template;
use axum::response::Response;

use super::{form::Form, page_context::PageContext};
use crate::error::Result;

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm<'a> {
    page: PageContext,
    question: &'a str,
    /// The form once more.
    fields: Vec<(&'a str, &'a str)>,
    /// Where somebody goes who does not want it.
    back: &'a str,
}

/// Shows the question; its form sends the same once more, confirmed.
pub(super) fn ask(page: PageContext, form: &Form, question: &str, back: &str) -> Result<Response> {
    let fields = form.fields().filter(|(name, _)| *name != "form_token").collect();
    let page = Confirm { page, question, fields, back };
    page.page.show(&page)
}
