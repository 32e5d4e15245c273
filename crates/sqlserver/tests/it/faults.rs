//! Connections that break while a batch is under way.

use segcdc_model::{Fault, Lsn, PgType};
use segcdc_plan::{ApplyPlan, DeadLetter, Held, LetterChange, LetterKey, PolicyUse, ValuePolicy};
use segcdc_sqlserver::apply::apply_staged;
use segcdc_sqlserver::{LetterFilter, Settled, Target, TargetConfig, TargetError, apply, settle};
use segcdc_testkit::{Direction, Proxy, Rule, Then, When};

use crate::rig::{Rig, Stream, canonical_rows, plan_one};

/// The proxy stands in front of a port of this machine only.
fn skipped(config: &TargetConfig) -> bool {
    let is_local = matches!(config.host.as_str(), "127.0.0.1" | "localhost");
    if !is_local {
        eprintln!("skipped: {} is another machine, and the proxy is for this one", config.host);
    }
    !is_local
}

/// A session through a proxy, without encryption, so that rules can see what is sent.
async fn through_proxy(config: &TargetConfig) -> (Proxy, Target) {
    let proxy = Proxy::start(config.port).await.unwrap();
    let encryption = segcdc_tds::Encryption::Off;
    let config =
        TargetConfig { host: "127.0.0.1".to_owned(), port: proxy.port(), encryption, ..config.clone() };
    let target = Target::connect(&config).await.unwrap();
    (proxy, target)
}

/// Met by the request that holds this text.
fn request_with(text: &'static str) -> When {
    let wanted: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    When::Seen(Box::new(move |bytes| bytes.windows(wanted.len()).any(|window| window == wanted)))
}

/// How the batch goes in.
#[derive(Debug, Clone, Copy)]
enum Way {
    OneRequest,
    Staged,
}

/// What became of a batch whose connection broke.
struct Broken {
    rig: Rig,
    error: TargetError,
    settled: Result<Settled, TargetError>,
    rows: usize,
}

/// Applies one insert while `then` happens to the request that holds `text`.
async fn break_at(way: Way, text: &'static str, then: Then) -> Option<Broken> {
    let mut rig = Rig::new().await;
    if skipped(&rig.config) {
        return None;
    }
    let table = rig.table(1, "t", 1, &[("id", PgType::Int4, true), ("a", PgType::Text, false)]);
    rig.create(&table).await;
    let stream = Stream::new(&table);
    let plan = plan_one(&[&stream], 100, vec![stream.insert("1|x")]);
    let (proxy, mut target) = through_proxy(&rig.config).await;
    proxy.arm(Rule { direction: Direction::ToServer, when: request_with(text), then });
    let applied = match way {
        Way::OneRequest => apply(&mut target, &plan, &rig.checkpoint).await,
        Way::Staged => apply_staged(&mut target, &plan, &rig.checkpoint).await,
    };
    let error = applied.unwrap_err();
    assert!(!target.is_usable());
    drop(target);
    let settled = settle(&mut rig.target, &rig.checkpoint, plan.end_lsn).await;
    let rows = rig.rows(&table).await.len();
    if let Ok(Settled::NotCommitted(checkpoint)) = &settled {
        // What left no trace can be applied again.
        apply(&mut rig.target, &plan, checkpoint).await.unwrap();
        assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["1|x"]));
    }
    Some(Broken { rig, error, settled, rows })
}

/// # Fault F40
#[tokio::test]
async fn commit_whose_answer_is_lost_has_taken_effect() {
    for way in [Way::OneRequest, Way::Staged] {
        let Some(mut broken) = break_at(way, "COMMIT TRANSACTION", Then::LoseAnswer).await else { return };
        assert_eq!(broken.error.code(), "COMMIT_UNKNOWN", "{way:?}");
        let Ok(Settled::Committed(checkpoint)) = broken.settled else { panic!("{:?}", broken.settled) };
        assert_eq!((checkpoint.batch_seq, broken.rows), (1, 1));
        assert_eq!(broken.rig.stored().await, checkpoint);
    }
}

/// # Fault F40
#[tokio::test]
async fn commit_that_never_arrived_has_left_no_trace() {
    for way in [Way::OneRequest, Way::Staged] {
        let Some(broken) = break_at(way, "COMMIT TRANSACTION", Then::Reset).await else { return };
        assert_eq!(broken.error.code(), "COMMIT_UNKNOWN", "{way:?}");
        assert!(matches!(broken.settled, Ok(Settled::NotCommitted(_))), "{:?}", broken.settled);
        assert_eq!(broken.rows, 0);
    }
}

/// Applies a batch with a letter and a counted use while `then` happens to its COMMIT, settles it, and applies it again
/// when it left no trace. Whatever happened, both are there once.
async fn letters_when(way: Way, then: Then) {
    let mut rig = Rig::new().await;
    if skipped(&rig.config) {
        return;
    }
    let table = rig.table(1, "t", 1, &[("id", PgType::Int4, true)]);
    rig.create(&table).await;
    let stream = Stream::new(&table);
    let of = table.source.name.clone();
    let letter = DeadLetter {
        oid: 1,
        table: of.clone(),
        key: LetterKey { digest: [7; 32], texts: vec!["2".to_owned()] },
        lsn: Lsn::new(99),
        code: "VALUE_TOO_LONG".to_owned(),
        column: "a".to_owned(),
        payload: "{}".to_owned(),
        held: Held::Nothing,
    };
    let (column, policy) = ("a".to_owned(), ValuePolicy::SetAside.word());
    let plan = ApplyPlan {
        letters: vec![LetterChange::Open(letter)],
        uses: vec![PolicyUse { oid: 1, table: of, column, policy, count: 1 }],
        ..plan_one(&[&stream], 100, vec![stream.insert("1")])
    };
    let (proxy, mut target) = through_proxy(&rig.config).await;
    proxy.arm(Rule { direction: Direction::ToServer, when: request_with("COMMIT TRANSACTION"), then });
    let applied = match way {
        Way::OneRequest => apply(&mut target, &plan, &rig.checkpoint).await,
        Way::Staged => apply_staged(&mut target, &plan, &rig.checkpoint).await,
    };
    assert_eq!(applied.unwrap_err().code(), "COMMIT_UNKNOWN", "{way:?}");
    drop(target);
    let pipeline = rig.pipeline.clone();
    match settle(&mut rig.target, &rig.checkpoint, plan.end_lsn).await.unwrap() {
        Settled::Committed(_) => {}
        Settled::NotCommitted(checkpoint) => {
            assert!(rig.target.letters(&pipeline, &LetterFilter::default(), 9).await.unwrap().is_empty());
            apply(&mut rig.target, &plan, &checkpoint).await.unwrap();
        }
    }
    assert_eq!(rig.target.letters(&pipeline, &LetterFilter::default(), 9).await.unwrap().len(), 1, "{way:?}");
    assert_eq!(rig.target.policy_uses(&pipeline).await.unwrap()[0].uses, 1);
    assert_eq!(rig.rows(&table).await, canonical_rows(&table, &["1"]));
}

#[tokio::test]
async fn letters_are_there_once_whatever_becomes_of_the_commit() {
    for way in [Way::OneRequest, Way::Staged] {
        letters_when(way, Then::LoseAnswer).await;
        letters_when(way, Then::Reset).await;
    }
}

#[tokio::test]
async fn connection_that_breaks_inside_a_batch_leaves_no_trace() {
    let Some(broken) = break_at(Way::Staged, "INSERT INTO", Then::LoseAnswer).await else { return };
    assert_eq!(broken.error.disposition(), segcdc_model::Disposition::Retry, "{}", broken.error);
    assert_ne!(broken.error.code(), "COMMIT_UNKNOWN");
    assert!(matches!(broken.settled, Ok(Settled::NotCommitted(_))), "{:?}", broken.settled);
    assert_eq!(broken.rows, 0);
}

#[tokio::test]
async fn unknown_commit_of_a_process_that_was_taken_over_is_fenced() {
    let mut rig = Rig::new().await;
    let before = rig.checkpoint.clone();
    rig.target.take_over(&rig.pipeline, "other").await.unwrap();
    let settled = settle(&mut rig.target, &before, Lsn::new(100)).await;
    assert_eq!(settled.unwrap_err().code(), "FENCED");
}
