//! One column of a planned table: its type, its name and its policy, by what the user says. Pure.

use segcdc_model::{Length, MssqlType, PgType, QualifiedName, SourceColumn};

use super::{ColumnPlan, Naming, mask_choice};
use crate::column_mask::{ColumnMask, HASH_DIGITS};
use crate::error::PlanError;
use crate::rules::{Rules, ValuePolicy};
use crate::target_name;
use crate::target_type::TargetType;
use crate::type_map;
use crate::type_override::{self, Override};

/// Where a column stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Its table.
    pub(crate) table: &'a QualifiedName,
    /// Its place in the source's columns.
    pub(crate) source_index: usize,
    /// Whether it is part of the key.
    pub(crate) in_key: bool,
}

/// A column that is written as the source has it, or redacted, or cut.
///
/// # Errors
/// What a rule asks of it that cannot be.
pub(crate) fn planned(
    Place { table, source_index, in_key }: Place<'_>,
    column: &mut SourceColumn,
    mask: Option<ColumnMask>,
    naming: &Naming,
) -> Result<ColumnPlan, PlanError> {
    let nullable = !column.not_null && !in_key;
    let wanted = type_override::decide(table, column, in_key, &naming.rules)?;
    if wanted.is_some_and(|wanted| wanted.as_text) {
        column.pg_type = PgType::Other;
    }
    let policy = policy(table, column, in_key, &naming.rules, wanted)?;
    let as_text = policy == ValuePolicy::Text || wanted.is_some_and(|wanted| wanted.as_text);
    if as_text {
        column.pg_type = PgType::Other;
    }
    let mssql_type = wanted.map_or_else(|| type_map::map(column, in_key), |wanted| wanted.mssql_type);
    Ok(ColumnPlan {
        source_index,
        source_name: column.name.clone(),
        name: column_name(table, column, &naming.rules)?,
        pg_type: column.pg_type.clone(),
        mssql_type,
        nullable,
        policy,
        as_text,
        array: wanted.and_then(|wanted| wanted.array),
        mask: mask.map(|mask| mask.in_column(&mssql_type)),
        constant: None,
        most_large_bytes: None,
    })
}

/// A column of hashes: its values are asked for as those of any column, and what stands for them is text.
///
/// # Errors
/// As [`planned`].
pub(crate) fn hashed(
    place: Place<'_>,
    column: &SourceColumn,
    mask: ColumnMask,
    naming: &Naming,
) -> Result<ColumnPlan, PlanError> {
    let mut stand_in = mask.stands_for(column);
    let wished = type_override::decide(place.table, &stand_in, place.in_key, &naming.rules)?;
    let mut planned = planned(place, &mut stand_in, Some(mask), naming)?;
    match (&mut planned.mssql_type, wished) {
        (MssqlType::NVarChar { length: Length::Limited(length), .. }, None) => *length = HASH_DIGITS,
        (
            MssqlType::NVarChar { length: Length::Limited(length), .. }
            | MssqlType::VarChar { length: Length::Limited(length) },
            Some(_),
        ) if *length < HASH_DIGITS => {
            return Err(PlanError::TypeNarrows {
                table: place.table.clone(),
                column: column.name.clone(),
                target: TargetType::Plain(planned.mssql_type),
                lost: format!("hashes, which have {HASH_DIGITS} digits,"),
                in_key: place.in_key,
            });
        }
        _ => {}
    }
    if planned.policy == ValuePolicy::Text {
        planned.policy = ValuePolicy::Halt;
    }
    planned.as_text = false;
    planned.pg_type = mask_choice::hash_type();
    Ok(planned)
}

/// What becomes of a column's values that the target cannot hold.
///
/// A rule that names the column has to be possible for it. One for several columns counts where it is: `text`, `null` and
/// `clamp` for those whose type has values that the target lacks, `null` where NULL is allowed, neither `null` nor `clamp`
/// in a key, where they would make one row of two.
fn policy(
    table: &QualifiedName,
    column: &SourceColumn,
    in_key: bool,
    rules: &Rules,
    wanted: Option<Override>,
) -> Result<ValuePolicy, PlanError> {
    let Some(rule) = rules.value_policy(table, column) else { return Ok(ValuePolicy::Halt) };
    let names_column = rule.selector.is_column();
    let impossible = match rule.says {
        ValuePolicy::Halt | ValuePolicy::SetAside | ValuePolicy::Text => None,
        ValuePolicy::Null | ValuePolicy::Clamp if in_key => {
            Some("it is part of the key, and two rows could become one")
        }
        ValuePolicy::Null if column.not_null => Some("it is NOT NULL"),
        ValuePolicy::Clamp if !type_map::can_clamp(&column.pg_type) => {
            Some("values of its type have no nearest one")
        }
        ValuePolicy::Null | ValuePolicy::Clamp => None,
    };
    match impossible {
        Some(detail) if names_column => Err(PlanError::PolicyImpossible {
            table: table.clone(),
            column: column.name.clone(),
            policy: rule.says,
            detail,
        }),
        Some(_) => Ok(ValuePolicy::Halt),
        None if names_column || matches!(rule.says, ValuePolicy::Halt | ValuePolicy::SetAside) => {
            Ok(rule.says)
        }
        None => {
            let mssql_type = wanted.map_or_else(|| type_map::map(column, in_key), |wanted| wanted.mssql_type);
            let lacks = type_map::narrowing(&column.pg_type, &mssql_type, in_key).is_some()
                || wanted.is_some_and(|wanted| wanted.array.is_some());
            // A type that was asked for stays, whatever is said of everything.
            let can = lacks && !(rule.says == ValuePolicy::Text && wanted.is_some());
            Ok(if can { rule.says } else { ValuePolicy::Halt })
        }
    }
}

/// The name of a column in the target.
fn column_name(table: &QualifiedName, column: &SourceColumn, rules: &Rules) -> Result<String, PlanError> {
    let name = rules.column_name(table, column).map_or(&column.name, |rule| &rule.says.name);
    match target_name::column_trouble(name) {
        None => Ok(name.clone()),
        Some(reason) => Err(PlanError::ColumnName {
            table: table.clone(),
            column: column.name.clone(),
            target: name.clone(),
            reason,
        }),
    }
}
