//! Logs: to standard error, as text or as one JSON object a line.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::error::CliError;
use crate::screen;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Writes an event as one JSON object: `time_ms`, `level`, `target`, `message` and the event's fields.
#[derive(Debug)]
struct JsonLines;

/// Collects the fields of an event.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

/// Starts logging for the whole process. `level` is `error`, `warn`, `info`, `debug`, `trace` or a list of
/// `target=level`.
///
/// # Errors
/// When `level` is none of these.
pub(crate) fn start(level: &str, format: LogFormat, ansi: bool) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(level).map_err(|_| {
        let message = format!("\"{level}\" is not a log level");
        CliError::usage(
            "LOG_LEVEL",
            message,
            "give error, warn, info, debug, trace, or segcdc_postgres=debug",
        )
    })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen::Lines::default).with_ansi(ansi);
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.event_format(JsonLines).try_init(),
    };
    started.map_err(|_| CliError::usage("LOG_LEVEL", "logging was started twice", ""))
}

// === impl JsonLines ===

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        fields.put("time_ms", u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        fields.put("level", event.metadata().level().as_str());
        fields.put("target", event.metadata().target());
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

// === impl Fields ===

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }
}
