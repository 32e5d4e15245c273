//! [`list`] and [`show`]: the rows of a pipeline that are set aside. Disturbs nothing.

use segcdc_model::{Disposition, Fault, Lsn, QualifiedName, Value};
use segcdc_plan::canonical;
use segcdc_postgres::Pattern;
use segcdc_sqlserver::{Letter, LetterCount, LetterFilter, PipelineState, Target};
use serde::Serialize;
use thiserror::Error;

use crate::config::EngineConfig;
use crate::engine_kind::EngineKind;
use crate::error::EngineError;

mod json;

pub use json::Object;

/// Why dead letters cannot be shown.
#[derive(Debug, Error)]
pub enum DeadLetterError {
    /// The pipeline has no dead letter of this number.
    #[error("pipeline \"{pipeline}\" has no dead letter {number}")]
    NotFound {
        /// The pipeline.
        pipeline: String,
        /// The number.
        number: i64,
    },
    /// The pipeline has no open dead letter of this number.
    #[error("pipeline \"{pipeline}\" has no open dead letter {number}")]
    NotOpen {
        /// The pipeline.
        pipeline: String,
        /// The number.
        number: i64,
    },
    /// What keeps the target from being asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Which letters are listed.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterQuery {
    /// Of source tables that match one of these; of all tables without any.
    pub patterns: Vec<Pattern>,
    /// Of this code only.
    pub code: Option<String>,
    /// The closed ones too.
    pub with_closed: bool,
    /// Those with a higher number; 0 for all.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

/// Letters, without the payloads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetterList {
    /// The pipeline.
    pub pipeline: String,
    /// Open letters of the tables and code that were asked for.
    pub open: u64,
    /// Closed ones of them.
    pub closed: u64,
    /// The letters, by number.
    pub letters: Vec<DeadLetterReport>,
    /// There are more, with higher numbers than the last.
    pub more: bool,
}

/// A letter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetterReport {
    /// What it is called by.
    pub number: i64,
    /// The source table.
    pub source: QualifiedName,
    /// `OPEN`, `DISCARDED`, or why it is closed: `HEALED`, `DELETED`, `TRUNCATED`, `REPLAYED`.
    pub state: String,
    /// Code of the error that the row would be.
    pub code: String,
    /// The column that does not fit.
    pub column: Option<String>,
    /// The commit that last touched the letter.
    pub commit_lsn: Lsn,
    /// The target holds an older version of the row.
    pub in_target: bool,
    /// The columns of that version that are behind the source.
    pub behind: Vec<String>,
    /// When it was opened, by the target's clock.
    pub opened_at: String,
    /// When it was last written, by the target's clock.
    pub updated_at: String,
    /// When it was closed, by the target's clock.
    pub closed_at: Option<String>,
    /// Values of the row.
    pub personal_data: PersonalData,
}

/// What a letter holds of its row. May be personal data: it is in nothing else that is shown. A closed letter holds none.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PersonalData {
    /// The key's values; empty for a table without a key.
    pub key: Option<Vec<String>>,
    /// The row as PostgreSQL prints it, by column; only of a letter that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Object>,
}

/// The letters that a query wants.
///
/// # Errors
/// `STATE_MISSING` when the target does not know the pipeline, `ENGINE_MISMATCH` when another engine runs it, and what
/// keeps the target from being asked.
pub async fn list(config: &EngineConfig, query: &DeadLetterQuery) -> Result<DeadLetterList, DeadLetterError> {
    let (mut target, _) = connect(config).await?;
    let counts = target.letter_counts(&config.name).await.map_err(EngineError::from)?;
    let filter = filter(query, &counts);
    let limit = query.limit.max(1);
    let found = target.letters(&config.name, &filter, limit.saturating_add(1)).await;
    let mut letters = found.map_err(EngineError::from)?;
    let more = letters.len() as u64 > u64::from(limit);
    letters.truncate(limit as usize);
    let (open, closed) = totals(query, &counts);
    let pipeline = config.name.clone();
    Ok(DeadLetterList { pipeline, open, closed, letters: letters.iter().map(report).collect(), more })
}

/// One letter, with its payload.
///
/// # Errors
/// As [`list`]; `DEAD_LETTER_NOT_FOUND`.
pub async fn show(config: &EngineConfig, number: i64) -> Result<DeadLetterReport, DeadLetterError> {
    let (mut target, _) = connect(config).await?;
    let found = target.letter(&config.name, number).await.map_err(EngineError::from)?;
    let (letter, payload) =
        found.ok_or_else(|| DeadLetterError::NotFound { pipeline: config.name.clone(), number })?;
    let mut shown = report(&letter);
    shown.personal_data.payload = payload.and_then(|payload| serde_json::from_str(&payload).ok());
    Ok(shown)
}

/// Discards open letters: what they hold of their rows is erased, and they are not shown as open any more. The rows stay
/// kept out until a version arrives that fits, and one that does not opens the letter again. The pipeline may run.
///
/// # Errors
/// As [`list`]; `DEAD_LETTER_NOT_OPEN` for the first that is not open, those before it are discarded then.
pub async fn discard(config: &EngineConfig, numbers: &[i64]) -> Result<(), DeadLetterError> {
    let (mut target, _) = connect(config).await?;
    for &number in numbers {
        if !target.discard_letter(&config.name, number).await.map_err(EngineError::from)? {
            return Err(DeadLetterError::NotOpen { pipeline: config.name.clone(), number });
        }
        tracing::info!(number, "a dead letter was discarded");
    }
    Ok(())
}

/// A session with a target that knows the pipeline as ours, and its state.
pub(crate) async fn connect(config: &EngineConfig) -> Result<(Target, PipelineState), EngineError> {
    let mut target = Target::connect(&config.target).await?;
    let state = target.known_state(&config.name).await?;
    EngineKind::Native.require(&state)?;
    Ok((target, state))
}

/// Whether a query is after the letters of a table.
fn is_wanted(query: &DeadLetterQuery, source: &QualifiedName) -> bool {
    query.patterns.is_empty() || query.patterns.iter().any(|pattern| pattern.matches(source))
}

/// The query in terms of the target, which knows tables by their OIDs.
pub(crate) fn filter(query: &DeadLetterQuery, counts: &[LetterCount]) -> LetterFilter {
    let tables = (!query.patterns.is_empty()).then(|| {
        let mut oids: Vec<u32> = counts
            .iter()
            .filter(|count| is_wanted(query, &count.source))
            .map(|count| count.source_oid)
            .collect();
        oids.dedup();
        oids
    });
    LetterFilter { tables, code: query.code.clone(), with_closed: query.with_closed, after: query.after }
}

/// Open and closed letters of the tables and code that a query is after.
fn totals(query: &DeadLetterQuery, counts: &[LetterCount]) -> (u64, u64) {
    counts
        .iter()
        .filter(|count| {
            is_wanted(query, &count.source) && query.code.as_ref().is_none_or(|code| *code == count.code)
        })
        .fold((0, 0), |(open, closed), count| (open + count.open, closed + count.closed))
}

/// A letter without its payload.
fn report(letter: &Letter) -> DeadLetterReport {
    let key = letter.key.as_ref().and_then(|key| serde_json::from_str(key).ok());
    DeadLetterReport {
        number: letter.number,
        source: letter.source.clone(),
        state: match &letter.closed {
            Some((_, by)) => by.to_uppercase(),
            None if letter.discarded => "DISCARDED".to_owned(),
            None => "OPEN".to_owned(),
        },
        code: letter.code.clone(),
        column: letter.column.clone(),
        commit_lsn: letter.commit_lsn,
        in_target: letter.in_target,
        behind: letter.behind.clone(),
        opened_at: time(letter.opened_at_us),
        updated_at: time(letter.updated_at_us),
        closed_at: letter.closed.as_ref().map(|(at_us, _)| time(*at_us)),
        personal_data: PersonalData { key, payload: None },
    }
}

/// Microseconds since 2000 as ISO 8601.
pub(crate) fn time(at_us: i64) -> String {
    let mut text = String::new();
    canonical::write_text(&Value::TimestampTz(at_us), &mut text);
    text
}

impl Fault for DeadLetterError {
    fn code(&self) -> &'static str {
        match self {
            DeadLetterError::NotFound { .. } => "DEAD_LETTER_NOT_FOUND",
            DeadLetterError::NotOpen { .. } => "DEAD_LETTER_NOT_OPEN",
            DeadLetterError::Engine(error) => error.code(),
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            DeadLetterError::NotFound { .. } | DeadLetterError::NotOpen { .. } => Disposition::Halt,
            DeadLetterError::Engine(error) => error.disposition(),
        }
    }

    fn hint(&self) -> String {
        match self {
            DeadLetterError::NotFound { .. } => {
                "list the letters with their numbers: `segcdc deadletter list --closed`".to_owned()
            }
            DeadLetterError::NotOpen { .. } => {
                "list the open letters with their numbers: `segcdc deadletter list`".to_owned()
            }
            DeadLetterError::Engine(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(oid: u32, name: &str, code: &str, open: u64, closed: u64) -> LetterCount {
        let source = QualifiedName::new("public", name);
        LetterCount { source_oid: oid, source, code: code.to_owned(), open, closed, discarded: 0 }
    }

    fn letter() -> Letter {
        Letter {
            number: 17,
            source_oid: 1,
            source: QualifiedName::new("public", "a"),
            commit_lsn: Lsn::new(5),
            code: "VALUE_TOO_LONG".to_owned(),
            column: Some("note".to_owned()),
            in_target: false,
            behind: Vec::new(),
            opened_at_us: 0,
            updated_at_us: 1_500_000,
            closed: None,
            discarded: false,
            key: Some("[\"7\"]".to_owned()),
        }
    }

    #[test]
    fn a_query_knows_tables_by_pattern_and_the_target_by_oid() {
        let counts = [
            count(1, "a", "VALUE_TOO_LONG", 3, 1),
            count(1, "a", "VALUE_UNREPRESENTABLE", 4, 0),
            count(2, "b", "VALUE_TOO_LONG", 10, 20),
        ];
        let all = DeadLetterQuery::default();
        assert_eq!(filter(&all, &counts), LetterFilter::default());
        assert_eq!(totals(&all, &counts), (17, 21));
        let patterns = vec![Pattern::parse("public.a").unwrap()];
        let of_a = DeadLetterQuery { patterns, code: Some("VALUE_TOO_LONG".to_owned()), ..all.clone() };
        assert_eq!(filter(&of_a, &counts).tables, Some(vec![1]));
        assert_eq!(totals(&of_a, &counts), (3, 1));
        let patterns = vec![Pattern::parse("public.none").unwrap()];
        let of_none = DeadLetterQuery { patterns, ..all };
        assert_eq!(filter(&of_none, &counts).tables, Some(Vec::new()));
        assert_eq!(totals(&of_none, &counts), (0, 0));
    }

    #[test]
    fn a_letter_tells_when_and_how_it_ended() {
        let open = report(&letter());
        assert_eq!(open.state, "OPEN");
        assert_eq!(open.updated_at, "2000-01-01T00:00:01.500000Z");
        assert_eq!(open.personal_data.key, Some(vec!["7".to_owned()]));
        let closed = report(&Letter { closed: Some((0, "healed".to_owned())), key: None, ..letter() });
        assert_eq!((closed.state.as_str(), closed.personal_data.key), ("HEALED", None));
        assert_eq!(closed.closed_at.as_deref(), Some("2000-01-01T00:00:00.000000Z"));
    }
}
