//! The metric families of contracts §8.
//!
//! Every family appears in `/metrics` from the first moment, with its `# TYPE` line, whether or not it has a sample:
//! a dashboard must be able to tell "zero" from "unknown name".

use std::fmt::Write as _;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// The kind of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts per bucket.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric family: its full name, kind and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Name with the prefix `concord_`.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// One line of help.
    pub help: &'static str,
}

const fn family(name: &'static str, kind: Kind, help: &'static str) -> Family {
    Family { name, kind, help }
}

/// Every family of the contract. Services record under these names and no others.
pub const FAMILIES: &[Family] = &[
    family("concord_events_ingested_total", Kind::Counter, "Events stored by the intake, by source"),
    family("concord_events_merged_total", Kind::Counter, "Events settled by the merge, by outcome"),
    family(
        "concord_apply_latency_seconds",
        Kind::Histogram,
        "From the event's occurrence to its application, by target",
    ),
    family("concord_backlog_events", Kind::Gauge, "Unsettled events, by account"),
    family("concord_oldest_pending_seconds", Kind::Gauge, "Age of the oldest unsettled event, by account"),
    family("concord_conflicts_open", Kind::Gauge, "Conflicts waiting for a person, by account"),
    family("concord_conflicts_total", Kind::Counter, "Conflicts met by the merge, by policy"),
    family("concord_netsuite_requests_total", Kind::Counter, "Requests to NetSuite, by account and status code"),
    family("concord_netsuite_concurrency_limit", Kind::Gauge, "Requests allowed at once, by account"),
    family("concord_netsuite_in_flight", Kind::Gauge, "Requests under way, by account"),
    family("concord_governance_units_used_ratio", Kind::Gauge, "Share of the day's governance budget used, by account"),
    family("concord_retries_total", Kind::Counter, "Messages given back for another attempt, by error class"),
    family("concord_dead_letters_total", Kind::Counter, "Messages moved to events.error or events.dlq, by reason"),
    family("concord_drift_found_total", Kind::Counter, "Differences found by the reconciler, by record type"),
    family("concord_mirror_lag_seconds", Kind::Gauge, "Age of the mirror, by table"),
    family("concord_mirror_column_drops_total", Kind::Counter, "Columns the mirror dropped to heal itself, by table"),
    family("concord_search_latency_seconds", Kind::Histogram, "Search answers, by tier"),
    family("concord_build_info", Kind::Gauge, "Always 1; the labels name version and service"),
];

/// Bucket edges of `apply_latency_seconds`, in seconds: dense around the target of 5, with the contract's edge at 60.
const APPLY_LATENCY: [f64; 14] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];
/// Bucket edges of `search_latency_seconds`, in seconds.
const SEARCH_LATENCY: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

fn recorder() -> Option<&'static PrometheusHandle> {
    RECORDER.get_or_init(install).as_ref()
}

fn install() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("concord_apply_latency_seconds".into()), &APPLY_LATENCY)
        .and_then(|b| {
            b.set_buckets_for_metric(Matcher::Full("concord_search_latency_seconds".into()), &SEARCH_LATENCY)
        });
    let recorder = builder.expect("the bucket lists above are not empty").build_recorder();
    let handle = recorder.handle();
    // Another recorder in the process (a test's own) keeps its place; then there is nothing of ours to show.
    metrics::set_global_recorder(recorder).ok()?;
    for family in FAMILIES {
        match family.kind {
            Kind::Counter => metrics::describe_counter!(family.name, family.help),
            Kind::Gauge => metrics::describe_gauge!(family.name, family.help),
            Kind::Histogram => metrics::describe_histogram!(family.name, family.help),
        }
    }
    Some(handle)
}

/// Installs the process's metrics recorder, once.
pub fn ensure_recorder() {
    recorder();
}

/// Moves histogram samples into their buckets; called every few seconds so that memory stays bounded between scrapes.
pub fn upkeep() {
    if let Some(handle) = recorder() {
        handle.run_upkeep();
    }
}

/// The Prometheus text of this process: every family, with or without samples.
pub fn metrics_text(service: &'static str) -> String {
    let handle = recorder();
    metrics::gauge!("concord_build_info", "version" => env!("CARGO_PKG_VERSION"), "service" => service).set(1.0);
    let mut text = handle.map(PrometheusHandle::render).unwrap_or_default();
    for Family { name, kind, help } in FAMILIES {
        if !text.contains(&format!("# TYPE {name} ")) {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {}\n\n", kind.as_str());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_there_before_its_first_sample_and_once_after() {
        let before = metrics_text("test");
        metrics::counter!("concord_retries_total", "class" => "transient").increment(2);
        metrics::histogram!("concord_apply_latency_seconds", "target" => "suitex").record(59.0);
        let after = metrics_text("test");
        for text in [&before, &after] {
            for family in FAMILIES {
                let line = format!("# TYPE {} {}\n", family.name, family.kind.as_str());
                assert_eq!(text.matches(&line).count(), 1, "{line} in\n{text}");
            }
        }
        assert!(after.contains("concord_retries_total{class=\"transient\"} 2"), "{after}");
        assert!(after.contains("concord_apply_latency_seconds_bucket{target=\"suitex\",le=\"60\"} 1"), "{after}");
        assert!(after.contains("concord_apply_latency_seconds_bucket{target=\"suitex\",le=\"30\"} 0"), "{after}");
        assert!(after.contains("concord_build_info{"), "{after}");
    }
}
