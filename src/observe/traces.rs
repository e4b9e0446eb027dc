//! Traces for an OpenTelemetry collector, in programs built with the feature `otel`.

use std::{env, sync::OnceLock, time::Duration};

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, SpanExporter};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Subscriber, warn};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    registry::LookupSpan,
};

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

/// Sends what has gathered, for so long at most, and nothing afterwards.
pub async fn finish(patience: Duration) {
    let Some(provider) = PROVIDER.get() else { return };
    let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(patience)).await;
    if !matches!(sent, Ok(Ok(()))) {
        warn!("the last traces are lost");
    }
}
