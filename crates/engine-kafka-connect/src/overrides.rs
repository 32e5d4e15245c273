//! Properties that a user may set, and everything else refused.
//!
//! Connector properties are a way into the worker: some name classes to load, some name files to read, and a value with
//! a placeholder is filled with the worker's own secrets. So there is a short list of what may be set, and no way around
//! it.

use crate::error::ConnectError;
use crate::property::{Connector, Property, Role};

/// A property that a user sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Which connector.
    pub role: Role,
    /// The property.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What a value has to be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A whole number between the two.
    Number(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What may be set. Sizes, pauses and limits only: nothing that decides what arrives, where, or by which class.
const ALLOWED: &[(Role, &str, Kind)] = &[
    (Role::Source, "max.batch.size", Kind::Number(1, 1_000_000)),
    (Role::Source, "max.queue.size", Kind::Number(2, 10_000_000)),
    (Role::Source, "max.queue.size.in.bytes", Kind::Number(0, 1 << 40)),
    (Role::Source, "poll.interval.ms", Kind::Number(1, 60_000)),
    (Role::Source, "heartbeat.interval.ms", Kind::Number(1_000, 600_000)),
    (Role::Source, "snapshot.fetch.size", Kind::Number(1, 10_000_000)),
    (Role::Source, "snapshot.lock.timeout.ms", Kind::Number(0, 3_600_000)),
    (Role::Source, "status.update.interval.ms", Kind::Number(1_000, 60_000)),
    (Role::Source, "slot.max.retries", Kind::Number(0, 10_000)),
    (Role::Source, "slot.retry.delay.ms", Kind::Number(100, 600_000)),
    (Role::Source, "errors.max.retries", Kind::Number(0, 100_000)),
    (Role::Source, "database.query.timeout.ms", Kind::Number(0, 86_400_000)),
    (Role::Source, "topic.creation.default.replication.factor", Kind::Number(1, 32_767)),
    (Role::Source, "topic.creation.default.retention.ms", Kind::Number(3_600_000, u64::MAX >> 1)),
    (
        Role::Source,
        "topic.creation.default.compression.type",
        Kind::Word(&["lz4", "zstd", "gzip", "snappy", "uncompressed", "producer"]),
    ),
    (Role::Sink, "batch.size", Kind::Number(1, 100_000)),
    (Role::Sink, "consumer.override.max.poll.records", Kind::Number(1, 100_000)),
    (Role::Sink, "connection.pool.max_size", Kind::Number(1, 1_000)),
    (Role::Sink, "flush.max.retries", Kind::Number(0, 10_000)),
    (Role::Sink, "flush.retry.delay.ms", Kind::Number(10, 600_000)),
];

/// Reads `source.max.batch.size=4096` or `sink.batch.size=500`, and checks it.
///
/// # Errors
/// `PROPERTY_NOT_ALLOWED`, `PLACEHOLDER_NOT_ALLOWED`, `PROPERTY_VALUE`.
pub fn parse(text: &str) -> Result<Override, ConnectError> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let (name, value) = (name.trim(), value.trim());
    let (role, property) = match name.split_once('.') {
        Some(("source", property)) => (Role::Source, property),
        Some(("sink", property)) => (Role::Sink, property),
        Some(_) | None => {
            return Err(ConnectError::PropertyNotAllowed { connector: "source or sink", name: shown(name) });
        }
    };
    let refused = || ConnectError::PropertyNotAllowed { connector: role.as_str(), name: shown(property) };
    let kind = ALLOWED.iter().find(|(allowed, name, _)| *allowed == role && *name == property);
    // A placeholder is named as such even in a property that nobody may set.
    if value.contains("${") {
        return Err(ConnectError::PlaceholderNotAllowed { name: shown(name) });
    }
    let (_, _, kind) = kind.ok_or_else(refused)?;
    check(name, value, *kind)?;
    Ok(Override { role, name: property.to_owned(), value: value.to_owned() })
}

/// Puts what the user set into the connector that it is meant for.
pub(crate) fn apply(connector: &mut Connector, overrides: &[Override]) {
    let role = connector.role;
    for wanted in overrides.iter().filter(|wanted| wanted.role == role) {
        connector.remove(&wanted.name);
        connector.properties.push(Property {
            name: wanted.name.clone(),
            value: wanted.value.clone(),
            reason: "set by the user".to_owned(),
        });
    }
}

/// Names of everything that may be set, for the guide and for completion.
pub fn allowed() -> impl Iterator<Item = String> {
    ALLOWED.iter().map(|(role, name, _)| format!("{}.{name}", role.as_str()))
}

fn check(name: &str, value: &str, kind: Kind) -> Result<(), ConnectError> {
    let bad = |reason| Err(ConnectError::PropertyValue { name: name.to_owned(), reason });
    match kind {
        Kind::Number(from, to) => match value.parse::<u64>() {
            Ok(number) if (from..=to).contains(&number) => Ok(()),
            Ok(_) => bad("the number is out of range"),
            Err(_) => bad("it is not a whole number"),
        },
        Kind::Word(words) if words.contains(&value) => Ok(()),
        Kind::Word(_) => bad("it is not one of the words that this property knows"),
    }
}

/// A name as it can be shown.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Fault;

    #[test]
    fn what_may_be_set_is_taken() {
        let wanted = parse("source.max.batch.size = 4096").unwrap();
        assert_eq!(
            (wanted.role, wanted.name.as_str(), wanted.value.as_str()),
            (Role::Source, "max.batch.size", "4096")
        );
        assert!(parse("sink.batch.size=500").is_ok());
        assert!(parse("source.topic.creation.default.compression.type=zstd").is_ok());
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let check = |text: &str, code: &str| {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert!(!format!("{error} {error:?}").contains("sekret"), "{error:?}");
        };
        for name in [
            "source.database.hostname=sekret",
            "source.sasl.jaas.config=sekret",
            "source.producer.override.sasl.jaas.config=sekret",
            "sink.consumer.override.sasl.jaas.config=sekret",
            "source.transforms=sekret",
            "source.transforms.x.type=sekret",
            "sink.connection.url=sekret",
            "sink.connection.password=sekret",
            "source.connector.class=sekret",
            "source.post.processors=sekret",
            "source.config.providers=sekret",
            "source.database.sslfactory=sekret",
            "source.plugin.name=sekret",
            "source.skipped.operations=sekret",
            "sink.errors.tolerance=all",
            "max.batch.size=1",
            "other.max.batch.size=1",
            "",
        ] {
            check(name, "PROPERTY_NOT_ALLOWED");
        }
        check("source.max.batch.size=${file:/etc/passwd:x}", "PLACEHOLDER_NOT_ALLOWED");
        check("source.database.hostname=${env:AWS_SECRET}", "PLACEHOLDER_NOT_ALLOWED");
        for text in [
            "source.max.batch.size=sekret",
            "source.max.batch.size=0",
            "source.max.batch.size=-1",
            "source.max.batch.size",
            "source.topic.creation.default.compression.type=sekret",
        ] {
            check(text, "PROPERTY_VALUE");
        }
    }
}
