//! [`KafkaAdmin`]: deletes topics. Kafka Connect's REST interface has no call for that.
//!
//! Two requests of the Kafka protocol, in versions that every broker from 1.0 to 4.x speaks and that have no tagged
//! fields: Metadata 1 finds the broker that decides, DeleteTopics 1 asks it. (Consumer groups go away when Kafka Connect
//! forgets a sink's offsets.) Brokers are spoken to without TLS and without SASL; for others the commands are printed.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::ConnectError;

/// Longest time for one exchange with a broker.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a broker may take to delete topics, milliseconds.
const DELETE_MS: i32 = 15_000;

/// Largest answer, bytes.
const MAX_ANSWER: usize = 4 << 20;

/// Numbers of the requests.
const METADATA: i16 = 3;
/// The same.
const DELETE_TOPICS: i16 = 20;

/// UNKNOWN_TOPIC_OR_PARTITION
const UNKNOWN_TOPIC: i16 = 3;

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
}

// === impl Bootstrap ===

impl Bootstrap {
    /// Reads `host:port`, several with commas.
    ///
    /// # Errors
    /// `KAFKA_BOOTSTRAP`.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let parse = |part: &str| {
            let bad = || ConnectError::BootstrapInvalid {
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
    pub fn new(bootstrap: Bootstrap) -> Self {
        KafkaAdmin { bootstrap }
    }

    /// Names of all topics.
    ///
    /// # Errors
    /// `KAFKA_UNREACHABLE`, `KAFKA_PROTOCOL`.
    pub async fn topics(&self) -> Result<Vec<String>, ConnectError> {
        let mut request = Writer::request(METADATA, 1);
        // Null: all topics.
        request.int32(-1);
        let answer = self.ask_any(request, "list topics").await?;
        Ok(metadata(&answer).ok_or(ConnectError::KafkaProtocol { what: "list topics" })?.topics)
    }

    /// Deletes topics; those that are not there count as deleted.
    ///
    /// # Errors
    /// `KAFKA_UNREACHABLE`, `KAFKA_REFUSED`, `KAFKA_PROTOCOL`.
    pub async fn delete_topics(&self, topics: &[String]) -> Result<(), ConnectError> {
        let mut request = Writer::request(METADATA, 1);
        // No topics: only the brokers are of interest.
        request.int32(0);
        let answer = self.ask_any(request, "find the controller").await?;
        let unreadable = || ConnectError::KafkaProtocol { what: "find the controller" };
        let controller = metadata(&answer).and_then(|found| found.controller).ok_or_else(unreadable)?;
        let mut request = Writer::request(DELETE_TOPICS, 1);
        request.array(topics, |writer, topic| writer.string(topic));
        request.int32(DELETE_MS);
        let answer = ask(&controller, request).await.map_err(|cause| self.unreachable(cause))?;
        for (topic, number) in
            deleted(&answer).ok_or(ConnectError::KafkaProtocol { what: "delete topics" })?
        {
            if number != 0 && number != UNKNOWN_TOPIC {
                return Err(ConnectError::KafkaRefused { what: format!("delete the topic {topic}"), number });
            }
        }
        Ok(())
    }

    /// Asks the first broker that answers.
    async fn ask_any(&self, request: Writer, what: &'static str) -> Result<Vec<u8>, ConnectError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in &self.bootstrap.addresses {
            match ask(address, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::debug!(host = address.0, port = address.1, error = %error, what, "a broker did not answer");
                    last = error;
                }
            }
        }
        Err(self.unreachable(last))
    }

    fn unreachable(&self, cause: io::Error) -> ConnectError {
        ConnectError::KafkaUnreachable { addresses: self.bootstrap.to_string(), cause }
    }
}

/// Sends a request and reads the answer, without its header.
async fn ask((host, port): &(String, u16), request: Writer) -> io::Result<Vec<u8>> {
    let exchange = async {
        let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.write_all(&request.finish()).await?;
        let length = usize::try_from(stream.read_i32().await?).unwrap_or(usize::MAX);
        if !(4..=MAX_ANSWER).contains(&length) {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        // The first four bytes repeat the request's number; there was only one.
        Ok(answer.split_off(4))
    };
    timeout(PATIENCE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// What Metadata answers.
#[derive(Debug, PartialEq, Eq)]
struct Metadata {
    controller: Option<(String, u16)>,
    topics: Vec<String>,
}

/// Reads the answer to Metadata 1.
fn metadata(answer: &[u8]) -> Option<Metadata> {
    let mut reader = Reader { rest: answer };
    let mut brokers = Vec::new();
    for _ in 0..reader.length()? {
        let (id, host, port) = (reader.int32()?, reader.string()?, reader.int32()?);
        let _rack = reader.nullable_string()?;
        brokers.push((id, host, u16::try_from(port).ok()?));
    }
    let controller = reader.int32()?;
    let mut topics = Vec::new();
    for _ in 0..reader.length()? {
        let _error = reader.int16()?;
        topics.push(reader.string()?);
        let _internal = reader.int8()?;
        for _ in 0..reader.length()? {
            let (_error, _partition, _leader) = (reader.int16()?, reader.int32()?, reader.int32()?);
            for _ in 0..2 {
                for _ in 0..reader.length()? {
                    reader.int32()?;
                }
            }
        }
    }
    let controller =
        brokers.into_iter().find(|(id, _, _)| *id == controller).map(|(_, host, port)| (host, port));
    Some(Metadata { controller, topics })
}

/// Reads the answer to DeleteTopics 1: topics and error numbers.
fn deleted(answer: &[u8]) -> Option<Vec<(String, i16)>> {
    let mut reader = Reader { rest: answer };
    let _throttle_ms = reader.int32()?;
    let length = reader.length()?;
    (0..length).map(|_| Some((reader.string()?, reader.int16()?))).collect()
}

/// Writes a request.
#[derive(Debug, Clone)]
struct Writer {
    bytes: Vec<u8>,
}

// === impl Writer ===

impl Writer {
    /// A request with its header.
    fn request(key: i16, version: i16) -> Self {
        let mut writer = Writer { bytes: Vec::new() };
        writer.bytes.extend(key.to_be_bytes());
        writer.bytes.extend(version.to_be_bytes());
        // The number of the request; a connection carries one.
        writer.int32(1);
        writer.string("segcdc");
        writer
    }

    fn int32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn string(&mut self, text: &str) {
        // Topic names have at most 249 characters; what is longer is cut and refused by the broker.
        let text = text.get(..text.len().min(1_000)).unwrap_or_default();
        self.bytes.extend(i16::try_from(text.len()).unwrap_or_default().to_be_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn array<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.int32(i32::try_from(items.len()).unwrap_or_default());
        for item in items {
            write(self, item);
        }
    }

    /// The whole request with its length.
    fn finish(self) -> Vec<u8> {
        let mut framed = i32::try_from(self.bytes.len()).unwrap_or_default().to_be_bytes().to_vec();
        framed.extend(self.bytes);
        framed
    }
}

/// Reads an answer; `None` when it ends too early or is none.
struct Reader<'a> {
    rest: &'a [u8],
}

// === impl Reader ===

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn int8(&mut self) -> Option<i8> {
        self.take().map(i8::from_be_bytes)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// Length of an array; an item has at least two bytes, so there cannot be more items than that.
    fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.int32()?).ok()?;
        (length <= self.rest.len()).then_some(length)
    }

    fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says that the answer is broken, the inner one null"
    )]
    fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = self.int16()?;
        if length == -1 {
            return Some(None);
        }
        let length = usize::try_from(length).ok()?;
        let (head, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(String::from_utf8(head.to_vec()).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use segcdc_model::Fault;
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

    #[test]
    fn brokers_and_topics_are_read() {
        let expected =
            Metadata { controller: Some(("127.0.0.1".to_owned(), 9)), topics: vec!["t".to_owned()] };
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
    async fn topics_are_deleted_by_the_controller() {
        let bootstrap = broker(|port| {
            vec![metadata_answer(i32::from(port)), deleted_answer(&[("a", 0), ("b", UNKNOWN_TOPIC)])]
        });
        let admin = KafkaAdmin::new(bootstrap.await);
        admin.delete_topics(&["a".to_owned(), "b".to_owned()]).await.unwrap();
    }

    #[tokio::test]
    async fn a_refusal_is_named() {
        // 29: TOPIC_AUTHORIZATION_FAILED
        let bootstrap = broker(|port| vec![metadata_answer(i32::from(port)), deleted_answer(&[("a", 29)])]);
        let error = KafkaAdmin::new(bootstrap.await).delete_topics(&["a".to_owned()]).await.unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("KAFKA_REFUSED", "Kafka refuses to delete the topic a: error 29")
        );
    }

    #[tokio::test]
    async fn nobody_answering_is_unreachable() {
        let admin = KafkaAdmin::new(Bootstrap::parse("127.0.0.1:1").unwrap());
        assert_eq!(admin.topics().await.unwrap_err().code(), "KAFKA_UNREACHABLE");
    }
}
