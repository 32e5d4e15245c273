use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use segcdc_model::{Fault, Field};

use super::*;

/// A message of pgoutput under construction.
fn message(kind: u8) -> BytesMut {
    BytesMut::from(&[kind][..])
}

fn begin(xid: u32) -> Bytes {
    let mut bytes = message(b'B');
    bytes.put_u64(1);
    bytes.put_i64(2);
    bytes.put_u32(xid);
    bytes.freeze()
}

fn put_position(bytes: &mut BytesMut, end_lsn: u64) {
    bytes.put_u8(0);
    bytes.put_u64(end_lsn - 1);
    bytes.put_u64(end_lsn);
    bytes.put_i64(7);
}

fn commit(end_lsn: u64) -> Bytes {
    let mut bytes = message(b'C');
    put_position(&mut bytes, end_lsn);
    bytes.freeze()
}

/// A table of one column per name.
fn relation(sub: Option<u32>, oid: u32, columns: &[&str]) -> Bytes {
    let mut bytes = message(b'R');
    if let Some(sub) = sub {
        bytes.put_u32(sub);
    }
    bytes.put_u32(oid);
    bytes.put_slice(b"public\0t\0d");
    bytes.put_u16(u16::try_from(columns.len()).unwrap());
    for column in columns {
        bytes.put_u8(0);
        bytes.put_slice(column.as_bytes());
        bytes.put_u8(0);
        bytes.put_u32(25);
        bytes.put_i32(-1);
    }
    bytes.freeze()
}

/// A row of one text.
fn insert(sub: Option<u32>, oid: u32, text: &str) -> Bytes {
    let mut bytes = message(b'I');
    if let Some(sub) = sub {
        bytes.put_u32(sub);
    }
    bytes.put_u32(oid);
    bytes.put_slice(b"N\0\x01t");
    bytes.put_u32(u32::try_from(text.len()).unwrap());
    bytes.put_slice(text.as_bytes());
    bytes.freeze()
}

fn logical(transactional: bool, sub: Option<u32>) -> Bytes {
    let mut bytes = message(b'M');
    if let Some(sub) = sub {
        bytes.put_u32(sub);
    }
    bytes.put_u8(u8::from(transactional));
    bytes.put_u64(99);
    bytes.put_slice(b"segcdc\0");
    bytes.put_u32(0);
    bytes.freeze()
}

fn stream_start(xid: u32, first: bool) -> Bytes {
    let mut bytes = message(b'S');
    bytes.put_u32(xid);
    bytes.put_u8(u8::from(first));
    bytes.freeze()
}

fn stream_stop() -> Bytes {
    message(b'E').freeze()
}

fn stream_commit(xid: u32, end_lsn: u64) -> Bytes {
    let mut bytes = message(b'c');
    bytes.put_u32(xid);
    put_position(&mut bytes, end_lsn);
    bytes.freeze()
}

fn stream_abort(xid: u32, sub: u32) -> Bytes {
    let mut bytes = message(b'A');
    bytes.put_u32(xid);
    bytes.put_u32(sub);
    bytes.freeze()
}

/// An assembler that keeps everything in memory.
fn in_memory() -> Assembler {
    Assembler::new(SpillSpace::new("", None), usize::MAX)
}

/// Pushes messages, and returns what they complete.
fn push(assembler: &mut Assembler, messages: impl IntoIterator<Item = Bytes>) -> Vec<Assembled> {
    messages.into_iter().filter_map(|message| assembler.push(message).unwrap()).collect()
}

/// The one transaction that the messages complete.
fn transaction(assembler: &mut Assembler, messages: impl IntoIterator<Item = Bytes>) -> Transaction {
    match push(assembler, messages).as_slice() {
        [Assembled::Transaction(transaction)] => transaction.clone(),
        others => panic!("not one transaction: {others:?}"),
    }
}

/// What a queue of transactions keeps alive, and what is counted of it: transactions of so many rows of so many bytes each, in messages
/// that are cut out of one buffer, as they come from the wire.
fn kept_and_counted(transactions: u32, rows: u32, length: usize) -> (usize, usize) {
    let text = "x".repeat(length);
    let mut wire = BytesMut::new();
    let mut places = Vec::new();
    for xid in 0..transactions {
        let rows = (0..rows).map(|_| insert(None, 7, &text));
        for message in [begin(xid)].into_iter().chain(rows).chain([commit(u64::from(xid) + 10)]) {
            // The heads of CopyData and of XLogData.
            wire.put_bytes(0, 30);
            places.push(wire.len()..wire.len() + message.len());
            wire.put_slice(&message);
        }
    }
    let wire = wire.freeze();
    let mut assembler = in_memory();
    push(&mut assembler, [begin(1), relation(None, 7, &["a"]), commit(2)]);
    let mut queue = std::collections::VecDeque::new();
    let used = allocation_counter::measure(|| {
        for place in &places {
            let message = wire.slice(place.clone());
            if let Some(Assembled::Transaction(transaction)) = assembler.push(message).unwrap() {
                queue.push_back(crate::stream::StreamEvent::Transaction(transaction));
            }
        }
    });
    let counted = queue.iter().map(crate::stream::event_bytes).sum();
    assert_eq!(queue.len(), usize::try_from(transactions).unwrap());
    (usize::try_from(used.bytes_current).unwrap() + wire.len(), counted)
}

#[test]
fn what_is_counted_is_what_is_kept() {
    for (transactions, rows, length) in [
        (20_000, 0, 0),
        (20_000, 1, 0),
        (20_000, 1, 20),
        (20_000, 2, 100),
        (5_000, 5, 20),
        (200, 300, 20),
        (50, 20, 10_000),
    ] {
        let (kept, counted) = kept_and_counted(transactions, rows, length);
        assert!(
            counted >= kept && counted <= kept * 2,
            "{transactions} transactions of {rows} rows of {length} bytes: {counted} counted, {kept} kept"
        );
    }
}

/// All changes of a transaction, those on disk first.
fn all_changes(transaction: &Transaction) -> Vec<Change> {
    let store = transaction.spilled.iter().map(|spilled| spilled.store());
    let parts = store.flat_map(|store| (0..store.parts()).map(move |part| store.read_part(part).unwrap()));
    parts.flatten().chain(transaction.changes.iter().cloned()).collect()
}

/// Texts of inserted rows, in order.
fn texts(transaction: &Transaction) -> Vec<String> {
    let text = |change: &Change| {
        let Change::Insert { new, .. } = change else { panic!("not an insert") };
        let Some(Field::Text(bytes)) = new.get(0) else { panic!("not a text") };
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    all_changes(transaction).iter().map(text).collect()
}

/// The error that the last message makes.
fn refusal(messages: impl IntoIterator<Item = Bytes>) -> SourceError {
    let mut assembler = in_memory();
    let mut outcomes: Vec<_> = messages.into_iter().map(|message| assembler.push(message)).collect();
    let last = outcomes.pop().unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    last.unwrap_err()
}

#[test]
fn transaction_is_whole_at_its_commit() {
    let mut assembler = in_memory();
    assert!(assembler.is_idle());
    let open = [begin(9), relation(None, 1, &["v"]), insert(None, 1, "a"), insert(None, 1, "b")];
    assert_eq!(push(&mut assembler, open), []);
    assert!(!assembler.is_idle());
    let held = assembler.memory_bytes();
    let whole = transaction(&mut assembler, [commit(50)]);
    assert_eq!((whole.xid, whole.commit_lsn, whole.end_lsn), (9, Lsn::new(49), Lsn::new(50)));
    assert_eq!((whole.commit_time_us, whole.memory_bytes), (7, held + TRANSACTION_OVERHEAD_BYTES));
    assert_eq!(texts(&whole), ["a", "b"]);
    assert!(assembler.is_idle());
    assert_eq!(assembler.memory_bytes(), 0);
}

#[test]
fn empty_transaction_has_a_position() {
    let mut assembler = in_memory();
    let empty = transaction(&mut assembler, [begin(9), logical(true, None), commit(50)]);
    assert_eq!((empty.changes.len(), empty.end_lsn), (0, Lsn::new(50)));
}

#[test]
fn message_outside_of_a_transaction_comes_at_once() {
    let mut assembler = in_memory();
    let expected = Assembled::Message { prefix: "segcdc".to_owned(), lsn: Lsn::new(99) };
    assert_eq!(push(&mut assembler, [logical(false, None)]), [expected]);
}

#[test]
fn table_is_shared_until_it_is_described_again() {
    let mut assembler = in_memory();
    let relation_of = |change: &Change| match change {
        Change::Insert { relation, .. } => Arc::clone(relation),
        _ => panic!("not an insert"),
    };
    let messages = [
        begin(1),
        relation(None, 1, &["v"]),
        insert(None, 1, "a"),
        insert(None, 1, "b"),
        relation(None, 1, &["v"]),
        insert(None, 1, "b"),
        relation(None, 1, &["v", "w"]),
        insert(None, 1, "c"),
        commit(10),
    ];
    let first = transaction(&mut assembler, messages);
    let seen: Vec<_> = first.changes.iter().map(relation_of).collect();
    assert!(Arc::ptr_eq(&seen[0], &seen[1]), "it is described once");
    assert!(!Arc::ptr_eq(&seen[1], &seen[2]) && seen[1] == seen[2], "that it is described again can be seen");
    assert_eq!((seen[2].columns.len(), seen[3].columns.len()), (1, 2), "earlier changes keep their shape");
    let later = transaction(&mut assembler, [begin(2), insert(None, 1, "d"), commit(20)]);
    assert!(Arc::ptr_eq(&relation_of(&later.changes[0]), &seen[3]), "it is not described again");
}

/// # Fault F13
/// A change comes of a table that the source has not described.
/// - Happens: the pipeline stops as `PROTOCOL_UNKNOWN_RELATION`; what is known of tables is forgotten with each connection.
/// - Do: report it; something between the two changes what is sent.
#[test]
fn broken_streams_are_refused() {
    let code = |messages: Vec<Bytes>| refusal(messages).code();
    assert_eq!(code(vec![begin(1), begin(2)]), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![commit(5)]), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![relation(None, 1, &["v"]), insert(None, 1, "a")]), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![begin(1), insert(None, 1, "a")]), "PROTOCOL_UNKNOWN_RELATION");
    assert_eq!(code(vec![begin(1), stream_start(2, true)]), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![stream_start(2, true), stream_start(3, true)]), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![stream_start(2, false)]), "PROTOCOL_VIOLATION");
    let twice = vec![stream_start(2, true), stream_stop(), stream_start(2, true)];
    assert_eq!(code(twice), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![stream_stop()]), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![stream_commit(2, 9)]), "PROTOCOL_VIOLATION");
    assert_eq!(code(vec![Bytes::from_static(b"P")]), "PROTOCOL_VIOLATION");
}

#[test]
fn streamed_transactions_interleave() {
    let mut assembler = in_memory();
    let open = [
        stream_start(5, true),
        relation(Some(5), 1, &["v"]),
        insert(Some(5), 1, "a"),
        stream_stop(),
        stream_start(6, true),
        relation(Some(6), 1, &["v"]),
        insert(Some(6), 1, "x"),
        stream_stop(),
        stream_start(5, false),
        insert(Some(5), 1, "b"),
        stream_stop(),
    ];
    assert_eq!(push(&mut assembler, open), []);
    assert!(assembler.is_idle(), "between blocks, positions can be trusted");
    assert_eq!(texts(&transaction(&mut assembler, [stream_commit(6, 20)])), ["x"]);
    assert_eq!(texts(&transaction(&mut assembler, [stream_commit(5, 30)])), ["a", "b"]);
    assert_eq!(assembler.memory_bytes(), 0);
}

#[test]
fn rolled_back_subtransactions_leave_nothing() {
    let mut assembler = in_memory();
    let open = [
        stream_start(5, true),
        relation(Some(5), 1, &["v"]),
        insert(Some(5), 1, "a"),
        insert(Some(7), 1, "undone"),
        insert(Some(5), 1, "b"),
        stream_stop(),
        stream_abort(5, 7),
        stream_abort(5, 8),
        stream_abort(77, 77),
    ];
    push(&mut assembler, open);
    assert_eq!(texts(&transaction(&mut assembler, [stream_commit(5, 30)])), ["a", "b"]);
    push(&mut assembler, [stream_start(6, true), insert(Some(6), 1, "c"), stream_stop(), stream_abort(6, 6)]);
    assert_eq!(assembler.memory_bytes(), 0);
    assert!(assembler.push(stream_commit(6, 40)).is_err());
}

#[test]
fn description_in_a_streamed_transaction_counts_for_others_from_its_commit_on() {
    let width = |transaction: &Transaction| match &transaction.changes[..] {
        [Change::Insert { relation, .. }] => relation.columns.len(),
        changes => panic!("not one insert: {changes:?}"),
    };
    let mut assembler = in_memory();
    push(&mut assembler, [begin(1), relation(None, 1, &["v"]), commit(5)]);
    push(
        &mut assembler,
        [
            stream_start(5, true),
            relation(Some(5), 1, &["v", "w"]),
            insert(Some(5), 1, "altered"),
            stream_stop(),
        ],
    );
    let other = transaction(&mut assembler, [begin(6), insert(None, 1, "a"), commit(10)]);
    assert_eq!(width(&other), 1);
    assert_eq!(width(&transaction(&mut assembler, [stream_commit(5, 20)])), 2);
    let later = transaction(&mut assembler, [begin(7), insert(None, 1, "b"), commit(30)]);
    assert_eq!(width(&later), 2);
}

#[test]
fn what_is_beyond_the_memory_that_is_allowed_goes_to_disk_the_largest_first() {
    let directory = tempfile::tempdir().unwrap();
    let row = "x".repeat(400);
    let mut assembler = Assembler::new(SpillSpace::new(directory.path(), None), 2000);
    push(&mut assembler, [stream_start(5, true), relation(Some(5), 1, &["v"]), insert(Some(5), 1, "first")]);
    push(&mut assembler, [stream_stop(), stream_start(6, true), relation(Some(6), 1, &["v"])]);
    assert_eq!(assembler.largest(), None);
    for _ in 0..20 {
        push(&mut assembler, [insert(Some(6), 1, &row)]);
        assert!(assembler.memory_bytes() <= 2000);
    }
    push(&mut assembler, [stream_stop()]);
    let largest = assembler.largest().unwrap();
    assert_eq!((largest.xid, largest.changes), (6, 20));
    assert!(largest.spilled_bytes > 10 * 400, "{largest:?}");
    let small = transaction(&mut assembler, [stream_commit(5, 20)]);
    assert_eq!((small.spilled.is_some(), texts(&small)), (false, vec!["first".to_owned()]));
    let large = transaction(&mut assembler, [stream_commit(6, 30)]);
    assert_eq!((large.spilled.is_some(), texts(&large)), (true, vec![row; 20]));
    assert!(
        large.memory_bytes <= 2000 + TRANSACTION_OVERHEAD_BYTES && large.spilled.unwrap().store().parts() > 1
    );
    assert_eq!((assembler.memory_bytes(), assembler.largest()), (0, None));
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut assembler = Assembler::new(SpillSpace::new(file.path().join("below"), None), 100);
    push(&mut assembler, [begin(1), relation(None, 1, &["v"])]);
    let error = assembler.push(insert(None, 1, &"x".repeat(200))).unwrap_err();
    assert_eq!(error.code(), "SPILL_FAILED");
}

#[test]
fn what_is_kept_on_disk_counts_until_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let space = SpillSpace::new(directory.path(), Some(5000));
    let row = "x".repeat(400);
    let mut assembler = Assembler::new(space.clone(), 2000);
    push(&mut assembler, [begin(1), relation(None, 1, &["v"])]);
    push(&mut assembler, std::iter::repeat_n(insert(None, 1, &row), 10));
    assert!(space.used() > 2000 && assembler.disk_bytes() == space.used());
    let whole = transaction(&mut assembler, [commit(20)]);
    assert_eq!((assembler.disk_bytes(), whole.large_bytes), (0, space.used()));
    drop(whole);
    assert_eq!(space.used(), 0);
    push(&mut assembler, [begin(2)]);
    let error =
        std::iter::repeat_with(|| assembler.push(insert(None, 1, &row))).take(30).find_map(Result::err);
    assert_eq!(error.unwrap().code(), "SPILL_LIMIT");
}

#[test]
fn many_large_fields_do_not_keep_many_files_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut assembler = Assembler::new(SpillSpace::new(directory.path(), None), usize::MAX);
    push(&mut assembler, [begin(1), relation(None, 1, &["v"])]);
    let values: Vec<LargeValue> = (0..200_u8)
        .map(|byte| {
            crate::spill::large_value(&SpillSpace::new(directory.path(), None), &[byte; 100]).unwrap()
        })
        .collect();
    let mut row = message(b'I');
    row.put_u32(1);
    row.put_slice(b"N\0\x01T\0\0\0\0");
    let row = row.freeze();
    for value in &values {
        assert!(assembler.push_with(row.clone(), std::slice::from_ref(value)).unwrap().is_none());
        assert!(assembler.large_files <= MAX_LARGE_FILES);
    }
    let whole = transaction(&mut assembler, [commit(50)]);
    assert_eq!(assembler.large_files, 0);
    let found = all_changes(&whole);
    let stored = |change: &Change| match change {
        Change::Insert { new, .. } => match new.get(0) {
            Some(Field::Large(value)) => value.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(found.iter().map(stored).collect::<Vec<_>>(), values);
}

/// What a transaction does in a block.
#[derive(Debug, Clone)]
enum Step {
    /// A row, made by a subtransaction.
    Row(u32),
    /// That subtransaction is rolled back. It makes no others: its id is not given again.
    Abort(u32),
}

/// What comes next in the stream.
#[derive(Debug, Clone)]
enum Turn {
    /// A block of one of three transactions in progress.
    Block(usize, Vec<Step>),
    /// One of them commits, and another takes its place.
    Commit(usize),
    /// One of them is rolled back, and another takes its place.
    Abort(usize),
    /// A transaction of so many rows that the server did not stream.
    Whole(usize),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let step = prop_oneof![4 => (0_u32..4).prop_map(Step::Row), 1 => (1_u32..4).prop_map(Step::Abort)];
    let turn = prop_oneof![
        6 => (0_usize..3, proptest::collection::vec(step, 0..8)).prop_map(|(at, steps)| Turn::Block(at, steps)),
        1 => (0_usize..3).prop_map(Turn::Commit),
        1 => (0_usize..3).prop_map(Turn::Abort),
        1 => (0_usize..6).prop_map(Turn::Whole),
    ];
    proptest::collection::vec(turn, 0..24)
}

/// A transaction in progress, as a model that knows neither blocks nor files.
#[derive(Debug, Default)]
struct Model {
    xid: u32,
    begun: bool,
    /// How often each subtransaction was rolled back: what comes behind it is made by another one.
    lives: [u32; 4],
    rows: Vec<(u32, String)>,
}

impl Model {
    fn subxid(&self, sub: u32) -> u32 {
        self.xid + sub + 4 * self.lives[sub as usize]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn transactions_hold_what_was_not_rolled_back_wherever_it_is_kept(
        turns in turns(),
        max_memory in proptest::sample::select(vec![0, 300, 700, 2000, usize::MAX]),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut assembler = Assembler::new(SpillSpace::new(directory.path(), None), max_memory);
        push(&mut assembler, [begin(1), relation(None, 1, &["v"]), commit(2)]);
        let (mut serial, mut next_xid) = (0, 0);
        let mut fresh = || {
            next_xid += 1000;
            Model { xid: next_xid, ..Model::default() }
        };
        let mut open = [fresh(), fresh(), fresh()];
        let ends = (0..3).map(Turn::Commit);
        for turn in turns.into_iter().chain(ends) {
            match turn {
                Turn::Block(at, steps) => {
                    let model = &mut open[at];
                    push(&mut assembler, [stream_start(model.xid, !std::mem::replace(&mut model.begun, true))]);
                    let mut aborts = Vec::new();
                    for step in steps {
                        match step {
                            Step::Row(sub) => {
                                serial += 1;
                                let (sub, text) = (model.subxid(sub), serial.to_string());
                                push(&mut assembler, [insert(Some(sub), 1, &text)]);
                                model.rows.push((sub, text));
                            }
                            Step::Abort(sub) => {
                                aborts.push(model.subxid(sub));
                                model.lives[sub as usize] += 1;
                            }
                        }
                    }
                    push(&mut assembler, [stream_stop()]);
                    for sub in aborts {
                        push(&mut assembler, [stream_abort(model.xid, sub)]);
                        model.rows.retain(|(made_by, _)| *made_by != sub);
                    }
                }
                Turn::Commit(at) => {
                    let model = std::mem::replace(&mut open[at], fresh());
                    if model.begun {
                        let whole = transaction(&mut assembler, [stream_commit(model.xid, 1000)]);
                        let rows: Vec<String> = model.rows.into_iter().map(|(_, text)| text).collect();
                        prop_assert_eq!(texts(&whole), rows);
                    }
                }
                Turn::Abort(at) => {
                    let model = std::mem::replace(&mut open[at], fresh());
                    push(&mut assembler, [stream_abort(model.xid, model.xid)]);
                }
                Turn::Whole(rows) => {
                    let rows: Vec<String> = (0..rows).map(|row| format!("whole {row}")).collect();
                    push(&mut assembler, [begin(3)]);
                    push(&mut assembler, rows.iter().map(|text| insert(None, 1, text)));
                    prop_assert_eq!(texts(&transaction(&mut assembler, [commit(1000)])), rows);
                }
            }
            prop_assert!(assembler.memory_bytes() <= max_memory);
        }
        prop_assert_eq!((assembler.memory_bytes(), assembler.largest()), (0, None));
    }

    #[test]
    fn any_messages_are_survived(
        messages in proptest::collection::vec(
            (proptest::sample::select(&b"BCORYIUDTMSEcA"[..]), proptest::collection::vec(any::<u8>(), 0..40)),
            0..20,
        ),
    ) {
        let mut assembler = in_memory();
        for (kind, bytes) in messages {
            let mut message = message(kind);
            message.put_slice(&bytes);
            drop(assembler.push(message.freeze()));
        }
    }
}
