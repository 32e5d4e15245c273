//! Witnesses that we did not write: python-tds, pymssql (FreeTDS), Microsoft's ODBC 18 and mssql-jdbc log in to the
//! sandbox and use it, and the bytes of the own client stand beside those of mssql-jdbc.
//!
//! The clients come from their registries into `target/witness` at the first run. `SEGCDC_TEST_SKIP_WITNESS=reason` skips
//! all of them on a machine that cannot have them, and says so.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test: what is not as it must be fails it, and it says what was skipped"
)]

mod clients;
mod connect;
mod golden;
mod proxy;

use segcdc_testkit::{Sandbox, SandboxOptions};

/// Runs one client's checks against a sandbox of its own.
async fn check(client: &str) {
    if clients::skipped(client) {
        return;
    }
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let report = clients::check(client, &sandbox).unwrap();
    assert!(report.passed, "{}", report.text);
    println!("{}", report.text);
}

#[tokio::test]
async fn python_tds_is_content() {
    check("pytds").await;
}

#[tokio::test]
async fn pymssql_is_content() {
    check("pymssql").await;
}

#[tokio::test]
async fn microsoft_odbc_is_content() {
    check("odbc").await;
}

#[tokio::test]
async fn microsoft_jdbc_is_content() {
    check("jdbc").await;
}

// Several threads: the proxy works while the test waits for the foreign client's process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_bytes_are_those_of_microsofts_jdbc_or_explained() {
    if clients::skipped("golden") {
        return;
    }
    let options = SandboxOptions { encryption: "unsupported".to_owned(), ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let theirs = {
        let proxy = proxy::Proxy::start(sandbox.port()).await.unwrap();
        clients::bulk_for_the_record(&sandbox, proxy.port()).unwrap();
        proxy.messages()
    };
    let ours = {
        let proxy = proxy::Proxy::start(sandbox.port()).await.unwrap();
        golden::bulk_for_the_record(&sandbox, proxy.port()).await.unwrap();
        proxy.messages()
    };
    let (text, unexplained) = golden::compare(&theirs, &ours);
    insta::assert_snapshot!("bytes_beside_mssql_jdbc", text);
    assert!(unexplained.is_empty(), "differences without an explanation: {unexplained:#?}");
}
