//! [`KafkaAdmin`]: what Kafka Connect's REST interface has no call for: deletes topics, and says where they end and which
//! consumer groups there are.
//!
//! Four requests of the Kafka protocol, in versions that every broker from 1.0 to 4.x speaks and that have no tagged
//! fields: Metadata 1 finds brokers and topics, DeleteTopics 1, ListOffsets 1 and ListGroups 0 ask them. Metadata is
//! always asked for all topics: naming one that is gone would have some brokers make it again. Before them come TLS and
//! SASL ([`BrokerSecurity`]); a listener that wants what was not given is named.

use std::io;

use crate::kafka::connection::{Security, Trouble, ask};
use crate::kafka::wire::{Reader, Writer};

pub use crate::kafka::connection::{BrokerSecurity, BrokerTls};
pub use crate::kafka::error::KafkaError;
pub use crate::kafka::sasl::{Mechanism, Sasl};
pub use crate::tls::ClientCertificate;

mod connection;
mod error;
mod listener;
mod sasl;
mod wire;

/// How long a broker may take to delete topics, milliseconds.
const DELETE_MS: i32 = 15_000;

/// Numbers of the requests.
const METADATA: i16 = 3;
/// The same.
const DELETE_TOPICS: i16 = 20;
/// The same.
const LIST_OFFSETS: i16 = 2;
/// The same.
const LIST_GROUPS: i16 = 16;

/// The position behind the last message, as ListOffsets takes it.
const LATEST: i64 = -1;

/// UNKNOWN_TOPIC_OR_PARTITION
const UNKNOWN_TOPIC: i16 = 3;

/// Host and port of a broker.
type Address = (String, u16);

/// Where brokers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// Hosts and ports, at least one.
    addresses: Vec<(String, u16)>,
}

/// Deletes topics.
#[derive(Debug, Clone)]
pub struct KafkaAdmin {
    bootstrap: Bootstrap,
    security: Security,
}

// === impl Bootstrap ===

impl Bootstrap {
    /// Reads `host:port`, several with commas.
    ///
    /// # Errors
    /// `KAFKA_BOOTSTRAP`.
    pub fn parse(text: &str) -> Result<Self, KafkaError> {
        let parse = |part: &str| {
            let bad = || KafkaError::BootstrapInvalid {
                address: part.chars().filter(|c| !c.is_control()).take(80).collect(),
            };
            let (host, port) = part.trim().rsplit_once(':').ok_or_else(bad)?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
            if host.is_empty() || !host.chars().all(plain) {
                return Err(bad());
            }
            let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(bad)?;
            Ok((host.to_owned(), port))
        };
        Ok(Bootstrap { addresses: text.split(',').map(parse).collect::<Result<_, _>>()? })
    }
}

impl std::fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = self.addresses.iter().map(|(host, port)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        });
        f.write_str(&texts.collect::<Vec<_>>().join(","))
    }
}

// === impl KafkaAdmin ===

impl KafkaAdmin {
    /// For the cluster at these addresses.
    ///
    /// # Errors
    /// `KAFKA_TLS` for certificates that cannot be used.
    pub fn new(bootstrap: Bootstrap, security: &BrokerSecurity) -> Result<Self, KafkaError> {
        Ok(KafkaAdmin { bootstrap, security: Security::new(security)? })
    }

    /// Names of all topics.
    ///
    /// # Errors
    /// `KAFKA_UNREACHABLE`, `KAFKA_PROTOCOL`.
    pub async fn topics(&self) -> Result<Vec<String>, KafkaError> {
        Ok(self.metadata("list topics").await?.topics.into_iter().map(|topic| topic.name).collect())
    }

    /// How many messages each of these topics of one partition has ever had, in their order; `None` for one that is not
    /// there, or has no leader at the moment.
    ///
    /// # Errors
    /// `KAFKA_UNREACHABLE`, `KAFKA_REFUSED`, `KAFKA_PROTOCOL`.
    pub async fn ends(&self, topics: &[String]) -> Result<Vec<Option<u64>>, KafkaError> {
        let found = self.metadata("find topics").await?;
        let mut ends = Vec::with_capacity(topics.len());
        for topic in topics {
            let leader =
                found.topics.iter().find(|known| known.name == *topic).and_then(|known| known.leader);
            let address = leader.and_then(|leader| found.address(leader));
            ends.push(match address {
                Some(address) => Some(self.end(topic, address).await?),
                None => None,
            });
        }
        Ok(ends)
    }

    async fn end(&self, topic: &str, leader: &(String, u16)) -> Result<u64, KafkaError> {
        let what = "ask where a topic ends";
        let mut request = Writer::request(LIST_OFFSETS, 1);
        // As a client, and no replica.
        request.int32(-1);
        request.array(&[topic], |writer, topic| {
            writer.string(topic);
            writer.array(&[0], |writer, partition| {
                writer.int32(*partition);
                writer.int64(LATEST);
            });
        });
        let answer = self.ask(leader, request).await?;
        match listed(&answer).ok_or(KafkaError::Protocol { what })? {
            (0, offset) => u64::try_from(offset).map_err(|_| KafkaError::Protocol { what }),
            (number, _) => Err(KafkaError::Refused { what: format!("say where topic {topic} ends"), number }),
        }
    }

    /// Names of all consumer groups.
    ///
    /// # Errors
    /// `KAFKA_UNREACHABLE`, `KAFKA_REFUSED`, `KAFKA_PROTOCOL`.
    pub async fn consumer_groups(&self) -> Result<Vec<String>, KafkaError> {
        let what = "list consumer groups";
        let mut names = Vec::new();
        // Each broker knows the groups that it coordinates.
        for (_, address) in self.metadata("find the brokers").await?.brokers {
            let request = Writer::request(LIST_GROUPS, 0);
            let answer = self.ask(&address, request).await?;
            match groups(&answer).ok_or(KafkaError::Protocol { what })? {
                (0, found) => names.extend(found),
                (number, _) => return Err(KafkaError::Refused { what: what.to_owned(), number }),
            }
        }
        Ok(names)
    }

    /// Deletes topics; those that are not there count as deleted.
    ///
    /// # Errors
    /// `KAFKA_UNREACHABLE`, `KAFKA_REFUSED`, `KAFKA_PROTOCOL`.
    pub async fn delete_topics(&self, topics: &[String]) -> Result<(), KafkaError> {
        let what = "find the controller";
        let found = self.metadata(what).await?;
        let controller = found.address(found.controller).ok_or(KafkaError::Protocol { what })?;
        let mut request = Writer::request(DELETE_TOPICS, 1);
        request.array(topics, |writer, topic| writer.string(topic));
        request.int32(DELETE_MS);
        let answer = self.ask(controller, request).await?;
        for (topic, number) in deleted(&answer).ok_or(KafkaError::Protocol { what: "delete topics" })? {
            if number != 0 && number != UNKNOWN_TOPIC {
                return Err(KafkaError::Refused { what: format!("delete the topic {topic}"), number });
            }
        }
        Ok(())
    }

    /// Brokers and topics.
    async fn metadata(&self, what: &'static str) -> Result<Metadata, KafkaError> {
        let mut request = Writer::request(METADATA, 1);
        // Null: all topics.
        request.int32(-1);
        let answer = self.ask_any(request, what).await?;
        metadata(&answer).ok_or(KafkaError::Protocol { what })
    }

    /// Asks the first broker that answers. One that refuses us is not passed over: the others would too.
    async fn ask_any(&self, request: Writer, what: &'static str) -> Result<Vec<u8>, KafkaError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let mut secured = None;
        for address in &self.bootstrap.addresses {
            match ask(&self.security, address, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Io(error)) => {
                    tracing::debug!(host = address.0, port = address.1, error = %error, what, "a broker did not answer");
                    let may_want =
                        self.security.is_none() && error.kind() != io::ErrorKind::ConnectionRefused;
                    if may_want && secured.is_none() {
                        secured = listener::wants(address).await.map(|wants| (address, wants));
                    }
                    last = error;
                }
                Err(trouble) => return Err(self.named(address, trouble)),
            }
        }
        match secured {
            Some(((host, port), wants)) => {
                Err(KafkaError::Secured { address: format!("{host}:{port}"), wants })
            }
            None => Err(KafkaError::Unreachable { addresses: self.bootstrap.to_string(), cause: last }),
        }
    }

    /// Asks one broker.
    async fn ask(&self, address: &Address, request: Writer) -> Result<Vec<u8>, KafkaError> {
        ask(&self.security, address, request).await.map_err(|trouble| self.named(address, trouble))
    }

    /// Trouble with a broker, as an error.
    fn named(&self, (host, port): &Address, trouble: Trouble) -> KafkaError {
        let address = format!("{host}:{port}");
        let (user, mechanism) = match self.security.sasl() {
            Some(sasl) => (sasl.user.clone(), sasl.mechanism.as_str()),
            None => (String::new(), ""),
        };
        match trouble {
            Trouble::Io(cause) => KafkaError::Unreachable { addresses: address, cause },
            Trouble::Tls(detail) => KafkaError::Tls { address, detail },
            Trouble::Mechanism(offered) => {
                let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
                KafkaError::Mechanism { address, mechanism, offered }
            }
            Trouble::Refused => KafkaError::Auth { address, user, mechanism },
            Trouble::Unproven => KafkaError::Impostor { address, mechanism },
        }
    }
}

/// What Metadata answers.
#[derive(Debug, PartialEq, Eq)]
struct Metadata {
    brokers: Vec<(i32, (String, u16))>,
    controller: i32,
    topics: Vec<Topic>,
}

/// A topic.
#[derive(Debug, PartialEq, Eq)]
struct Topic {
    name: String,
    /// The broker that leads its first partition.
    leader: Option<i32>,
}

// === impl Metadata ===

impl Metadata {
    fn address(&self, broker: i32) -> Option<&(String, u16)> {
        self.brokers.iter().find(|(id, _)| *id == broker).map(|(_, address)| address)
    }
}

/// Reads the answer to Metadata 1.
fn metadata(answer: &[u8]) -> Option<Metadata> {
    let mut reader = Reader { rest: answer };
    let mut brokers = Vec::new();
    for _ in 0..reader.length()? {
        let (id, host, port) = (reader.int32()?, reader.string()?, reader.int32()?);
        let _rack = reader.nullable_string()?;
        brokers.push((id, (host, u16::try_from(port).ok()?)));
    }
    let controller = reader.int32()?;
    let mut topics = Vec::new();
    for _ in 0..reader.length()? {
        let _error = reader.int16()?;
        let name = reader.string()?;
        let _internal = reader.int8()?;
        let mut first = None;
        for _ in 0..reader.length()? {
            let (_error, partition, leader) = (reader.int16()?, reader.int32()?, reader.int32()?);
            if partition == 0 {
                first = Some(leader).filter(|leader| *leader >= 0);
            }
            for _ in 0..2 {
                for _ in 0..reader.length()? {
                    reader.int32()?;
                }
            }
        }
        topics.push(Topic { name, leader: first });
    }
    Some(Metadata { brokers, controller, topics })
}

/// Reads the answer to ListOffsets 1 about one partition: error number and position.
fn listed(answer: &[u8]) -> Option<(i16, i64)> {
    let mut reader = Reader { rest: answer };
    if reader.length()? != 1 {
        return None;
    }
    let _topic = reader.string()?;
    if reader.length()? != 1 {
        return None;
    }
    let (_partition, error, _at) = (reader.int32()?, reader.int16()?, reader.int64()?);
    Some((error, reader.int64()?))
}

/// Reads the answer to ListGroups 0: error number and groups.
fn groups(answer: &[u8]) -> Option<(i16, Vec<String>)> {
    let mut reader = Reader { rest: answer };
    let error = reader.int16()?;
    let length = reader.length()?;
    let name_of = |reader: &mut Reader<'_>| {
        let name = reader.string()?;
        let _protocol = reader.string()?;
        Some(name)
    };
    Some((error, (0..length).map(|_| name_of(&mut reader)).collect::<Option<_>>()?))
}

/// Reads the answer to DeleteTopics 1: topics and error numbers.
fn deleted(answer: &[u8]) -> Option<Vec<(String, i16)>> {
    let mut reader = Reader { rest: answer };
    let _throttle_ms = reader.int32()?;
    let length = reader.length()?;
    (0..length).map(|_| Some((reader.string()?, reader.int16()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use segcdc_model::Fault;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn addresses_are_read() {
        let check =
            |text: &str, expected: &str| assert_eq!(Bootstrap::parse(text).unwrap().to_string(), expected);
        check("kafka:9092", "kafka:9092");
        check("a:1, [::1]:2", "a:1,[::1]:2");
        for text in ["", "kafka", "kafka:0", "kafka:99999", ":9092", "a:1,,b:2", "SASL_SSL://a:1", "a b:1"] {
            assert_eq!(Bootstrap::parse(text).unwrap_err().code(), "KAFKA_BOOTSTRAP", "{text}");
        }
    }

    #[test]
    fn a_request_is_framed_as_the_protocol_says() {
        let mut request = Writer::request(DELETE_TOPICS, 1);
        request.array(&["ab"], |writer, topic| writer.string(topic));
        request.int32(DELETE_MS);
        let expected = b"\x00\x00\x00\x1c\x00\x14\x00\x01\x00\x00\x00\x01\x00\x06segcdc\x00\x00\x00\x01\x00\x02ab\x00\x00\x3a\x98";
        assert_eq!(request.finish(), expected);
    }

    /// An answer to Metadata 1 of one broker and one topic.
    fn metadata_answer(port: i32) -> Vec<u8> {
        let mut writer = Writer { bytes: Vec::new() };
        writer.int32(1);
        writer.int32(7);
        writer.string("127.0.0.1");
        writer.int32(port);
        writer.bytes.extend((-1_i16).to_be_bytes());
        writer.int32(7);
        writer.int32(1);
        writer.bytes.extend([0, 0]);
        writer.string("t");
        writer.bytes.push(0);
        writer.int32(1);
        writer.bytes.extend([0, 0]);
        for number in [0, 7, 1, 7, 1, 7] {
            writer.int32(number);
        }
        writer.bytes
    }

    /// An answer to ListOffsets 1 about one partition.
    fn listed_answer(error: i16, offset: i64) -> Vec<u8> {
        let mut writer = Writer { bytes: Vec::new() };
        writer.int32(1);
        writer.string("t");
        writer.int32(1);
        writer.int32(0);
        writer.bytes.extend(error.to_be_bytes());
        writer.int64(-1);
        writer.int64(offset);
        writer.bytes
    }

    #[test]
    fn brokers_and_topics_are_read() {
        let expected = Metadata {
            brokers: vec![(7, ("127.0.0.1".to_owned(), 9))],
            controller: 7,
            topics: vec![Topic { name: "t".to_owned(), leader: Some(7) }],
        };
        assert_eq!(metadata(&metadata_answer(9)), Some(expected));
        let whole = metadata_answer(9);
        for length in 0..whole.len() {
            assert_eq!(metadata(whole.get(..length).unwrap()), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _any = metadata(&bytes);
            let _any = deleted(&bytes);
            let _any = listed(&bytes);
            let _any = groups(&bytes);
            let _any = connection::handshaken(&bytes);
            let _any = connection::authenticated(&bytes);
        }
    }

    /// A broker that gives these answers, one a connection.
    async fn broker(answers: impl FnOnce(u16) -> Vec<Vec<u8>> + Send + 'static) -> Bootstrap {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers(port) {
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = usize::try_from(stream.read_i32().await.unwrap()).unwrap();
                let mut request = vec![0; length];
                stream.read_exact(&mut request).await.unwrap();
                let mut framed = i32::try_from(answer.len() + 4).unwrap().to_be_bytes().to_vec();
                framed.extend(1_i32.to_be_bytes());
                framed.extend(answer);
                stream.write_all(&framed).await.unwrap();
            }
        });
        Bootstrap::parse(&format!("127.0.0.1:1,127.0.0.1:{port}")).unwrap()
    }

    fn admin(bootstrap: Bootstrap) -> KafkaAdmin {
        KafkaAdmin::new(bootstrap, &BrokerSecurity::default()).unwrap()
    }

    /// An answer to DeleteTopics 1.
    fn deleted_answer(topics: &[(&str, i16)]) -> Vec<u8> {
        let mut writer = Writer { bytes: Vec::new() };
        writer.int32(0);
        writer.array(topics, |writer, (topic, number)| {
            writer.string(topic);
            writer.bytes.extend(number.to_be_bytes());
        });
        writer.bytes
    }

    #[tokio::test]
    async fn answers_that_are_none_are_named() {
        // A broker of Kafka would not: something else listens there, or something between us shortens answers.
        let bootstrap = broker(|port| {
            let mut cut = metadata_answer(i32::from(port));
            cut.pop();
            vec![cut]
        })
        .await;
        assert_eq!(admin(bootstrap).topics().await.unwrap_err().code(), "KAFKA_PROTOCOL");
        // What the one says who could not prove that it knows the password is tested with SCRAM itself.
        let admin = admin(Bootstrap::parse("kafka:9092").unwrap());
        let unproven = admin.named(&("kafka".to_owned(), 9092), Trouble::Unproven);
        assert_eq!(unproven.code(), "KAFKA_IMPOSTOR");
        assert!(unproven.hint().contains("the password was not sent"));
    }

    #[tokio::test]
    async fn topics_are_deleted_by_the_controller() {
        let bootstrap = broker(|port| {
            vec![metadata_answer(i32::from(port)), deleted_answer(&[("a", 0), ("b", UNKNOWN_TOPIC)])]
        });
        let asked = admin(bootstrap.await);
        asked.delete_topics(&["a".to_owned(), "b".to_owned()]).await.unwrap();
    }

    #[tokio::test]
    async fn a_refusal_is_named() {
        // 29: TOPIC_AUTHORIZATION_FAILED
        let bootstrap = broker(|port| vec![metadata_answer(i32::from(port)), deleted_answer(&[("a", 29)])]);
        let error = admin(bootstrap.await).delete_topics(&["a".to_owned()]).await.unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("KAFKA_REFUSED", "Kafka refuses to delete the topic a: error 29")
        );
    }

    #[tokio::test]
    async fn the_end_of_a_topic_is_asked_for_at_its_leader() {
        let answers = |port: u16, error| vec![metadata_answer(i32::from(port)), listed_answer(error, 42)];
        let topics = ["t".to_owned(), "gone".to_owned()];
        let asked = admin(broker(move |port| answers(port, 0)).await);
        assert_eq!(asked.ends(&topics).await.unwrap(), [Some(42), None]);
        let asked = admin(broker(move |port| answers(port, 6)).await);
        assert_eq!(asked.ends(&topics).await.unwrap_err().code(), "KAFKA_REFUSED");
    }

    #[tokio::test]
    async fn all_brokers_are_asked_for_groups() {
        let mut answer = Writer { bytes: vec![0, 0] };
        answer.array(&["a", "b"], |writer, name| {
            writer.string(name);
            writer.string("consumer");
        });
        let asked = admin(broker(|port| vec![metadata_answer(i32::from(port)), answer.bytes]).await);
        assert_eq!(asked.consumer_groups().await.unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn nobody_answering_is_unreachable() {
        let asked = admin(Bootstrap::parse("127.0.0.1:1").unwrap());
        assert_eq!(asked.topics().await.unwrap_err().code(), "KAFKA_UNREACHABLE");
    }
}
