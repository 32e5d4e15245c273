//! [`PipelineSpec`]: what a pipeline replicates and how, as its user asks for it. The words are those of `segcdc up`.

use segcdc_model::given::is_slot_name;
use segcdc_model::name_pattern::parse_dotted;
use serde::{Deserialize, Serialize};

use crate::field::{FieldError, FieldProblems, Findings};

/// Longest name of a pipeline: with prefix and generation it has to fit into a slot name of 63 bytes.
pub const MAX_PIPELINE_NAME: usize = 40;

/// Most patterns and rules of one kind.
const MAX_RULES: usize = 10_000;

/// What is copied before changes are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotChoice {
    /// Copy, then follow.
    #[default]
    Initial,
    /// Only follow: the target holds the rows already.
    None,
    /// Only copy.
    Only,
}

/// What a pipeline replicates and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineSpec {
    /// Tables as `schema.table` with `*` and `?`; empty means all.
    pub tables: Vec<String>,
    /// What becomes of values that SQL Server cannot hold, as `--on-value`.
    pub on_value: Vec<String>,
    /// Types in the target, as `--type`.
    pub types: Vec<String>,
    /// Names in the target, as `--rename`.
    pub renames: Vec<String>,
    /// Unique indexes by which rows are identified, as `--key`.
    pub keys: Vec<String>,
    /// Tables that only grow in the target, as `--append-only`.
    pub append_only: Vec<String>,
    /// What becomes of rows that the target's tables refuse, as `--on-refused`.
    pub on_refused: Vec<String>,
    /// How many rows of a table may be set aside, as `--dead-letter-limit`.
    pub dead_letter_limit: Vec<String>,
    /// What is copied first.
    pub snapshot: SnapshotChoice,
    /// A publication that exists and is used.
    pub publication: Option<String>,
    /// A slot that exists and is used; with [`SnapshotChoice::None`] only.
    pub slot: Option<String>,
    /// Sessions that copy at the same time.
    pub readers: Option<u8>,
    /// WAL that the source may keep, bytes; behind it an alert is raised.
    pub max_retained_wal_bytes: Option<u64>,
}

// === impl PipelineSpec ===

impl PipelineSpec {
    /// Whether the parts fit together. What the patterns and rules mean is the engine's to say.
    ///
    /// # Errors
    /// All that does not.
    pub fn check(&self) -> Result<(), FieldProblems> {
        let mut findings = Findings::default();
        for (field, rules) in [
            ("tables", &self.tables),
            ("on_value", &self.on_value),
            ("types", &self.types),
            ("renames", &self.renames),
            ("keys", &self.keys),
            ("append_only", &self.append_only),
            ("on_refused", &self.on_refused),
            ("dead_letter_limit", &self.dead_letter_limit),
        ] {
            if rules.len() > MAX_RULES || rules.iter().any(|rule| rule.len() > 1024) {
                findings.add(field, FieldError::Range { min: 0, max: 10_000 });
            }
        }
        // A pipeline that can never start is not stored.
        if let Some(name) = &self.slot
            && !is_slot_name(name)
        {
            findings.add("slot", FieldError::SlotName { name: name.chars().take(80).collect() });
        } else if self.slot.is_some() && self.snapshot != SnapshotChoice::None {
            findings.add("slot", FieldError::SlotWithSnapshot);
        }
        let is_pattern = |text: &str| parse_dotted(text).is_some_and(|parts| parts.len() <= 2);
        if let Some(wrong) = self.tables.iter().find(|pattern| !is_pattern(pattern)) {
            findings.add("tables", FieldError::TablePattern { pattern: wrong.chars().take(80).collect() });
        }
        if self.readers.is_some_and(|readers| !(1..=32).contains(&readers)) {
            findings.add("readers", FieldError::Range { min: 1, max: 32 });
        }
        findings.finish()
    }
}

/// Whether a name can be a pipeline's: it is part of a slot's name.
///
/// # Errors
/// [`FieldError::PipelineName`].
pub fn check_name(name: &str) -> Result<(), FieldError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let ends = |c: Option<char>| c.is_some_and(|c| c != '_');
    if (1..=MAX_PIPELINE_NAME).contains(&name.len())
        && name.chars().all(allowed)
        && ends(name.chars().next())
        && ends(name.chars().next_back())
    {
        return Ok(());
    }
    Err(FieldError::PipelineName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_part_of_a_slots_name() {
        for good in ["a", "orders_2026", &"x".repeat(40)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "A", "a-b", "a b", "_a", "a_", "ä", &"x".repeat(41), "a;b"] {
            assert_eq!(check_name(bad), Err(FieldError::PipelineName), "{bad}");
        }
    }

    #[test]
    fn parts_have_to_fit_together() {
        let wrong = |spec: PipelineSpec| spec.check().err().map(|problems| problems.first.error.code());
        assert_eq!(wrong(PipelineSpec::default()), None);
        let slot = PipelineSpec { slot: Some("s".to_owned()), ..PipelineSpec::default() };
        assert_eq!(wrong(slot.clone()), Some("SLOT_WITH_SNAPSHOT"));
        assert_eq!(wrong(PipelineSpec { snapshot: SnapshotChoice::None, ..slot }), None);
        assert_eq!(wrong(PipelineSpec { readers: Some(33), ..PipelineSpec::default() }), Some("RANGE"));
        let many = vec![String::from("a"); MAX_RULES + 1];
        assert_eq!(wrong(PipelineSpec { tables: many, ..PipelineSpec::default() }), Some("RANGE"));
    }

    #[test]
    fn what_postgresql_would_refuse_is_not_stored() {
        let spec = |slot: Option<&str>, tables: &[&str]| {
            let tables = tables.iter().map(|pattern| (*pattern).to_owned()).collect();
            let snapshot = SnapshotChoice::None;
            let spec =
                PipelineSpec { slot: slot.map(str::to_owned), tables, snapshot, ..PipelineSpec::default() };
            spec.check().err().map(|problems| problems.first.error.code())
        };
        for name in ["", "My-Slot", "pg_x", "größe", "a b", &"s".repeat(64)] {
            assert_eq!(spec(Some(name), &[]), Some("SLOT_NAME"), "{name}");
        }
        assert_eq!(spec(Some(&"s".repeat(63)), &["t", "s.*", "\"a.b\".c"]), None);
        for pattern in ["", "a..b", "a.b.c", "\"a", "a."] {
            assert_eq!(spec(None, &["ok", pattern]), Some("TABLE_PATTERN"), "{pattern}");
        }
    }

    #[test]
    fn a_spec_of_an_older_version_is_read() {
        assert_eq!(serde_json::from_str::<PipelineSpec>("{}").unwrap(), PipelineSpec::default());
    }
}
