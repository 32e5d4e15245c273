//! Finding out in which form times of day arrive as they are.
//!
//! A server may keep a `time` as a binary fraction of a second on its way in and cut it at the end; Babelfish does, and
//! every fourth value that comes as `time(6)` loses a microsecond:
//!
//! ```text
//! sent     22:45:42.171062  as 81942171062        of 10^-6 s   read as 22:45:42.1710619999..  kept as .171061
//! sent     22:45:42.171062  as 819421710625       of 10^-7 s   read as 22:45:42.1710625       kept as .171062
//! ```
//!
//! So each session begins by sending such values and having them back. SQL Server, which would round the second form
//! up, never sees it.

use segcdc_tds::{BulkColumn, Datum, Parameter, RowEncoder};

use crate::dialect::{Dialect, TimeForm};
use crate::encode;
use crate::error::{RefusedValue, TargetError};
use crate::session::Target;
use crate::sql;

/// What is being done, for errors.
const DURING: &str = "probing times of day";

/// Microseconds of day, each of which a server that cuts binary fractions loses a microsecond of.
const PROBES_US: [i64; 8] = [
    1_293_132_221,
    1_856_337_567,
    44_874_281_323,
    49_790_675_597,
    52_333_370_574,
    57_855_520_012,
    63_114_467_080,
    79_522_902_077,
];

// === impl Target ===

impl Target {
    /// Finds the form in which times of day arrive as they are.
    ///
    /// # Errors
    /// [`TargetError::Answer`] when there is none.
    pub(crate) async fn probe_time(&mut self) -> Result<TimeForm, TargetError> {
        for time in [TimeForm::Exact, TimeForm::MidMicrosecond] {
            if self.keeps_times(time).await? {
                return Ok(time);
            }
        }
        let detail = "times of day come back changed, in every form of sending them".to_owned();
        Err(TargetError::Answer { during: DURING, detail })
    }

    /// Whether the probes come back as they were sent.
    async fn keeps_times(&mut self, time: TimeForm) -> Result<bool, TargetError> {
        let dialect = Dialect { time, ..self.dialect() };
        let refused =
            |refused: RefusedValue| TargetError::Answer { during: DURING, detail: refused.to_string() };
        let (columns, encoder) = encode_probes(dialect).map_err(refused)?;
        let parameters: Vec<Parameter<'_>> = columns
            .iter()
            .zip(encoder.value_ranges())
            .map(|(column, range)| Parameter::Encoded {
                column_type: &column.column_type,
                collation: column.collation,
                value: encoder.encoded().get(range).unwrap_or_default(),
            })
            .collect();
        let sql = sql::session::times(PROBES_US.len());
        let answer = self.connection().execute(&sql, &parameters).await;
        let answer = answer.map_err(|error| TargetError::from_tds(DURING, error))?;
        let row = answer.first_row().unwrap_or_default();
        Ok(row.len() == PROBES_US.len() && row.iter().zip(PROBES_US).all(|(datum, us)| is_time(datum, us)))
    }
}

/// The probes as one row.
fn encode_probes(dialect: Dialect) -> Result<(Vec<BulkColumn>, RowEncoder), RefusedValue> {
    let column = |_| encode::bulk_column("t", segcdc_model::MssqlType::TIME, false, dialect);
    let columns: Vec<BulkColumn> = PROBES_US.iter().map(column).collect();
    let mut encoder = RowEncoder::new(&columns);
    encoder.begin_row();
    for time_us in PROBES_US {
        encode::write(&mut encoder, &segcdc_model::Value::Time(time_us))?;
    }
    encoder.end_row()?;
    Ok((columns, encoder))
}

/// Whether this is the time of day, to the tick.
fn is_time(datum: &Datum, time_us: i64) -> bool {
    match datum {
        Datum::Time { ticks, scale: 6 } => i64::try_from(*ticks) == Ok(time_us),
        Datum::Time { ticks, scale: 7 } => i64::try_from(*ticks) == Ok(time_us * 10),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_tds::{Collation, ColumnType};

    /// What a server does that reads ticks as a binary fraction of a second and cuts it.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the losses of the server are what it imitates"
    )]
    fn cut(ticks: u64, scale: i32) -> i64 {
        let mut seconds = ticks as f64;
        for _ in 0..scale {
            seconds /= 10.0;
        }
        (seconds * 1e6) as i64
    }

    /// Ticks and scale of the probes as they are sent.
    fn sent(time: TimeForm) -> Vec<(u64, i32)> {
        let (columns, encoder) =
            encode_probes(Dialect { time, ..Dialect::new(Collation::LATIN1_GENERAL_100_BIN2) }).unwrap();
        let ticks = |range: std::ops::Range<usize>| {
            encoder.encoded()[range.start + 1..range.end]
                .iter()
                .rev()
                .fold(0, |ticks, byte| ticks << 8 | u64::from(*byte))
        };
        let scale = |column: &BulkColumn| if column.column_type == ColumnType::Time(7) { 7 } else { 6 };
        encoder.value_ranges().map(ticks).zip(columns.iter().map(scale)).collect()
    }

    #[test]
    fn probes_show_a_server_that_cuts_and_the_other_form_survives_it() {
        for ((ticks, scale), time_us) in sent(TimeForm::Exact).into_iter().zip(PROBES_US) {
            assert_eq!((ticks, scale), (time_us.unsigned_abs(), 6));
            assert_eq!(cut(ticks, scale), time_us - 1);
        }
        for ((ticks, scale), time_us) in sent(TimeForm::MidMicrosecond).into_iter().zip(PROBES_US) {
            assert_eq!((ticks, scale), (time_us.unsigned_abs() * 10 + 5, 7));
            assert_eq!(cut(ticks, scale), time_us);
        }
    }

    #[test]
    fn changed_times_are_noticed() {
        assert!(
            is_time(&Datum::Time { ticks: 5, scale: 6 }, 5)
                && is_time(&Datum::Time { ticks: 50, scale: 7 }, 5)
        );
        assert!(
            !is_time(&Datum::Time { ticks: 4, scale: 6 }, 5)
                && !is_time(&Datum::Time { ticks: 55, scale: 7 }, 5)
        );
        assert!(!is_time(&Datum::Null, 5));
    }
}
