//! `segcdc serve`: its start, its end, and the guide's command lines.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use segcdc_testkit::small_disk::SmallDisk;
use serde_json::Value;

use crate::program::{Ended, program};

/// The guide that users follow.
const GUIDE: &str = include_str!("../../../../docs/guides/serve.md");

/// A server that runs.
struct Running {
    child: Child,
    url: String,
    setup_token: Option<String>,
}

// === impl Running ===

impl Running {
    /// Starts it over a folder, on a port of its own.
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "-o", "json", "--data-dir"])
            .arg(folder)
            .args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            let mut text = String::new();
            child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("{line}{text}");
        };
        Running {
            child,
            url: said["url"].as_str().unwrap().to_owned(),
            setup_token: said["setup_token"].as_str().map(str::to_owned),
        }
    }

    /// Ends it by a signal: its exit code, and what it talked about.
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let code = self.child.wait().unwrap().code();
        let mut talk = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
        (code, talk)
    }
}

/// The indented lines of the guide behind its first administrator, as a script; those of pipelines need two databases and are
/// followed in `e2e`.
fn script() -> String {
    let (_start, rest) = GUIDE.split_once("\n## The first administrator\n").unwrap();
    let (before, pipelines) = rest.split_once("\n## Pipelines\n").unwrap();
    let (_pipelines, behind) = pipelines.split_once("\n## ").unwrap();
    let mut script = String::from("set -euo pipefail\n");
    for line in before.lines().chain(behind.lines()).filter_map(|line| line.strip_prefix("    ")) {
        script.push_str(line);
        script.push('\n');
    }
    assert!(script.matches("curl ").count() > 8, "{script}");
    script
}

#[test]
fn the_guide_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&folder.path().join("data"), &[]);
    let token = server.setup_token.clone().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script()]).env("SERVER", &server.url).env("SETUP_TOKEN", &token);
    bash.env("COOKIES", folder.path().join("cookies")).env("WORK", folder.path());
    let ended = Ended::of(bash, "");
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    for expected in
        ["shop\nwarehouse\n", "shop2\n", "editor\nglobex\n", "ada (token laptop) connection.change ok"]
    {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
    let ids: Vec<&str> = ended.stdout.lines().rev().take(2).collect();
    assert_eq!(ids.first(), ids.last(), "sent twice, carried out once: {}", ended.stdout);
    let (code, talk) = server.end(Signal::TERM);
    assert_eq!(code, Some(143), "{talk}");
    assert!(!talk.contains("a sentence of your own") && !talk.contains("segcdc_pat_"), "{talk}");
}

#[test]
fn what_was_made_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a folder with blanks, ü and 数据");
    let server = Running::start(&data, &[]);
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--fail-with-body", "-sS"]).args(arguments);
        Ended::of(command, "")
    };
    let cookies = folder.path().join("cookies").display().to_string();
    let body = format!(
        r#"{{"token": "{}", "user": "ada", "password": "a sentence of your own"}}"#,
        server.setup_token.clone().unwrap()
    );
    let json = "Content-Type: application/json";
    let made = curl(&["-c", &cookies, &format!("{}/api/v1/setup", server.url), "-H", json, "-d", &body]);
    assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
    let key = data.join("master.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let second = {
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "-o", "json", "--data-dir"]).arg(&data);
        Ended::of(command, "")
    };
    assert_eq!(second.json()["error"]["code"], "STORE_IN_USE", "{}", second.stdout);
    assert_eq!(second.code, Some(2));
    assert_eq!(server.end(Signal::KILL).0, None);

    let server = Running::start(&data, &[]);
    assert_eq!(server.setup_token, None, "there is an administrator");
    let me = curl(&["-b", &cookies, &format!("{}/api/v1/me", server.url)]);
    assert_eq!(me.code, Some(0), "her session goes on: {}{}", me.stdout, me.stderr);
    server.end(Signal::INT);

    // Without its key the store is not opened, and no other key is made in its place.
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let code_of = |variables: &[(&str, &str)]| {
        let mut command = program();
        command.args(["serve", "--listen", "127.0.0.1:0", "-o", "json", "--data-dir"]).arg(&data);
        let ended = Ended::of(
            {
                command.envs(variables.iter().copied());
                command
            },
            "",
        );
        (ended.code, ended.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code_of(&[]), (Some(2), "MASTER_KEY_FILE".to_owned()));
    assert!(!key.exists());
    let other = ("SEGCDC_MASTER_KEY", "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    assert_eq!(code_of(&[other]), (Some(2), "SECRET_DAMAGED".to_owned()));
    assert_eq!(code_of(&[("SEGCDC_MASTER_KEY", "k1 AAEC")]), (Some(2), "MASTER_KEY_LENGTH".to_owned()));
    assert_eq!(
        code_of(&[("SEGCDC_MASTER_KEY_COMMAND", "exit 3")]),
        (Some(2), "MASTER_KEY_COMMAND".to_owned())
    );
    std::fs::write(&key, &kept).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(code_of(&[]), (Some(2), "MASTER_KEY_READABLE".to_owned()));
    let text = String::from_utf8(kept).unwrap();
    let server = Running::start(&data, &["--master-key", text.trim()]);
    let title = std::fs::read(format!("/proc/{}/cmdline", server.child.id())).unwrap();
    let secret = text.trim().split(' ').next_back().unwrap();
    assert!(!String::from_utf8_lossy(&title).contains(secret), "the key is in the process's title");
    server.end(Signal::TERM);
}

/// # Fault F66
/// The control plane's store is busy, damaged, or its disk full.
/// - Happens: what cannot be stored is refused as `STORE_FULL` and nothing of it is kept; what is there is still read, and
///   with room again changes are made. A second server over the same store does not start, `STORE_IN_USE`; a file that is
///   something else is refused, `STORE_NOT_A_DATABASE`.
/// - Do: make room; move the file away or bring back a copy of it.
#[test]
fn full_disk_refuses_changes_and_keeps_what_is_there() {
    let Some(disk) = SmallDisk::mount("16m").unwrap() else { return };
    let server = Running::start(&disk.path().join("data"), &[]);
    let folder = tempfile::tempdir().unwrap();
    let cookies = folder.path().join("cookies").display().to_string();
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "-w", "\n%{http_code}", "-H", "Content-Type: application/json"]).args(arguments);
        Ended::of(command, "")
    };
    let body = format!(
        r#"{{"token": "{}", "user": "ada", "password": "a sentence of your own"}}"#,
        server.setup_token.clone().unwrap()
    );
    let made = curl(&["-c", &cookies, &format!("{}/api/v1/setup", server.url), "-d", &body]);
    assert!(made.stdout.ends_with("201"), "{}", made.stdout);
    let me: Value = serde_json::from_str(made.stdout.trim_end_matches("201")).unwrap();
    let csrf = format!("X-CSRF-Token: {}", me["csrf_token"].as_str().unwrap());
    let connections = format!("{}/api/v1/connections", server.url);
    let add = |name: &str| {
        let body = format!(
            r#"{{"name": "{name}", "kind": "postgres", "host": "db.example.com", "database": "{}", "user": "u", "password": "p"}}"#,
            "d".repeat(60)
        );
        curl(&["-b", &cookies, "-H", &csrf, "-d", &body, &connections]).stdout
    };
    let first = add("first");
    assert!(first.ends_with("201"), "{first}");
    // Every byte that is left.
    let filler = disk.path().join("filler");
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=4096", &format!("of={}", filler.display())]).output();
    assert!(!filled.unwrap().status.success(), "the disk took everything");
    let refused = (0..200).map(|number| add(&format!("c{number}"))).find(|said| !said.ends_with("201"));
    let refused = refused.unwrap();
    assert!(refused.contains("\"STORE_FULL\"") && refused.ends_with("503"), "{refused}");
    let count = || {
        let listed = curl(&["-b", &cookies, &format!("{connections}?limit=200")]).stdout;
        assert!(listed.ends_with("200"), "{listed}");
        listed.matches("\"host\"").count()
    };
    let before = count();
    assert!(add("refused").ends_with("503"));
    assert_eq!(count(), before, "what was refused is not there");
    std::fs::remove_file(&filler).unwrap();
    let again = add("again");
    assert!(again.ends_with("201"), "{again}");
    assert_eq!(count(), before + 1);
    server.end(Signal::TERM);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["serve", "-o", "json", "--listen", &taken.local_addr().unwrap().to_string(), "--data-dir"]);
    command.arg(folder.path().join("data"));
    let ended = Ended::of(command, "");
    assert_eq!((ended.code, &ended.json()["error"]["code"]), (Some(1), &Value::from("BIND_FAILED")));
    assert!(!folder.path().join("data").exists(), "nothing was made");
    // An address of nobody's, which is reserved for documentation (RFC 5737).
    let mut command = program();
    command.args(["serve", "-o", "json", "--listen", "192.0.2.1:0", "--data-dir"]).arg(folder.path());
    let ended = Ended::of(command, "");
    assert_eq!((ended.code, &ended.json()["error"]["code"]), (Some(1), &Value::from("BIND_FAILED")));
}
