//! W3C trace context in and out of message attributes.
//!
//! Written under both `traceparent` (Concord, CloudEvents) and `googclient_traceparent` (Google's clients), read from
//! whichever is there. Without an OTLP endpoint there is no span context and nothing is written; what came in with a
//! message still goes on with it, since attributes are copied.

use std::collections::BTreeMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const GOOGLE_PREFIX: &str = "googclient_";
/// Most messages of a batch whose traces are linked to the batch's span.
const MAX_LINKS: usize = 64;

struct Attributes<'a>(&'a BTreeMap<String, String>);

impl Extractor for Attributes<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let plain = self.0.get(key);
        plain.or_else(|| self.0.get(&format!("{GOOGLE_PREFIX}{key}"))).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

struct AttributesMut<'a>(&'a mut BTreeMap<String, String>);

impl Injector for AttributesMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return; // an empty tracestate says nothing
        }
        self.0.insert(format!("{GOOGLE_PREFIX}{key}"), value.clone());
        self.0.insert(key.to_owned(), value);
    }
}

/// Writes the context of the current span into attributes, replacing what is there; leaves them alone without one.
pub fn inject(attributes: &mut BTreeMap<String, String>) {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut AttributesMut(attributes));
    }
}

/// The context that came with a message, if it is readable.
pub fn extract(attributes: &BTreeMap<String, String>) -> Option<Context> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Attributes(attributes));
    context.span().span_context().is_valid().then_some(context)
}

/// Makes a batch's span the child of the first message's trace and links it to the others'.
pub fn adopt<'a>(span: &Span, messages: impl Iterator<Item = &'a BTreeMap<String, String>>) {
    let mut contexts = messages.filter_map(extract).take(MAX_LINKS);
    if let Some(first) = contexts.next() {
        // Fails only when no OpenTelemetry layer is installed, and then nobody looks at the trace.
        let _ = span.set_parent(first);
    }
    for other in contexts {
        span.add_link(other.span().span_context().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn attributes(name: &str, value: &str) -> BTreeMap<String, String> {
        [(name.to_owned(), value.to_owned())].into()
    }

    #[test]
    fn both_spellings_are_read() {
        for name in ["traceparent", "googclient_traceparent"] {
            let context = extract(&attributes(name, PARENT)).expect(name);
            assert_eq!(context.span().span_context().trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        }
    }

    #[test]
    fn nonsense_is_no_context() {
        for value in ["", "00-zz-1-01", "hello", "00-00000000000000000000000000000000-0000000000000000-00"] {
            assert!(extract(&attributes("traceparent", value)).is_none(), "{value}");
        }
    }

    #[test]
    fn the_context_of_the_current_span_is_written_under_both_names() {
        use opentelemetry::trace::TracerProvider;
        use tracing_subscriber::layer::SubscriberExt;
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("handle");
            adopt(&span, [attributes("traceparent", PARENT)].iter());
            let mut written = BTreeMap::new();
            span.in_scope(|| inject(&mut written));
            assert_eq!(written["traceparent"], written["googclient_traceparent"]);
            assert!(written["traceparent"].starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{written:?}");
            assert_ne!(written["traceparent"], PARENT, "the span of this process stands in between");
        });
    }
}
