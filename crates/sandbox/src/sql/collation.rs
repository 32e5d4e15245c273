//! Collations by name: what they compare, and what PostgreSQL compares with.

use segcdc_tds::Collation;

use crate::answer::SqlError;

/// What a collation tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sensitivity {
    /// `_BIN` and `_BIN2`
    Binary,
    /// `_CI_AS`
    Accent,
    /// `_CS_AS`
    CaseAndAccent,
    /// `_CI_AI`
    Nothing,
    /// `_CS_AI`
    Case,
}

/// A collation of character columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collate {
    /// Its name, as the catalog shows it.
    pub(crate) name: String,
    /// What it tells apart.
    pub(crate) sensitivity: Sensitivity,
    /// varchar is UTF-8 instead of code page 1252.
    pub(crate) utf8: bool,
    /// As the wire carries it.
    pub(crate) wire: Collation,
}

/// Collation of databases, columns without COLLATE, and texts that come from nowhere.
pub(crate) const DEFAULT_NAME: &str = "SQL_Latin1_General_CP1_CI_AS";

/// Families of which collations are known: name, version on the wire, sort id.
const FAMILIES: [(&str, u8, u8); 4] = [
    ("Latin1_General_100", 2, 0),
    ("Latin1_General", 0, 0),
    ("SQL_Latin1_General_CP1", 0, 52),
    ("SQL_Latin1_General_CP1250", 0, 81),
];

/// Flags of [MS-TDS] 2.2.5.1.2 in the third and fourth byte.
mod flag {
    pub(super) const IGNORE_CASE: u8 = 0x10;
    pub(super) const IGNORE_ACCENT: u8 = 0x20;
    pub(super) const IGNORE_KANA_AND_WIDTH: u8 = 0xC0;
    pub(super) const BINARY: u8 = 0x01;
    pub(super) const BINARY2: u8 = 0x02;
    pub(super) const UTF8: u8 = 0x04;
}

// === impl Collate ===

impl Collate {
    /// The database's.
    pub(crate) fn database_default() -> Self {
        Collate {
            name: DEFAULT_NAME.to_owned(),
            sensitivity: Sensitivity::Accent,
            utf8: false,
            wire: Collation::SQL_LATIN1_GENERAL_CP1_CI_AS,
        }
    }

    /// The collation of this name (448: unknown).
    pub(crate) fn by_name(name: &str) -> Result<Self, SqlError> {
        let lower = name.to_ascii_lowercase();
        if lower == "database_default" || lower == "catalog_default" {
            return Ok(Self::database_default());
        }
        let unknown = || SqlError::new(448, 16, format!("Invalid collation '{name}'."));
        let families = FAMILIES.iter().filter_map(|family| {
            let rest = lower.strip_prefix(&family.0.to_ascii_lowercase())?;
            Some((family, rest.strip_prefix('_')?))
        });
        for ((family, version, sort_id), rest) in families {
            if let Some((sensitivity, suffix, utf8)) = suffix(rest) {
                let wire = wire(sensitivity, suffix, *version, *sort_id, utf8);
                return Ok(Collate { name: format!("{family}_{suffix}"), sensitivity, utf8, wire });
            }
        }
        Err(unknown())
    }

    /// The collation that PostgreSQL compares with.
    pub(crate) fn postgres(&self) -> &'static str {
        match self.sensitivity {
            Sensitivity::Binary => "\"C\"",
            Sensitivity::Accent => "tsql.ci_as",
            Sensitivity::CaseAndAccent => "tsql.cs_as",
            Sensitivity::Nothing => "tsql.ci_ai",
            Sensitivity::Case => "tsql.cs_ai",
        }
    }
}

/// What the end of a name means, and how it is spelled.
fn suffix(lower: &str) -> Option<(Sensitivity, &'static str, bool)> {
    Some(match lower {
        "bin" => (Sensitivity::Binary, "BIN", false),
        "bin2" => (Sensitivity::Binary, "BIN2", false),
        "bin2_utf8" => (Sensitivity::Binary, "BIN2_UTF8", true),
        "ci_as" => (Sensitivity::Accent, "CI_AS", false),
        "cs_as" => (Sensitivity::CaseAndAccent, "CS_AS", false),
        "ci_ai" => (Sensitivity::Nothing, "CI_AI", false),
        "cs_ai" => (Sensitivity::Case, "CS_AI", false),
        "ci_as_sc" => (Sensitivity::Accent, "CI_AS_SC", false),
        "cs_as_sc" => (Sensitivity::CaseAndAccent, "CS_AS_SC", false),
        "ci_ai_sc" => (Sensitivity::Nothing, "CI_AI_SC", false),
        "ci_as_sc_utf8" => (Sensitivity::Accent, "CI_AS_SC_UTF8", true),
        "cs_as_sc_utf8" => (Sensitivity::CaseAndAccent, "CS_AS_SC_UTF8", true),
        "ci_ai_sc_utf8" => (Sensitivity::Nothing, "CI_AI_SC_UTF8", true),
        _ => return None,
    })
}

fn wire(sensitivity: Sensitivity, suffix: &str, version: u8, sort_id: u8, utf8: bool) -> Collation {
    let compare = match sensitivity {
        Sensitivity::Binary => 0,
        Sensitivity::Accent => flag::IGNORE_CASE | flag::IGNORE_KANA_AND_WIDTH,
        Sensitivity::CaseAndAccent => flag::IGNORE_KANA_AND_WIDTH,
        Sensitivity::Nothing => flag::IGNORE_CASE | flag::IGNORE_ACCENT | flag::IGNORE_KANA_AND_WIDTH,
        Sensitivity::Case => flag::IGNORE_ACCENT | flag::IGNORE_KANA_AND_WIDTH,
    };
    let binary = match sensitivity {
        Sensitivity::Binary if suffix.starts_with("BIN2") => flag::BINARY2,
        Sensitivity::Binary => flag::BINARY,
        _ => 0,
    };
    let encoding = if utf8 { flag::UTF8 } else { 0 };
    Collation([0x09, 0x04, compare, version << 4 | binary | encoding, sort_id])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_spelled_as_the_catalog_does() {
        let check = |name: &str, expected: &str, sensitivity, wire: Option<Collation>| {
            let found = Collate::by_name(name).unwrap();
            assert_eq!((found.name.as_str(), found.sensitivity), (expected, sensitivity));
            if let Some(wire) = wire {
                assert_eq!(found.wire, wire);
            }
        };
        check(
            "latin1_general_100_bin2",
            "Latin1_General_100_BIN2",
            Sensitivity::Binary,
            Some(Collation::LATIN1_GENERAL_100_BIN2),
        );
        check(
            "SQL_LATIN1_GENERAL_CP1_CI_AS",
            "SQL_Latin1_General_CP1_CI_AS",
            Sensitivity::Accent,
            Some(Collation::SQL_LATIN1_GENERAL_CP1_CI_AS),
        );
        check(
            "Latin1_General_100_CI_AS_SC_UTF8",
            "Latin1_General_100_CI_AS_SC_UTF8",
            Sensitivity::Accent,
            Some(Collation::LATIN1_GENERAL_100_CI_AS_SC_UTF8),
        );
        check("Latin1_General_CS_AS", "Latin1_General_CS_AS", Sensitivity::CaseAndAccent, None);
        check("database_default", DEFAULT_NAME, Sensitivity::Accent, None);
    }

    #[test]
    fn unknown_collation_is_error_448() {
        assert_eq!(Collate::by_name("Klingon_CI_AS").unwrap_err().number, 448);
    }
}
