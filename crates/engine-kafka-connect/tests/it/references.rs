//! Passwords that the worker has by itself: whether it fills in their placeholders is found out before anything is made, and
//! without asking for a password.

use segcdc_engine_kafka_connect::validate::validate;
use segcdc_engine_kafka_connect::{ConnectConfig, Prepared, Secrets, prepare};
use segcdc_model::{Fault, Finding};

use crate::doors::{PASSWORD, Rules};
use crate::rig::{Rig, SOURCE_CANARY, TARGET_CANARY};

/// Every way to say where the passwords are, of a source that lets everybody in, and of one that asks.
pub(crate) async fn references_are_checked(rig: &Rig) {
    let folder = rig.cluster.secrets_dir();
    let passwords = format!("source.password={SOURCE_CANARY}\ntarget.password={TARGET_CANARY}\n");
    let elsewhere = tempfile::tempdir().unwrap();
    let (plain, shown) = (folder.join("plain.properties"), folder.join("shown.properties"));
    let (none, hidden) = (folder.join("none.properties"), elsewhere.path().join("hidden.properties"));
    std::fs::write(&plain, &passwords).unwrap();
    std::fs::write(&shown, format!("{passwords}segcdc.check=1\n")).unwrap();
    std::fs::write(&hidden, format!("{passwords}segcdc.check=1\n")).unwrap();
    let read = |path: &std::path::Path| format!("read:{}", path.display());
    let env = |prefix: &str| format!("env:{prefix}");

    for (secrets, expected) in [
        (env("SHOWN"), ""),
        (read(&shown), ""),
        (env("PLAIN"), "CONNECT_SECRETS_UNPROVEN"),
        (read(&plain), "CONNECT_SECRETS_UNPROVEN"),
        (env("NOWHERE"), "CONNECT_SECRETS_UNPROVEN"),
        (read(&none), "CONNECT_SECRETS_PROVIDER"),
        // Not among config.providers.file.param.allowed.paths.
        (read(&hidden), "CONNECT_SECRETS_UNPROVEN"),
    ] {
        assert_eq!(found(rig, &secrets).await, expected, "{secrets}, and the source lets everybody in");
    }
    let rules = Rules::read(rig);
    rules.set(rig, PASSWORD).await;
    for (secrets, expected) in [
        (env("SHOWN"), ""),
        (env("PLAIN"), ""),
        (read(&plain), ""),
        (env("OTHER"), "CONNECT_SECRETS_REFUSED"),
        (env("NOWHERE"), "CONNECT_SECRETS_REFUSED"),
        (read(&none), "CONNECT_SECRETS_PROVIDER"),
        (read(&hidden), "CONNECT_SECRETS_REFUSED"),
    ] {
        assert_eq!(found(rig, &secrets).await, expected, "{secrets}, and the source asks for a password");
    }
    rules.set(rig, "").await;
    for file in [plain, shown] {
        std::fs::remove_file(file).unwrap();
    }
}

/// The code of what was found, by a plan and by the set-up alike.
async fn found(rig: &Rig, secrets: &str) -> String {
    let config = ConnectConfig { secrets: Some(Secrets::parse(secrets).unwrap()), ..rig.config.clone() };
    let prepared = Box::pin(prepare(&config, &rig.rest)).await.unwrap();
    let failures: Vec<&Finding> = prepared.failures().collect();
    let validated = validation(rig, &prepared).await;
    match failures.as_slice() {
        [] => {
            let finding =
                prepared.preflight.findings.iter().find(|finding| finding.check == "connect.secrets");
            let detail = &finding.unwrap().detail;
            assert!(detail.contains("${") && !detail.contains("c4nary"), "{detail}");
            assert_eq!(validated, "");
            String::new()
        }
        [failure] => {
            assert!(!failure.hint.is_empty() && !format!("{failure:?}").contains("c4nary"), "{failure:?}");
            assert_eq!(validated, failure.code);
            failure.code.clone()
        }
        failures => panic!("{secrets}: {failures:?}"),
    }
}

async fn validation(rig: &Rig, prepared: &Prepared) -> &'static str {
    let outcome = validate(&rig.rest, &prepared.connectors, &prepared.spec.secrets).await;
    outcome.err().map_or("", |error| error.code())
}
