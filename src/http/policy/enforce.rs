//! Applies the policy of a route to its requests: budget, largest body, longest time.
//!
//! A layer inside the router, because only there the route is known. Its future is written out, so that a request costs
//! no box beyond the one that every route of axum has.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use pin_project_lite::pin_project;
use tokio::time::{Timeout, timeout};
use tower::{Layer, Service};

use super::{DrawsOn, Policy, Time};
use crate::{
    config,
    data::monitor::DatabaseMonitor,
    error::{Dialect, Error, Result, codes},
    http::{body::MinRateBody, middleware::RouteSlot},
    limits::{self, Budget, BudgetStatus, Client, Limits, Per, Subject},
};

/// The longest address answered, in bytes.
const MAX_URI: usize = 16 * 1024;

/// Reads the user from a session token, without asking the database.
pub type ClaimedUser = Box<dyn Fn(&str) -> Option<i64> + Send + Sync>;

/// What policies are applied with.
pub struct Enforcer {
    /// The budgets.
    pub limits: Arc<Limits>,
    /// Tells when requests should not wait any longer.
    pub database: Arc<DatabaseMonitor>,
    /// Times, and the proxies that are believed.
    pub server: config::Server,
    /// The user whom a session token with our signature names.
    pub claimed_user: ClaimedUser,
}

/// Puts a policy around a route.
#[derive(Clone)]
pub(super) struct PolicyLayer(Arc<Enforcement>);

struct Enforcement {
    policy: Policy,
    enforcer: Arc<Enforcer>,
    longest: Duration,
    stall: Duration,
}

impl PolicyLayer {
    pub fn new(policy: Policy, enforcer: &Arc<Enforcer>) -> Self {
        let server = &enforcer.server;
        let longest = match policy.time {
            Time::Request => server.request_timeout_seconds,
            Time::Upload => server.upload_timeout_seconds,
        };
        Self(Arc::new(Enforcement {
            policy,
            enforcer: enforcer.clone(),
            longest: Duration::from_secs(longest),
            stall: Duration::from_secs(server.stall_timeout_seconds),
        }))
    }
}

impl<S> Layer<S> for PolicyLayer {
    type Service = Enforced<S>;

    fn layer(&self, inner: S) -> Enforced<S> {
        Enforced { inner, enforcement: self.0.clone() }
    }
}

/// A route with its policy.
#[derive(Clone)]
pub(super) struct Enforced<S> {
    inner: S,
    enforcement: Arc<Enforcement>,
}

impl<S> Service<Request> for Enforced<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        record_matched_path(&request);
        let enforcement = &self.enforcement;
        if let Err(error) = enforcement.check_database() {
            return enforcement.refuse(error, None);
        }
        let drawn = match enforcement.draw(&mut request) {
            Ok(drawn) => drawn,
            Err(error) => return enforcement.refuse(error, None),
        };
        match enforcement.limit_body(request) {
            Ok((request, is_awaited)) => {
                let answer = timeout(enforcement.longest, self.inner.call(request));
                let dialect = enforcement.policy.dialect;
                Answer::Running {
                    answer,
                    is_awaited,
                    lost: None,
                    enforcer: enforcement.enforcer.clone(),
                    drawn,
                    dialect,
                }
            }
            Err(error) => enforcement.refuse(error, Some(drawn)),
        }
    }
}

/// Tells the middleware around the router which route was matched.
fn record_matched_path(request: &Request) {
    if let (Some(slot), Some(route)) = (request.extensions().get::<RouteSlot>(), request.extensions().get()) {
        let _ = slot.set(MatchedPath::clone(route));
    }
}

impl Enforcement {
    fn refuse<F>(&self, error: Error, drawn: Option<Drawn>) -> Answer<F> {
        Answer::Refused { response: Some(error.into_response()), drawn, dialect: self.policy.dialect }
    }

    /// Refuses at once what cannot be done while the database is down. Reads may be answered as last known.
    fn check_database(&self) -> Result<()> {
        if self.policy.needs_database { self.enforcer.database.check() } else { Ok(()) }
    }

    /// Counts the request, or prepares that it is counted as soon as its user is known.
    fn draw(&self, request: &mut Request) -> Result<Drawn> {
        let budget = match self.policy.draws_on {
            DrawsOn::Budget(budget) => budget,
            DrawsOn::ReadOrSearch(is_search) if is_search(request.uri()) => &limits::SEARCH,
            DrawsOn::ReadOrSearch(_) => &limits::READ,
            DrawsOn::Refusals(budget) => {
                let address = self.client(request).subject();
                let status = self.enforcer.limits.check(budget, &address)?;
                return Ok(Drawn::WhenRefused { budget, address, status, enforcer: self.enforcer.clone() });
            }
            DrawsOn::Nothing => return Ok(Drawn::Now(None)),
        };
        let limits = &self.enforcer.limits;
        if !limits.are_enabled() {
            return Ok(Drawn::Now(None));
        }
        let address = self.client(request).subject();
        let credentials = match budget.per {
            Per::Address => Credentials::None,
            Per::UserOrAddress | Per::User => self.credentials(request.headers()),
        };
        match credentials {
            Credentials::Session(user) => limits.try_consume(budget, &Subject::User(user)).map(Drawn::Now),
            Credentials::Unproven if budget.per == Per::User => {
                // Addresses that send many wrong ones are not listened to meanwhile.
                limits.check(budget, &address)?;
                let pending = PendingBudget { budget, address, drawn: Arc::default() };
                request.extensions_mut().insert(pending.clone());
                Ok(Drawn::Later(Unsettled { pending, enforcer: self.enforcer.clone() }))
            }
            Credentials::Unproven | Credentials::None => limits.try_consume(budget, &address).map(Drawn::Now),
        }
    }

    fn credentials(&self, headers: &HeaderMap) -> Credentials {
        let Some(value) = headers.get(AUTHORIZATION) else { return Credentials::None };
        let token = value.to_str().ok().and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
        let user = token.and_then(|token| (self.enforcer.claimed_user)(token));
        user.map_or(Credentials::Unproven, Credentials::Session)
    }

    fn client(&self, request: &Request) -> Client {
        request.extensions().get::<Client>().copied().unwrap_or_else(|| {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
            Client::of(peer, request.headers(), &self.enforcer.server.trusted_proxies)
        })
    }

    /// Refuses what is too large by its own account, before anything is read or asked for by `100 Continue`. What says
    /// nothing of its size may be read up to the limit, and has to keep arriving; the flag tells whether it is waited for.
    fn limit_body(&self, mut request: Request) -> Result<(Request, Option<Arc<AtomicBool>>)> {
        let uri = request.uri();
        if uri.path().len() + uri.query().map_or(0, str::len) > MAX_URI {
            return Err(Error::new(&codes::URI_TOO_LONG));
        }
        if request.body().is_end_stream() {
            return Ok((request, None));
        }
        let limit = self.policy.body;
        if request.body().size_hint().lower() > limit.max {
            return Err(Error::new(limit.refusal));
        }
        DefaultBodyLimit::max(usize::try_from(limit.max).unwrap_or(usize::MAX)).apply(&mut request);
        let is_awaited = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| Body::new(MinRateBody::new(body, self.stall, is_awaited.clone())));
        Ok((request, Some(is_awaited)))
    }
}

/// What the headers of a request prove, without asking the database.
enum Credentials {
    /// The user of a session token with our signature.
    Session(i64),
    /// Something that may be an API token, or nothing.
    Unproven,
    None,
}

/// The budget of a request whose user the headers do not prove: an extension of the request, read by the extractors that find out.
///
/// What nobody draws by the end of the request is drawn from the budget of its address.
#[derive(Clone)]
pub struct PendingBudget {
    budget: &'static Budget,
    address: Subject,
    /// Set once the request is counted; empty inside when the budget was used up.
    drawn: Arc<OnceLock<Option<BudgetStatus>>>,
}

impl PendingBudget {
    /// Counts the request for its user, once.
    ///
    /// # Errors
    /// 429 when the budget is used up.
    pub fn consume(&self, limits: &Limits, user: i64) -> Result<()> {
        if self.drawn.get().is_some() {
            return Ok(());
        }
        let counted = limits.try_consume(self.budget, &Subject::User(user));
        let _ = self.drawn.set(counted.as_ref().ok().copied().flatten());
        counted.map(|_| ())
    }

    /// Counts the request for nobody: who sent it could not be found out, for a reason of ours.
    pub fn release(&self) {
        let _ = self.drawn.set(None);
    }

    /// Counts the request for its address, once: its credentials were wrong.
    pub fn penalize_address(&self, limits: &Limits) {
        self.drawn.get_or_init(|| limits.consume(self.budget, &self.address));
    }
}

/// What a request drew on its budget.
enum Drawn {
    Now(Option<BudgetStatus>),
    Later(Unsettled),
    WhenRefused { budget: &'static Budget, address: Subject, status: Option<BudgetStatus>, enforcer: Arc<Enforcer> },
}

impl Drawn {
    /// The status for the headers of an answer.
    fn status(&self, answer: StatusCode) -> Option<BudgetStatus> {
        match self {
            Self::Now(status) => *status,
            Self::Later(unsettled) => unsettled.settle(),
            // What was not tried because of another budget does not count.
            Self::WhenRefused { budget, address, enforcer, .. }
                if answer.is_client_error() && answer != StatusCode::TOO_MANY_REQUESTS =>
            {
                enforcer.limits.consume(budget, address)
            }
            Self::WhenRefused { status, .. } => *status,
        }
    }
}

/// A pending budget that is drawn at the latest when the request ends, also when its client leaves.
struct Unsettled {
    pending: PendingBudget,
    enforcer: Arc<Enforcer>,
}

impl Unsettled {
    fn settle(&self) -> Option<BudgetStatus> {
        self.pending.penalize_address(&self.enforcer.limits);
        self.pending.drawn.get().copied().flatten()
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Waits for the loss of the database; made only for requests that wait for something.
type Lost = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// The answer of a route, or the refusal of its policy.
    #[project = AnswerProjection]
    pub(super) enum Answer<F> {
        Refused { response: Option<Response>, drawn: Option<Drawn>, dialect: Dialect },
        Running { #[pin] answer: Timeout<F>, is_awaited: Option<Arc<AtomicBool>>, lost: Option<Lost>, enforcer: Arc<Enforcer>, drawn: Drawn, dialect: Dialect },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answer<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut response, drawn, dialect) = match self.project() {
            AnswerProjection::Refused { response, drawn, dialect } => {
                (response.take().unwrap_or_default(), drawn.as_ref(), *dialect)
            }
            AnswerProjection::Running { answer, is_awaited, lost, enforcer, drawn, dialect } => {
                let response = match answer.poll(cx) {
                    Poll::Ready(Ok(Ok(response))) => response,
                    Poll::Ready(Err(_)) => timed_out(is_awaited.as_deref()),
                    Poll::Pending => {
                        let lost =
                            lost.get_or_insert_with(|| Box::pin(database_lost(enforcer.clone(), is_awaited.clone())));
                        ready!(lost.as_mut().poll(cx));
                        unavailable("the database does not answer")
                    }
                };
                (response, Some(&*drawn), *dialect)
            }
        };
        if dialect != Dialect::default() {
            response.extensions_mut().insert(dialect);
        }
        let status = drawn.and_then(|drawn| drawn.status(response.status()));
        for (name, value) in status.into_iter().flat_map(BudgetStatus::headers) {
            // What a refusal says of another budget comes first.
            response.headers_mut().entry(name).or_insert(value);
        }
        Poll::Ready(Ok(response))
    }
}

/// Completes when the database is down for too long for a request to wait. It is the client who is slow while its body is
/// waited for.
async fn database_lost(enforcer: Arc<Enforcer>, is_awaited: Option<Arc<AtomicBool>>) {
    enforcer.database.lost().await;
    while is_set(is_awaited.as_deref()) {
        enforcer.database.lost().await;
    }
}

/// A body that is still waited for is the client's doing, anything else ours.
fn timed_out(is_awaited: Option<&AtomicBool>) -> Response {
    if is_set(is_awaited) {
        return Error::new(&codes::REQUEST_TIMEOUT).into_response();
    }
    unavailable("a request took too long")
}

fn unavailable(why: &'static str) -> Response {
    Error::Unavailable(anyhow::anyhow!(why)).into_response()
}

fn is_set(flag: Option<&AtomicBool>) -> bool {
    flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
}
