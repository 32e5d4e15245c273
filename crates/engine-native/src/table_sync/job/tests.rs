use segcdc_model::{PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind};
use segcdc_plan::{Naming, table_plan};

use super::*;

/// A table of so many heap pages that `split` makes several ranges of it.
const LARGE_PAGES: u32 = 16 * 1024;

fn table(oid: u32, heap_pages: u32, phase: TablePhase) -> (Arc<TablePlan>, TableState) {
    let id = SourceColumn {
        name: "id".to_owned(),
        attnum: 1,
        pg_type: PgType::Int4,
        type_name: "integer".to_owned(),
        not_null: true,
        generated: false,
    };
    let source = SourceTable {
        oid,
        name: QualifiedName::new("public", format!("t{oid}")),
        kind: TableKind::Ordinary,
        columns: vec![id],
        primary_key: vec![0],
        replica_identity: ReplicaIdentity::Default,
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 0,
        size_bytes: u64::from(heap_pages) * 8192,
        heap_pages,
        row_security: false,
        owner: "u".to_owned(),
    };
    let plan = Arc::new(table_plan(&source, &Naming::new("dbo")).unwrap());
    let state = TableState {
        source_oid: oid,
        source: source.name.clone(),
        target: plan.target.clone(),
        shape: String::new(),
        phase,
        sync_lsn: Lsn::ZERO,
        rows_copied: 77,
        bytes_copied: 0,
        estimated_rows: 0,
        table_is_ours: true,
        error: None,
    };
    (plan, state)
}

/// Takes the next work that there is, as the coordinator does; returns what it was.
fn step(jobs: &mut [Job], readers: usize) -> Option<(u32, Next)> {
    let (at, next) = next(jobs)?;
    let job = &mut jobs[at];
    match next {
        Next::Begin => job.begin(readers),
        Next::Load => drop(job.take_range().unwrap()),
        Next::Finish => job.finishing(),
    }
    Some((job.state.source_oid, next))
}

#[test]
fn finished_tables_are_not_copied_again() {
    use TablePhase::{Copying, Quarantined, Queued, Streaming};
    let tables =
        [table(1, 10, Streaming), table(2, 10, Queued), table(3, 500, Copying), table(4, 10, Quarantined)];
    let jobs = largest_first(&tables, 4);
    assert_eq!(jobs.iter().map(|job| job.state.source_oid).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(jobs.iter().map(|job| job.index).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn several_readers_share_a_large_table_and_the_next_table() {
    let tables = [table(1, LARGE_PAGES, TablePhase::Queued), table(2, 10, TablePhase::Queued)];
    let mut jobs = largest_first(&tables, 2);
    assert_eq!(step(&mut jobs, 2), Some((1, Next::Begin)));
    let ranges = split(&tables[0].0.source, 2).len();
    assert!(ranges > 2, "{ranges}");
    for _ in 0..ranges {
        assert_eq!(step(&mut jobs, 2), Some((1, Next::Load)));
    }
    assert_eq!(step(&mut jobs, 2), Some((2, Next::Begin)));
    assert_eq!(step(&mut jobs, 2), Some((2, Next::Load)));
    assert_eq!(step(&mut jobs, 2), None);
    // The key is built when the last reader has ended, not before.
    for _ in 1..ranges {
        jobs[0].loaded(10);
        assert_eq!(next(&jobs), None);
    }
    jobs[0].loaded(10);
    assert_eq!(step(&mut jobs, 2), Some((1, Next::Finish)));
    assert_eq!(jobs[0].rows_loaded, 10 * ranges as u64);
    jobs[0].finished(Lsn::new(5));
    assert_eq!((jobs[0].state.phase, jobs[0].state.sync_lsn), (TablePhase::Streaming, Lsn::new(5)));
}

#[test]
fn a_failed_copy_begins_again_when_its_readers_have_ended() {
    let tables = [table(1, LARGE_PAGES, TablePhase::Queued)];
    let mut jobs = largest_first(&tables, 2);
    step(&mut jobs, 2);
    step(&mut jobs, 2);
    step(&mut jobs, 2);
    jobs[0].loaded(10);
    step(&mut jobs, 2);
    jobs[0].begin_again();
    assert_eq!(next(&jobs), None, "a reader is still at work");
    assert!(jobs[0].is_given_up());
    // Rows that come late are those of the copy that is being emptied.
    jobs[0].loaded(10);
    assert_eq!(step(&mut jobs, 2), Some((1, Next::Begin)));
    assert_eq!((jobs[0].rows_loaded, jobs[0].state.rows_copied), (0, 0));
    assert_eq!(jobs[0].ranges.len(), split(&tables[0].0.source, 2).len());
}

#[test]
fn copies_do_not_begin_again_for_ever() {
    let tables = [table(1, 10, TablePhase::Queued)];
    let mut jobs = largest_first(&tables, 1);
    let mut begun = 0;
    loop {
        assert_eq!(step(&mut jobs, 1), Some((1, Next::Begin)));
        begun += 1;
        step(&mut jobs, 1);
        if !jobs[0].may_begin_again() {
            break;
        }
        jobs[0].begin_again();
    }
    assert_eq!(begun, MAX_ATTEMPTS);
}

#[test]
fn a_table_that_was_given_up_has_no_more_work() {
    let tables = [table(1, LARGE_PAGES, TablePhase::Queued)];
    let mut jobs = largest_first(&tables, 2);
    step(&mut jobs, 2);
    step(&mut jobs, 2);
    step(&mut jobs, 2);
    jobs[0].give_up(("CODE".to_owned(), "why".to_owned()));
    jobs[0].reader_ended();
    assert_eq!(next(&jobs), None);
    assert_eq!(jobs[0].state.phase, TablePhase::Quarantined);
}

#[test]
fn table_that_needs_a_newer_snapshot_waits_while_the_others_are_finished() {
    let tables = [table(1, LARGE_PAGES, TablePhase::Queued), table(2, 10, TablePhase::Queued)];
    let mut jobs = largest_first(&tables, 2);
    assert_eq!(step(&mut jobs, 2), Some((1, Next::Begin)));
    assert_eq!(step(&mut jobs, 2), Some((1, Next::Load)));
    assert_eq!(step(&mut jobs, 2), Some((1, Next::Load)));
    jobs[0].postpone();
    // What its other reader has loaded counts for nothing, and how that ended changes nothing.
    assert!(jobs[0].is_given_up());
    jobs[0].loaded(5);
    assert_eq!(step(&mut jobs, 2), Some((2, Next::Begin)));
    assert_eq!(step(&mut jobs, 2), Some((2, Next::Load)));
    jobs[1].loaded(7);
    assert_eq!(step(&mut jobs, 2), Some((2, Next::Finish)));
    jobs[1].finished(Lsn::new(9));
    assert_eq!(step(&mut jobs, 2), None);
    assert!(needs_copy(&jobs[0].state) && !needs_copy(&jobs[1].state));
    assert_eq!(jobs[0].rows_loaded, 0);
}
