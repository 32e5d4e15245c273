//! Logging in, sockets, settings of sessions.

use std::fs;

use segcdc_model::{Disposition, Fault};
use segcdc_postgres::{Replication, Session, SourceConfig, SourceError, session};
use segcdc_testkit::PostgresOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::authority::{close, give_to_server};
use crate::fixture::{PATIENCE, Source, ask, chain};

/// Who may come in how. The first line that fits counts.
const RULES: &str = "\
    host    all          postgres  127.0.0.1/32  trust\n\
    host    replication  scram     all           scram-sha-256\n\
    host    all          scram     all           scram-sha-256\n\
    host    all          odd       all           scram-sha-256\n\
    host    all          old       all           md5\n\
    host    all          clear     all           password\n";

/// Lets [`RULES`] count, behind further ones. The role `scram` must be there.
async fn guard(source: &Source, further: &str) {
    let rules = source.cluster.data_dir().join("pg_hba.conf");
    fs::write(&rules, format!("{further}\n{RULES}")).unwrap();
    give_to_server(source, &rules);
    source.session.query_text("SELECT pg_reload_conf()").await.unwrap();
    let guarded = async || connect(source, "scram", "").await.is_err().then_some(());
    segcdc_testkit::until("the rules count", PATIENCE, guarded).await.unwrap();
}

/// A session over 127.0.0.1 or localhost; `login` is what stands before the `@`.
async fn connect(source: &Source, login: &str, parameters: &str) -> Result<Session, SourceError> {
    connect_to(source, "127.0.0.1", login, parameters).await
}

async fn connect_to(
    source: &Source,
    host: &str,
    login: &str,
    parameters: &str,
) -> Result<Session, SourceError> {
    session::connect(&config(source, host, login, parameters)).await
}

fn config(source: &Source, host: &str, login: &str, parameters: &str) -> SourceConfig {
    let (port, database) = (source.cluster.port(), &source.name);
    let parameters = if parameters.is_empty() { "sslmode=disable" } else { parameters };
    SourceConfig::parse(&format!("postgres://{login}@{host}:{port}/{database}?{parameters}")).unwrap()
}

#[tokio::test]
async fn passwords_are_proven_or_refused() {
    let setup = "CREATE ROLE scram LOGIN REPLICATION PASSWORD 'p@ss/ wörd'; CREATE ROLE clear LOGIN PASSWORD 'x'; \
         CREATE ROLE odd LOGIN PASSWORD ' ''\"\\;{}😀 '; \
         SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'old'";
    let source = Source::private("passwords", PostgresOptions::default(), setup).await;
    guard(&source, "").await;
    let right = "scram:p%40ss%2F%20w%C3%B6rd";
    let session = connect(&source, right, "").await.unwrap();
    assert_eq!(ask(&session, "SELECT current_user").await, "scram");
    Replication::connect(&config(&source, "127.0.0.1", right, "")).await.unwrap().close().await;
    connect(&source, "old:old", "").await.unwrap().close().await;
    // Quotes, a backslash, what ends parameters elsewhere, a character outside of the BMP, blanks at the edges.
    connect(&source, "odd:%20'%22%5C;%7B%7D%F0%9F%98%80%20", "").await.unwrap().close().await;
    for (login, code) in [
        ("scram:wrong", "AUTH_FAILED"),
        ("old:wrong", "AUTH_FAILED"),
        ("stranger:x", "AUTH_FAILED"),
        ("scram", "AUTH_PASSWORD_MISSING"),
        ("scram:", "AUTH_FAILED"),
        ("odd:'%22%5C;%7B%7D%F0%9F%98%80", "AUTH_FAILED"),
        ("clear:x", "AUTH_METHOD_UNSUPPORTED"),
    ] {
        let error = connect(&source, login, "").await.unwrap_err();
        assert_eq!((error.code(), error.disposition()), (code, Disposition::Halt), "{login}: {error}");
        let text = chain(&error);
        assert!(!text.contains("wrong") && !format!("{error:?}").contains("wrong"), "{text}");
    }
    let error = Replication::connect(&config(&source, "127.0.0.1", "old:old", "")).await.unwrap_err();
    let expected = ("PERMISSION_REPLICATION", Disposition::Halt);
    assert_eq!((error.code(), error.disposition()), expected, "let in, but not to replicate: {error}");
}

#[tokio::test]
async fn server_without_tls_is_refused_unless_told() {
    let source = Source::shared("without_tls", "").await;
    let error = connect(&source, "postgres", "sslmode=require").await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("TLS_NOT_OFFERED", Disposition::Halt));
    let error = connect(&source, "postgres", "sslmode=require&sslrootcert=/no/such/file").await.unwrap_err();
    assert_eq!(error.code(), "CA_INVALID");
    let error = connect_to(&source, "127.0.0.1", "postgres", "sslmode=disable&connect_timeout=5").await;
    assert!(error.is_ok());
    let missing = SourceConfig::parse(&source.cluster.url("no_such_database")).unwrap();
    assert_eq!(session::connect(&missing).await.unwrap_err().code(), "DATABASE_MISSING");
}

#[tokio::test]
async fn sockets_with_and_without_a_file_and_ipv6_lead_to_the_server() {
    let name = format!("segcdc-test-{}", std::process::id());
    let ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let addresses = if ipv6 { "127.0.0.1,::1" } else { "127.0.0.1" };
    let options = PostgresOptions::default()
        .setting("listen_addresses", addresses)
        .setting("unix_socket_directories", &format!("@{name}"));
    let source = Source::private("sockets", options, "").await;
    let port = source.cluster.port();
    let mut urls = vec![format!("postgres://postgres@/sockets?host=@{name}&port={port}")];
    if ipv6 {
        // What the certificate is compared with, and where it is, are two things.
        urls.push(format!("postgres://postgres@[::1]:{port}/sockets?sslmode=disable"));
        urls.push(format!("postgres://postgres@somewhere:{port}/sockets?sslmode=disable&hostaddr=::1"));
    } else {
        eprintln!("skipped: this machine has no ::1");
    }
    for url in urls {
        let config = SourceConfig::parse(&url).unwrap();
        let session = session::connect(&config).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        assert_eq!(ask(&session, "SELECT current_database()").await, "sockets");
        Replication::connect(&config).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn socket_directory_leads_to_the_server() {
    let source = Source::shared("socket_directory", "").await;
    let (directory, port) = (source.cluster.data_dir().display(), source.cluster.port());
    let url = format!("postgres://postgres@/socket_directory?host={directory}&port={port}");
    let session = session::connect(&SourceConfig::parse(&url).unwrap()).await.unwrap();
    assert_eq!(ask(&session, "SELECT coalesce(inet_server_addr()::text, 'socket')").await, "socket");
}

#[tokio::test]
async fn options_reach_the_session_but_not_what_the_product_depends_on() {
    let source = Source::shared("options", "").await;
    let options =
        "options=-c%20work_mem%3D7MB%20-c%20statement_timeout%3D5%20-c%20DateStyle%3DGerman&sslmode=disable";
    let session = connect(&source, "postgres", options).await.unwrap();
    let sql = "SELECT concat_ws(' ', current_setting('work_mem'), current_setting('statement_timeout'), \
         current_setting('DateStyle'))";
    assert_eq!(ask(&session, sql).await, "7MB 0 ISO, YMD");
}

#[tokio::test]
async fn password_comes_from_a_file_that_is_closed_to_others() {
    let setup = "CREATE ROLE scram LOGIN PASSWORD 'a:b\\c'";
    let source = Source::private("passfile", PostgresOptions::default(), setup).await;
    guard(&source, "").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let port = source.cluster.port();
    let text = format!("elsewhere:*:*:*:no\n127.0.0.1:{port}:passfile:scram:a\\:b\\\\c\n");
    fs::write(file.path(), text).unwrap();
    let parameters = format!("sslmode=disable&passfile={}", file.path().display());
    close(file.path());
    connect(&source, "scram", &parameters).await.unwrap().close().await;
    // A password in the URL wins; one for another host is none.
    let error = connect(&source, "scram:wrong", &parameters).await.unwrap_err();
    assert_eq!(error.code(), "AUTH_FAILED");
    fs::write(file.path(), "elsewhere:*:*:*:no\n").unwrap();
    assert_eq!(connect(&source, "scram", &parameters).await.unwrap_err().code(), "AUTH_PASSWORD_MISSING");
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = connect(&source, "scram", &parameters).await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("PASSWORD_FILE", Disposition::Halt));
    assert!(error.hint().contains("chmod 600"), "{}", error.hint());
}

#[tokio::test]
async fn sql_that_the_server_does_not_allow_is_not_taken_for_a_pooler() {
    let source = Source::shared("query_refused", "").await;
    for (sql, sqlstate) in [("SELEKT 1", "42601"), ("SELECT count(*) FROM pg_class FOR UPDATE", "0A000")] {
        let error = source.session.query_text(sql).await.unwrap_err();
        let found = (error.code(), error.disposition());
        assert_eq!(found, ("SOURCE_QUERY_UNSUPPORTED", Disposition::Halt), "{error:?}");
        assert!(chain(&error).contains(sqlstate) && !error.hint().contains("pooler"), "{}", chain(&error));
    }
}

/// The next message of a client, without its kind and length.
async fn message_of(client: &mut TcpStream) -> Vec<u8> {
    client.read_u8().await.unwrap();
    let length = client.read_u32().await.unwrap();
    let mut body = vec![0; length as usize - 4];
    client.read_exact(&mut body).await.unwrap();
    body
}

/// A request for authentication: its number, and what belongs to it.
async fn ask_client(client: &mut TcpStream, number: u32, body: &[u8]) {
    client.write_u8(b'R').await.unwrap();
    client.write_u32(u32::try_from(body.len()).unwrap() + 8).await.unwrap();
    client.write_u32(number).await.unwrap();
    client.write_all(body).await.unwrap();
}

/// Somebody who took the server's place knows no more of the password than that there is one.
#[tokio::test]
async fn server_that_cannot_prove_the_password_is_refused() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let impostor = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let length = client.read_u32().await.unwrap();
        client.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
        ask_client(&mut client, 10, b"SCRAM-SHA-256\0\0").await;
        let first = message_of(&mut client).await;
        let nonce = String::from_utf8_lossy(&first).rsplit_once("r=").unwrap().1.to_owned();
        ask_client(&mut client, 11, format!("r={nonce}and,s=c2FsdA==,i=4096").as_bytes()).await;
        message_of(&mut client).await;
        let signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        ask_client(&mut client, 12, format!("v={signature}").as_bytes()).await;
    });
    let url = format!("postgres://someone:sekret@127.0.0.1:{port}/app?sslmode=disable");
    let error = session::connect(&SourceConfig::parse(&url).unwrap()).await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("AUTH_SERVER_NOT_AUTHENTIC", Disposition::Halt));
    impostor.await.unwrap();
}
