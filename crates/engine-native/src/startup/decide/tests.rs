use segcdc_model::{
    Fault, Lineage, PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind,
};
use segcdc_plan::{Naming, table_plan};

use super::*;

/// Everything as it should be; each test changes one thing.
struct World {
    checkpoint: Checkpoint,
    seen: Lsn,
    identity: SourceIdentity,
    watch: Option<SlotWatch>,
    history: SourceHistory,
    slot: Option<SlotState>,
    publication: Option<Publication>,
    tables: Vec<TableFacts>,
}

fn source_table() -> SourceTable {
    let column = |name: &str, attnum, pg_type, not_null| SourceColumn {
        name: name.to_owned(),
        attnum,
        pg_type,
        type_name: String::new(),
        not_null,
        generated: false,
    };
    SourceTable {
        oid: 16_400,
        name: QualifiedName::new("public", "orders"),
        kind: TableKind::Ordinary,
        columns: vec![column("id", 1, PgType::Int4, true), column("note", 2, PgType::Text, false)],
        primary_key: vec![0],
        replica_identity: ReplicaIdentity::Default,
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 0,
        size_bytes: 0,
        heap_pages: 0,
        row_security: false,
        owner: "u".to_owned(),
    }
}

fn planned(table: &SourceTable) -> Result<Arc<TablePlan>, PlanError> {
    table_plan(table, &Naming::new("dbo")).map(Arc::new)
}

fn world() -> World {
    let lineage = Lineage {
        system_identifier: "7".to_owned(),
        timeline: 2,
        database_oid: 5,
        slot: "segcdc_p_g1".to_owned(),
        publication: "segcdc_p".to_owned(),
        publication_oid: 9,
    };
    let table = source_table();
    let plan = planned(&table).unwrap();
    let published = PublishedTable { oid: 16_400, name: table.name.clone(), columns: None, row_filter: None };
    let state = TableState {
        source_oid: 16_400,
        source: table.name.clone(),
        target: plan.target.clone(),
        shape: shape::of(&plan),
        phase: TablePhase::Streaming,
        sync_lsn: Lsn::new(50),
        rows_copied: 0,
        bytes_copied: 0,
        estimated_rows: 0,
        table_is_ours: true,
        error: None,
    };
    World {
        checkpoint: Checkpoint {
            pipeline: "p".to_owned(),
            epoch: 3,
            batch_seq: 10,
            applied_lsn: Lsn::new(1000),
            lineage,
        },
        seen: Lsn::ZERO,
        identity: SourceIdentity {
            system_identifier: "7".to_owned(),
            timeline: 2,
            database_oid: 5,
            database: "shop".to_owned(),
            server_version_num: 150_018,
            flush_lsn: Lsn::new(2000),
            in_recovery: false,
            server_encoding: "UTF8".to_owned(),
            user: "u".to_owned(),
        },
        watch: None,
        history: SourceHistory {
            timeline: 2,
            left: Vec::new(),
            end: Lsn::new(2000),
            slot_restart: Some(Lsn::new(900)),
        },
        slot: Some(SlotState {
            name: "segcdc_p_g1".to_owned(),
            plugin: Some("pgoutput".to_owned()),
            database: Some("shop".to_owned()),
            temporary: false,
            active_pid: None,
            confirmed_flush_lsn: Some(Lsn::new(1000)),
            restart_lsn: Some(Lsn::new(900)),
            wal_status: Some("reserved".to_owned()),
            invalidation: None,
            safe_wal_size: None,
            retained_bytes: 0,
            source_lsn: Lsn::ZERO,
            limit_bytes: None,
        }),
        publication: Some(Publication {
            oid: 9,
            name: "segcdc_p".to_owned(),
            owner: "u".to_owned(),
            all_tables: false,
            insert: true,
            update: true,
            delete: true,
            truncate: true,
            via_root: true,
            tables: vec![published],
        }),
        tables: vec![facts_of(state, plan)],
    }
}

/// A table whose target table is as its plan says.
fn facts_of(state: TableState, plan: Arc<TablePlan>) -> TableFacts {
    let (is_gone, target_differences, printed_filter) = (false, String::new(), None);
    TableFacts { state, is_gone, plan: Some(Ok(plan)), target_differences, printed_filter }
}

/// The outcome: the code of the refusal, or the codes of the tables that are set aside.
fn decided(change: impl FnOnce(&mut World)) -> Result<Vec<&'static str>, &'static str> {
    let mut world = world();
    change(&mut world);
    let facts = ResumeFacts {
        checkpoint: &world.checkpoint,
        seen: world.seen,
        identity: &world.identity,
        watch: world.watch.as_ref(),
        history: &world.history,
        slot: world.slot.as_ref(),
        publication: world.publication.as_ref(),
        tables: &world.tables,
    };
    match decide(&facts) {
        Ok(faulty) => Ok(faulty.iter().map(|(_, error)| error.code()).collect()),
        Err(error) => Err(error.code()),
    }
}

fn slot_of(world: &mut World) -> &mut SlotState {
    world.slot.as_mut().unwrap()
}

fn publication_of(world: &mut World) -> &mut Publication {
    world.publication.as_mut().unwrap()
}

#[test]
fn all_as_it_was_goes_on() {
    assert_eq!(decided(|_| {}), Ok(vec![]));
    assert_eq!(decided(|world| slot_of(world).confirmed_flush_lsn = Some(Lsn::new(10))), Ok(vec![]));
    assert_eq!(decided(|world| world.history.end = Lsn::new(1000)), Ok(vec![]));
}

#[test]
fn another_source_is_refused() {
    let other = |world: &mut World| world.identity.system_identifier = "8".to_owned();
    assert_eq!(decided(other), Err("SOURCE_IDENTITY_MISMATCH"));
    assert_eq!(decided(|world| world.identity.database_oid = 6), Err("SOURCE_IDENTITY_MISMATCH"));
}

#[test]
fn a_source_that_went_back_is_refused() {
    assert_eq!(decided(|world| world.history.end = Lsn::new(999)), Err("SOURCE_REWOUND"));
    let promoted = |left: &[(u32, Lsn)]| {
        decided(|world| {
            world.history.timeline = 3;
            world.history.left = left.to_vec();
        })
    };
    assert_eq!(promoted(&[(1, Lsn::new(5)), (2, Lsn::new(1000))]), Ok(vec![]));
    assert_eq!(promoted(&[(1, Lsn::new(5)), (2, Lsn::new(999))]), Err("SOURCE_REWOUND"));
    assert_eq!(promoted(&[(1, Lsn::new(5000))]), Err("SOURCE_REWOUND"));
    assert_eq!(promoted(&[]), Err("SOURCE_REWOUND"));
}

#[test]
fn a_source_whose_slot_went_back_is_refused() {
    let seen = |slot: &str, timeline, restart| {
        decided(|world| {
            world.watch = Some(SlotWatch {
                slot: slot.to_owned(),
                timeline,
                restart_lsn: Lsn::new(restart),
                seen_at_us: 0,
                source_lsn: Lsn::new(950),
                retained_bytes: 0,
                limit_bytes: None,
            });
        })
    };
    assert_eq!(seen("segcdc_p_g1", 2, 900), Ok(vec![]));
    assert_eq!(seen("segcdc_p_g1", 2, 901), Err("SOURCE_REWOUND"));
    // A slot that was copied to a standby may be behind, and another slot says nothing.
    assert_eq!(seen("segcdc_p_g1", 1, 901), Ok(vec![]));
    assert_eq!(seen("segcdc_p_g0", 2, 901), Ok(vec![]));
}

#[test]
fn a_slot_that_does_not_fit_is_refused() {
    assert_eq!(decided(|world| world.slot = None), Err("SLOT_MISSING"));
    assert_eq!(decided(|world| slot_of(world).plugin = None), Err("SLOT_WRONG_PLUGIN"));
    let other = |world: &mut World| slot_of(world).plugin = Some("wal2json".to_owned());
    assert_eq!(decided(other), Err("SLOT_WRONG_PLUGIN"));
    assert_eq!(decided(|world| slot_of(world).temporary = true), Err("SLOT_WRONG_PLUGIN"));
    let other = |world: &mut World| slot_of(world).database = Some("other".to_owned());
    assert_eq!(decided(other), Err("SLOT_WRONG_DATABASE"));
    let lost = |world: &mut World| slot_of(world).wal_status = Some("lost".to_owned());
    assert_eq!(decided(lost), Err("SLOT_LOST"));
    let idle = |world: &mut World| slot_of(world).invalidation = Some("idle_timeout".to_owned());
    assert_eq!(decided(idle), Err("SLOT_LOST"));
    assert_eq!(decided(|world| slot_of(world).confirmed_flush_lsn = None), Err("SLOT_WRONG_PLUGIN"));
}

#[test]
fn a_slot_ahead_of_the_checkpoint_is_refused() {
    let ahead = |world: &mut World| slot_of(world).confirmed_flush_lsn = Some(Lsn::new(1001));
    assert_eq!(decided(ahead), Err("SLOT_AHEAD_OF_CHECKPOINT"));
    // This process has seen more committed than the target holds now: it is the target that went back.
    let seen = |world: &mut World| {
        ahead(world);
        world.seen = Lsn::new(1001);
    };
    assert_eq!(decided(seen), Err("TARGET_REWOUND"));
    // The slot still has what the target lost.
    assert_eq!(decided(|world| world.seen = Lsn::new(5000)), Ok(vec![]));
}

#[test]
fn a_publication_that_changed_is_refused() {
    assert_eq!(decided(|world| world.publication = None), Err("PUBLICATION_MISSING"));
    assert_eq!(decided(|world| publication_of(world).oid = 10), Err("PUBLICATION_CHANGED"));
    for operation in 0..4 {
        let narrowed = |world: &mut World| {
            let publication = publication_of(world);
            let flags = [
                &mut publication.insert,
                &mut publication.update,
                &mut publication.delete,
                &mut publication.truncate,
            ];
            for (index, flag) in flags.into_iter().enumerate() {
                *flag = index != operation;
            }
        };
        assert_eq!(decided(narrowed), Err("PUBLICATION_CHANGED"));
    }
}

#[test]
fn what_concerns_one_table_sets_it_aside() {
    assert_eq!(decided(|world| publication_of(world).tables.clear()), Ok(vec!["TABLE_UNPUBLISHED"]));
    let filtered = |world: &mut World| publication_of(world).tables[0].row_filter = Some("id > 1".to_owned());
    assert_eq!(decided(filtered), Ok(vec!["TABLE_PARTLY_PUBLISHED"]));
    let listed = |world: &mut World| publication_of(world).tables[0].columns = Some(vec!["id".to_owned()]);
    assert_eq!(decided(listed), Ok(vec!["TABLE_PARTLY_PUBLISHED"]));
    let all = vec!["note".to_owned(), "id".to_owned()];
    let listed = |world: &mut World| publication_of(world).tables[0].columns = Some(all);
    assert_eq!(decided(listed), Ok(vec![]));
    assert_eq!(decided(|world| world.tables[0].plan = None), Ok(vec!["TABLE_NOT_FOUND"]));
    let drifted =
        |world: &mut World| world.tables[0].target_differences = "column \"note\" is missing".to_owned();
    assert_eq!(decided(drifted), Ok(vec!["TARGET_SCHEMA_DRIFT"]));
}

#[test]
fn a_table_that_was_changed_is_set_aside() {
    let changed = |change: fn(&mut SourceTable)| {
        decided(|world| {
            let mut table = source_table();
            change(&mut table);
            world.tables[0].plan = Some(planned(&table));
        })
    };
    assert_eq!(changed(|table| table.estimated_rows = 1_000_000), Ok(vec![]));
    assert_eq!(changed(|table| table.columns[1].name = "remark".to_owned()), Ok(vec!["SCHEMA_CHANGED"]));
    assert_eq!(changed(|table| table.columns[1].pg_type = PgType::Int8), Ok(vec!["SCHEMA_CHANGED"]));
    assert_eq!(changed(|table| drop(table.columns.pop())), Ok(vec!["SCHEMA_CHANGED"]));
    assert_eq!(changed(|table| table.kind = TableKind::Unlogged), Ok(vec!["TABLE_NOT_STREAMABLE"]));
    let renamed = |table: &mut SourceTable| table.name = QualifiedName::new("public", "renamed");
    assert_eq!(changed(renamed), Ok(vec![]));
}

#[test]
fn a_lost_identity_is_told_from_changed_columns() {
    let whole_row = |not_null_note: bool| {
        decided(|world| {
            let mut table = source_table();
            table.columns[0].not_null = true;
            table.columns[1].not_null = not_null_note;
            table.primary_key = Vec::new();
            table.replica_identity = ReplicaIdentity::Full;
            world.tables[0].plan = Some(planned(&table));
        })
    };
    // The key column keeps its shape here, so that only what identifies rows differs.
    assert_eq!(whole_row(false), Ok(vec!["REPLICA_IDENTITY_CHANGED"]));
    assert_eq!(whole_row(true), Ok(vec!["SCHEMA_CHANGED"]));
}

#[test]
fn quarantined_tables_are_not_looked_at() {
    let quarantined = |world: &mut World| {
        world.tables[0].plan = None;
        world.tables[0].state.phase = TablePhase::Quarantined;
        publication_of(world).tables.clear();
    };
    assert_eq!(decided(quarantined), Ok(vec![]));
}

#[test]
fn a_refusal_of_the_pipeline_comes_before_faults_of_tables() {
    let both = |world: &mut World| {
        world.tables[0].plan = None;
        world.slot = None;
    };
    assert_eq!(decided(both), Err("SLOT_MISSING"));
    let order = |world: &mut World| {
        world.identity.database_oid = 6;
        world.identity.flush_lsn = Lsn::ZERO;
        world.slot = None;
        world.publication = None;
    };
    assert_eq!(decided(order), Err("SOURCE_IDENTITY_MISMATCH"));
}

#[test]
fn the_rows_that_are_sent_are_those_of_the_condition() {
    let filtered = |sent: Option<&str>, printed: Option<&str>| {
        decided(|world| {
            publication_of(world).tables[0].row_filter = sent.map(str::to_owned);
            let facts = &mut world.tables[0];
            facts.printed_filter = printed.map(str::to_owned);
            let mut plan = (**facts.plan.as_ref().unwrap().as_ref().unwrap()).clone();
            plan.filter = Some("id>1".to_owned());
            facts.plan = Some(Ok(Arc::new(plan)));
        })
    };
    assert_eq!(filtered(Some("(id > 1)"), Some("(id > 1)")), Ok(vec![]));
    assert_eq!(
        filtered(Some("(number > 1)"), None),
        Ok(vec![]),
        "a column was renamed: it cannot be compared"
    );
    assert_eq!(filtered(Some("(id > 2)"), Some("(id > 1)")), Ok(vec!["TABLE_PARTLY_PUBLISHED"]));
    assert_eq!(filtered(None, Some("(id > 1)")), Ok(vec!["TABLE_PARTLY_PUBLISHED"]));
}
