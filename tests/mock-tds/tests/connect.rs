//! The TDS client before Microsoft's own mock server (`mssql-mock-tds`), which was written for another client: TLS of both kinds, logins that
//! are sent on as Azure's gateways do, answers with errors in front of rows, and requests that are cancelled.

use std::path::PathBuf;
use std::time::Duration;

use mssql_mock_tds::{
    ColumnDefinition, ColumnValue, InfoMessage, LeadingError, MockTdsServer, QueryResponse,
    RedirectionConfig, Row, SqlDataType, TerminalError, create_test_identity,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use segcdc_tds::{Config, Connection, Datum, Encryption, Error};
use tempfile::TempDir;

/// An authority, and a server's certificate of it.
struct Certificates {
    ca_file: PathBuf,
    certificate: String,
    key: String,
    _folder: TempDir,
}

// === impl Certificates ===

impl Certificates {
    fn make(host: &str) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "an authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let server = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, authority_certificate.pem()).unwrap();
        Certificates { ca_file, certificate: certificate.pem(), key: key.serialize_pem(), _folder: folder }
    }
}

/// Starts a server, with a few answers; returns its port.
async fn run(server: MockTdsServer) -> u16 {
    let port = server.local_addr().port();
    let int = |name: &str| ColumnDefinition::new(name, SqlDataType::Int);
    let mut answers = server.query_registry().lock_owned().await;
    let rows = |values: Vec<ColumnValue>| {
        QueryResponse::new(vec![int("n")], values.into_iter().map(|n| Row::new(vec![n])).collect())
    };
    answers.register("SELECT n", rows(vec![ColumnValue::Int(-7), ColumnValue::Null]));
    answers.register("PRINT", rows(vec![]).with_info_tokens(vec![InfoMessage::new(5701, 0, "told")]));
    answers.register(
        "SELECT half",
        rows(vec![ColumnValue::Int(1)]).with_leading_error(LeadingError::new(207, 16, "no column")),
    );
    answers.register("SELECT locked", QueryResponse::error_only(TerminalError::new(1222, 16, "locked")));
    answers.register("SELECT slow", QueryResponse::select_one().with_delay(Duration::from_secs(3600)));
    drop(answers);
    tokio::spawn(server.run());
    port
}

fn config(port: u16, encryption: Encryption) -> Config {
    let (user, password) = ("sa".to_owned(), "a password".to_owned());
    Config { host: "localhost".to_owned(), port, user, password, encryption, ..Config::default() }
}

/// Errors of a server by number.
fn numbers(error: &Error) -> Vec<i32> {
    match error {
        Error::Server(errors) | Error::Login(errors) => {
            errors.errors.iter().map(|error| error.number).collect()
        }
        other => panic!("{other:?}"),
    }
}

async fn ask(connection: &mut Connection) {
    let response = connection.batch("SELECT n").await.unwrap();
    let set = response.sets.first().unwrap();
    assert_eq!(set.rows, [vec![Datum::Int(-7)], vec![Datum::Null]]);
}

#[tokio::test]
async fn answers_errors_and_messages_are_understood() {
    let port = run(MockTdsServer::new("127.0.0.1:0").await.unwrap()).await;
    let mut connection = Connection::connect(&config(port, Encryption::Off)).await.unwrap();
    ask(&mut connection).await;
    let told = connection.batch("PRINT").await.unwrap();
    assert_eq!(told.messages.iter().map(|message| message.number).collect::<Vec<_>>(), [5701]);
    // Rows behind an error do not hide it.
    assert_eq!(numbers(&connection.batch("SELECT half").await.unwrap_err()), [207]);
    assert_eq!(numbers(&connection.batch("SELECT locked").await.unwrap_err()), [1222]);
    ask(&mut connection).await;
    connection.begin().await.unwrap();
    ask(&mut connection).await;
    connection.commit().await.unwrap();
    ask(&mut connection).await;
}

#[tokio::test]
async fn a_request_that_is_given_up_is_cancelled() {
    let port = run(MockTdsServer::new("127.0.0.1:0").await.unwrap()).await;
    let mut connection = Connection::connect(&config(port, Encryption::Off)).await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(50), connection.batch("SELECT slow")).await;
    assert!(given_up.is_err());
    connection.cancel().await.unwrap();
    ask(&mut connection).await;
}

#[tokio::test]
async fn encryption_that_a_server_does_not_have_is_missed() {
    let port = run(MockTdsServer::new("127.0.0.1:0").await.unwrap()).await;
    let error = Connection::connect(&config(port, Encryption::Required)).await.unwrap_err();
    assert!(matches!(error, Error::EncryptionRefused { .. }), "{error:?}");
    let error = Connection::connect(&config(port, Encryption::Strict)).await.unwrap_err();
    assert!(matches!(error, Error::StrictRefused { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_of_both_kinds_checks_authority_and_name() {
    let (ours, others, named) =
        (Certificates::make("localhost"), Certificates::make("localhost"), Certificates::make("elsewhere"));
    for encryption in [Encryption::Required, Encryption::Strict] {
        let start = async |certificates: &Certificates| {
            let identity =
                create_test_identity(certificates.certificate.as_bytes(), certificates.key.as_bytes())
                    .unwrap();
            let server = match encryption {
                Encryption::Strict => MockTdsServer::new_with_strict_tls("127.0.0.1:0", identity).await,
                Encryption::Required | Encryption::Off => {
                    MockTdsServer::new_with_tls("127.0.0.1:0", Some(identity)).await
                }
            };
            run(server.unwrap()).await
        };
        let port = start(&ours).await;
        let trusting = |certificates: &Certificates, port| Config {
            ca_file: Some(certificates.ca_file.clone()),
            ..config(port, encryption)
        };
        ask(&mut Connection::connect(&trusting(&ours, port)).await.unwrap()).await;
        let error = Connection::connect(&trusting(&others, port)).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{encryption:?}, another authority: {error:?}");

        let port = start(&named).await;
        let error = Connection::connect(&trusting(&named, port)).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{encryption:?}, another name: {error:?}");
        let told =
            Config { host_name_in_certificate: Some("elsewhere".to_owned()), ..trusting(&named, port) };
        ask(&mut Connection::connect(&told).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_login_that_is_sent_on_arrives() {
    let server = MockTdsServer::new("127.0.0.1:0").await.unwrap();
    let logins = server.connection_store();
    let port = run(server).await;
    // As Azure's gateways: one sends on to the next, with and without what [MS-TDS] 2.2.7.9 asks for in front.
    let second = RedirectionConfig { login_ack: false, ..RedirectionConfig::new("localhost", port) };
    let second = run(MockTdsServer::new_with_redirection_config("127.0.0.1:0", second).await.unwrap()).await;
    let first =
        run(MockTdsServer::new_with_redirection("127.0.0.1:0", "localhost", second).await.unwrap()).await;
    let wanted = Config { database: "shop".to_owned(), ..config(first, Encryption::Off) };
    ask(&mut Connection::connect(&wanted).await.unwrap()).await;
    let logins = logins.lock().await;
    let login = logins.all().values().last().unwrap();
    assert!(login.authenticated);
    assert_eq!(login.received_database.as_deref(), Some("shop"));
}

#[tokio::test]
async fn a_login_that_goes_in_circles_ends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap().port();
    drop(listener);
    let first =
        run(MockTdsServer::new_with_redirection("127.0.0.1:0", "localhost", free).await.unwrap()).await;
    let address = format!("127.0.0.1:{free}");
    run(MockTdsServer::new_with_redirection(&address, "localhost", first).await.unwrap()).await;
    let error = Connection::connect(&config(first, Encryption::Off)).await.unwrap_err();
    assert!(matches!(error, Error::Routing { .. }), "{error:?}");
}
