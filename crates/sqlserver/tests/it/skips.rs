//! Transactions that are left out: recorded with the checkpoint behind them, or not at all.

use segcdc_model::{Checkpoint, Fault, Lsn};
use segcdc_sqlserver::{SkippedTransaction, Target, WishOutcome, sql};

use crate::golden::paragraphs;
use crate::rig::Rig;

fn skipped(end_lsn: Lsn) -> SkippedTransaction {
    let tables = ["public.we\nird'", "public.a"].map(str::to_owned).to_vec();
    SkippedTransaction { end_lsn, xid: 7, commit_time_us: -5, changes: 3, tables }
}

#[test]
fn statements() {
    let (name, end_lsn) = ("it's", Lsn::new(0x1_0000_0000));
    let [forget, ask] = sql::skipped_transaction::ask(name, end_lsn);
    let statements = [
        sql::skipped_transaction::CREATE_SKIPPED_TRANSACTION.to_owned(),
        forget,
        ask,
        sql::skipped_transaction::withdraw(name, end_lsn),
        sql::skipped_transaction::select(name),
        sql::skipped_transaction::refuse(name, end_lsn, "it can't"),
        sql::skipped_transaction::record(name, &skipped(end_lsn)),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[tokio::test]
async fn what_is_left_out_is_recorded_with_the_checkpoint() {
    let mut rig = Rig::new().await;
    let (pipeline, before) = (rig.pipeline.clone(), rig.checkpoint.clone());
    let [end, later] = [10, 20].map(|bytes| Lsn::new(before.applied_lsn.as_u64() + bytes));
    let mut other = Target::connect(&rig.config).await.unwrap();
    assert!(!other.withdraw_skip(&pipeline, end).await.unwrap());
    for end_lsn in [later, end, end] {
        other.ask_to_skip(&pipeline, end_lsn).await.unwrap();
    }
    let outcomes = |skips: &[segcdc_sqlserver::SkipWish]| {
        skips.iter().map(|skip| (skip.end_lsn, skip.outcome)).collect::<Vec<_>>()
    };
    let asked = other.skips(&pipeline).await.unwrap();
    assert_eq!(outcomes(&asked), [(end, WishOutcome::Asked), (later, WishOutcome::Asked)]);

    // Neither without the fence, nor without anybody who asks.
    let stale = Checkpoint { epoch: before.epoch - 1, ..before.clone() };
    let refused = rig.target.skip_transaction(&stale, &skipped(end)).await;
    assert_eq!(refused.unwrap_err().code(), "FENCED");
    assert!(other.withdraw_skip(&pipeline, end).await.unwrap());
    assert_eq!(rig.target.skip_transaction(&before, &skipped(end)).await.unwrap(), None);
    assert_eq!(rig.target.read_checkpoint_locked(&pipeline).await.unwrap(), before);

    other.ask_to_skip(&pipeline, end).await.unwrap();
    let after = rig.target.skip_transaction(&before, &skipped(end)).await.unwrap().unwrap();
    let expected = Checkpoint { applied_lsn: end, batch_seq: before.batch_seq + 1, ..before.clone() };
    assert_eq!(after, expected);
    assert_eq!(rig.target.read_checkpoint_locked(&pipeline).await.unwrap(), expected);
    assert!(!other.withdraw_skip(&pipeline, end).await.unwrap(), "it is done");
    other.ask_to_skip(&pipeline, end).await.unwrap();
    rig.target.refuse_skip(&after, later, "no transaction ends there").await.unwrap();
    let found = other.skips(&pipeline).await.unwrap();
    assert_eq!(outcomes(&found), [(end, WishOutcome::Done), (later, WishOutcome::Refused)]);
    assert_eq!(found[0].skipped, Some(skipped(end)));
    assert_eq!(found[1].detail, "no transaction ends there");
    // What was refused may be asked for again.
    other.ask_to_skip(&pipeline, later).await.unwrap();
    assert_eq!(other.skips(&pipeline).await.unwrap()[1].outcome, WishOutcome::Asked);
    rig.target.remove_pipeline(&pipeline).await.unwrap();
    assert_eq!(other.skips(&pipeline).await.unwrap(), []);
}
