//! Logs, traces and metrics of a process.
//!
//! [`install`] is for a binary and happens once; a service run inside another process (testkit) uses whatever that
//! process has installed. Metrics need no installation: [`metrics_text`] registers the recorder on first use.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::settings::{CoreSettings, LogFormat};

mod families;

pub use families::{FAMILIES, Family, Kind, ensure_recorder, metrics_text, upkeep};

/// Why telemetry could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter cannot be built for this endpoint.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// A subscriber is installed already.
    #[error("logging is already installed in this process")]
    Installed(#[source] tracing_subscriber::util::TryInitError),
}

/// What must be flushed before the process ends.
#[derive(Debug, Default)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what is buffered and stops exporting; waits at most the exporter's own timeout (10 s).
    pub fn shutdown(self) {
        if let Some(provider) = self.traces
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces were not delivered");
        }
    }
}

/// Installs the log subscriber and, when an endpoint is set, the trace exporter. Call inside the runtime.
pub fn install(service: &'static str, core: &CoreSettings) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&core.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs: Box<dyn Layer<Registry> + Send + Sync> = match core.log_format {
        LogFormat::Json => {
            Box::new(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
        }
        LogFormat::Text => Box::new(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)),
    };
    let provider =
        core.otlp_endpoint.as_deref().map(|endpoint| exporter(service, core.replica, endpoint)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        // Traces are complete whatever the log filter says, except for the exporter's own plumbing, which would trace itself.
        let plumbing = EnvFilter::new("info,h2=off,tonic=off,hyper=off,tower=off");
        tracing_opentelemetry::layer().with_tracer(provider.tracer(service)).with_filter(plumbing)
    });
    tracing_subscriber::registry()
        .with(logs.with_filter(filter))
        .with(traces)
        .try_init()
        .map_err(TelemetryError::Installed)?;
    ensure_recorder();
    Ok(Telemetry { traces: provider })
}

fn exporter(service: &'static str, replica: u32, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(TelemetryError::Exporter)?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(opentelemetry::KeyValue::new("service.instance.id", format!("{service}-{replica}")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
