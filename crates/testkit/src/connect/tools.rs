//! What is in a cluster, by Kafka's own commands: a witness that is none of the product's code.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use crate::connect::ConnectCluster;
use crate::connect::java::{Jvm, Program};

/// Heap of a command, MiB.
const HEAP_MIB: u32 = 128;

/// How long the end of a topic is waited for, milliseconds.
const TOPIC_END_MS: &str = "3000";

// === impl ConnectCluster ===

impl ConnectCluster {
    /// Names of all topics, as `kafka-topics.sh --list` says.
    pub fn topics(&self) -> Result<Vec<String>> {
        self.list("org.apache.kafka.tools.TopicCommand")
    }

    /// Deletes the topics whose names begin with a mark and go on with `.` or `_`, as `kafka-topics.sh --delete` does.
    /// Returns their names.
    pub fn delete_topics(&self, mark: &str) -> Result<Vec<String>> {
        let all = self.topics()?.into_iter();
        let topics: Vec<String> = all
            .filter(|topic| {
                topic
                    .trim_start_matches("__debezium-heartbeat.")
                    .strip_prefix(mark)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
            })
            .collect();
        for topic in &topics {
            let arguments = ["--delete", "--if-exists", "--topic", topic.as_str()];
            self.command("org.apache.kafka.tools.TopicCommand", arguments)?;
        }
        Ok(topics)
    }

    /// Names of all consumer groups, as `kafka-consumer-groups.sh --list` says.
    pub fn consumer_groups(&self) -> Result<Vec<String>> {
        self.list("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
    }

    /// Partitions of source connectors, as the worker writes them, of which it has stored a progress and not forgotten it,
    /// as `kafka-console-consumer.sh` reads them from the worker's topic.
    pub fn stored_offsets(&self) -> Result<Vec<String>> {
        let arguments = ["--topic", "connect-offsets", "--from-beginning", "--timeout-ms", TOPIC_END_MS];
        let properties =
            ["--formatter-property", "print.key=true", "--formatter-property", "null.literal=null"];
        let text = self.command(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            arguments.into_iter().chain(properties),
        )?;
        let last: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
        Ok(last.into_iter().filter(|(_, value)| *value != "null").map(|(key, _)| key.to_owned()).collect())
    }

    fn list(&self, main: &'static str) -> Result<Vec<String>> {
        let text = self.command(main, ["--list"])?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Runs one of Kafka's commands to its end.
    fn command<'a>(
        &self,
        main: &'static str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<String> {
        let bootstrap = ["--bootstrap-server".to_owned(), self.bootstrap()];
        let arguments = bootstrap.into_iter().chain(arguments.into_iter().map(str::to_owned));
        let program = Program {
            main,
            arguments: arguments.map(PathBuf::from).collect(),
            heap_mib: HEAP_MIB,
            jvm: Jvm::QuickToStart,
            logs: false,
            environment: &[],
        };
        program.run(&self.home, &self.dir, main)
    }
}
