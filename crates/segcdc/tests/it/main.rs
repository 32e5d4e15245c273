//! The program as its users start it: exit codes, and what is said when something is wrong.

mod connect_inputs;
mod inputs;
mod pipeline_file;
mod program;
mod serve;

use std::net::TcpListener;
use std::time::Duration;

use segcdc_testkit::{PostgresCluster, PostgresOptions};

use crate::program::{Ended, program};

const SOURCE: &str = "postgres://app:sekret@127.0.0.1:1/shop?sslmode=disable";
const TARGET: &str = "sqlserver://app:sekret@127.0.0.1:1/shop?encrypt=false";

/// The end of `segcdc` with both URLs in the environment.
fn with_urls(arguments: &[&str], source: &str, target: &str) -> Ended {
    let mut command = program();
    command.args(arguments).env("SEGCDC_SOURCE_URL", source).env("SEGCDC_TARGET_URL", target);
    Ended::of(command, "")
}

/// Checks that the password of the URLs above is nowhere.
fn keeps_secrets(ended: &Ended) {
    assert!(!ended.stdout.contains("sekret"), "{}", ended.stdout);
    assert!(!ended.stderr.contains("sekret"), "{}", ended.stderr);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (arguments, expected) in [(&["--help"][..], "Usage: segcdc"), (&["version"], "segcdc 0.")] {
        let mut command = program();
        command.args(arguments);
        let ended = Ended::of(command, "");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["uq"],
        &["up", "--no-such-flag"],
        &["up", "--readers", "0"],
        &["up", "--readers", "1e3"],
        &["up", "--readers", "33"],
        &["up", "--readers=-1"],
        &["up", "--spill-limit", "12XB"],
        &["up", "--throttle", "20"],
        &["up", "--max-retained-wal", "10 minutes"],
        &["verify", "--memory", "0"],
        &["up", "--source"],
        &["table"],
        &["table", "resynk"],
        &["deadletter", "discard"],
        &["transaction", "skip"],
        &["transaction", "skip", "ZZ/1", "--yes"],
        &["transaction", "skip", "0/0", "--yes"],
        &["up", "--snapshot", "some"],
        &["status", "-o", "yaml"],
        &["up", "--yes", "-o", "name"],
        &["up", "--yes", "--slot", "s"],
        &["up", "--yes", "--tables", "a..b"],
        &["up", "--yes", "--name", "No Name"],
        &["status", "--log-level", "segcdc=loud"],
    ] {
        let ended = with_urls(arguments, SOURCE, TARGET);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.is_empty(), "{arguments:?} said nothing");
        keeps_secrets(&ended);
    }
}

#[test]
fn a_url_in_the_wrong_place_does_not_show_its_password() {
    let mut command = program();
    command.args(["status", "postgres://app:sekret@h/d"]);
    let ended = Ended::of(command, "");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("postgres://app:***@h/d"), "{}", ended.stderr);
    keeps_secrets(&ended);
}

#[test]
fn without_a_terminal_what_changes_something_needs_a_yes() {
    for arguments in [
        &["up"][..],
        &["down", "--drop"],
        &["verify", "--repair"],
        &["table", "remove", "--tables", "a"],
        &["table", "resync"],
        &["deadletter", "replay"],
        &["deadletter", "discard", "1"],
        &["transaction", "skip", "0/1"],
        &["reset", "--drop"],
        &["migrate", "--engine", "kafka-connect"],
    ] {
        let ended = with_urls(arguments, SOURCE, TARGET);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("CONFIRMATION_REQUIRED") && ended.stderr.contains("--yes"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn bad_urls_end_with_2() {
    let check = |source: &str, target: &str, code: &str| {
        let ended = with_urls(&["status", "-o", "json"], source, target);
        assert_eq!(ended.code, Some(2), "{source} {target}: {}", ended.stderr);
        assert_eq!(ended.json()["error"]["code"], code, "{source} {target}");
        keeps_secrets(&ended);
    };
    check("host=db password=sekret", TARGET, "URL_SCHEME");
    check("postgres://app:sekret@h:70000/d", TARGET, "PORT_RANGE");
    check("postgres://app:sekret@h/d?sslmode=maybe", TARGET, "URL_PARAMETER_VALUE");
    check(SOURCE, "sqlserver://app:sekret@h:0/d", "PORT_RANGE");
    check(SOURCE, "sqlserver://app:sekret@h/d?encrypt=maybe", "ENUM");
    check("@/no/such/file", TARGET, "URL_FILE");
}

#[test]
fn urls_come_from_standard_input() {
    let mut command = program();
    command.args(["doctor", "--source", "-", "--target", "-", "-o", "json"]);
    let ended = Ended::of(command, &format!("{SOURCE}\n{TARGET}\n"));
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    keeps_secrets(&ended);
    let long = format!("postgres://app:{}@h/d", "sekret".repeat(3000));
    for (input, code) in [("", "URL_MISSING"), ("\n\n", "URL_MISSING"), (&*long, "URL_FILE")] {
        let mut command = program();
        command.args(["doctor", "--source", "-", "--target", TARGET, "-o", "json"]);
        let ended = Ended::of(command, input);
        assert_eq!((ended.code, &ended.json()["error"]["code"]), (Some(2), &code.into()), "{}", ended.stderr);
        keeps_secrets(&ended);
    }
}

#[test]
fn what_is_given_up_of_protection_is_shown() {
    let ended = with_urls(&["status"], SOURCE, TARGET);
    for word in ["sslmode=disable", "encrypt=false"] {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
}

#[test]
fn servers_that_cannot_be_reached_end_with_3() {
    for command in ["doctor", "plan", "status", "slot", "verify"] {
        let ended = with_urls(&[command, "-o", "json"], SOURCE, TARGET);
        assert_eq!(ended.code, Some(3), "{command}: {} {}", ended.stdout, ended.stderr);
        assert!(!ended.json()["error"]["hint"].as_str().unwrap_or_default().is_empty());
        keeps_secrets(&ended);
    }
}

#[test]
fn what_listens_and_is_no_database_ends_with_3() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 64];
        stream.read_exact(&mut request[..8]).ok();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").ok();
    });
    let source = format!("postgres://app:sekret@127.0.0.1:{port}/shop?sslmode=disable");
    let ended = with_urls(&["doctor", "-o", "json"], &source, TARGET);
    served.join().unwrap();
    assert_eq!(ended.code, Some(3), "{}", ended.stdout);
    assert_eq!(ended.json()["error"]["code"], "PROTOCOL_MISMATCH");
}

#[tokio::test]
async fn a_wrong_password_ends_with_4() {
    let cluster = PostgresCluster::start(PostgresOptions::default()).await.unwrap();
    cluster.execute("postgres", "CREATE ROLE app LOGIN PASSWORD 'right'").await.unwrap();
    let rules = "host all app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    std::fs::write(cluster.data_dir().join("pg_hba.conf"), rules).unwrap();
    cluster.psql("postgres", "SELECT pg_reload_conf()").unwrap();
    let source = format!("postgres://app:sekret@127.0.0.1:{}/postgres?sslmode=disable", cluster.port());
    // The server reads its rules soon, not at once.
    let ended = segcdc_testkit::until("the new rules are in force", Duration::from_secs(20), || async {
        let ended = with_urls(&["doctor", "-o", "json"], &source, TARGET);
        (ended.code != Some(3)).then_some(ended)
    })
    .await
    .unwrap();
    assert_eq!(ended.code, Some(4), "{} {}", ended.stdout, ended.stderr);
    assert_eq!(ended.json()["error"]["code"], "AUTH_FAILED");
    keeps_secrets(&ended);
    let missing = format!("postgres://postgres@127.0.0.1:{}/nowhere?sslmode=disable", cluster.port());
    let ended = with_urls(&["doctor", "-o", "json"], &missing, TARGET);
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
    assert_eq!(ended.json()["error"]["code"], "DATABASE_MISSING");
}

/// A password that was given on the command line is nowhere in the process's title while it works.
#[tokio::test]
async fn a_password_leaves_the_process_title() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let source = format!("postgres://app:sekret@127.0.0.1:{port}/shop?sslmode=disable");
    let mut command = program();
    command.args(["doctor", "--source", &source, &format!("--target={TARGET}")]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Once it connects, it has executed itself again.
    let stream = listener.accept().unwrap();
    let title = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    let title = String::from_utf8_lossy(&title).replace('\0', " ");
    assert!(title.contains("doctor") && !title.contains("sekret") && !title.contains("://"), "{title}");
    drop(stream);
    drop(listener);
    child.wait().unwrap();
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    assert!(stderr.contains("hint: a password on the command line"), "{stderr}");
    assert!(!stderr.contains("sekret"), "{stderr}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = program();
    command.args(["completion", "bash"]).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_signal_ends_with_its_number() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for (signal, code) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        let source = format!("postgres://app@127.0.0.1:{port}/shop?sslmode=disable&connect_timeout=60");
        let mut command = program();
        command.args(["doctor"]).env("SEGCDC_SOURCE_URL", source).env("SEGCDC_TARGET_URL", TARGET);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        // It has connected and now waits for an answer that does not come.
        let stream = listener.accept().unwrap();
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        drop(stream);
    }
}

/// Turkish has another small letter for I, an empty TZ is UTC, and paths may have any character.
#[test]
fn surroundings_may_be_unusual() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a folder with blanks, 数据 and 'quotes'");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("pass wörd"), "sekret\n").unwrap();
    let file = path.join("pipeline ü.yaml");
    let text = "version: 1\nname: pipeline_i\nsource: {url: 'postgres://app@127.0.0.1:1/INFO?sslmode=disable', password_file: 'pass wörd'}\n\
                target: {url: 'sqlserver://app@127.0.0.1:1/INFO?encrypt=false', password_file: 'pass wörd'}\n";
    std::fs::write(&file, text).unwrap();
    let mut command = program();
    command.args(["status", "-o", "json", "-f"]).arg(&file);
    command.env("LC_ALL", "tr_TR.UTF-8").env("LANG", "tr_TR.UTF-8").env("TZ", "");
    let ended = Ended::of(command, "");
    let error = &ended.json()["error"];
    assert_eq!((ended.code, &error["code"]), (Some(3), &"TARGET_UNREACHABLE".into()), "{}", ended.stderr);
    keeps_secrets(&ended);
}

#[test]
fn a_mistyped_variable_is_named() {
    let mut command = program();
    command.args(["version"]).env("SEGCDC_SUORCE_URL", "x");
    let ended = Ended::of(command, "");
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("did you mean SEGCDC_SOURCE_URL"), "{}", ended.stderr);
}
