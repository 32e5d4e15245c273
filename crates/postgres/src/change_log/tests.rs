use std::io::{Read, Seek, SeekFrom, Write};

use proptest::prelude::*;
use segcdc_model::mutant::plant;
use segcdc_model::{LARGE_BLOCK_BYTES, OldTuple, QualifiedName, ReplicaIdentity, Tuple, TupleBuilder};

use super::*;
use crate::spill;

fn space(directory: &tempfile::TempDir) -> SpillSpace {
    SpillSpace::new(directory.path(), None)
}

fn relation(oid: u32) -> Arc<Relation> {
    let name = QualifiedName::new("public", format!("t{oid}"));
    Arc::new(Relation { oid, name, replica_identity: ReplicaIdentity::Default, columns: Vec::new() })
}

fn row(fields: &[Option<Vec<u8>>]) -> Tuple {
    let buffer: Vec<u8> = fields.iter().flatten().flatten().copied().collect();
    let mut builder = TupleBuilder::new(Bytes::from(buffer), fields.len() + 1);
    let mut at = 0;
    for (index, field) in fields.iter().enumerate() {
        match field {
            None => builder.null(),
            Some(bytes) if index % 2 == 0 => builder.text(at, bytes.len()),
            Some(bytes) => builder.binary(at, bytes.len()),
        }
        at += field.as_ref().map_or(0, Vec::len);
    }
    builder.unchanged_toast();
    builder.build()
}

fn insert(subxid: u32, relation: &Arc<Relation>, text: &str) -> TaggedChange {
    let change = Change::Insert { relation: Arc::clone(relation), new: Tuple::from_texts([Some(text)]) };
    TaggedChange { subxid, change }
}

/// The fields of the rows of a change, which may lie elsewhere in another buffer.
fn spelled(change: &Change) -> String {
    let fields = |tuple: &Tuple| format!("{:?}", tuple.fields().collect::<Vec<_>>());
    match change {
        Change::Insert { relation, new } => format!("I {} {}", relation.oid, fields(new)),
        Change::Update { relation, old, new } => {
            let old = old.as_ref().map(|old| (matches!(old, OldTuple::Full(_)), fields(old.tuple())));
            format!("U {} {old:?} {}", relation.oid, fields(new))
        }
        Change::Delete { relation, old } => {
            format!("D {} {} {}", relation.oid, matches!(old, OldTuple::Full(_)), fields(old.tuple()))
        }
        Change::Truncate { relations } => {
            format!("T {:?}", relations.iter().map(|relation| relation.oid).collect::<Vec<_>>())
        }
    }
}

/// All changes of a log.
fn read(spilled: &SpilledChanges) -> Vec<String> {
    let store = spilled.store();
    (0..store.parts())
        .flat_map(|part| store.read_part(part).unwrap())
        .map(|change| spelled(&change))
        .collect()
}

#[test]
fn what_was_rolled_back_is_left_out_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = ChangeLog::create(&space(&directory)).unwrap();
    let table = relation(1);
    log.append(&[insert(10, &table, "a"), insert(11, &table, "b")]).unwrap();
    log.append(&[insert(12, &table, "c"), insert(10, &table, "d"), insert(11, &table, "e")]).unwrap();
    log.abort(11);
    log.abort(99);
    assert_eq!(log.aborted.len(), 1, "what no part can hold is not remembered");
    log.append(&[insert(13, &table, "f")]).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the file has no name");
    let spilled = log.finish();
    let expected: Vec<String> =
        ["a", "c", "d", "f"].iter().map(|text| spelled(&insert(0, &table, text).change)).collect();
    assert_eq!(read(&spilled), expected);
    assert_eq!(read(&spilled), expected, "it can be read again");
    assert!(spilled.store().read_part(3).unwrap().is_empty());
}

/// The bytes of a large value.
fn whole(value: &LargeValue) -> Vec<u8> {
    let (mut bytes, mut block) = (Vec::new(), Vec::new());
    for index in 0.. {
        value.store().read_block(index, &mut block).unwrap();
        if block.is_empty() {
            return bytes;
        }
        bytes.extend_from_slice(&block);
    }
    unreachable!()
}

#[test]
fn large_fields_and_shapes_of_tables_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let contents: Vec<Vec<u8>> = [3000, LARGE_BLOCK_BYTES + 5, 0, LARGE_BLOCK_BYTES]
        .iter()
        .zip(1_u8..)
        .map(|(length, byte)| vec![byte; *length])
        .collect();
    let values: Vec<LargeValue> =
        contents.iter().map(|bytes| spill::large_value(&space(&directory), bytes).unwrap()).collect();
    let mut log = ChangeLog::create(&space(&directory)).unwrap();
    let (before, after) = (relation(5), relation(5));
    log.append(&[insert(1, &before, "x")]).unwrap();
    for value in &values {
        let mut builder = TupleBuilder::new(Bytes::new(), 1);
        builder.large(value.clone());
        let change = Change::Insert { relation: Arc::clone(&after), new: builder.build() };
        log.append(&[TaggedChange { subxid: 1, change }]).unwrap();
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no file has a name");
    let spilled = log.finish();
    let first = spilled.store().read_part(0).unwrap();
    assert!(matches!(&*first, [Change::Insert { relation, .. }] if Arc::ptr_eq(relation, &before)));
    for (part, (value, bytes)) in (1..).zip(values.iter().zip(&contents)) {
        let changes = spilled.store().read_part(part).unwrap();
        let [Change::Insert { relation, new }] = &*changes else { panic!("{changes:?}") };
        assert!(Arc::ptr_eq(relation, &after));
        let Some(segcdc_model::Field::Large(found)) = new.get(0) else { panic!("{new:?}") };
        assert_eq!(found, value);
        assert!(!Arc::ptr_eq(found.store(), value.store()), "it has no file of its own any more");
        assert_eq!(&whole(found), bytes);
    }
    assert!(spilled.store().bytes() > contents.iter().map(Vec::len).sum::<usize>() as u64);
}

#[test]
fn changed_large_field_is_an_error_and_not_a_value() {
    let directory = tempfile::tempdir().unwrap();
    let mut builder = TupleBuilder::new(Bytes::new(), 1);
    builder.large(spill::large_value(&space(&directory), &[7; 1000]).unwrap());
    let mut log = ChangeLog::create(&space(&directory)).unwrap();
    let change = Change::Insert { relation: relation(1), new: builder.build() };
    log.append(&[TaggedChange { subxid: 1, change }]).unwrap();
    let mut file = log.annex.handle();
    let spilled = log.finish();
    file.seek(SeekFrom::Start(500)).unwrap();
    file.write_all(b"8").unwrap();
    let changes = spilled.store().read_part(0).unwrap();
    let [Change::Insert { new, .. }] = &*changes else { panic!("{changes:?}") };
    let Some(segcdc_model::Field::Large(value)) = new.get(0) else { panic!("{new:?}") };
    let error = value.store().read_block(0, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

/// Reads a part of which one bit was changed on disk; `None` behind its last bit.
fn read_with_changed_bit(bit: u64) -> Option<io::Result<Vec<Change>>> {
    let directory = tempfile::tempdir().unwrap();
    let mut log = ChangeLog::create(&space(&directory)).unwrap();
    log.append(&[insert(1, &relation(1), "abc")]).unwrap();
    let mut file = log.file.handle();
    let spilled = log.finish();
    let mut byte = [0];
    file.seek(SeekFrom::Start(bit / 8)).unwrap();
    if file.read(&mut byte).unwrap() == 0 {
        return None;
    }
    file.seek(SeekFrom::Start(bit / 8)).unwrap();
    file.write_all(&[byte[0] ^ (1 << (bit % 8))]).unwrap();
    Some(spilled.store().read_part(0))
}

/// The first bit that can be changed without an error.
fn unnoticed_bit() -> Option<u64> {
    let is_noticed = |read: &io::Result<_>| {
        read.as_ref().is_err_and(|error: &io::Error| error.kind() == io::ErrorKind::InvalidData)
    };
    (0..)
        .map_while(|bit| Some((bit, read_with_changed_bit(bit)?)))
        .find(|(_, read)| !is_noticed(read))
        .map(|(bit, _)| bit)
}

#[test]
fn changed_part_is_an_error_and_not_a_change() {
    assert!(read_with_changed_bit(0).is_some());
    assert_eq!(unnoticed_bit(), None);
}

#[test]
fn a_checksum_that_nobody_compares_is_found() {
    plant(Some(Mutant::NoSpillChecksum));
    let unnoticed = unnoticed_bit();
    plant(None);
    println!("NoSpillChecksum is found by bit {}", unnoticed.unwrap());
}

proptest! {
    #[test]
    fn changes_come_back_as_they_were(
        rows in proptest::collection::vec(
            (
                0_u8..6,
                0_u32..3,
                0_usize..3,
                proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)), 0..4),
            ),
            0..40,
        ),
        cut in 0_usize..40,
        aborted in 0_u32..4,
    ) {
        let tables = [relation(1), relation(2), relation(3)];
        let changes: Vec<TaggedChange> = rows
            .iter()
            .map(|(kind, subxid, table, fields)| {
                let relation = Arc::clone(&tables[*table]);
                let change = match kind {
                    0 => Change::Insert { relation, new: row(fields) },
                    1 => Change::Update { relation, old: None, new: row(fields) },
                    2 => Change::Update { relation, old: Some(OldTuple::Key(row(&[]))), new: row(fields) },
                    3 => Change::Delete { relation, old: OldTuple::Full(row(fields)) },
                    4 => Change::Delete { relation, old: OldTuple::Key(row(fields)) },
                    _ => Change::Truncate { relations: vec![relation, Arc::clone(&tables[0])] },
                };
                TaggedChange { subxid: *subxid, change }
            })
            .collect();
        let directory = tempfile::tempdir().unwrap();
        let mut log = ChangeLog::create(&space(&directory)).unwrap();
        let (first, second) = changes.split_at(cut.min(changes.len()));
        log.append(first).unwrap();
        log.append(second).unwrap();
        log.abort(aborted);
        let kept = changes.iter().filter(|tagged| tagged.subxid != aborted);
        let expected: Vec<String> = kept.map(|tagged| spelled(&tagged.change)).collect();
        prop_assert_eq!(read(&log.finish()), expected);
    }
}
