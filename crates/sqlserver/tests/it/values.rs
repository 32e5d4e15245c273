//! Random values of every type, there and back.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use segcdc_model::{PgType, Tuple};
use segcdc_sqlserver::apply::apply_staged;
use segcdc_sqlserver::{ExistingRows, WritePath, apply};

use crate::rig::{Cell, Rig, Stream, canonical_row, plan_one, tuple_of};

/// The types, and for each a text that PostgreSQL prints, or NULL.
fn columns() -> Vec<(PgType, BoxedStrategy<Cell>)> {
    fn cell<S: Strategy<Value = String> + 'static>(texts: S) -> BoxedStrategy<Cell> {
        prop_oneof![1 => Just(Cell::Null), 6 => texts.prop_map(Cell::Text)].boxed()
    }
    let date = || (1u16..=9999, 1u8..=12, 1u8..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    let time = || {
        (0u8..24, 0u8..60, 0u8..60, 0u32..1_000_000).prop_map(|(h, m, s, us)| {
            let time = format!("{h:02}:{m:02}:{s:02}.{us:06}");
            time.trim_end_matches('0').trim_end_matches('.').to_owned()
        })
    };
    let decimal = |scale: usize, digits: &'static str| {
        (any::<bool>(), digits).prop_map(move |(negative, digits)| {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let sign = if negative && digits.bytes().any(|digit| digit != b'0') { "-" } else { "" };
            let whole = whole.trim_start_matches('0');
            format!("{sign}{}.{fraction}", if whole.is_empty() { "0" } else { whole })
        })
    };
    let float = |value: String| if value.ends_with(".0") { value.replace(".0", "") } else { value };
    vec![
        (PgType::Bool, cell(prop_oneof![Just("t".to_owned()), Just("f".to_owned())])),
        (PgType::Int2, cell(any::<i16>().prop_map(|value| value.to_string()))),
        (PgType::Int8, cell(any::<i64>().prop_map(|value| value.to_string()))),
        (PgType::Oid, cell(any::<u32>().prop_map(|value| value.to_string()))),
        (PgType::Float4, cell(prop::num::f32::NORMAL.prop_map(move |value| float(format!("{value:e}"))))),
        (PgType::Float8, cell(prop::num::f64::NORMAL.prop_map(move |value| float(format!("{value:e}"))))),
        (PgType::Numeric { bounds: Some((20, 4)) }, cell(decimal(4, "[0-9]{1,20}"))),
        (PgType::Numeric { bounds: Some((38, 20)) }, cell(decimal(20, "[0-9]{1,38}"))),
        (PgType::Text, cell("[^\\x00]{0,40}")),
        (PgType::Varchar { length: Some(10) }, cell("[^\\x00]{0,10}")),
        (PgType::Bytea, cell("([0-9a-f]{2}){0,40}".prop_map(|digits| format!("\\x{digits}")))),
        (PgType::Uuid, cell("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")),
        (PgType::Date, cell(date())),
        (PgType::Time, cell(time())),
        (PgType::Timestamp, cell((date(), time()).prop_map(|(date, time)| format!("{date} {time}")))),
        (PgType::TimestampTz, cell((date(), time()).prop_map(|(date, time)| format!("{date} {time}+00")))),
    ]
}

/// Loads the rows into one table, applies them to two others, and compares all three with what was sent.
async fn run(path: WritePath, rows: Vec<Vec<Cell>>) -> Result<(), TestCaseError> {
    let mut rig = Rig::with(Some(path)).await;
    let types = columns();
    let names: Vec<String> = (0..types.len()).map(|index| format!("c{index}")).collect();
    let mut columns = vec![("id", PgType::Int4, true)];
    columns
        .extend(names.iter().zip(&types).map(|(name, (pg_type, _))| (name.as_str(), pg_type.clone(), false)));
    let numbered = (0..).zip(rows).map(|(id, mut row)| {
        row.insert(0, Cell::Text(i32::to_string(&id)));
        tuple_of(&row)
    });
    let tuples: Vec<Tuple> = numbered.collect();
    let loaded = rig.table(1, "loaded", 1, &columns);
    rig.target.prepare_table(&loaded, ExistingRows::Refuse).await.unwrap();
    let taken = rig.load(&loaded, &tuples).await;
    prop_assert!(taken.is_ok(), "{:?}", taken);
    let mut expected: Vec<_> = tuples.iter().map(|row| canonical_row(&loaded, row)).collect();
    expected.sort();
    prop_assert_eq!(&rig.rows(&loaded).await, &expected);
    for (oid, staged) in [(2, false), (3, true)] {
        let table = rig.table(oid, &format!("applied {oid}"), 1, &columns);
        rig.create(&table).await;
        let stream = Stream::new(&table);
        let changes = tuples.iter().map(|row| stream.insert_tuple(row.clone())).collect();
        let plan = plan_one(&[&stream], u64::from(oid) * 100, changes);
        let applied = if staged {
            apply_staged(&mut rig.target, &plan, &rig.checkpoint).await
        } else {
            apply(&mut rig.target, &plan, &rig.checkpoint).await
        };
        rig.checkpoint = applied.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&rig.rows(&table).await, &expected);
    }
    Ok(())
}

#[test]
fn random_values_arrive_as_they_were() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 8, max_shrink_iters: 40, ..Config::default() });
    let path = prop_oneof![Just(WritePath::Bulk), Just(WritePath::Insert)];
    let row: Vec<BoxedStrategy<Cell>> = columns().into_iter().map(|(_, cells)| cells).collect();
    let rows = prop::collection::vec(row, 1..30);
    runner.run(&(path, rows), |(path, rows)| runtime.block_on(run(path, rows))).unwrap();
}
