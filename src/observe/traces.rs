//! Traces for an OpenTelemetry collector, in programs built with the feature `otel`: a span for each request.

use std::{env, sync::OnceLock, time::Duration};

use anyhow::Context;
use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use opentelemetry::{
    propagation::TextMapPropagator,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, SpanExporter};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Instrument, Span, Subscriber, field::Empty, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    registry::LookupSpan,
};

use crate::http::middleware::{REQUEST_ID, RouteSlot};

/// What spans of requests are called among log lines. Logs leave them out: the id of the request is in both.
pub const TARGET: &str = "request_span";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Collects spans, with warnings and errors that were logged in them, and sends them in the background to where
/// `OTEL_EXPORTER_OTLP_ENDPOINT` says; `None` when it says nothing.
///
/// # Errors
/// When what the environment says of it makes no sense.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> anyhow::Result<Option<impl Layer<S>>> {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    // Without an address the exporter would take the collector's usual one.
    if ![OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT].into_iter().any(is_set) {
        return Ok(None);
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder().with_http().build().context("cannot send traces")?;
    let mut resource = Resource::builder();
    if !is_set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name("marketplace");
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer = PROVIDER.get_or_init(|| provider).tracer("marketplace");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(TARGET, LevelFilter::INFO)
        // What goes wrong while spans are sent must not give more to send.
        .with_target("opentelemetry", LevelFilter::OFF);
    Ok(Some(layer.with_filter(filter)))
}

/// Answers within a span, which goes on with the trace that the client's `traceparent` names.
pub async fn around(mut request: Request, next: Next) -> Response {
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

/// Sends what has gathered, for so long at most, and nothing afterwards.
pub async fn finish(patience: Duration) {
    let Some(provider) = PROVIDER.get() else { return };
    let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(patience)).await;
    if !matches!(sent, Ok(Ok(()))) {
        warn!("the last traces are lost");
    }
}
