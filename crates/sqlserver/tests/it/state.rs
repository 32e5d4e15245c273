//! The state of pipelines: what is stored, and who may store it.

use segcdc_model::{Fault, Lineage, Lsn, PgType, QualifiedName, TablePhase};
use segcdc_plan::KnownTable;
use segcdc_sqlserver::{Lag, TableProgress, TableState};

use crate::fixture;
use crate::rig::{Rig, meddle, new_pipeline};

pub(crate) fn table(oid: u32, name: &str) -> TableState {
    TableState {
        source_oid: oid,
        source: QualifiedName::new("public", name),
        target: QualifiedName::new("dbo", name),
        shape: "shape".to_owned(),
        phase: TablePhase::Queued,
        sync_lsn: Lsn::ZERO,
        rows_copied: 0,
        bytes_copied: 0,
        estimated_rows: 1000,
        table_is_ours: true,
        error: None,
    }
}

#[tokio::test]
async fn pipeline_is_read_as_it_was_created() {
    let mut rig = Rig::new().await;
    rig.target.ensure_state_schema().await.unwrap();
    let state = rig.target.load_state(&rig.pipeline).await.unwrap().unwrap();
    assert_eq!(state.checkpoint, rig.checkpoint);
    assert_eq!((rig.checkpoint.epoch, rig.checkpoint.batch_seq), (1, 0));
    assert_eq!(state.checkpoint.lineage, new_pipeline("p").lineage);
    assert_eq!((state.owner.as_str(), state.slot_is_ours, state.publication_is_ours), ("tests", true, true));
    assert_eq!((state.transactions_applied, state.changes_applied, state.lag), (0, 0, None));
    assert_eq!((state.commit_time_us, state.spec, state.tables.len()), (None, None, 0));
    assert!(state.read_at_us >= state.updated_at_us);
    assert!(rig.target.pipelines().await.unwrap().contains(&rig.pipeline));
    let again = rig.target.create_pipeline(&new_pipeline(&rig.pipeline)).await.unwrap_err();
    assert_eq!(again.number(), Some(2627));
    assert_eq!(rig.target.load_state("unknown").await.unwrap(), None);
    let missing = rig.target.take_over("unknown", "me").await.unwrap_err();
    assert_eq!(missing.code(), "STATE_MISSING");
}

#[tokio::test]
async fn names_with_quotes_and_emoji_are_kept() {
    let mut rig = Rig::new().await;
    let name = format!("it's \"[{}]\" 🦀", rig.schema);
    let mut new = new_pipeline(&name);
    new.owner = "o'wner".to_owned();
    new.spec = Some("{\"a\": \"it's 🦀\"}".to_owned());
    rig.target.create_pipeline(&new).await.unwrap();
    let state = rig.target.load_state(&name).await.unwrap().unwrap();
    assert_eq!((state.owner, state.spec), (new.owner, new.spec));
    rig.target.remove_pipeline(&name).await.unwrap();
    assert_eq!(rig.target.load_state(&name).await.unwrap(), None);
}

#[tokio::test]
async fn every_write_moves_or_keeps_the_checkpoint() {
    let mut rig = Rig::new().await;
    let lineage =
        Lineage { publication_oid: 16_400, slot: "other".to_owned(), ..rig.checkpoint.lineage.clone() };
    let first = rig.target.set_lineage(&rig.checkpoint, &lineage, Lsn::new(100)).await.unwrap();
    assert_eq!((first.applied_lsn, first.batch_seq, &first.lineage), (Lsn::new(100), 1, &lineage));
    let second = rig.target.advance(&first, Lsn::new(200)).await.unwrap();
    assert_eq!((second.applied_lsn, second.batch_seq), (Lsn::new(200), 2));
    rig.target.set_spec(&second, "{}").await.unwrap();
    rig.target.set_ownership(&second, false, true).await.unwrap();
    let lag = Lag { source_lsn: Lsn::new(300), lag_us: 1_500 };
    rig.target.set_lag(&second, &lag).await.unwrap();
    let state = rig.target.load_state(&rig.pipeline).await.unwrap().unwrap();
    assert_eq!(state.checkpoint, second);
    assert_eq!((state.spec.as_deref(), state.lag), (Some("{}"), Some(lag)));
    assert_eq!((state.slot_is_ours, state.publication_is_ours), (false, true));
    assert_eq!(rig.target.read_checkpoint_locked(&rig.pipeline).await.unwrap(), second);
}

#[tokio::test]
async fn tables_go_through_their_phases() {
    let mut rig = Rig::new().await;
    let checkpoint = rig.checkpoint.clone();
    let (b, a) = (table(2, "b"), table(1, "a"));
    rig.target.set_tables(&checkpoint, &[b.clone(), a.clone()]).await.unwrap();
    let tables = |state: Option<segcdc_sqlserver::PipelineState>| state.unwrap().tables;
    assert_eq!(tables(rig.target.load_state(&rig.pipeline).await.unwrap()), [a.clone(), b.clone()]);
    rig.target.set_table_phase(&checkpoint, 1, TablePhase::Copying, None).await.unwrap();
    let progress = TableProgress { source_oid: 1, rows_copied: 10, bytes_copied: 99 };
    rig.target.set_table_progress(&checkpoint, &[progress]).await.unwrap();
    let detail = "x".repeat(5_000);
    rig.target
        .set_table_phase(&checkpoint, 2, TablePhase::Quarantined, Some(("CODE", &detail)))
        .await
        .unwrap();
    let expected = [
        TableState { phase: TablePhase::Copying, rows_copied: 10, bytes_copied: 99, ..a.clone() },
        TableState {
            phase: TablePhase::Quarantined,
            error: Some(("CODE".to_owned(), "x".repeat(1_000))),
            ..b.clone()
        },
    ];
    assert_eq!(tables(rig.target.load_state(&rig.pipeline).await.unwrap()), expected);
    let done = TableProgress { source_oid: 2, rows_copied: 12, bytes_copied: 120 };
    rig.target.finish_copy(&checkpoint, &done, Lsn::new(77), &known()).await.unwrap();
    rig.target.remove_table(&checkpoint, 1).await.unwrap();
    let live = TableState {
        phase: TablePhase::Streaming,
        sync_lsn: Lsn::new(77),
        rows_copied: 12,
        bytes_copied: 120,
        ..b
    };
    assert_eq!(tables(rig.target.load_state(&rig.pipeline).await.unwrap()), [live]);
    let unknown = rig.target.set_table_phase(&checkpoint, 1, TablePhase::Queued, None).await.unwrap_err();
    assert_eq!(unknown.code(), "STATE_MISSING");
    assert!(rig.target.is_usable());
}

/// # Fault F61
#[tokio::test]
async fn process_that_was_taken_over_writes_nothing() {
    let mut rig = Rig::new().await;
    let old = rig.checkpoint.clone();
    rig.target.set_table(&old, &table(1, "a")).await.unwrap();
    let mut other = rig.session().await;
    let new = other.take_over(&rig.pipeline, "other").await.unwrap();
    assert_eq!((new.epoch, new.batch_seq, new.applied_lsn), (old.epoch + 1, old.batch_seq, old.applied_lsn));
    let before = other.load_state(&rig.pipeline).await.unwrap().unwrap();
    let target = &mut rig.target;
    let progress = TableProgress { source_oid: 1, rows_copied: 1, bytes_copied: 1 };
    let refused = [
        target.advance(&old, Lsn::new(9)).await.map(drop),
        target.set_lineage(&old, &old.lineage, Lsn::new(9)).await.map(drop),
        target.set_spec(&old, "{}").await,
        target.set_ownership(&old, false, false).await,
        target.set_lag(&old, &Lag { source_lsn: Lsn::new(9), lag_us: 1 }).await,
        target.set_table(&old, &table(2, "b")).await,
        target.remove_table(&old, 1).await,
        target.set_table_phase(&old, 1, TablePhase::Copying, None).await,
        target.set_table_progress(&old, &[progress]).await,
        target.finish_copy(&old, &progress, Lsn::new(9), &known()).await,
        target.set_known(&old, 1, &known()).await,
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().code(), "FENCED");
    }
    let after = other.load_state(&rig.pipeline).await.unwrap().unwrap();
    assert_eq!((&after.checkpoint, &after.tables), (&before.checkpoint, &before.tables));
    // The new owner goes on, and a checkpoint that has moved refuses its past.
    let moved = other.advance(&new, Lsn::new(10)).await.unwrap();
    assert_eq!(other.advance(&new, Lsn::new(11)).await.unwrap_err().code(), "FENCED");
    other.advance(&moved, Lsn::new(11)).await.unwrap();
}

#[tokio::test]
async fn take_over_waits_for_an_open_batch() {
    let rig = Rig::new().await;
    let mut zombie = segcdc_tds::Connection::connect(&rig.config.to_tds()).await.unwrap();
    let name = segcdc_sqlserver::quote::text(&rig.pipeline);
    let batch = format!(
        "BEGIN TRANSACTION; UPDATE [segcdc].[pipeline] SET [applied_lsn] = 77, [batch_seq] = 1 WHERE [pipeline] = {name}"
    );
    zombie.batch(&batch).await.unwrap();
    let mut other = rig.session().await;
    let pipeline = rig.pipeline.clone();
    let taking_over = tokio::spawn(async move { other.take_over(&pipeline, "other").await });
    // Long enough for what does not wait to be over.
    for _ in 0..100 {
        zombie.batch("SELECT 1").await.unwrap();
    }
    assert!(!taking_over.is_finished(), "the take-over did not wait for the open batch");
    zombie.batch("COMMIT TRANSACTION").await.unwrap();
    let taken = taking_over.await.unwrap().unwrap();
    assert_eq!((taken.epoch, taken.applied_lsn, taken.batch_seq), (2, Lsn::new(77), 1));
}

/// # Fault F67
/// The state in the target was written by a newer version of SEG CDC.
/// - Happens: it is refused as `STATE_UNREADABLE`, and nothing is written.
/// - Do: use that version.
#[tokio::test]
async fn state_of_a_newer_layout_is_refused() {
    let mut rig = Rig::new().await;
    let name = segcdc_sqlserver::quote::text(&rig.pipeline);
    let sql = format!("UPDATE [segcdc].[pipeline] SET [schema_version] = 99 WHERE [pipeline] = {name}");
    meddle(&rig.config, &sql).await;
    assert_eq!(rig.target.load_state(&rig.pipeline).await.unwrap_err().code(), "STATE_UNREADABLE");
    // Preflights of other tests look at the newest layout of all.
    rig.target.remove_pipeline(&rig.pipeline).await.unwrap();
}

/// What is known of some table.
fn known() -> KnownTable {
    fixture::known(&fixture::table(1, "a", 1, &[("id", PgType::Int4, true), ("it's", PgType::Text, false)]))
}

#[tokio::test]
async fn what_is_known_of_tables_is_kept_until_they_are_copied_again() {
    let mut rig = Rig::new().await;
    let checkpoint = rig.checkpoint.clone();
    let keep = async |target: &mut segcdc_sqlserver::Target| {
        target.known_tables(&checkpoint.pipeline).await.unwrap()
    };
    assert_eq!(keep(&mut rig.target).await.len(), 0);
    rig.target.set_table(&checkpoint, &table(1, "a")).await.unwrap();
    rig.target.set_known(&checkpoint, 1, &known()).await.unwrap();
    assert_eq!(keep(&mut rig.target).await.get(&1), Some(&known()));
    let later = KnownTable { last_attnum: 9, ..known() };
    rig.target.set_known(&checkpoint, 1, &later).await.unwrap();
    assert_eq!(keep(&mut rig.target).await.get(&1), Some(&later));
    // To be copied again: what it was then counts for nothing.
    rig.target.set_table(&checkpoint, &table(1, "a")).await.unwrap();
    assert_eq!(keep(&mut rig.target).await.len(), 0);
    rig.target.set_known(&checkpoint, 1, &known()).await.unwrap();
    rig.target.remove_table(&checkpoint, 1).await.unwrap();
    assert_eq!(keep(&mut rig.target).await.len(), 0);
    // Of a later version.
    let later = KnownTable { version: 2, ..known() };
    rig.target.set_known(&checkpoint, 1, &later).await.unwrap();
    let refused = rig.target.known_tables(&checkpoint.pipeline).await.unwrap_err();
    assert_eq!(refused.code(), "STATE_UNREADABLE");
}
