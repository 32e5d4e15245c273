//! Bad input of the command line: each has its code and its exit status, and no password is in what is said.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;

use crate::program::{Ended, program};
use crate::{SOURCE, TARGET, keeps_secrets, with_urls};

/// Checks the code and the exit status of a command with these URLs.
fn check(arguments: &[&str], source: &str, target: &str, expected: (i32, &str)) {
    let ended = with_urls(&[arguments, &["-o", "json"]].concat(), source, target);
    let code = ended.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    let context = format!("{arguments:?} {source} {target}: {} {}", ended.stdout, ended.stderr);
    assert_eq!((ended.code, code.as_str()), (Some(expected.0), expected.1), "{context}");
    keeps_secrets(&ended);
}

#[test]
fn source_urls() {
    let long = format!("postgres://app:sekret@h/{}", "d".repeat(64));
    let host = format!("postgres://app:sekret@{}/d", "h.".repeat(127));
    for (url, code) in [
        ("postgres://app:sekret@h:5432", "URL_INCOMPLETE"),
        ("postgres://app:sek%zzret@h/d", "URL_ENCODING"),
        ("postgres://app:sekret@h/d#fragment", "URL_ENCODING"),
        ("postgres://app:sekret@h/d?sslmode=require&sslmode=require", "URL_PARAMETER_DUPLICATE"),
        ("postgres://app:sekret@h/d?sslmod=require", "URL_PARAMETER_UNKNOWN"),
        ("postgres://app:sekret@h/d?service=x", "URL_PARAMETER_UNSUPPORTED"),
        ("postgres://app:sekret@h/d?sslmode=require&sslcert=/x", "CLIENT_CERTIFICATE_INCOMPLETE"),
        ("mysql://app:sekret@h/d", "URL_SCHEME"),
        ("postgres://app:sekret@/d", "URL_INCOMPLETE"),
        ("postgres://app:sekret@%20/d", "HOST_INVALID"),
        ("postgres://app:sekret@a%0Ab/d", "HOST_INVALID"),
        ("postgres://app:sekret@a%40b/d", "HOST_INVALID"),
        ("postgres://app:sekret@a;b/d", "HOST_INVALID"),
        ("postgres://app:sekret@::1:5432/d", "PORT_RANGE"),
        ("postgres://:sekret@h/d", "URL_INCOMPLETE"),
        ("postgres://app:sekret@h/d?sslmode=verify_full", "URL_PARAMETER_VALUE"),
        ("postgres://app:sekret@h/d?sslmode=true", "URL_PARAMETER_VALUE"),
        (host.as_str(), "HOST_INVALID"),
        (long.as_str(), "NAME_TOO_LONG"),
    ] {
        check(&["status"], url, TARGET, (2, code));
    }
}

#[test]
fn target_urls() {
    let password = format!("sqlserver://app:{}@h/d", "sekret".repeat(1700));
    let database = format!("sqlserver://app:sekret@h/{}", "d".repeat(129));
    for (url, code) in [
        ("sqlserver://app:sekret@h", "DATABASE_INVALID"),
        ("sqlserver://app:sekret@h/d?encrypt=true&encrypt=true", "DUPLICATE_KEY"),
        ("sqlserver://app:sekret@h/d?ca_fil=/x", "UNKNOWN_FIELD"),
        ("sqlserver://app:sekret@h/d?failoverPartner=x", "URL_PARAMETER_UNSUPPORTED"),
        ("sqlserver://app:sekret@h/d?application_intent=ReadOnly", "ENUM"),
        ("tds://app:sekret@h/d", "TARGET_URL_INVALID"),
        ("sqlserver://app:sekret@/d", "HOST_INVALID"),
        ("sqlserver://app:sekret@a%3Bb/d", "HOST_INVALID"),
        ("sqlserver://app:sekret@a%20b/d", "HOST_INVALID"),
        ("sqlserver://app:sekret@::1:1433/d", "HOST_INVALID"),
        ("sqlserver://:sekret@h/d", "TARGET_URL_INVALID"),
        ("sqlserver://app:sekret@h/d?connect_timeout=0", "ENUM"),
        ("sqlserver://app:sekret@h/d?encrypt=verify_full", "ENUM"),
        (password.as_str(), "TARGET_URL_INVALID"),
        (database.as_str(), "DATABASE_INVALID"),
    ] {
        check(&["status"], SOURCE, url, (2, code));
    }
}

#[test]
fn names_of_pipelines() {
    let long = "n".repeat(41);
    for name in ["", "No Name", "a-b", "é", long.as_str()] {
        check(&["up", "--yes", "--name", name], SOURCE, TARGET, (2, "NAME_INVALID"));
    }
}

#[test]
fn servers_that_say_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let source = format!("postgres://app:sekret@127.0.0.1:{port}/d?sslmode=disable&connect_timeout=2");
    check(&["doctor"], &source, TARGET, (3, "SOURCE_CONNECT_TIMEOUT"));
    let target = format!("sqlserver://app:sekret@127.0.0.1:{port}/d?encrypt=false&connect_timeout=1");
    check(&["status"], SOURCE, &target, (3, "TARGET_TIMEOUT"));
}

#[test]
fn authorities_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
    let key = folder.path().join("key.pem");
    fs::write(&empty, "no certificate").unwrap();
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nc2VrcmV0\n-----END PRIVATE KEY-----\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for file in [&missing, &empty, &key] {
        let file = file.display();
        let target = format!("sqlserver://app:sekret@127.0.0.1:{port}/d?encrypt=strict&ca_file={file}");
        check(&["status"], SOURCE, &target, (2, "TARGET_CA_FILE"));
        let source =
            format!("postgres://app:sekret@127.0.0.1:{port}/d?sslmode=verify-full&sslrootcert={file}");
        check(&["doctor"], &source, TARGET, (2, "CA_INVALID"));
    }
}

#[test]
fn a_system_without_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command
        .args(["doctor", "-o", "json"])
        .env(
            "SEGCDC_SOURCE_URL",
            "postgres://app:sekret@127.0.0.1:1/d?sslmode=verify-full&sslrootcert=system",
        )
        .env("SEGCDC_TARGET_URL", TARGET)
        .env("SSL_CERT_DIR", folder.path())
        .env("SSL_CERT_FILE", folder.path().join("none.pem"));
    let ended = Ended::of(command, "");
    assert_eq!(ended.json()["error"]["code"], "CA_MISSING", "{} {}", ended.stdout, ended.stderr);
    keeps_secrets(&ended);
}

/// What a MySQL server says before it is asked anything.
const GREETING: &[u8] =
    b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15";

/// Answers each connection with these bytes, and ends it.
fn answers(count: usize, answer: &'static [u8]) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("a listener has an address").port();
    let served = std::thread::spawn(move || {
        for _ in 0..count {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            stream.write_all(answer).ok();
            stream.shutdown(Shutdown::Write).ok();
            stream.read_to_end(&mut Vec::new()).ok();
        }
    });
    (port, served)
}

#[test]
fn servers_that_speak_first_are_another_databases() {
    let (port, served) = answers(3, GREETING);
    for mode in ["disable", "verify-full"] {
        let source = format!("postgres://app:sekret@127.0.0.1:{port}/d?sslmode={mode}");
        check(&["doctor"], &source, TARGET, (3, "PROTOCOL_MISMATCH"));
    }
    let target = format!("sqlserver://app:sekret@127.0.0.1:{port}/d?encrypt=false");
    check(&["status"], SOURCE, &target, (3, "TARGET_PROTOCOL"));
    served.join().unwrap();
}

#[test]
fn targets_that_are_no_sql_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers: [&[u8]; 2] = [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b""];
    let served = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 8]).ok();
            stream.write_all(answer).ok();
            stream.shutdown(Shutdown::Write).ok();
            // Until the client has gone: what is closed with something unread is reset.
            stream.read_to_end(&mut Vec::new()).ok();
        }
    });
    let target = format!("sqlserver://app:sekret@127.0.0.1:{port}/d?encrypt=false");
    check(&["status"], SOURCE, &target, (3, "TARGET_PROTOCOL"));
    check(&["status"], SOURCE, &target, (3, "TARGET_CONNECTION_LOST"));
    served.join().unwrap();
}

/// A server before 2022 does not know TLS before everything else, and hangs up.
#[test]
fn targets_that_do_not_know_strict() {
    let (port, served) = answers(1, b"");
    let target =
        format!("sqlserver://app:sekret@127.0.0.1:{port}/d?encrypt=strict&trust_server_certificate=false");
    check(&["status"], SOURCE, &target, (3, "TARGET_STRICT_REFUSED"));
    served.join().unwrap();
}

/// The end of `segcdc serve` over a folder, with master keys.
fn serve(folder: &std::path::Path, keys: Option<&str>) -> Ended {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "-o", "json", "--data-dir"]).arg(folder);
    if let Some(keys) = keys {
        command.env("SEGCDC_MASTER_KEY", keys);
    }
    Ended::of(command, "")
}

#[test]
fn master_keys() {
    let folder = tempfile::tempdir().unwrap();
    let good = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    for (keys, code) in [
        ("", "MASTER_KEY_MISSING"),
        ("k1", "MASTER_KEY_FORM"),
        ("k1 no-base64!", "MASTER_KEY_FORM"),
        ("k1 MDEyMzQ1Njc4OWFiY2RlZg==", "MASTER_KEY_LENGTH"),
        ("k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "MASTER_KEY_WEAK"),
        (&format!("k1 {good}\nk1 {good}"), "MASTER_KEY_TWICE"),
    ] {
        let ended = serve(&folder.path().join("data"), Some(keys));
        assert_eq!(ended.code, Some(2), "{keys:?}: {} {}", ended.stdout, ended.stderr);
        assert_eq!(ended.json()["error"]["code"], code, "{keys:?}");
        assert!(!ended.stderr.contains(good) && !ended.stdout.contains(good));
    }
}

#[test]
fn folders_and_stores() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let ended = serve(&file, None);
    assert_eq!(
        (ended.code, &ended.json()["error"]["code"]),
        (Some(2), &"STORE_FOLDER".into()),
        "{}",
        ended.stderr
    );
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("segcdc.db"), "this is no database at all, whatever its name says").unwrap();
    let ended = serve(&data, None);
    let code = ended.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!((ended.code, code.as_str()), (Some(2), "STORE_NOT_A_DATABASE"), "{}", ended.stderr);
}

#[test]
fn forms_and_levels_that_there_are_not() {
    check(&["status", "--log-level", "segcdc=loud"], SOURCE, TARGET, (2, "LOG_LEVEL"));
    let ended = with_urls(&["up", "--yes", "-o", "name"], SOURCE, TARGET);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("[OUTPUT_FORMAT]"), "{}", ended.stderr);
}

/// Linux takes an argument of less than 128 KiB, and no variable that is longer by its name.
#[test]
fn a_password_that_cannot_be_hidden_is_not_used() {
    let source = format!("postgres://app:sekret@127.0.0.1:1/shop?application_name={}", "x".repeat(131_010));
    let mut command = program();
    command.args(["status", "--source", &source, "--target", TARGET]);
    let ended = Ended::of(command, "");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("[EXECUTE_AGAIN]"), "{}", ended.stderr);
    keeps_secrets(&ended);
}

#[test]
fn a_machine_without_another_file_to_open_is_named() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"ulimit -n 4; exec "$0" status -o json"#, env!("CARGO_BIN_EXE_segcdc")]);
    let ended = Ended::of(command, "");
    assert_eq!(ended.code, Some(1), "{} {}", ended.stdout, ended.stderr);
    assert_eq!(ended.json()["error"]["code"], "RUNTIME");
}
