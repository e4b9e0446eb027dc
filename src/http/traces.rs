//! A span for each request, in programs built with the feature `otel`.

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument, Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::middleware::{REQUEST_ID, RouteSlot};
use crate::observe::traces::TARGET;

/// Answers within a span, which goes on with the trace that the client's `traceparent` names.
pub async fn trace_request(mut request: Request, next: Next) -> Response {
    let route = RouteSlot::default();
    request.extensions_mut().insert(route.clone());
    let span = info_span!(
        target: TARGET,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %request.method(),
        http.route = Empty,
        http.response.status_code = Empty,
        request_id = Empty,
    );
    if !span.is_disabled() {
        let _ = span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(request.headers())));
    }
    let method = request.method().clone();
    let response = next.run(request).instrument(span.clone()).await;
    let route = route.get().map_or("unknown", MatchedPath::as_str);
    // Known only now, when the span has long begun.
    span.context().span().update_name(format!("{method} {route}"));
    span.record("http.route", route);
    complete(&span, &response);
    response
}

fn complete(span: &Span, response: &Response) {
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if let Some(id) = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()) {
        span.record("request_id", id);
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
