//! Brokers that want TLS, SASL, or both: spoken to, and what is wrong is named.

use segcdc_engine_kafka_connect::kafka::KafkaAdmin;
use segcdc_engine_kafka_connect::{
    Bootstrap, BrokerSecurity, BrokerTls, ClientCertificate, ConnectConfig, Mechanism, Sasl, prepare,
};
use segcdc_model::{Fault, Secret};
use segcdc_testkit::ConnectCluster;

use crate::rig::Rig;

/// The password that the brokers have for nobody.
const WRONG: &str = "c4nary-broker";

/// What the listener with TLS and SASL wants.
pub(crate) fn security(cluster: &ConnectCluster) -> BrokerSecurity {
    let ca_pem = Some(std::fs::read(cluster.broker_certificate()).unwrap());
    let tls = Some(BrokerTls { ca_pem, client: None });
    BrokerSecurity { tls, sasl: Some(user(cluster, Mechanism::ScramSha512)) }
}

fn user(cluster: &ConnectCluster, mechanism: Mechanism) -> Sasl {
    let [user, password] = cluster.broker_user().map(str::to_owned);
    Sasl { mechanism, user, password: Secret::new(password) }
}

/// The certificate that the brokers trust.
fn client(cluster: &ConnectCluster) -> ClientCertificate {
    let [chain, key] = cluster.client_certificate().map(|path| std::fs::read(path).unwrap());
    ClientCertificate { chain_pem: chain, key_pem: Secret::new(key) }
}

/// The topics that a listener names, or the code of what is wrong.
async fn topics(bootstrap: &str, security: &BrokerSecurity) -> Result<Vec<String>, &'static str> {
    let bootstrap = Bootstrap::parse(bootstrap).unwrap();
    let mut topics = KafkaAdmin::new(bootstrap, security).unwrap().topics().await.map_err(|error| {
        let text = format!("{error} {error:?} {}", error.hint());
        assert!(!text.contains(WRONG) && !error.hint().is_empty(), "{text}");
        error.code()
    })?;
    topics.sort();
    Ok(topics)
}

/// Every listener by every way that it takes, and by those that it does not.
pub(crate) async fn every_listener_is_spoken_to(rig: &Rig) {
    let cluster = &rig.cluster;
    let none = BrokerSecurity::default();
    let expected = topics(&cluster.bootstrap(), &none).await.unwrap();
    assert!(expected.iter().any(|topic| topic == "connect-configs"), "{expected:?}");
    let both = security(cluster);
    let tls = BrokerSecurity { sasl: None, ..both.clone() };
    let sasl = |mechanism| BrokerSecurity { tls: None, sasl: Some(user(cluster, mechanism)) };
    let sasl_tls = |mechanism| BrokerSecurity { sasl: Some(user(cluster, mechanism)), ..both.clone() };
    let with_client = |client| {
        let tls = BrokerTls { client: Some(client), ..tls.tls.clone().unwrap() };
        BrokerSecurity { tls: Some(tls), sasl: None }
    };
    let refused = |mechanism| {
        let sasl = Sasl { password: Secret::new(WRONG.to_owned()), ..user(cluster, mechanism) };
        BrokerSecurity { sasl: Some(sasl), ..both.clone() }
    };
    let system = BrokerSecurity { tls: Some(BrokerTls::default()), sasl: both.sasl.clone() };
    let made_up = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let stranger = ClientCertificate {
        chain_pem: made_up.cert.pem().into_bytes(),
        key_pem: Secret::new(made_up.signing_key.serialize_pem().into_bytes()),
    };
    let listeners = [
        cluster.bootstrap(),
        cluster.sasl_bootstrap(),
        cluster.tls_bootstrap(),
        cluster.sasl_tls_bootstrap(),
    ];
    let [plain_at, sasl_at, tls_at, both_at] = &listeners;
    let (plain, sha256, sha512) = (Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512);
    let cases = [
        (sasl_at, sasl(plain), ""),
        (sasl_at, sasl(sha256), ""),
        (sasl_at, sasl(sha512), "KAFKA_SASL_MECHANISM"),
        (sasl_at, none.clone(), "KAFKA_LISTENER_SECURED"),
        (sasl_at, both.clone(), "KAFKA_TLS"),
        (tls_at, with_client(client(cluster)), ""),
        (tls_at, with_client(stranger), "KAFKA_TLS"),
        (tls_at, tls.clone(), "KAFKA_TLS"),
        (tls_at, none.clone(), "KAFKA_LISTENER_SECURED"),
        (both_at, sasl_tls(plain), ""),
        (both_at, sasl_tls(sha256), ""),
        (both_at, sasl_tls(sha512), ""),
        (both_at, refused(plain), "KAFKA_AUTH"),
        (both_at, refused(sha256), "KAFKA_AUTH"),
        (both_at, refused(sha512), "KAFKA_AUTH"),
        (both_at, system, "KAFKA_TLS"),
        (both_at, none.clone(), "KAFKA_LISTENER_SECURED"),
        (plain_at, both.clone(), "KAFKA_TLS"),
        (plain_at, sasl(sha256), "KAFKA_SASL_MECHANISM"),
    ];
    for (number, (bootstrap, security, code)) in cases.into_iter().enumerate() {
        match topics(bootstrap, &security).await {
            Ok(found) => assert_eq!((found, code), (expected.clone(), ""), "case {number}"),
            Err(found) => assert_eq!(found, code, "case {number}"),
        }
    }
}

/// What a listener wants is said before anything is made, and a password that everybody can read is warned of.
pub(crate) async fn brokers_are_tried_when_planning(rig: &Rig) {
    for (bootstrap, wants) in [
        (rig.cluster.sasl_bootstrap(), "SASL (PLAIN, SCRAM-SHA-256)"),
        (rig.cluster.tls_bootstrap(), "TLS"),
        (rig.cluster.sasl_tls_bootstrap(), "TLS"),
    ] {
        let bootstrap = Some(Bootstrap::parse(&bootstrap).unwrap());
        let config = ConnectConfig { bootstrap, security: BrokerSecurity::default(), ..rig.config.clone() };
        let error = Box::pin(prepare(&config, &rig.rest)).await.unwrap_err();
        assert_eq!(error.code(), "KAFKA_LISTENER_SECURED", "{error}");
        assert!(error.to_string().ends_with(&format!(" wants {wants}")), "{error}");
    }
    for (mechanism, warns) in [(Mechanism::Plain, true), (Mechanism::ScramSha256, false)] {
        let bootstrap = Some(Bootstrap::parse(&rig.cluster.sasl_bootstrap()).unwrap());
        let security = BrokerSecurity { tls: None, sasl: Some(user(&rig.cluster, mechanism)) };
        let config = ConnectConfig { bootstrap, security, ..rig.config.clone() };
        let found = Box::pin(prepare(&config, &rig.rest)).await.unwrap().preflight.findings;
        let warned = found.iter().any(|finding| finding.code == "KAFKA_PASSWORD_IN_CLEAR");
        assert_eq!(warned, warns, "{mechanism:?}");
    }
}
