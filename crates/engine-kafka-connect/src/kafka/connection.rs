//! [`ask`]: one request on a connection of its own, by TLS and SASL where the listener wants them.
//!
//! ```text
//! TCP  -->  TLS  -->  SaslHandshake 1, SaslAuthenticate 0  -->  request
//!           if given  if given: PLAIN one message, SCRAM two
//! ```

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Address;
use super::error::KafkaError;
use super::sasl::{Mechanism, Sasl};
use super::wire::{Reader, Writer};
use crate::tls::{self, ClientCertificate};

/// Longest time for one exchange with a broker, everything before it included.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Largest answer, bytes.
const MAX_ANSWER: usize = 4 << 20;

/// SaslHandshake
pub(super) const SASL_HANDSHAKE: i16 = 17;

/// SaslAuthenticate
const SASL_AUTHENTICATE: i16 = 36;

/// SASL_AUTHENTICATION_FAILED
const AUTHENTICATION_FAILED: i16 = 58;

/// What brokers are told beside a request.
#[derive(Debug, Clone, Default)]
pub struct BrokerSecurity {
    /// Speak TLS.
    pub tls: Option<BrokerTls>,
    /// Say who asks.
    pub sasl: Option<Sasl>,
}

/// TLS with brokers.
#[derive(Debug, Clone, Default)]
pub struct BrokerTls {
    /// PEM of the authorities that are trusted instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// What shows who we are, for brokers that ask.
    pub client: Option<ClientCertificate>,
}

/// The same, ready to be used.
#[derive(Clone, Default)]
pub(super) struct Security {
    tls: Option<TlsConnector>,
    sasl: Option<Sasl>,
}

/// Why a broker gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It cannot be reached, or ended the connection.
    Io(io::Error),
    /// TLS failed.
    Tls(String),
    /// The listener does not know the mechanism; these it knows.
    Mechanism(Vec<String>),
    /// It refuses user and password.
    Refused,
    /// It does not prove that it knows the password.
    Unproven,
}

/// A connection, whatever it goes over.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

// === impl BrokerSecurity ===

impl BrokerSecurity {
    /// Whether the password is sent to whoever listens.
    pub fn shows_password(&self) -> bool {
        self.tls.is_none() && self.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == Mechanism::Plain)
    }
}

// === impl Security ===

impl Security {
    /// Reads the certificates.
    ///
    /// # Errors
    /// `KAFKA_TLS` for those that cannot be used.
    pub(super) fn new(given: &BrokerSecurity) -> Result<Self, KafkaError> {
        let connector = |tls: &BrokerTls| tls::connector(tls.ca_pem.as_deref(), tls.client.as_ref());
        let tls = given.tls.as_ref().map(connector).transpose();
        let tls = tls.map_err(|detail| KafkaError::Tls { address: "the brokers".to_owned(), detail })?;
        Ok(Security { tls, sasl: given.sasl.clone() })
    }

    /// Whether nothing is said, and nothing protected.
    pub(super) fn is_none(&self) -> bool {
        self.tls.is_none() && self.sasl.is_none()
    }

    /// Who asks.
    pub(super) fn sasl(&self) -> Option<&Sasl> {
        self.sasl.as_ref()
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sasl = self.sasl.as_ref().map(|sasl| sasl.mechanism);
        write!(f, "Security {{ tls: {}, sasl: {sasl:?} }}", self.tls.is_some())
    }
}

// === impl Trouble ===

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        // What a broker says about our certificate comes when the first answer is read.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Trouble::Tls(tls.to_string()),
            None => Trouble::Io(error),
        }
    }
}

/// Sends a request and reads the answer, without its header.
pub(super) async fn ask(security: &Security, address: &Address, request: Writer) -> Result<Vec<u8>, Trouble> {
    let exchange = async {
        let mut wire = connect(security, address).await?;
        if let Some(sasl) = &security.sasl {
            authenticate(wire.as_mut(), sasl).await?;
        }
        Ok(exchange(wire.as_mut(), request).await?)
    };
    let late = |_| Trouble::Io(io::Error::from(io::ErrorKind::TimedOut));
    timeout(PATIENCE, exchange).await.map_err(late)?
}

/// Opens the connection.
async fn connect(security: &Security, (host, port): &Address) -> Result<Box<dyn Wire>, Trouble> {
    let stream = TcpStream::connect((host.as_str(), *port)).await?;
    let Some(connector) = &security.tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.clone()).map_err(|error| Trouble::Tls(error.to_string()))?;
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        // A listener without TLS takes the greeting for a request of absurd length, and hangs up.
        Err(error) => Err(Trouble::Tls(error.to_string())),
    }
}

/// Says who asks.
async fn authenticate(wire: &mut dyn Wire, sasl: &Sasl) -> Result<(), Trouble> {
    let mut request = Writer::request(SASL_HANDSHAKE, 1);
    request.string(sasl.mechanism.as_str());
    let (number, offered) = handshaken(&exchange(wire, request).await?).ok_or_else(unreadable)?;
    if number != 0 {
        return Err(Trouble::Mechanism(offered));
    }
    if sasl.mechanism == Mechanism::Plain {
        token(wire, &sasl.plain()).await?;
        return Ok(());
    }
    let scram = sasl.scram().ok_or_else(|| io::Error::other("the system has no random numbers"))?;
    let challenge = token(wire, scram.first().as_bytes()).await?;
    let challenge = String::from_utf8(challenge).map_err(|_| unreadable())?;
    let proved = scram.prove(&challenge).ok_or(Trouble::Unproven)?;
    let last = token(wire, proved.message.as_bytes()).await?;
    let accepted = std::str::from_utf8(&last).is_ok_and(|last| proved.accepts(last));
    if accepted { Ok(()) } else { Err(Trouble::Unproven) }
}

/// Sends a message of a mechanism and reads the broker's.
async fn token(wire: &mut dyn Wire, message: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut request = Writer::request(SASL_AUTHENTICATE, 0);
    request.blob(message);
    match authenticated(&exchange(wire, request).await?).ok_or_else(unreadable)? {
        (0, answer) => Ok(answer),
        (AUTHENTICATION_FAILED, _) => Err(Trouble::Refused),
        (number, _) => Err(Trouble::Io(io::Error::other(format!("error {number} of SaslAuthenticate")))),
    }
}

/// Sends one request on a connection, and reads its answer.
async fn exchange(wire: &mut dyn Wire, request: Writer) -> io::Result<Vec<u8>> {
    wire.write_all(&request.finish()).await?;
    wire.flush().await?;
    let length = usize::try_from(wire.read_i32().await?).unwrap_or(usize::MAX);
    if !(4..=MAX_ANSWER).contains(&length) {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut answer = vec![0; length];
    wire.read_exact(&mut answer).await?;
    // The first four bytes repeat the request's number; none is sent before the last one was answered.
    Ok(answer.split_off(4))
}

/// What is no answer.
fn unreadable() -> Trouble {
    Trouble::Io(io::Error::from(io::ErrorKind::InvalidData))
}

/// Reads the answer to SaslHandshake 1: error number, and the mechanisms that the listener knows.
pub(super) fn handshaken(answer: &[u8]) -> Option<(i16, Vec<String>)> {
    let mut reader = Reader { rest: answer };
    let number = reader.int16()?;
    let length = reader.length()?;
    Some((number, (0..length).map(|_| reader.string()).collect::<Option<_>>()?))
}

/// Reads the answer to SaslAuthenticate 0: error number, and the mechanism's message.
pub(super) fn authenticated(answer: &[u8]) -> Option<(i16, Vec<u8>)> {
    let mut reader = Reader { rest: answer };
    let number = reader.int16()?;
    let _message = reader.nullable_string()?;
    Some((number, reader.blob()?))
}
