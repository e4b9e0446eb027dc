//! What holds for a route: the budget that its requests draw on, its largest body and its longest time.
//!
//! A [`Policy`] stands beside the handler where a part adds it to its [`Routes`], and there is no other way to add one:
//! a route without a policy does not compile. The middleware in `enforce` applies it to the route that was matched;
//! nothing is guessed from a path.

mod enforce;
mod routes;

pub use enforce::{Enforcer, PendingBudget};
pub use routes::Routes;

use axum::http::Uri;

use crate::{
    error::{
        Dialect,
        codes::{self, Code},
    },
    http::extract::MAX_JSON,
    limits::{self, Budget},
};

/// What holds for one route.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    draws_on: DrawsOn,
    needs_database: bool,
    body: Body,
    time: Time,
    dialect: Dialect,
}

/// The budget of a route.
#[derive(Clone, Copy, Debug)]
enum DrawsOn {
    Budget(&'static Budget),
    /// `search` when the request is one, else `read`.
    ReadOrSearch(fn(&Uri) -> bool),
    /// Only requests that are refused count, and none are let in when it is used up.
    Refusals(&'static Budget),
    Nothing,
}

/// The largest body of a route.
#[derive(Clone, Copy, Debug)]
struct Body {
    /// Bytes.
    max: u64,
    /// What a larger one is refused with.
    refusal: &'static Code,
}

/// The longest time that a route may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// `server.request_timeout_seconds`.
    Request,
    /// `server.upload_timeout_seconds`.
    Upload,
}

impl Policy {
    const fn on(draws_on: DrawsOn) -> Self {
        let body = Body { max: MAX_JSON as u64, refusal: &codes::BODY_TOO_LARGE };
        Self { draws_on, needs_database: false, body, time: Time::Request, dialect: Dialect::Standard }
    }

    /// Draws on this budget, takes the body of a form or JSON, and no longer than any request.
    pub const fn of(budget: &'static Budget) -> Self {
        Self::on(DrawsOn::Budget(budget))
    }

    /// The same for what only the database can answer: refused at once while that is down.
    const fn of_database(draws_on: DrawsOn) -> Self {
        Self { needs_database: true, ..Self::on(draws_on) }
    }

    /// Reads.
    pub const fn read() -> Self {
        Self::of(&limits::READ)
    }

    /// Searches.
    pub const fn search() -> Self {
        Self::of(&limits::SEARCH)
    }

    /// Reads, and searches when `is_search` finds words in the decoded query.
    pub const fn read_or_search(is_search: fn(&Uri) -> bool) -> Self {
        Self::on(DrawsOn::ReadOrSearch(is_search))
    }

    /// Sends a package.
    pub const fn download() -> Self {
        Self::of(&limits::DOWNLOAD)
    }

    /// Changes something.
    pub const fn write() -> Self {
        Self::of_database(DrawsOn::Budget(&limits::WRITE))
    }

    /// Reports something to administrators.
    pub const fn report() -> Self {
        Self::of(&limits::REPORT)
    }

    /// Makes an account.
    pub const fn register() -> Self {
        Self::of_database(DrawsOn::Budget(&limits::REGISTER))
    }

    /// Reads the registry of services, or sends a heartbeat, which is answered from memory.
    pub const fn registry() -> Self {
        Self::of(&limits::REGISTRY).dialect(Dialect::Detail)
    }

    /// Changes the registry of services.
    pub const fn change_registry() -> Self {
        Self::of_database(DrawsOn::Budget(&limits::REGISTRY)).dialect(Dialect::Detail)
    }

    /// Signs in: what is refused counts, right passwords cost nothing.
    pub const fn login() -> Self {
        Self::of_database(DrawsOn::Refusals(&limits::LOGIN))
    }

    /// Publishes, which may take as long as an upload.
    pub const fn publish() -> Self {
        Self::of_database(DrawsOn::Budget(&limits::PUBLISH)).time(Time::Upload)
    }

    /// Draws on nothing: for what must answer however much is asked. The reason is for readers of the route.
    pub const fn without_budget(_reason: &'static str) -> Self {
        Self::on(DrawsOn::Nothing)
    }

    /// Takes a body of at most `max` bytes, and refuses a larger one with 413 and this code.
    pub const fn body(mut self, max: u64, refusal: &'static Code) -> Self {
        self.body = Body { max, refusal };
        self
    }

    /// Answers failures in this form.
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Takes at most this time.
    pub const fn time(mut self, time: Time) -> Self {
        self.time = time;
        self
    }
}
