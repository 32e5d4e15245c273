//! [`execute`]: the statements on the state row, carried out as they are sent.

use segcdc_model::{Checkpoint, Lsn};

/// Executes an UPDATE of the state row. Returns how many rows it has found.
pub(super) fn execute(row: &mut Checkpoint, sql: &str) -> u64 {
    let statement = sql.strip_prefix("UPDATE [segcdc].[pipeline] SET ");
    let (assignments, conditions) = statement.and_then(|rest| rest.split_once(" WHERE ")).unwrap();
    let holds = |condition: &str| match condition.split_once(" = ").unwrap() {
        ("[pipeline]", value) => value == format!("N'{}'", row.pipeline),
        ("[epoch]", value) => value == row.epoch.to_string(),
        ("[applied_lsn]", value) => value == row.applied_lsn.as_u64().to_string(),
        ("[batch_seq]", value) => value == row.batch_seq.to_string(),
        (column, _) => panic!("a condition on {column}"),
    };
    if !conditions.split(" AND ").all(holds) {
        return 0;
    }
    for assignment in assignments.split(", ") {
        match assignment.split_once(" = ").unwrap() {
            ("[batch_seq]", "[batch_seq] + 1") => row.batch_seq += 1,
            ("[applied_lsn]", lsn) => row.applied_lsn = Lsn::new(lsn.parse().unwrap()),
            (
                "[commit_time_us]"
                | "[transactions_applied]"
                | "[changes_applied]"
                | "[updated_at]"
                | "[source_lsn]"
                | "[lag_us]",
                _,
            ) => {}
            (column, value) => panic!("{column} becomes {value}"),
        }
    }
    1
}
