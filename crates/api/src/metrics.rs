//! Metrics in the text form of OpenMetrics: of pipelines, of this process, and of its requests.
//!
//! Names are in base units and begin with `segcdc_`; no name, label or value holds a position, a statement or an error's text.

mod pipelines;
mod process;
mod samples;

use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use segcdc_control::service::PipelineView;

use crate::metrics::samples::Samples;

/// The type of what [`Metrics::render`] writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Label names with their values.
type Labels = Vec<(&'static str, String)>;

/// What is counted of requests.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    refusals: Counter,
}

// === impl Metrics ===

impl Metrics {
    /// Nothing is counted yet.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        registry.register("segcdc_http_requests", "Requests that were answered.", requests.clone());
        // 5 ms to 41 s.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.005, 2.0, 14));
        let durations = Family::new_with_constructor(histogram);
        registry.register(
            "segcdc_http_request_duration_seconds",
            "Time until the answer of a request began.",
            durations.clone(),
        );
        let refusals = Counter::default();
        registry.register(
            "segcdc_auth_failures",
            "Requests whose credentials were refused.",
            refusals.clone(),
        );
        Metrics { registry, requests, durations, refusals }
    }

    /// Counts an answer. The route is the pattern of its path, `none` where there is none.
    pub(crate) fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        // Who sends words of their own must not make series of them.
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = if known.contains(&method) { method } else { "OTHER" };
        let place = vec![("route", route.to_owned()), ("method", method.to_owned())];
        self.durations.get_or_create(&place).observe(took.as_secs_f64());
        let labels = place.into_iter().chain([("status", status.to_string())]).collect();
        self.requests.get_or_create(&labels).inc();
        if status == 401 {
            self.refusals.inc();
        }
    }

    /// All of them, with those of pipelines, each with the name of its tenant.
    pub(crate) fn render(&self, pipelines: &[(String, PipelineView)]) -> String {
        let mut samples = Samples::default();
        samples.gauge(
            "segcdc_build_info",
            "This program.",
            vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
            1.0,
        );
        process::add(&mut samples);
        for (tenant, view) in pipelines {
            pipelines::add(&mut samples, tenant, view);
        }
        let mut others = Registry::default();
        others.register_collector(Box::new(samples));
        let mut text = String::new();
        // Writing into a text does not fail.
        encode_registry(&mut text, &self.registry).ok();
        encode_registry(&mut text, &others).ok();
        encode_eof(&mut text).ok();
        text
    }
}
