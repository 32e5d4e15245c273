//! Logins, with every kind of encryption.

use segcdc_tds::{Config, Connection, Encryption, Error};
use segcdc_testkit::{Sandbox, SandboxOptions};

use crate::{config, numbers, sandbox};

/// A sandbox with a policy.
async fn with_policy(encryption: &str) -> Sandbox {
    let options = SandboxOptions { encryption: encryption.to_owned(), ..SandboxOptions::default() };
    Sandbox::start(options).await.unwrap()
}

/// Logs in; whether all is encrypted.
async fn is_encrypted(sandbox: &Sandbox, encryption: Encryption) -> bool {
    let connection = Connection::connect(&config(sandbox, encryption)).await.unwrap();
    connection.server().encrypted
}

#[tokio::test]
async fn encryption_is_as_the_client_wants() {
    let sandbox = sandbox().await;
    assert!(is_encrypted(&sandbox, Encryption::Strict).await);
    assert!(is_encrypted(&sandbox, Encryption::Required).await);
    assert!(!is_encrypted(&sandbox, Encryption::Off).await);
}

#[tokio::test]
async fn encryption_may_be_required_of_all() {
    let sandbox = with_policy("required").await;
    assert!(is_encrypted(&sandbox, Encryption::Off).await);
}

#[tokio::test]
async fn server_without_encryption_disappoints_who_requires_it() {
    let sandbox = with_policy("unsupported").await;
    assert!(!is_encrypted(&sandbox, Encryption::Off).await);
    let refused = Connection::connect(&config(&sandbox, Encryption::Required)).await;
    assert_eq!(refused.unwrap_err().code(), "TARGET_ENCRYPTION_REFUSED");
}

#[tokio::test]
async fn certificate_of_another_authority_is_refused() {
    let sandbox = sandbox().await;
    let stranger = with_policy("optional").await;
    let ca_file = Some(stranger.ca_file().to_owned());
    for encryption in [Encryption::Strict, Encryption::Required] {
        let config = Config { ca_file: ca_file.clone(), ..config(&sandbox, encryption) };
        let refused = Connection::connect(&config).await;
        assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn unknown_authority_is_no_obstacle_to_who_wants_no_encryption() {
    let sandbox = sandbox().await;
    let config = Config { ca_file: None, ..config(&sandbox, Encryption::Off) };
    Connection::connect(&config).await.unwrap();
    let checked = Connection::connect(&Config { encryption: Encryption::Required, ..config }).await;
    assert!(matches!(checked, Err(Error::Tls { .. })), "{checked:?}");
}

#[tokio::test]
async fn wrong_names_are_refused_by_number() {
    let sandbox = sandbox().await;
    let good = config(&sandbox, Encryption::Required);
    let wrong = Config { password: "no".to_owned(), ..good.clone() };
    assert_eq!(numbers(&Connection::connect(&wrong).await.unwrap_err()), [18456]);
    let wrong = Config { user: "nobody".to_owned(), ..good.clone() };
    assert_eq!(numbers(&Connection::connect(&wrong).await.unwrap_err()), [18456]);
    let wrong = Config { database: "nothing".to_owned(), ..good };
    assert_eq!(numbers(&Connection::connect(&wrong).await.unwrap_err()), [4060, 18456]);
}

#[tokio::test]
async fn server_says_what_it_is_and_what_was_agreed() {
    let sandbox = sandbox().await;
    let wanted = Config { packet_size: 16_000, ..config(&sandbox, Encryption::Required) };
    let connection = Connection::connect(&wanted).await.unwrap();
    let server = connection.server();
    assert!(server.program_name.contains("not SQL Server"), "{}", server.program_name);
    assert_eq!((server.packet_size, server.database.as_str()), (16_000, "sandbox"));
}

#[tokio::test]
async fn port_and_certificate_outlive_a_crash() {
    let mut sandbox = sandbox().await;
    let before = sandbox.url().to_owned();
    let config = config(&sandbox, Encryption::Required);
    Connection::connect(&config).await.unwrap();
    sandbox.kill().unwrap();
    Connection::connect(&config).await.unwrap_err();
    sandbox.start_again().await.unwrap();
    assert_eq!(sandbox.url(), before);
    Connection::connect(&config).await.unwrap();
    sandbox.restart().await.unwrap();
    Connection::connect(&config).await.unwrap();
}
