//! Whether numbers of unlimited size fit their target: found by looking at them, before anything is changed.
//!
//! A `numeric` without bounds, or with more than 38 digits, gets a decimal that holds usual numbers. One that it does not
//! hold would halt its table in the middle of the copy; it is better known now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use segcdc_model::{Finding, MssqlType, PgType, Side};
use segcdc_plan::{ColumnPlan, TablePlan, ValuePolicy, rules, type_map};
use segcdc_postgres::profile::{self, NumericProfile, TableProfile};
use segcdc_postgres::{Session, SourceError};

/// Name of the check.
const CHECK: &str = "pg.numbers";

/// How long all tables together are looked at. People wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Digits of a T-SQL decimal.
const MAX_DIGITS: u32 = 38;

/// Looks at the numbers of the tables and says which do not fit.
///
/// # Errors
/// When the source cannot be asked.
pub(super) async fn check(source: &Session, plans: &[Arc<TablePlan>]) -> Result<Vec<Finding>, SourceError> {
    let end = Instant::now() + PATIENCE;
    let mut findings = Vec::new();
    let (mut fitting, mut unseen) = (0, Vec::new());
    for plan in plans {
        let doubtful: Vec<&ColumnPlan> = plan.columns.iter().filter(|column| is_doubtful(column)).collect();
        if doubtful.is_empty() {
            continue;
        }
        let columns: Vec<usize> = doubtful.iter().map(|column| column.source_index).collect();
        let left = end.saturating_duration_since(Instant::now());
        let profile = match left {
            Duration::ZERO => None,
            left => profile::numeric(source, &plan.source, &columns, left).await?,
        };
        let Some(profile) = profile else {
            unseen.push(plan.source.name.to_string());
            continue;
        };
        for (column, numbers) in doubtful.iter().zip(&profile.columns) {
            match judge(plan, column, numbers, &profile) {
                Some(finding) => findings.push(finding),
                None => fitting += 1,
            }
        }
    }
    if fitting > 0 {
        let detail =
            format!("the numbers of {fitting} columns that are numeric without bounds fit their target");
        findings.push(Finding::ok(CHECK, Side::Source, detail));
    }
    if !unseen.is_empty() {
        let detail = format!(
            "the numbers of {} were not looked at: the role may not, or it takes more than {} s",
            unseen.join(", "),
            PATIENCE.as_secs()
        );
        findings.push(Finding::warning(CHECK, Side::Source, "NUMBERS_UNSEEN", detail).hint(
            "a number that its target cannot hold halts its table when it is copied, and is named then",
        ));
    }
    Ok(findings)
}

/// Whether a column's type allows numbers that its target does not hold.
fn is_doubtful(column: &ColumnPlan) -> bool {
    let PgType::Numeric { bounds } = column.pg_type else { return false };
    if column.mask.is_some() || column.constant.is_some() {
        return false;
    }
    let Some((whole, fraction)) = room(column.mssql_type) else { return false };
    let exact = |bounds| type_map::holds_numeric(bounds, whole + fraction, fraction);
    !bounds.is_some_and(exact)
}

/// Digits before and behind the point that a target type has room for; those of an integer are not all of one length, and
/// the longest counts.
fn room(mssql_type: MssqlType) -> Option<(u8, u8)> {
    match mssql_type {
        MssqlType::Decimal { precision, scale } => Some((precision.saturating_sub(scale), scale)),
        MssqlType::TinyInt => Some((3, 0)),
        MssqlType::SmallInt => Some((5, 0)),
        MssqlType::Int => Some((10, 0)),
        MssqlType::BigInt => Some((19, 0)),
        _ => None,
    }
}

/// A finding when numbers that are there do not fit.
fn judge(
    plan: &TablePlan,
    column: &ColumnPlan,
    numbers: &NumericProfile,
    profile: &TableProfile,
) -> Option<Finding> {
    let (whole, fraction) = room(column.mssql_type)?;
    let (whole, fraction) = (u32::from(whole), u32::from(fraction));
    if numbers.whole_digits <= whole && numbers.fraction_digits <= fraction && numbers.specials == 0 {
        return None;
    }
    let place = format!("the column \"{}\" of {}", column.source_name, plan.source.name);
    let mut has = Vec::new();
    if numbers.whole_digits > whole || numbers.fraction_digits > fraction {
        has.push(format!(
            "numbers with up to {} digits before and {} behind the point",
            numbers.whole_digits, numbers.fraction_digits
        ));
    }
    if numbers.specials > 0 {
        has.push(format!("NaN or infinity in {} rows", numbers.specials));
    }
    let target = column.mssql_type;
    let detail = format!(
        "{place} has {}{}; its target {target} holds {whole} and {fraction}, and neither NaN nor infinity",
        has.join(", and "),
        seen(profile)
    );
    Some(
        Finding::warning(CHECK, Side::Source, "NUMBERS_DO_NOT_FIT", detail).hint(hint(plan, column, numbers)),
    )
}

/// Which part of the table was looked at, for people; nothing for all of it.
fn seen(profile: &TableProfile) -> String {
    match profile.share_ppm {
        1_000_000.. => String::new(),
        part => format!(" (in a sample of {}.{:04} % of its pages)", part / 10_000, part % 10_000),
    }
}

/// What a person can do: the flag that makes the column text, and the decimal that would do without.
fn hint(plan: &TablePlan, column: &ColumnPlan, numbers: &NumericProfile) -> String {
    let rule = rules::of_column("--on-value", &plan.source.name, &column.source_name, "text");
    let halts = match column.policy {
        ValuePolicy::Halt | ValuePolicy::Text => {
            "nothing is rounded: such a value halts the table when it is copied".to_owned()
        }
        ValuePolicy::Null => "by its policy such a value becomes NULL, counted".to_owned(),
        ValuePolicy::Clamp => {
            "by its policy a number that is too large becomes the largest one, counted; NaN, and more digits behind the \
             point, halt the table"
                .to_owned()
        }
        ValuePolicy::SetAside => format!(
            "by its policy the row of such a value is set aside, and at most {} of them are",
            plan.letter_limit
        ),
    };
    let text = format!("{rule} carries the column as text");
    if numbers.specials == 0 && numbers.whole_digits + numbers.fraction_digits <= MAX_DIGITS {
        let wanted = format!("decimal({MAX_DIGITS},{})", numbers.fraction_digits);
        let fitting = rules::of_column("--type", &plan.source.name, &column.source_name, &wanted);
        let rest = rules::of_column("--on-value", &plan.source.name, &column.source_name, "halt");
        return format!("{halts}; {text}, and {fitting} {rest} would fit what was seen");
    }
    format!("{halts}; {text}, and no decimal holds what was seen")
}

#[cfg(test)]
mod tests {
    use segcdc_model::{QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind};
    use segcdc_plan::{Naming, table_plan};

    use super::*;

    /// The plan of a table with a column of a type.
    fn plan(pg_type: PgType) -> TablePlan {
        let column = SourceColumn {
            name: "n".to_owned(),
            attnum: 1,
            pg_type,
            type_name: "numeric".to_owned(),
            not_null: false,
            generated: false,
        };
        let source = SourceTable {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            kind: TableKind::Ordinary,
            columns: vec![column],
            primary_key: Vec::new(),
            replica_identity: ReplicaIdentity::Full,
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 0,
            size_bytes: 0,
            heap_pages: 0,
            row_security: false,
            owner: String::new(),
        };
        table_plan(&source, &Naming::new("dbo")).unwrap()
    }

    #[test]
    fn only_types_that_allow_more_than_their_target_are_looked_at() {
        let check = |pg_type: PgType, expected: bool| {
            assert_eq!(is_doubtful(&plan(pg_type.clone()).columns[0]), expected, "{pg_type:?}");
        };
        check(PgType::Numeric { bounds: None }, true);
        check(PgType::Numeric { bounds: Some((38, 10)) }, false);
        check(PgType::Numeric { bounds: Some((39, 0)) }, true);
        check(PgType::Numeric { bounds: Some((36, -3)) }, true);
        check(PgType::Float8, false);
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_would() {
        let plan = plan(PgType::Numeric { bounds: None });
        let check = |digits: (u32, u32, u64), share_ppm, expected: &[&str]| {
            let numbers = NumericProfile {
                column: 0,
                whole_digits: digits.0,
                fraction_digits: digits.1,
                specials: digits.2,
            };
            let profile = TableProfile { rows: 9, share_ppm, columns: Vec::new() };
            let found = judge(&plan, &plan.columns[0], &numbers, &profile);
            assert_eq!(found.is_some(), !expected.is_empty(), "{digits:?}");
            let text =
                found.map(|finding| format!("{} {}", finding.detail, finding.hint)).unwrap_or_default();
            for part in expected {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        };
        check((20, 18, 0), 1_000_000, &[]);
        check((0, 0, 0), 1_000_000, &[]);
        check(
            (21, 3, 0),
            1_000_000,
            &[
                "21 digits before and 3 behind",
                "--on-value 'public.t.n=text'",
                "--type 'public.t.n=decimal(38,3)'",
            ],
        );
        check((1, 30, 0), 31_250, &["sample of 3.1250 %", "decimal(38,30)"]);
        check((30, 9, 0), 1_000_000, &["no decimal holds"]);
        check((1, 0, 2), 1_000_000, &["NaN or infinity in 2 rows", "no decimal holds"]);
    }
}
