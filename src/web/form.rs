//! Forms: read into the same types as the API's bodies, refused when another site sent them.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{cookies, redirect};
use crate::{
    error::{
        Error, Fault, Result, codes,
        lang::{Lang, Text},
    },
    http::extract::{Fields, FromFields, Params, read_body},
};

/// Fields that are shown again never.
const SECRETS: [&str; 3] = ["password", "old_password", "new_password"];

/// A form that this browser was given by us.
pub(super) struct Form {
    pairs: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let headers = request.headers().clone();
        let bytes = read_body(request, state).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::new(&codes::INVALID_QUERY))?;
        let form = Self { pairs: Params::parse(text)?.into_pairs() };
        check_origin(&headers, form.get("form_token"))?;
        Ok(form)
    }
}

/// Refuses a form that did not come from a page we gave this very browser.
pub(super) fn check_origin(headers: &HeaderMap, token: &str) -> Result<()> {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let is_ours = site.is_none_or(|site| site == "same-origin" || site == "none");
    if is_ours && !token.is_empty() && cookies::form_token(headers).is_some_and(|known| known == token) {
        return Ok(());
    }
    Err(Error::new(&codes::FORM_EXPIRED))
}

impl Form {
    /// The value of a field; empty when absent.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether somebody was asked and wants what is sent.
    pub fn is_confirmed(&self) -> bool {
        self.get("confirmed") == "yes"
    }

    /// Every field, in the order sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The address of the list that the form stood on, at the place where it was.
    pub fn list(&self, path: &str) -> String {
        match self.get("back") {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }

    /// The form as the API's body of the same meaning; empty fields count as absent.
    ///
    /// # Errors
    /// 400 naming every fault.
    pub fn read<T: FromFields>(&self) -> Result<T> {
        let filled = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        Fields::read_form(filled.map(|(name, value)| (name.clone(), value.replace("\r\n", "\n"))))
    }

    /// What was filled in and why it was refused, to be shown again; other failures pass on.
    ///
    /// # Errors
    /// Whatever is no refusal.
    pub fn refused(&self, error: Error) -> Result<FormState> {
        let Error::Refused(refusal) = error else { return Err(error) };
        let shown = self.pairs.iter().filter(|(name, _)| !SECRETS.contains(&name.as_str()));
        Ok(FormState {
            values: shown.cloned().collect(),
            faults: refusal.details,
            problem: Some(refusal.text),
            status: refusal.status,
        })
    }
}

/// A form as it is shown: empty at first, with values and faults after a refusal.
#[derive(Default)]
pub(super) struct FormState {
    values: Vec<(String, String)>,
    faults: Vec<Fault>,
    problem: Option<Text>,
    status: StatusCode,
}

impl FormState {
    /// A form filled in beforehand.
    pub fn with(values: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { values: values.iter().map(own).collect(), ..Self::default() }
    }

    /// What a field holds.
    pub fn value(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether a field holds this among its values.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.values.iter().any(|(known, own)| known == name && own == value)
    }

    /// What is wrong with a field; empty when nothing.
    pub fn fault(&self, name: &str, lang: &Lang) -> &str {
        self.faults.iter().find(|fault| fault.field == name).map_or("", |fault| fault.text.in_lang(*lang))
    }

    /// Why the form as a whole was refused; empty when it was not.
    pub fn problem(&self, lang: &Lang) -> &str {
        self.problem.as_ref().map_or("", |text| text.in_lang(*lang))
    }

    /// The status of the page that shows it.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// To a page that says what was done.
pub(super) fn done(path: &str, code: &str) -> Response {
    let sign = if path.contains('?') { '&' } else { '?' };
    redirect::see_other(&format!("{path}{sign}done={code}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::NewToken, ratings::NewRating};

    fn form(pairs: &[(&str, &str)]) -> Form {
        Form { pairs: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
    }

    #[test]
    fn a_form_is_read_like_a_body() {
        assert!(form(&[("rating", "5"), ("review", "a\r\nb")]).read::<NewRating>().is_ok());
        assert!(form(&[("rating", "many")]).read::<NewRating>().is_err());
        assert!(form(&[("name", "x"), ("scopes", "publish"), ("scopes", "rate")]).read::<NewToken>().is_ok());
    }

    #[test]
    fn a_refused_form_shows_what_was_typed_but_no_password() {
        let form = form(&[("username", "ada"), ("password", "secret words")]);
        let filled = form.refused(Error::new(&codes::INVALID_CREDENTIALS)).expect("shown again");
        assert_eq!((filled.value("username"), filled.value("password")), ("ada", ""));
        assert!(!filled.problem(&Lang::En).is_empty());
    }
}
