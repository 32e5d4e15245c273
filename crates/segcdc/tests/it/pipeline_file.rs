//! Bad pipeline files: each has its code, its exit status and its place, and no secret is in what is said.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use crate::program::{Ended, program};
use crate::{SOURCE, TARGET, keeps_secrets};

/// The end of a command with a file.
fn with_file(arguments: &[&str], file: &Path) -> Ended {
    let mut command = program();
    command.args(arguments).arg("-f").arg(file).env("SHOP_PASSWORD", "sekret").env("EMPTY", "");
    Ended::of(command, "")
}

/// Checks code and beginning of the message for a file with this content.
fn check(content: &[u8], code: &str, message: &str) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, content).expect("a new folder can be written");
    let ended = with_file(&["plan", "-o", "json"], &file);
    let shown = String::from_utf8_lossy(content).chars().take(200).collect::<String>();
    assert_eq!(ended.code, Some(2), "{shown}: {} {}", ended.stdout, ended.stderr);
    let error = &ended.json()["error"];
    let text = error["message"].as_str().unwrap_or_default().replace(&file.display().to_string(), "FILE");
    assert_eq!(error["code"], code, "{shown}: {text}");
    assert!(text.starts_with(message), "{shown}: {text}");
    assert!(!error["hint"].as_str().unwrap_or_default().is_empty(), "{shown}");
    keeps_secrets(&ended);
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing.yaml"), folder.path().to_path_buf()] {
        let ended = with_file(&["up", "--yes", "-o", "json"], &path);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert_eq!(ended.json()["error"]["code"], "CONFIG_UNREADABLE");
    }
    check(
        &[b'a', b':', b' ', 0xff],
        "CONFIG_UNREADABLE",
        "the pipeline file FILE cannot be read: it is not UTF-8 from byte 3",
    );
    check(
        &vec![b'#'; (1 << 20) + 1],
        "CONFIG_UNREADABLE",
        "the pipeline file FILE cannot be read: it is larger than 1 MiB",
    );
}

#[test]
fn files_that_are_no_yaml() {
    check(b"source:\n\turl: x\n", "CONFIG_SYNTAX", "FILE:2:2: tabs");
    check(b"name: [", "CONFIG_SYNTAX", "FILE:");
    check(b"name: a\n---\nname: b\n", "CONFIG_SYNTAX", "FILE:2:1: ");
    let laughs = b"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    check(laughs, "CONFIG_SYNTAX", "FILE:6:");
}

#[test]
fn keys_and_values_that_are_none() {
    check(
        b"\xef\xbb\xbfnmae: shop\n",
        "CONFIG_UNKNOWN_KEY",
        "FILE:1:1: there is no key \"nmae\"; did you mean \"name\"?",
    );
    check(b"name: a\nname: b\n", "CONFIG_DUPLICATE_KEY", "FILE:2:1: ");
    check(b"kafka:\n  tls: yes\n", "CONFIG_VALUE", "FILE:2:8: kafka.tls: true or false is expected");
    check(b"version: 2\n", "CONFIG_VERSION", "FILE:1:10: ");
    check(
        b"name: ${UNSET_VARIABLE}\n",
        "CONFIG_REFERENCE",
        "FILE:1:7: name: the variable UNSET_VARIABLE is not set",
    );
    check(b"name: ${EMPTY}\n", "CONFIG_REFERENCE", "FILE:1:7: name: the variable EMPTY is not set, or empty");
    check(b"on_value: {public.t.v: nothing}\n", "RULE_INVALID", "FILE:1:12: ");
    check(b"nmae: shop\ncopy: {readers: 0}\n", "CONFIG_UNKNOWN_KEY", "FILE has 2 problems");
}

#[test]
fn secrets_in_the_clear_are_refused_and_not_repeated() {
    let url = format!("source: {{url: '{SOURCE}'}}\n");
    check(url.as_bytes(), "CONFIG_SECRET_IN_CLEAR", "FILE:1:15: source.url holds a secret in the clear");
    let url = format!("target: {{url: '{TARGET}'}}\n");
    check(url.as_bytes(), "CONFIG_SECRET_IN_CLEAR", "FILE:1:15: target.url ");
    check(b"source: {password: sekret}\n", "CONFIG_SECRET_IN_CLEAR", "FILE:1:20: source.password ");
    check(b"source: {password_file: missing}\n", "CONFIG_SECRET_FILE", "FILE:1:25: source.password_file: ");
}

/// With a whole file, the first that can be wrong is that nobody listens.
#[test]
fn a_file_alone_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.yaml");
    fs::write(folder.path().join("password"), "sekret\n").unwrap();
    let text = "name: shop\nsource:\n  url: postgres://app@127.0.0.1:1/shop?sslmode=disable\n  password: ${SHOP_PASSWORD}\n\
        target:\n  url: sqlserver://app@127.0.0.1:1/shop?encrypt=false\n  password_file: password\n";
    fs::write(&file, text).unwrap();
    for command in ["doctor", "plan", "status", "slot", "verify"] {
        let ended = with_file(&[command, "-o", "json"], &file);
        assert_eq!(ended.code, Some(3), "{command}: {} {}", ended.stdout, ended.stderr);
        assert!(
            ended.stderr.contains("shop: app@127.0.0.1:1/shop -> app@127.0.0.1:1/shop"),
            "{}",
            ended.stderr
        );
        keeps_secrets(&ended);
    }
    let mut command = program();
    command.args(["plan", "--name", "other", "-f"]).arg(&file).env("SHOP_PASSWORD", "sekret");
    command.env("SEGCDC_SOURCE_URL", SOURCE);
    let ended = Ended::of(command, "");
    assert!(ended.stderr.contains("--name counts, and not name of"), "{}", ended.stderr);
    assert!(ended.stderr.contains("SEGCDC_SOURCE_URL counts, and not source.url of"), "{}", ended.stderr);
    keeps_secrets(&ended);
}
