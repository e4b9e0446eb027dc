//! Sending a request to an instance, to another one when that fails, and the answer back.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version as HttpVersion, header, request::Parts},
    response::Response,
};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, sleep_until},
};
use tracing::debug;

use super::{
    Call, Gateway, authenticate,
    body::{AnswerBody, Progress, RequestBody, ServiceInFlight, Slow},
    choose, headers,
    path::Target,
    tunnel::{self, Tunnel},
    unavailable,
};
use crate::{
    error::{Error, Result, codes},
    registry::{Instance, Service, Version},
    upstream::{ConnectFault, SendFault, Sent},
};

/// How often an instance that does not listen yet is tried again.
const START_RETRY: Duration = Duration::from_millis(100);

/// Why an attempt failed.
enum Failure {
    /// Nothing was sent; here is the request.
    Connect(ConnectFault, Box<Request>),
    /// It was sent, and no answer came.
    Broken,
    Slow(Slow),
    TooLarge,
}

/// A request that may be sent again, as long as nothing was answered.
struct Again(Option<Parts>);

impl Again {
    /// Only what has no body and means the same when it is repeated (RFC 9110, 9.2.2).
    fn of(parts: &Parts, has_body: bool) -> Self {
        let is_repeatable =
            matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE);
        Self((is_repeatable && !has_body).then(|| parts.clone()))
    }

    fn take(&mut self) -> Option<Request> {
        Some(Request::from_parts(self.0.take()?, Body::empty()))
    }
}

/// What a client that asks for a WebSocket is to be connected with.
struct Upgrade {
    client: OnUpgrade,
    permit: Arc<OwnedSemaphorePermit>,
}

impl Gateway {
    /// Calls a service.
    pub(super) async fn call(
        self: &Arc<Self>,
        call: &Call,
        service: &Service,
        token: Option<String>,
        request: Request,
        mut in_flight: ServiceInFlight,
    ) -> Result<Response> {
        let version = choose::version(service, request.headers().get("x-service-version"));
        let (mut parts, body) = request.into_parts();
        let uri = std::mem::take(&mut parts.uri);
        if parts.version == HttpVersion::HTTP_2 {
            headers::from_http2(&uri, &mut parts.headers);
        }
        let target = Target::of(uri.path())?;
        // Who may not call learns nothing of its instances.
        let nothing = crate::registry::Endpoints::default();
        let declared =
            version.as_ref().map_or_else(|_| service.versions.first().map(|v| &v.endpoints), |v| Some(&v.endpoints));
        let declared = declared.map_or(&nothing, AsRef::as_ref);
        let endpoint = authenticate::endpoint(self, service, declared, &parts.method, &parts.headers, target.rest)?;
        let is_preflight = authenticate::is_preflight(&parts.method, &parts.headers);
        let user = authenticate::authorize(self, service, endpoint, token.as_deref(), is_preflight).await?;
        authenticate::limit(self, call, service, endpoint, user.as_ref())?;
        let version = version?;
        let instance = choose::instance(version, None).ok_or_else(unavailable)?;

        if body.size_hint().lower() > self.max_body() {
            return Err(Error::new(&codes::BODY_TOO_LARGE));
        }
        let upgrade = self.upgrade(&mut parts)?;
        headers::to_service(self, call, service, user.as_ref(), token.is_some(), &mut parts.headers);
        headers::keep_true_length(body.size_hint().exact(), &mut parts.headers);
        if upgrade.is_some() {
            tunnel::set_upgrade(&mut parts.headers);
        }
        let has_body = !body.is_end_stream();
        let progress = Progress::new(!has_body);
        let body = match has_body {
            true => Body::new(RequestBody::new(body, self.max_body(), progress.clone())),
            false => Body::empty(),
        };
        // Nothing else of the client's connection concerns the one to the service.
        parts.extensions.clear();
        parts.version = HttpVersion::HTTP_11;
        let path = PathAt { target: &target, query: uri.query() };
        let again = if upgrade.is_none() { Again::of(&parts, has_body) } else { Again(None) };
        let request = Request::from_parts(parts, body);
        let attempt = Attempt { gateway: self, service, version, path, progress: &progress };
        let sent = attempt.run(instance, request, again, &mut in_flight).await?;
        self.pass_on(sent, version, progress, upgrade, in_flight)
    }

    /// The client's side of a WebSocket, if it asks for one.
    fn upgrade(&self, parts: &mut Parts) -> Result<Option<Upgrade>> {
        if !tunnel::is_websocket(parts.version, &parts.headers) {
            return Ok(None);
        }
        let Some(client) = parts.extensions.remove::<OnUpgrade>() else { return Ok(None) };
        let permit = self.tunnels.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::Unavailable(anyhow::anyhow!("too many upgraded connections")))?;
        Ok(Some(Upgrade { client, permit: Arc::new(permit) }))
    }

    /// Makes the answer of a service that of the gateway.
    fn pass_on(
        &self,
        sent: Sent,
        version: &Version,
        progress: Arc<Progress>,
        upgrade: Option<Upgrade>,
        in_flight: ServiceInFlight,
    ) -> Result<Response> {
        let Sent { mut response, connection } = sent;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(Upgrade { client, permit }) = upgrade else {
                return Err(Error::new(&codes::UPSTREAM_UNREACHABLE));
            };
            let service = hyper::upgrade::on(&mut response);
            let (mut parts, _) = response.into_parts();
            headers::from_service(version, None, &mut parts.headers);
            tunnel::set_upgrade(&mut parts.headers);
            parts.extensions.clear();
            tokio::spawn(Tunnel { client, service, connection, in_flight, permit }.run());
            return Ok(Response::from_parts(parts, Body::empty()));
        }
        let (mut parts, body) = response.into_parts();
        parts.extensions.clear();
        let is_stream = is_event_stream(&parts.headers);
        // An answer without a body may say how long it would be: to HEAD, or with 304.
        if !body.is_end_stream() || body.size_hint().exact().is_none() {
            headers::from_service(version, body.size_hint().exact(), &mut parts.headers);
        } else {
            let told = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            headers::from_service(version, told, &mut parts.headers);
        }
        let pause = (!is_stream).then(|| self.idle_timeout());
        let body = AnswerBody::new(body, connection, progress, pause, in_flight);
        Ok(Response::from_parts(parts, Body::new(body)))
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// The path of a request at any instance.
struct PathAt<'a> {
    target: &'a Target<'a>,
    query: Option<&'a str>,
}

/// One request to one version of a service, whichever instance gets it.
struct Attempt<'a> {
    gateway: &'a Gateway,
    service: &'a Service,
    version: &'a Version,
    path: PathAt<'a>,
    progress: &'a Progress,
}

impl Attempt<'_> {
    async fn run(
        &self,
        first: &Arc<Instance>,
        request: Request,
        mut again: Again,
        in_flight: &mut ServiceInFlight,
    ) -> Result<Sent> {
        let failure = match self.send(first, request, false, in_flight).await {
            Ok(sent) => return Ok(sent),
            Err(failure) => failure,
        };
        let other = choose::instance(self.version, Some(first.id));
        let failure = match (failure, other) {
            (Failure::Connect(_, request), Some(other)) => {
                self.service.traffic.retried();
                self.send(other, *request, false, in_flight).await
            }
            (Failure::Connect(ConnectFault::Refused, request), None) => {
                self.wait_for_start(first, request, in_flight).await
            }
            (Failure::Broken, other) => match again.take() {
                Some(request) => {
                    self.service.traffic.retried();
                    // The connection may have been closed between two requests: a new one to the same instance.
                    self.send(other.unwrap_or(first), request, other.is_none(), in_flight).await
                }
                None => Err(Failure::Broken),
            },
            (failure, _) => Err(failure),
        };
        failure.map_err(|failure| self.refusal(failure))
    }

    /// Programs register before they listen: for a moment the only instance is tried again.
    async fn wait_for_start(
        &self,
        instance: &Arc<Instance>,
        mut request: Box<Request>,
        in_flight: &mut ServiceInFlight,
    ) -> Result<Sent, Failure> {
        let deadline = Instant::now() + Duration::from_millis(self.gateway.config.start_retry_ms);
        while instance.state.is_starting() && Instant::now() < deadline {
            sleep(START_RETRY).await;
            match self.send(instance, *request, false, in_flight).await {
                Err(Failure::Connect(ConnectFault::Refused, unsent)) => request = unsent,
                sent => return sent,
            }
        }
        Err(Failure::Connect(ConnectFault::Refused, request))
    }

    async fn send(
        &self,
        instance: &Arc<Instance>,
        mut request: Request,
        is_fresh: bool,
        in_flight: &mut ServiceInFlight,
    ) -> Result<Sent, Failure> {
        in_flight.set_instance(&instance.state);
        *request.uri_mut() = self.uri(instance);
        headers::set_host(instance, request.headers_mut());
        let config = &self.gateway.config;
        let sent = self.wait(self.gateway.upstream.send(&instance.origin, request, is_fresh)).await;
        let has_failed = match &sent {
            Ok(sent) => matches!(sent.response.status().as_u16(), 502..=504),
            Err(Failure::Connect(..) | Failure::Broken | Failure::Slow(Slow::Service)) => true,
            Err(Failure::Slow(Slow::Client) | Failure::TooLarge) => false,
        };
        if has_failed {
            instance.state.failed(config.eject_failures, Duration::from_secs(config.eject_seconds));
        } else {
            instance.state.succeeded();
        }
        sent
    }

    fn uri(&self, instance: &Instance) -> Uri {
        let path = self.path.target.at(&instance.base_path, self.path.query);
        // It was a path before, and the base path holds only what a path may.
        Uri::try_from(path).unwrap_or_default()
    }

    /// Waits for the head of the answer for as long as the body of the request moves, and then for the time configured.
    async fn wait(&self, sending: impl Future<Output = Result<Sent, SendFault>>) -> Result<Sent, Failure> {
        let head = Duration::from_millis(self.gateway.config.head_timeout_ms);
        let head = self.service.head_timeout.unwrap_or(head);
        let pause = self.gateway.idle_timeout();
        let mut sending = pin!(sending);
        self.progress.moved();
        loop {
            // Who is waited for may change meanwhile.
            let wake = self.progress.deadline(head, pause).0.min(Instant::now() + head.min(pause));
            tokio::select! {
                sent = &mut sending => return sent.map_err(|fault| self.failure(fault)),
                () = sleep_until(wake) => {
                    let (deadline, slow) = self.progress.deadline(head, pause);
                    if Instant::now() >= deadline {
                        return Err(Failure::Slow(slow));
                    }
                }
            }
        }
    }

    fn failure(&self, fault: SendFault) -> Failure {
        match fault {
            SendFault::Connect(fault, request) => Failure::Connect(fault, request),
            SendFault::Broken(_) if self.progress.is_too_large() => Failure::TooLarge,
            SendFault::Broken(e) => {
                debug!(error = %e, service = self.service.name, "a service did not answer");
                Failure::Broken
            }
        }
    }

    /// The refusal of a request that failed for good.
    fn refusal(&self, failure: Failure) -> Error {
        let (kind, error) = match failure {
            Failure::Connect(ConnectFault::Forbidden, _) => {
                ("forbidden", Error::with(&codes::UPSTREAM_FORBIDDEN, &[&self.service.name]))
            }
            Failure::Connect(fault, _) => {
                let kind = match fault {
                    ConnectFault::Timeout => "connect_timeout",
                    ConnectFault::Refused => "refused",
                    ConnectFault::Unresolved => "unresolved",
                    ConnectFault::Forbidden | ConnectFault::Failed => "connect",
                };
                (kind, Error::new(&codes::UPSTREAM_UNREACHABLE))
            }
            Failure::Broken => ("broken", Error::new(&codes::UPSTREAM_UNREACHABLE)),
            Failure::Slow(Slow::Service) => ("timeout", Error::new(&codes::UPSTREAM_TIMEOUT)),
            Failure::Slow(Slow::Client) => return Error::new(&codes::REQUEST_TIMEOUT),
            Failure::TooLarge => return Error::new(&codes::BODY_TOO_LARGE),
        };
        self.service.traffic.failed(kind);
        error
    }
}
