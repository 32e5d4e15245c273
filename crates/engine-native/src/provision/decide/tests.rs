use segcdc_model::{Checkpoint, Fault, Lineage, QualifiedName};
use segcdc_postgres::SourceConfig;
use segcdc_sqlserver::{TableState, TargetConfig};

use super::*;

/// A pipeline named `p` with everything at its default.
fn config() -> EngineConfig {
    let source = SourceConfig::parse("postgres://u:p@h/d?sslmode=disable").unwrap();
    EngineConfig::new(source, TargetConfig::parse("sqlserver://u:p@h/d").unwrap(), "p")
}

fn with(change: impl FnOnce(&mut EngineConfig)) -> EngineConfig {
    let mut config = config();
    change(&mut config);
    config
}

fn state(slot: &str, ours: bool, applied: u64, phases: &[TablePhase]) -> PipelineState {
    let lineage = Lineage {
        system_identifier: "7".to_owned(),
        timeline: 1,
        database_oid: 5,
        slot: slot.to_owned(),
        publication: "segcdc_p".to_owned(),
        publication_oid: 9,
    };
    let table = |phase: &TablePhase| TableState {
        source_oid: 1,
        source: QualifiedName::new("public", "t"),
        target: QualifiedName::new("dbo", "t"),
        shape: String::new(),
        phase: *phase,
        sync_lsn: Lsn::ZERO,
        rows_copied: 0,
        bytes_copied: 0,
        estimated_rows: 0,
        table_is_ours: true,
        error: None,
    };
    PipelineState {
        checkpoint: Checkpoint {
            pipeline: "p".to_owned(),
            epoch: 1,
            batch_seq: 0,
            applied_lsn: Lsn::new(applied),
            lineage,
        },
        owner: String::new(),
        commit_time_us: None,
        slot_is_ours: ours,
        publication_is_ours: ours,
        transactions_applied: 0,
        changes_applied: 0,
        spec: None,
        lag: None,
        updated_at_us: 0,
        read_at_us: 0,
        tables: phases.iter().map(table).collect(),
    }
}

fn slot(name: &str) -> SlotState {
    SlotState {
        name: name.to_owned(),
        plugin: Some("pgoutput".to_owned()),
        database: Some("d".to_owned()),
        temporary: false,
        active_pid: None,
        confirmed_flush_lsn: Some(Lsn::new(1)),
        restart_lsn: Some(Lsn::new(1)),
        wal_status: Some("reserved".to_owned()),
        invalidation: None,
        safe_wal_size: None,
        retained_bytes: 0,
        source_lsn: Lsn::ZERO,
        limit_bytes: None,
    }
}

fn publication() -> Publication {
    Publication {
        oid: 9,
        name: "segcdc_p".to_owned(),
        owner: "u".to_owned(),
        all_tables: false,
        insert: true,
        update: true,
        delete: true,
        truncate: true,
        via_root: true,
        tables: Vec::new(),
    }
}

#[test]
fn a_new_pipeline_takes_only_what_it_was_given() {
    let check = |config: EngineConfig, has_slot: bool, has_publication: bool, expected: Result<(), &str>| {
        let (slot, publication) = (has_slot.then(|| slot("s")), has_publication.then(publication));
        let facts = SetupFacts { state: None, slot: slot.as_ref(), publication: publication.as_ref() };
        let decided = decide(&config, facts).map_err(|error| error.code());
        assert_eq!(decided, expected.map(|()| SetupAction::Create), "{config:?}");
    };
    let given_slot = || with(|config| config.slot = Some("mine".to_owned()));
    let given_publication = || with(|config| config.publication = Some("mine".to_owned()));
    check(config(), false, false, Ok(()));
    check(config(), true, false, Err("SLOT_EXISTS"));
    check(config(), false, true, Err("PUBLICATION_EXISTS"));
    check(given_slot(), true, false, Ok(()));
    check(given_slot(), false, false, Err("SLOT_MISSING"));
    check(given_slot(), true, true, Err("PUBLICATION_EXISTS"));
    check(given_publication(), false, true, Ok(()));
    check(given_publication(), false, false, Err("PUBLICATION_MISSING"));
    check(with(|config| config.snapshot = SnapshotMode::Only), true, true, Ok(()));
}

#[test]
fn an_interrupted_set_up_begins_anew_and_a_finished_one_goes_on() {
    use TablePhase::{Copying, Quarantined, Queued, Streaming};
    let anew = |slot: &str| SetupAction::BeginAnew { slot: slot.to_owned() };
    let check = |name: &str, ours: bool, applied: u64, phases: &[TablePhase], expected: SetupAction| {
        let state = state(name, ours, applied, phases);
        let facts = SetupFacts { state: Some(&state), slot: None, publication: None };
        let config = with(|config| {
            if name.is_empty() {
                config.snapshot = SnapshotMode::Only;
            }
        });
        assert_eq!(decide(&config, facts).unwrap(), expected, "{name} {ours} {applied} {phases:?}");
    };
    // Killed behind the state row, behind the rows of the tables, and before the position was written.
    check("segcdc_p_g1", true, 0, &[], anew("segcdc_p_g2"));
    check("segcdc_p_g1", true, 0, &[Queued, Queued], anew("segcdc_p_g2"));
    // Killed before the first table was finished.
    check("segcdc_p_g7", true, 100, &[Queued, Queued], anew("segcdc_p_g8"));
    check("segcdc_p_g7", true, 100, &[Copying, Queued], anew("segcdc_p_g8"));
    // One table is finished, or was.
    check("segcdc_p_g1", true, 100, &[Streaming, Copying], SetupAction::Resume);
    check("segcdc_p_g1", true, 100, &[Quarantined], SetupAction::Resume);
    check("segcdc_p_g1", true, 100, &[Streaming], SetupAction::Resume);
    // A given slot is never dropped: there is nothing to begin anew once its position is known.
    check("mine", false, 0, &[Queued], anew("mine"));
    check("mine", false, 100, &[Queued], SetupAction::Resume);
    // Copies without a slot.
    check("", false, 0, &[Queued], anew(""));
    check("", false, 100, &[Copying], anew(""));
    check("", false, 100, &[Streaming, Copying], SetupAction::Resume);
}

#[test]
fn an_existing_pipeline_keeps_what_it_has() {
    let check = |config: EngineConfig, slot: &str, expected: Result<SetupAction, &str>| {
        let state = state(slot, true, 100, &[TablePhase::Streaming]);
        let facts = SetupFacts { state: Some(&state), slot: None, publication: None };
        assert_eq!(decide(&config, facts).map_err(|error| error.code()), expected, "{config:?}");
    };
    let conflict = || Err("PIPELINE_CONFLICT");
    check(
        with(|config| config.slot = Some("segcdc_p_g1".to_owned())),
        "segcdc_p_g1",
        Ok(SetupAction::Resume),
    );
    check(with(|config| config.slot = Some("other".to_owned())), "segcdc_p_g1", conflict());
    check(with(|config| config.publication = Some("segcdc_p".to_owned())), "s", Ok(SetupAction::Resume));
    check(with(|config| config.publication = Some("other".to_owned())), "s", conflict());
    check(with(|config| config.snapshot = SnapshotMode::Only), "s", conflict());
    check(config(), "", conflict());
}

#[test]
fn a_pipeline_recovers_only_if_that_is_asked_for() {
    let state = |ours| state("segcdc_p_g1", ours, 100, &[TablePhase::Streaming]);
    let at = |lsn| SlotState { confirmed_flush_lsn: Some(Lsn::new(lsn)), ..slot("segcdc_p_g1") };
    let lost = SlotState { wal_status: Some("lost".to_owned()), ..at(50) };
    let check = |recover, ours, slot: Option<&SlotState>, expected: bool| {
        let config = with(|config| config.recover = recover);
        assert_eq!(is_given_up(&config, &state(ours), slot), expected, "{recover:?} {ours} {slot:?}");
    };
    for recover in [Recover::Copy, Recover::Repair] {
        check(recover, true, None, true);
        check(recover, true, Some(&lost), true);
        check(recover, true, Some(&at(101)), true);
        check(recover, true, Some(&at(100)), false);
        check(recover, false, None, false);
    }
    for slot in [None, Some(&lost), Some(&at(101))] {
        check(Recover::Stop, true, slot, false);
    }
    // Giving up says nothing of a target that went back.
    let gives_up = with(|config| config.wal.policy = WalPolicy::GiveUp);
    assert!(!is_given_up(&gives_up, &state(true), Some(&at(101))));
}

#[test]
fn names_come_from_the_state_once_there_is_one() {
    let known = state("segcdc_p_g4", true, 1, &[]);
    assert_eq!(slot_and_publication(&config(), Some(&known)).0, "segcdc_p_g4");
    assert_eq!(slot_and_publication(&config(), None), ("segcdc_p_g1".to_owned(), "segcdc_p".to_owned()));
}
