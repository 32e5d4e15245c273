use super::*;

fn draft() -> Draft {
    Draft {
        host: Some("db1".to_owned()),
        database: Some("shop".to_owned()),
        user: Some("app".to_owned()),
        ..Draft::default()
    }
}

/// The codes of what is wrong, with their fields.
fn wrong(draft: &Draft, kind: ConnectionKind) -> Vec<(String, &'static str)> {
    match draft.settle(kind) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.all().map(|one| (one.pointer.clone(), one.error.code())).collect(),
    }
}

fn at(pointer: &str, code: &'static str) -> (String, &'static str) {
    (pointer.to_owned(), code)
}

#[test]
fn defaults_are_safe() {
    let source = draft().settle(ConnectionKind::Postgres).unwrap();
    assert_eq!(
        (source.port, source.server.clone()),
        (Some(5432), Server::Postgres { sslmode: SslMode::VerifyFull })
    );
    let target = draft().settle(ConnectionKind::SqlServer).unwrap();
    assert_eq!(target.port, Some(1433));
    assert!(matches!(
        target.server,
        Server::SqlServer { encrypt: Encrypt::True, trust_server_certificate: false, .. }
    ));
    let instance = Draft { instance: Some("SQLEXPRESS".to_owned()), ..draft() };
    assert_eq!(instance.settle(ConnectionKind::SqlServer).unwrap().port, None, "Browser is asked for it");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let bad = Draft {
        host: Some("a b".to_owned()),
        port: Some(0),
        database: Some(String::new()),
        user: None,
        schema: Some("dbo".to_owned()),
        sslmode: Some(SslMode::Disable),
        ..Draft::default()
    };
    assert_eq!(
        wrong(&bad, ConnectionKind::Postgres),
        [
            at("/host", "HOST_INVALID"),
            at("/port", "PORT_RANGE"),
            at("/database", "DATABASE_INVALID"),
            at("/user", "FIELD_REQUIRED"),
            at("/schema", "FIELD_NOT_OF_KIND"),
            at("/sslmode", "TLS_INSECURE_NOT_ALLOWED"),
        ]
    );
}

#[test]
fn less_protection_needs_consent() {
    let insecure = [
        (ConnectionKind::Postgres, Draft { sslmode: Some(SslMode::Disable), ..draft() }),
        (ConnectionKind::Postgres, Draft { sslmode: Some(SslMode::Require), ..draft() }),
        (ConnectionKind::SqlServer, Draft { encrypt: Some(Encrypt::False), ..draft() }),
        (ConnectionKind::SqlServer, Draft { trust_server_certificate: Some(true), ..draft() }),
    ];
    for (kind, draft) in insecure {
        assert_eq!(wrong(&draft, kind).len(), 1, "{draft:?}");
        let consent = Draft { allow_insecure: Some(true), ..draft };
        assert_eq!(wrong(&consent, kind), [], "{consent:?}");
    }
}

#[test]
fn authorities_are_certificates() {
    let made = rcgen_like();
    let good = Draft { ca_pem: Some(made.clone()), ..draft() };
    assert_eq!(wrong(&good, ConnectionKind::Postgres), []);
    let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n".to_owned();
    let half = made.replace("-----END CERTIFICATE-----", "");
    for bad in [String::new(), "x".to_owned(), key, half, made.replace("MII", "!!!"), "A".repeat(100_000)] {
        let draft = Draft { ca_pem: Some(bad), ..draft() };
        assert_eq!(wrong(&draft, ConnectionKind::Postgres), [at("/ca_pem", "CA_INVALID")]);
    }
}

/// A text with the outer form of a certificate.
fn rcgen_like() -> String {
    let mut der = vec![0x30, 0x82, 0x01, 0x00];
    der.extend([7_u8; 256]);
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

#[test]
fn a_password_does_not_follow_to_another_place() {
    let settle = |draft: Draft| draft.settle(ConnectionKind::SqlServer).unwrap();
    let before = settle(draft());
    assert!(!before.exposes(&settle(Draft { database: Some("other".to_owned()), ..draft() })));
    assert!(!before.exposes(&settle(Draft { schema: Some("s".to_owned()), ..draft() })));
    for next in [
        Draft { host: Some("evil".to_owned()), ..draft() },
        Draft { port: Some(1434), ..draft() },
        Draft { instance: Some("x".to_owned()), ..draft() },
        Draft { user: Some("sa".to_owned()), ..draft() },
        Draft { ca_pem: Some(rcgen_like()), ..draft() },
        Draft { encrypt: Some(Encrypt::False), allow_insecure: Some(true), ..draft() },
        Draft { trust_server_certificate: Some(true), allow_insecure: Some(true), ..draft() },
        Draft { host_name_in_certificate: Some("evil".to_owned()), ..draft() },
    ] {
        assert!(before.exposes(&settle(next.clone())), "{next:?}");
    }
}

#[test]
fn fields_come_back_as_they_were_stored() {
    for (kind, draft) in [
        (ConnectionKind::Postgres, Draft { host: Some("[2001:db8::7]".to_owned()), ..draft() }),
        (ConnectionKind::SqlServer, Draft { instance: Some("A".to_owned()), ..draft() }),
    ] {
        let settings = draft.settle(kind).unwrap();
        let stored = serde_json::to_string(&settings).unwrap();
        let read: Settings = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, settings);
        assert_eq!(Draft::of(&read).settle(kind).unwrap(), settings, "a change of nothing changes nothing");
    }
}

#[test]
fn stars_are_no_secret() {
    let check = |text: &str| check_secret(&Secret::new(text.to_owned())).map_err(|error| error.code());
    assert_eq!(check("********"), Err("SECRET_MASK_SUBMITTED"));
    assert_eq!(check("•••"), Err("SECRET_MASK_SUBMITTED"));
    assert_eq!(check("a\0"), Err("RANGE"));
    for good in ["", "*", " x ", "'\"\\;{}😀", &"x".repeat(4096)] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
}
