//! What the way of a row costs in allocations: one for a row that is received, none for its values.
//!
//! Rates differ from machine to machine; how often memory is asked for does not. The counter is the allocator of this whole
//! program, which is why these tests are one of their own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may fail as tests may"
)]

use std::sync::Arc;

use allocation_counter::measure;
use bytes::{BufMut, Bytes, BytesMut};
use segcdc_model::{Change, PgType, Relation, ReplicaIdentity, Transaction, Tuple};
use segcdc_naive::fixture::{Stream, TestTable, transaction};
use segcdc_plan::{RowImage, TableSet, plan};
use segcdc_postgres::pgoutput::{Message, decode};
use segcdc_postgres::{FieldForm, RowDecoder};
use segcdc_sqlserver::dialect::Dialect;
use segcdc_sqlserver::encode;
use segcdc_tds::{Collation, RowEncoder};

/// Rows of a measurement: many beside what is asked for once.
const ROWS: u32 = 2_000;
/// What growing vectors and maps may ask for, for all rows together.
const GROWTH: u64 = 100;

/// The types of a table of ten columns.
fn types() -> Vec<PgType> {
    vec![
        PgType::Int8,
        PgType::Int4,
        PgType::Text,
        PgType::Numeric { bounds: Some((12, 3)) },
        PgType::TimestampTz,
        PgType::Bool,
        PgType::Uuid,
        PgType::Float8,
        PgType::Date,
        PgType::Text,
    ]
}

/// The values of a row, as texts.
fn values(id: u32) -> [String; 10] {
    [
        id.to_string(),
        (id * 7).to_string(),
        format!("the name of {id}"),
        format!("{}.125", id % 100_000),
        "2024-05-06 07:08:09.123456+02".to_owned(),
        "t".to_owned(),
        "8f14e45f-ceea-467f-a9c1-0d1f3c6b2a11".to_owned(),
        "0.3333333333333333".to_owned(),
        "2024-05-06".to_owned(),
        "x".repeat(200),
    ]
}

fn table() -> TestTable {
    TestTable::new(7, ReplicaIdentity::Default, 1, &types())
}

/// TupleData of a row, `None` for a value that an UPDATE did not touch. (PostgreSQL manual, "Logical Replication Message Formats")
fn tuple_data(message: &mut BytesMut, fields: &[Option<String>]) {
    message.put_u16(u16::try_from(fields.len()).unwrap());
    for field in fields {
        match field {
            None => message.put_u8(b'u'),
            Some(text) => {
                message.put_u8(b't');
                message.put_u32(u32::try_from(text.len()).unwrap());
                message.put_slice(text.as_bytes());
            }
        }
    }
}

/// INSERT or UPDATE of a row as the stream sends it; of an UPDATE the last text is left out.
fn message(kind: u8, id: u32) -> Bytes {
    let mut fields: Vec<Option<String>> = values(id).map(Some).into();
    if kind == b'U' {
        fields[9] = None;
    }
    let mut message = BytesMut::new();
    message.put_u8(kind);
    message.put_u32(7);
    message.put_u8(b'N');
    tuple_data(&mut message, &fields);
    message.freeze()
}

/// The change that a message says.
fn change(message: Bytes, relation: &Arc<Relation>) -> Change {
    match decode(message, false).unwrap() {
        Message::Insert { new, .. } => Change::Insert { relation: Arc::clone(relation), new },
        Message::Update { old, new, .. } => Change::Update { relation: Arc::clone(relation), old, new },
        other => panic!("{other:?}"),
    }
}

/// One transaction that inserts rows, or updates each of them.
fn changes(kind: u8) -> [Transaction; 1] {
    let stream = Stream::new(&table());
    [transaction(10, (0..ROWS).map(|id| change(message(kind, id), &stream.relation)).collect())]
}

fn tables() -> TableSet {
    [table().entry()].into_iter().collect()
}

#[test]
fn a_received_change_is_one_allocation() {
    for kind in [b'I', b'U'] {
        let messages: Vec<Bytes> = (0..ROWS).map(|id| message(kind, id)).collect();
        let counted = measure(|| {
            for message in &messages {
                decode(message.clone(), false).unwrap();
            }
        });
        assert_eq!(counted.count_total, u64::from(ROWS), "{}", char::from(kind));
    }
}

#[test]
fn a_copied_row_is_one_allocation() {
    let mut message = BytesMut::from(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..]);
    for id in 0..ROWS {
        message.put_u16(3);
        for value in [&id.to_be_bytes()[..], b"text", &[1]] {
            message.put_u32(u32::try_from(value.len()).unwrap());
            message.put_slice(value);
        }
    }
    let message = message.freeze();
    let mut rows: Vec<Tuple> = Vec::with_capacity(ROWS as usize);
    let mut decoder = RowDecoder::new(vec![FieldForm::Binary; 3]);
    let counted = measure(|| decoder.decode(&message, &mut rows).unwrap());
    assert_eq!(rows.len(), ROWS as usize);
    let allowed = u64::from(ROWS) + GROWTH;
    assert!(counted.count_total <= allowed, "{} allocations for {ROWS} rows", counted.count_total);
}

#[test]
fn planning_asks_for_memory_by_batches_and_not_by_rows() {
    for kind in [b'I', b'U'] {
        let (batch, tables) = (changes(kind), tables());
        let counted = measure(|| drop(plan(&batch, &tables).unwrap()));
        let count = counted.count_total;
        assert!(count <= GROWTH, "{} of {ROWS} rows: {count} allocations", char::from(kind));
    }
}

#[test]
fn encoding_asks_for_nothing() {
    let plan = plan(&changes(b'I'), &tables()).unwrap();
    let table = &plan.tables[0];
    let dialect = Dialect::new(Collation::SQL_LATIN1_GENERAL_CP1_CI_AS);
    let columns: Vec<_> = (table.table.columns.iter())
        .map(|column| encode::bulk_column(&column.name, column.mssql_type, column.nullable, dialect))
        .collect();
    let mut encoder = RowEncoder::new(&columns);
    let encode_all = |encoder: &mut RowEncoder| {
        for row in &table.inserts {
            encode_row(&row.image, encoder);
        }
    };
    // The first time the buffer grows.
    encode_all(&mut encoder);
    encoder.clear();
    let counted = measure(|| encode_all(&mut encoder));
    assert!(encoder.byte_len() > ROWS as usize * 200);
    assert_eq!(counted.count_total, 0);
}

fn encode_row(image: &RowImage, encoder: &mut RowEncoder) {
    encoder.begin_row();
    for column in 0..10 {
        encode::write(encoder, &image.value(column).unwrap()).unwrap();
    }
    encoder.end_row().unwrap();
}
