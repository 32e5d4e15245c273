//! The sandbox as a process, used by the own client.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: what is not as it must be fails it"
)]

mod bulk;
mod discard;
mod login;
mod raw;
mod requests;

use segcdc_tds::{Config, Connection, Encryption, Error};
use segcdc_testkit::Sandbox;

/// How to log in to a sandbox.
pub(crate) fn config(sandbox: &Sandbox, encryption: Encryption) -> Config {
    Config {
        host: "127.0.0.1".to_owned(),
        port: sandbox.port(),
        database: "sandbox".to_owned(),
        user: "sa".to_owned(),
        password: sandbox.password().to_owned(),
        encryption,
        ca_file: Some(sandbox.ca_file().to_owned()),
        ..Config::default()
    }
}

/// A session with everything encrypted.
pub(crate) async fn connect(sandbox: &Sandbox) -> Connection {
    Connection::connect(&config(sandbox, Encryption::Required)).await.unwrap()
}

/// A sandbox of its own.
pub(crate) async fn sandbox() -> Sandbox {
    Sandbox::start(segcdc_testkit::SandboxOptions::default()).await.unwrap()
}

/// The numbers of a server's errors.
pub(crate) fn numbers(error: &Error) -> Vec<i32> {
    match error {
        Error::Server(errors) | Error::Login(errors) => {
            errors.errors.iter().map(|error| error.number).collect()
        }
        _ => Vec::new(),
    }
}
