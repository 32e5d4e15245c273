//! [`Samples`]: values that are known at one moment, put together by their names.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Labels;

/// Values of one moment.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Kind>);

/// The values of one name.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    values: Vec<(Labels, f64)>,
}

// === impl Samples ===

impl Samples {
    /// Something that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, labels: Labels, value: f64) {
        self.add(name, help, false, labels, value);
    }

    /// Something that only grows while its run lasts; `_total` is added to its name.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, labels: Labels, value: f64) {
        self.add(name, help, true, labels, value);
    }

    /// One of several words: each has a series, 1 for the one that holds.
    pub(super) fn word(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &Labels,
        (label, words): (&'static str, &[&str]),
        holds: Option<&str>,
    ) {
        for word in words {
            let labels = labels.iter().cloned().chain([(label, (*word).to_owned())]).collect();
            self.gauge(name, help, labels, f64::from(u8::from(holds == Some(*word))));
        }
    }

    fn add(&mut self, name: &'static str, help: &'static str, is_counter: bool, labels: Labels, value: f64) {
        match self.0.iter_mut().find(|kind| kind.name == name) {
            Some(kind) => kind.values.push((labels, value)),
            None => self.0.push(Kind { name, help, is_counter, values: vec![(labels, value)] }),
        }
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for kind in &self.0 {
            let of = if kind.is_counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(kind.name, kind.help, None, of)?;
            for (labels, value) in &kind.values {
                let mut one = metric.encode_family(labels)?;
                if kind.is_counter {
                    one.encode_counter::<NoLabelSet, f64, f64>(value, None)?;
                } else {
                    one.encode_gauge(value)?;
                }
            }
        }
        Ok(())
    }
}
