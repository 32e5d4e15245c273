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

/// Texts of inserted rows, in order.
fn texts(transaction: &Transaction) -> Vec<String> {
    let text = |change: &Change| {
        let Change::Insert { new, .. } = change else { panic!("not an insert") };
        let Some(Field::Text(bytes)) = new.get(0) else { panic!("not a text") };
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    transaction.changes.iter().map(text).collect()
}

/// The error that the last message makes.
fn refusal(messages: impl IntoIterator<Item = Bytes>) -> SourceError {
    let mut assembler = Assembler::default();
    let mut outcomes: Vec<_> = messages.into_iter().map(|message| assembler.push(message)).collect();
    let last = outcomes.pop().unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    last.unwrap_err()
}

#[test]
fn transaction_is_whole_at_its_commit() {
    let mut assembler = Assembler::default();
    assert!(assembler.is_idle());
    let open = [begin(9), relation(None, 1, &["v"]), insert(None, 1, "a"), insert(None, 1, "b")];
    assert_eq!(push(&mut assembler, open), []);
    assert!(!assembler.is_idle());
    let held = assembler.memory_bytes();
    let whole = transaction(&mut assembler, [commit(50)]);
    assert_eq!((whole.xid, whole.commit_lsn, whole.end_lsn), (9, Lsn::new(49), Lsn::new(50)));
    assert_eq!((whole.commit_time_us, whole.memory_bytes), (7, held));
    assert_eq!(texts(&whole), ["a", "b"]);
    assert!(assembler.is_idle());
    assert_eq!(assembler.memory_bytes(), 0);
}

#[test]
fn empty_transaction_has_a_position() {
    let mut assembler = Assembler::default();
    let empty = transaction(&mut assembler, [begin(9), logical(true, None), commit(50)]);
    assert_eq!((empty.changes.len(), empty.end_lsn), (0, Lsn::new(50)));
}

#[test]
fn message_outside_of_a_transaction_comes_at_once() {
    let mut assembler = Assembler::default();
    let expected = Assembled::Message { prefix: "segcdc".to_owned(), lsn: Lsn::new(99) };
    assert_eq!(push(&mut assembler, [logical(false, None)]), [expected]);
}

#[test]
fn table_is_described_once_and_shared_until_it_changes() {
    let mut assembler = Assembler::default();
    let relation_of = |change: &Change| match change {
        Change::Insert { relation, .. } => Arc::clone(relation),
        _ => panic!("not an insert"),
    };
    let messages = [
        begin(1),
        relation(None, 1, &["v"]),
        insert(None, 1, "a"),
        relation(None, 1, &["v"]),
        insert(None, 1, "b"),
        relation(None, 1, &["v", "w"]),
        insert(None, 1, "c"),
        commit(10),
    ];
    let first = transaction(&mut assembler, messages);
    let seen: Vec<_> = first.changes.iter().map(relation_of).collect();
    assert!(Arc::ptr_eq(&seen[0], &seen[1]), "the same description is the same value");
    assert_eq!((seen[1].columns.len(), seen[2].columns.len()), (1, 2), "earlier changes keep their shape");
    let later = transaction(&mut assembler, [begin(2), insert(None, 1, "d"), commit(20)]);
    assert!(Arc::ptr_eq(&relation_of(&later.changes[0]), &seen[2]), "it is not described again");
}

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
    let mut assembler = Assembler::default();
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
    let mut assembler = Assembler::default();
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
    let mut assembler = Assembler::default();
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

/// What a streamed transaction does.
#[derive(Debug, Clone)]
enum Step {
    /// A row, made by a subtransaction.
    Row(u32),
    /// That subtransaction is rolled back.
    Abort(u32),
}

fn steps() -> impl Strategy<Value = Vec<(u32, Vec<Step>)>> {
    let step = prop_oneof![4 => (0_u32..4).prop_map(Step::Row), 1 => (1_u32..4).prop_map(Step::Abort)];
    // Blocks of three transactions, in any order.
    proptest::collection::vec((0_u32..3, proptest::collection::vec(step, 0..5)), 0..12)
}

proptest! {
    #[test]
    fn streamed_transactions_hold_what_was_not_rolled_back(blocks in steps()) {
        let mut assembler = Assembler::default();
        push(&mut assembler, [begin(1), relation(None, 1, &["v"]), commit(2)]);
        let mut model: HashMap<u32, Vec<(u32, String)>> = HashMap::new();
        let mut serial = 0;
        for (transaction, steps) in blocks {
            let xid = 100 * (transaction + 1);
            push(&mut assembler, [stream_start(xid, !model.contains_key(&xid))]);
            let rows = model.entry(xid).or_default();
            let mut aborts = Vec::new();
            for step in steps {
                match step {
                    Step::Row(sub) => {
                        serial += 1;
                        let text = serial.to_string();
                        push(&mut assembler, [insert(Some(xid + sub), 1, &text)]);
                        rows.push((xid + sub, text));
                    }
                    Step::Abort(sub) => aborts.push(xid + sub),
                }
            }
            push(&mut assembler, [stream_stop()]);
            for sub in aborts {
                push(&mut assembler, [stream_abort(xid, sub)]);
                rows.retain(|(made_by, _)| *made_by != sub);
            }
        }
        for (xid, rows) in model {
            let whole = transaction(&mut assembler, [stream_commit(xid, 1000)]);
            prop_assert_eq!(texts(&whole), rows.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
        }
        prop_assert_eq!(assembler.memory_bytes(), 0);
    }

    #[test]
    fn any_messages_are_survived(
        messages in proptest::collection::vec(
            (proptest::sample::select(&b"BCORYIUDTMSEcA"[..]), proptest::collection::vec(any::<u8>(), 0..40)),
            0..20,
        ),
    ) {
        let mut assembler = Assembler::default();
        for (kind, bytes) in messages {
            let mut message = message(kind);
            message.put_slice(&bytes);
            drop(assembler.push(message.freeze()));
        }
    }
}
