//! [`App`]: what every handler can reach.

use std::sync::Arc;

use segcdc_control::Control;
use serde_json::Value;

use crate::metrics::Metrics;

/// How a server presents itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `https://host:port` under which browsers reach it, when that is not what their requests name.
    pub public_origin: Option<String>,
    /// Whether browsers reach it by HTTPS: cookies are then sent over nothing else.
    pub is_https: bool,
}

/// What every handler can reach.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Arc<Control>,
    options: Options,
    document: Value,
    metrics: Metrics,
}

// === impl App ===

impl App {
    /// A server over a control plane, with its description.
    pub(crate) fn new(control: Arc<Control>, options: Options, document: Value) -> Self {
        App(Arc::new(Inner { control, options, document, metrics: Metrics::new() }))
    }

    /// The use cases.
    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    /// The use cases, for those that go on when the request has ended.
    pub(crate) fn shared(&self) -> &Arc<Control> {
        &self.0.control
    }

    /// How it presents itself.
    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// What is counted of requests.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Its description as OpenAPI.
    pub(crate) fn document(&self) -> &Value {
        &self.0.document
    }

    /// The name of the cookie that holds a session. The prefix has browsers refuse one that was set for another path, by
    /// another host, or without HTTPS.
    pub(crate) fn cookie(&self) -> &'static str {
        if self.0.options.is_https { "__Host-segcdc" } else { "segcdc" }
    }
}
