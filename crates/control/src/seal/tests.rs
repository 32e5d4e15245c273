use super::*;
use proptest::prelude::*;

const HERE: Place<'static> = Place { tenant: "t1", object: "c1", field: "password" };

fn ring(lines: &[&Secret<String>]) -> Keyring {
    Keyring::parse(&Secret::new(lines.iter().map(|line| line.expose().as_str()).collect())).unwrap()
}

fn line(id: &str) -> Secret<String> {
    Keyring::generate_line(id).unwrap()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_again(text in any::<String>()) {
        let keys = ring(&[&line("k1")]);
        let sealed = keys.seal(&Secret::new(text.clone()), HERE).unwrap();
        let opened = keys.open(&sealed, HERE).unwrap();
        prop_assert_eq!(opened.expose(), &text);
        prop_assert!(text.len() < 4 || !sealed.contains(&text));
    }

    #[test]
    fn a_changed_byte_does_not_open(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let keys = ring(&[&line("k1")]);
        let sealed = keys.seal(&Secret::new("hunter2".to_owned()), HERE).unwrap();
        let mut bytes = sealed.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(keys.open(&changed, HERE).is_err());
        }
    }
}

#[test]
fn a_sealed_secret_opens_at_its_own_place_only() {
    let keys = ring(&[&line("k1")]);
    let sealed = keys.seal(&Secret::new("hunter2".to_owned()), HERE).unwrap();
    let elsewhere = [
        Place { tenant: "t2", ..HERE },
        Place { object: "c2", ..HERE },
        Place { field: "certificate", ..HERE },
        Place { tenant: "t1c", object: "1", ..HERE },
    ];
    for place in elsewhere {
        assert_eq!(keys.open(&sealed, place).unwrap_err(), SealError::Forged, "{place:?}");
    }
}

#[test]
fn the_parts_of_two_sealed_secrets_do_not_mix() {
    let keys = ring(&[&line("k1")]);
    let seal = |text: &str| keys.seal(&Secret::new(text.to_owned()), HERE).unwrap();
    let (one, other) = (seal("one"), seal("other"));
    let (head, _) = one.rsplit_once('.').unwrap();
    let (_, body) = other.rsplit_once('.').unwrap();
    assert_eq!(keys.open(&format!("{head}.{body}"), HERE).unwrap_err(), SealError::Forged);
}

#[test]
fn rotation_seals_with_the_new_key_and_the_old_one_can_go() {
    let (old, new) = (line("k1"), line("k2"));
    let before = ring(&[&old]).seal(&Secret::new("hunter2".to_owned()), HERE).unwrap();
    let both = ring(&[&new, &old]);
    let after = both.rotate(&before, HERE).unwrap().unwrap();
    assert_eq!(both.rotate(&after, HERE).unwrap(), None, "once is enough");
    assert_eq!(ring(&[&new]).open(&after, HERE).unwrap().expose(), "hunter2");
    assert_eq!(ring(&[&new]).open(&before, HERE).unwrap_err(), SealError::UnknownKey { id: "k1".to_owned() });
    assert_eq!(
        before.rsplit_once('.').unwrap().1,
        after.rsplit_once('.').unwrap().1,
        "the secret is not sealed anew"
    );
}

#[test]
fn another_key_of_the_same_id_does_not_open() {
    let sealed = ring(&[&line("k1")]).seal(&Secret::new("hunter2".to_owned()), HERE).unwrap();
    assert_eq!(ring(&[&line("k1")]).open(&sealed, HERE).unwrap_err(), SealError::Forged);
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    let parse = |text: &str| Keyring::parse(&Secret::new(text.to_owned())).unwrap_err();
    let key = |bytes: &[u8]| STANDARD.encode(bytes);
    let good: Vec<u8> = (0..32).collect();
    let id = || "k1".to_owned();
    assert_eq!(parse(""), KeyError::Missing);
    assert_eq!(parse("# a comment\n\n"), KeyError::Missing);
    assert_eq!(parse("\nk1"), KeyError::Line { line: 2 });
    assert_eq!(parse("k.1 AAAA"), KeyError::Line { line: 1 });
    assert_eq!(parse("k1 !!!"), KeyError::Encoding { id: id() });
    assert_eq!(parse(&format!("k1 {}", key(&good[..31]))), KeyError::Length { id: id(), bytes: 31 });
    assert_eq!(parse(&format!("k1 {}", key(&[0; 32]))), KeyError::Constant { id: id() });
    assert_eq!(parse(&format!("k1 {0}\nk1 {0}", key(&good))), KeyError::Twice { id: id() });
}

#[test]
fn nothing_is_sealed_without_a_key() {
    let error = Keyring(Vec::new()).seal(&Secret::new("hunter2".to_owned()), HERE).unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&crate::error::ControlError::from(error)), "SEAL_FAILED");
}

#[test]
fn want_of_randomness_is_told_from_a_defect() {
    let error = crate::error::ControlError::from(CryptoError::NoRandomness);
    assert_eq!(segcdc_model::Fault::code(&error), "NO_RANDOMNESS");
    assert!(segcdc_model::Fault::hint(&error).contains("/dev/urandom"));
}

#[test]
fn a_keyring_prints_no_key() {
    let line = line("k1");
    let printed = format!("{:?}", ring(&[&line]));
    assert_eq!(printed, r#"["k1"]"#);
}
