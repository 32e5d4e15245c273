//! [`source_position`]: how far a source connector has come, from what it stored in Kafka; [`sink_position`]: the same for a sink; [`starting_at`]: where one
//! that has not come to be yet is to begin.

use segcdc_model::Lsn;
use serde_json::Value;

use crate::rest::Offset;

/// The position of the last change that Kafka holds, as Debezium stored it; `None` before the first.
///
/// Debezium stores decimal numbers: `lsn_proc` is what it has wholly processed, `lsn` the last row it saw. Connect writes
/// them every minute or so (`offset.flush.interval.ms` of the worker), so the position is a little old.
pub fn source_position(offsets: &[Offset], topic_prefix: &str) -> Option<Lsn> {
    let ours = |offset: &&Offset| {
        offset.partition.get("server").and_then(Value::as_str).is_some_and(|server| server == topic_prefix)
    };
    let number = |value: &Value| value.as_u64().filter(|lsn| *lsn > 0);
    offsets
        .iter()
        .filter(ours)
        .filter_map(|offset| ["lsn_proc", "lsn"].iter().find_map(|field| number(offset.offset.get(field)?)))
        .max()
        .map(Lsn::new)
}

/// The progress of a source connector that has carried everything that committed at or below `lsn`, and nothing above.
///
/// `lsn` alone, on purpose. Debezium begins its replication at `lsn_proc` if it is there, else at `lsn`; the walsender
/// passes over every transaction whose commit lies before that position. With `lsn_proc` Debezium would, before it sends
/// anything, look for the transaction that it saw last, and leave out what comes before: but this one has seen none.
/// `snapshot` is not there, which says that no copy is under way.
pub fn starting_at(topic_prefix: &str, lsn: Lsn) -> Offset {
    Offset {
        partition: serde_json::json!({ "server": topic_prefix }),
        offset: serde_json::json!({ "lsn": lsn.as_u64() }),
    }
}

/// How many messages of its topic a sink has written, as it stored it; `None` before the first time.
pub fn sink_position(offsets: &[Offset], topic: &str) -> Option<u64> {
    let ours = |offset: &&Offset| {
        let name = offset.partition.get("kafka_topic").and_then(Value::as_str);
        name == Some(topic) && offset.partition.get("kafka_partition").and_then(Value::as_u64) == Some(0)
    };
    offsets.iter().find(ours)?.offset.get("kafka_offset")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn offsets(value: &Value) -> Vec<Offset> {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn what_is_placed_is_read_back() {
        let placed = starting_at("shop", Lsn::new(0x1_0000_0000));
        assert_eq!(
            serde_json::to_string(&placed).unwrap(),
            r#"{"partition":{"server":"shop"},"offset":{"lsn":4294967296}}"#
        );
        assert_eq!(source_position(&[placed], "shop"), Some(Lsn::new(0x1_0000_0000)));
    }

    #[test]
    fn the_position_is_that_of_our_own_partition() {
        let check = |value: Value, expected: Option<u64>| {
            let found = source_position(&offsets(&value), "shop").map(Lsn::as_u64);
            assert_eq!(found, expected, "{value}");
        };
        let partition = json!({"server": "shop"});
        check(json!([]), None);
        check(json!([{"partition": partition, "offset": null}]), None);
        check(json!([{"partition": partition, "offset": {"lsn": 7}}]), Some(7));
        check(json!([{"partition": partition, "offset": {"lsn_proc": 9, "lsn": 12, "txId": 1}}]), Some(9));
        check(json!([{"partition": partition, "offset": {"lsn": "abc"}}]), None);
        check(json!([{"partition": partition, "offset": {"lsn": -1}}]), None);
        check(json!([{"partition": {"server": "other"}, "offset": {"lsn": 7}}]), None);
        check(json!([{"partition": {"foo": "bar"}, "offset": {"lsn": 7}}]), None);
    }

    #[test]
    fn a_sinks_position_is_that_in_its_topic() {
        let stored = |topic: &str, partition: u64| {
            offsets(&json!([{"partition": {"kafka_topic": topic, "kafka_partition": partition},
                             "offset": {"kafka_offset": 7}}]))
        };
        assert_eq!(sink_position(&stored("t", 0), "t"), Some(7));
        assert_eq!(sink_position(&stored("t", 1), "t"), None);
        assert_eq!(sink_position(&stored("other", 0), "t"), None);
        assert_eq!(sink_position(&[], "t"), None);
    }
}
