//! Whether rows, and the target's column, can keep what they have when a column has another type. Pure.

use segcdc_model::{Length, MssqlType, PgType};

use crate::type_map::holds_numeric;

/// The type of a column, as far as this is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typed<'a> {
    pub(super) pg_type: &'a PgType,
    pub(super) type_oid: u32,
    pub(super) type_modifier: i32,
}

/// Whether rows have the same values as before, each spelled as its new type spells it. `is_rewritten`: the source wrote them
/// anew, by the usual conversion of one type to the other, as far as anybody knows; else nothing was computed.
pub(super) fn keeps_values(old: Typed<'_>, new: Typed<'_>, is_rewritten: bool) -> bool {
    let same_type = old.type_oid == new.type_oid;
    if same_type && !is_rewritten {
        return true;
    }
    match (old.pg_type, new.pg_type) {
        (PgType::Int2 | PgType::Int4 | PgType::Int8, PgType::Int2 | PgType::Int4 | PgType::Int8)
        | (PgType::Float4, PgType::Float8)
        // Neither is cut by an ALTER TABLE: a value that is too long makes it fail, unless only blanks are too many.
        | (PgType::Varchar { .. } | PgType::Text | PgType::Enum, PgType::Varchar { .. } | PgType::Text | PgType::Enum) => true,
        (PgType::Int2 | PgType::Int4 | PgType::Int8, PgType::Numeric { bounds }) => bounds.is_none_or(|(_, scale)| scale >= 0),
        (PgType::Numeric { .. }, PgType::Numeric { bounds: None }) => true,
        (PgType::Numeric { bounds: Some((_, old)) }, PgType::Numeric { bounds: Some((_, new)) }) => new >= old,
        // What the text of another type is, nobody knows here.
        (PgType::Other, _) | (_, PgType::Other) => false,
        // Digits of a second, or a length.
        (old_type, new_type) if old_type == new_type => {
            new.type_modifier == -1 || (old.type_modifier != -1 && new.type_modifier >= old.type_modifier)
        }
        _ => false,
    }
}

/// Whether a column of the type `from` can become one of the type `to` with all that it has.
pub(super) fn widens(from: MssqlType, to: MssqlType) -> bool {
    use MssqlType::{BigInt, Decimal, Float, Int, NVarChar, Real, SmallInt, TinyInt, VarBinary, VarChar};
    let holds = |digits: u16, precision, scale| holds_numeric((digits, 0), precision, scale);
    match (from, to) {
        (from, to) if from == to => true,
        (TinyInt, SmallInt | Int | BigInt) | (SmallInt, Int | BigInt) | (Int, BigInt) | (Real, Float) => true,
        (TinyInt, Decimal { precision, scale }) => holds(3, precision, scale),
        (SmallInt, Decimal { precision, scale }) => holds(5, precision, scale),
        (Int, Decimal { precision, scale }) => holds(10, precision, scale),
        (BigInt, Decimal { precision, scale }) => holds(19, precision, scale),
        (Decimal { precision: old, scale: old_scale }, Decimal { precision, scale }) => {
            holds_numeric((old.into(), old_scale.into()), precision, scale)
        }
        (
            NVarChar { length, binary_collation },
            NVarChar { length: new, binary_collation: new_collation },
        ) => binary_collation == new_collation && is_longer(length, new),
        (VarBinary { length }, VarBinary { length: new }) | (VarChar { length }, VarChar { length: new }) => {
            is_longer(length, new)
        }
        (MssqlType::Time { scale }, MssqlType::Time { scale: new })
        | (MssqlType::DateTime2 { scale }, MssqlType::DateTime2 { scale: new })
        | (MssqlType::DateTimeOffset { scale }, MssqlType::DateTimeOffset { scale: new }) => new >= scale,
        _ => false,
    }
}

/// Whether a column of variable length has at least the room that `from` has when it is `to`, whatever their collations.
pub(super) fn has_room(from: MssqlType, to: MssqlType) -> bool {
    use MssqlType::{NVarChar, VarBinary, VarChar};
    match (from, to) {
        (NVarChar { length, .. }, NVarChar { length: new, .. })
        | (VarBinary { length }, VarBinary { length: new })
        | (VarChar { length }, VarChar { length: new }) => is_longer(length, new),
        _ => false,
    }
}

fn is_longer(old: Length, new: Length) -> bool {
    match (old, new) {
        (_, Length::Max) => true,
        (Length::Limited(old), Length::Limited(new)) => new >= old,
        (Length::Max, Length::Limited(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(pg_type: &PgType, type_oid: u32, type_modifier: i32) -> Typed<'_> {
        Typed { pg_type, type_oid, type_modifier }
    }

    #[test]
    fn values_stay_where_nothing_is_computed_or_the_conversion_is_exact() {
        let numeric = |precision, scale| PgType::Numeric { bounds: Some((precision, scale)) };
        let check = |old: PgType, new: PgType, in_place: bool, rewritten: bool| {
            let keeps = |is_rewritten| keeps_values(typed(&old, 1, -1), typed(&new, 2, -1), is_rewritten);
            assert_eq!((keeps(false), keeps(true)), (in_place, rewritten), "{old:?} {new:?}");
        };
        check(PgType::Int4, PgType::Int8, true, true);
        check(PgType::Int8, PgType::Int2, true, true);
        check(PgType::Int8, PgType::Numeric { bounds: None }, true, true);
        check(PgType::Int8, numeric(10, -2), false, false);
        check(PgType::Int4, PgType::Text, false, false);
        check(PgType::Int4, PgType::Oid, false, false);
        check(numeric(10, 2), numeric(12, 4), true, true);
        check(numeric(10, 2), numeric(12, 1), false, false);
        check(PgType::Numeric { bounds: None }, numeric(12, 1), false, false);
        check(PgType::Text, PgType::Varchar { length: Some(3) }, true, true);
        check(PgType::Char { length: 3 }, PgType::Text, false, false);
        check(PgType::Enum, PgType::Enum, true, true);
        check(PgType::Json, PgType::Jsonb, false, false);
        check(PgType::Timestamp, PgType::TimestampTz, false, false);
        check(PgType::Other, PgType::Other, false, false);
        check(PgType::Float4, PgType::Float8, true, true);
        check(PgType::Float8, PgType::Float4, false, false);
    }

    #[test]
    fn digits_of_a_second_may_be_lost() {
        let check = |old, new, expected| {
            let at = |modifier| typed(&PgType::Timestamp, 1114, modifier);
            assert_eq!(keeps_values(at(old), at(new), true), expected, "{old} {new}");
            assert!(keeps_values(at(old), at(new), false));
        };
        check(3, 6, true);
        check(3, -1, true);
        check(6, 3, false);
        check(-1, 3, false);
    }

    #[test]
    fn target_types_widen() {
        let decimal = |precision, scale| MssqlType::Decimal { precision, scale };
        let text = |length, binary_collation| MssqlType::NVarChar { length, binary_collation };
        let check = |from: MssqlType, to: MssqlType, expected: (bool, bool)| {
            assert_eq!((widens(from, to), widens(to, from)), expected, "{from} {to}");
        };
        check(MssqlType::Int, MssqlType::BigInt, (true, false));
        check(MssqlType::Int, decimal(10, 0), (true, false));
        check(MssqlType::Int, decimal(10, 1), (false, false));
        check(MssqlType::BigInt, decimal(38, 18), (true, false));
        check(decimal(10, 2), decimal(12, 4), (true, false));
        check(decimal(10, 2), decimal(10, 4), (false, false));
        check(text(Length::Limited(5), false), text(Length::Max, false), (true, false));
        check(text(Length::Limited(5), true), text(Length::Max, false), (false, false));
        check(MssqlType::Real, MssqlType::Float, (true, false));
        check(MssqlType::Date, MssqlType::DATETIME2, (false, false));
        check(MssqlType::Bit, MssqlType::Bit, (true, true));
    }
}
