//! Names as the target sees them: which of them are one name to it, and which it cannot give to a table of ours.

use segcdc_model::QualifiedName;

/// Longest identifier of SQL Server, in UTF-16 units (T-SQL manual, "Database identifiers").
const MAX_UNITS: usize = 128;

/// Views of SQL Server 2000's catalog: `dbo.sysobjects` means `sys.sysobjects` whatever is in `dbo` (T-SQL manual, "System
/// compatibility views").
const COMPATIBILITY_VIEWS: [&str; 33] = [
    "sysaltfiles",
    "syscacheobjects",
    "syscharsets",
    "syscolumns",
    "syscomments",
    "sysconfigures",
    "sysconstraints",
    "syscurconfigs",
    "syscursorcolumns",
    "syscursorrefs",
    "syscursors",
    "syscursortables",
    "sysdatabases",
    "sysdepends",
    "sysdevices",
    "sysfilegroups",
    "sysfiles",
    "sysforeignkeys",
    "sysfulltextcatalogs",
    "sysindexes",
    "sysindexkeys",
    "syslanguages",
    "syslockinfo",
    "syslogins",
    "sysmembers",
    "sysmessages",
    "sysobjects",
    "sysperfinfo",
    "syspermissions",
    "sysprocesses",
    "sysreferences",
    "systypes",
    "sysusers",
];

/// The name as a forgiving collation sees it: without trailing blanks, case, width, kind of kana, and characters without a
/// shape, which most databases do not look at. Accents count, as in most databases.
pub fn fold(name: &str) -> String {
    name.chars()
        .filter(|character| !is_ignored(*character))
        .map(narrow)
        .collect::<String>()
        .trim_end_matches(' ')
        .to_lowercase()
}

/// Schema and name as a forgiving collation sees them.
pub fn folded(target: &QualifiedName) -> (String, String) {
    (fold(&target.schema), fold(&target.name))
}

/// Why the target can have no table of this name, if it cannot.
pub(crate) fn trouble(target: &QualifiedName) -> Option<&'static str> {
    let blank = |name: &str| fold(name).trim_matches(' ').is_empty();
    let possible = |name: &str| !blank(name) && column_trouble(name).is_none();
    if !possible(&target.schema) || !possible(&target.name) {
        return Some("is blank, or longer than 128 UTF-16 units");
    }
    if target.name.starts_with('#') {
        return Some("begins with #, which makes a temporary table of it");
    }
    let is_view = || COMPATIBILITY_VIEWS.contains(&fold(&target.name).as_str());
    if fold(&target.schema) == "dbo" && is_view() {
        return Some("is a view of the server's own in dbo");
    }
    None
}

/// Why the target can have no column of this name, if it cannot. A column may be named by blanks.
pub(crate) fn column_trouble(name: &str) -> Option<&'static str> {
    let possible = !name.is_empty() && !name.contains('\0') && name.encode_utf16().count() <= MAX_UNITS;
    if possible { None } else { Some("is empty, or longer than 128 UTF-16 units") }
}

/// A schema and name to propose in the place of those of which one is impossible, or both are.
pub(crate) fn possible(target: &QualifiedName) -> QualifiedName {
    let mut possible = target.clone();
    if trouble(&QualifiedName::new(target.schema.clone(), "t")).is_some() {
        possible.schema = free(&target.schema, |_| false);
    }
    if trouble(&possible).is_some() {
        possible.name = free(&target.name, |_| false);
    }
    possible
}

/// A schema to propose in the place of one that is reserved, with the name.
pub(crate) fn in_other_schema(target: &QualifiedName) -> QualifiedName {
    QualifiedName::new(free(&target.schema, |_| false), target.name.clone())
}

/// A name to propose in the place of one that is taken or impossible: `name_2`, or the first number that is free.
pub(crate) fn free(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let stem = name.trim_start_matches('#').trim_end();
    let stem = if fold(stem).trim_matches(' ').is_empty() { "renamed" } else { stem };
    // A proposal is for people: what is too long is cut, since it is not the name of anything yet.
    let stem: String = stem.chars().take(MAX_UNITS / 2 - 8).collect();
    (2_usize..).map(|number| format!("{stem}_{number}")).find(|name| !taken(name)).unwrap_or(stem)
}

/// Whether a character has no weight in the collations of Windows: controls but white space, and marks of format.
fn is_ignored(character: char) -> bool {
    let is_format = matches!(
        u32::from(character),
        0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2064 | 0xFEFF
    );
    is_format || (character.is_control() && !character.is_whitespace())
}

/// The character in its usual width, and katakana as hiragana.
fn narrow(character: char) -> char {
    let code = u32::from(character);
    let narrowed = match code {
        0xFF01..=0xFF5E => code - 0xFF01 + 0x21,
        0x3000 => 0x20,
        0x30A1..=0x30F6 => code - 0x60,
        _ => code,
    };
    char::from_u32(narrowed).unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_most_databases_hold_equal_fold_to_one() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(fold(one) == fold(other), expected, "{one:?} {other:?}");
        };
        check("Id", "iD", true);
        check("id", "id  ", true);
        check("Straße", "STRAßE", true);
        check("ＩＤ", "id", true);
        check("カナ", "かな", true);
        check("id　", "id", true);
        check("id", " id", false);
        check("é", "e", false);
        check("a.b", "a_b", false);
        check("i\u{200b}d", "id\u{7f}", true);
        check("i\td", "id", false);
    }

    #[test]
    fn proposed_names_are_free_and_possible() {
        let check = |name: &str, taken: &[&str], expected: &str| {
            let found = free(name, |name| taken.iter().any(|taken| fold(taken) == fold(name)));
            assert_eq!(found, expected);
            assert_eq!(trouble(&QualifiedName::new("dbo", found)), None);
        };
        check("id", &["Id"], "id_2");
        check("id", &["ID_2", "id_3 "], "id_4");
        check("##t", &[], "t_2");
        check(" ", &[], "renamed_2");
        check("sysobjects", &[], "sysobjects_2");
        check(&"🦀".repeat(65), &[], &("🦀".repeat(56) + "_2"));
    }

    #[test]
    fn names_that_no_table_can_have_are_told() {
        let check = |schema: &str, name: &str, fine: bool| {
            assert_eq!(trouble(&QualifiedName::new(schema, name)).is_none(), fine, "{schema:?} {name:?}");
        };
        for name in ["t", " ]\"'[.;--", "@v", "$x", "sys", "table", "a#b", "🦀", "sysobjects2"] {
            check("dbo", name, true);
        }
        check("other", "sysobjects", true);
        check("#s", "t", true);
        check("DBO", "SysObjects", false);
        for name in ["", " ", "\u{1}", "#t", "##t", "a\0b", &"x".repeat(129), &"🦀".repeat(65)] {
            check("dbo", name, false);
        }
    }
}
