//! Type OIDs and modifiers to [`PgType`].

use segcdc_model::PgType;

/// A column's type as `pg_type` and `pg_attribute` give it, domains resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct CatalogType {
    /// `pg_type.oid` of the base type: fixed for built-in types (`pg_type.dat`).
    pub(super) oid: u32,
    /// Type modifier, -1 for none.
    pub(super) modifier: i32,
    /// `pg_type.typtype` is `e`.
    pub(super) is_enum: bool,
    /// The type `citext` of the extension of that name.
    pub(super) is_citext: bool,
}

/// Modifiers of variable-length types count the length word too (`VARHDRSZ`).
const HEADER: i32 = 4;

/// What the type holds, as far as the product understands it.
pub(super) fn pg_type(found: CatalogType) -> PgType {
    let length = found.modifier.checked_sub(HEADER).and_then(|length| u32::try_from(length).ok());
    match found.oid {
        16 => PgType::Bool,
        17 => PgType::Bytea,
        19 => PgType::Name,
        20 => PgType::Int8,
        21 => PgType::Int2,
        23 => PgType::Int4,
        25 => PgType::Text,
        26 => PgType::Oid,
        114 => PgType::Json,
        // The catalog of types does not know the digits: they are the database's, see `money`.
        790 => PgType::Money { fraction_digits: 2 },
        1560 if found.modifier == 1 => PgType::Bit,
        700 => PgType::Float4,
        701 => PgType::Float8,
        // Without a length, bpchar is text whose trailing blanks do not count.
        1042 => length.map_or(PgType::Text, |length| PgType::Char { length }),
        1043 => PgType::Varchar { length },
        1082 => PgType::Date,
        1083 => PgType::Time,
        1114 => PgType::Timestamp,
        1184 => PgType::TimestampTz,
        1700 => PgType::Numeric { bounds: numeric_bounds(found.modifier) },
        2950 => PgType::Uuid,
        3802 => PgType::Jsonb,
        _ if found.is_enum => PgType::Enum,
        _ if found.is_citext => PgType::Text,
        _ => PgType::Other,
    }
}

/// Precision and scale of a numeric's modifier (`make_numeric_typmod`): 16 bits and, signed, 11 bits.
fn numeric_bounds(modifier: i32) -> Option<(u16, i16)> {
    let packed = modifier.checked_sub(HEADER).filter(|packed| *packed >= 0)?;
    let precision = u16::try_from((packed >> 16) & 0xFFFF).ok()?;
    let scale = i16::try_from(((packed & 0x7FF) ^ 1024) - 1024).ok()?;
    Some((precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_unpacked() {
        let check = |oid, modifier, expected| {
            let found = CatalogType { oid, modifier, is_enum: false, is_citext: false };
            assert_eq!(pg_type(found), expected, "{oid} {modifier}");
        };
        check(1043, 14, PgType::Varchar { length: Some(10) });
        check(1043, -1, PgType::Varchar { length: None });
        check(1042, 5, PgType::Char { length: 1 });
        check(1042, -1, PgType::Text);
        check(1700, -1, PgType::Numeric { bounds: None });
        check(1700, (38 << 16) + 10 + 4, PgType::Numeric { bounds: Some((38, 10)) });
        check(1700, (5 << 16) + (0x7FF & -3) + 4, PgType::Numeric { bounds: Some((5, -3)) });
        check(1700, (1000 << 16) + 4, PgType::Numeric { bounds: Some((1000, 0)) });
        check(1560, 1, PgType::Bit);
        check(1560, 2, PgType::Other);
        check(1562, 1, PgType::Other);
        check(1186, -1, PgType::Other);
        check(1009, -1, PgType::Other);
        check(1043, i32::MIN, PgType::Varchar { length: None });
        check(1700, i32::MIN, PgType::Numeric { bounds: None });
    }

    #[test]
    fn user_types_are_known_by_kind() {
        let user =
            |is_enum, is_citext| pg_type(CatalogType { oid: 99_999, modifier: -1, is_enum, is_citext });
        assert_eq!(user(true, false), PgType::Enum);
        assert_eq!(user(false, true), PgType::Text);
        assert_eq!(user(false, false), PgType::Other);
    }
}
