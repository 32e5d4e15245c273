//! [`RulesError`]: what is wrong with the rules of a pipeline.

use segcdc_model::{Disposition, Fault, QualifiedName};
use segcdc_plan::rules::RuleError;

/// Version of how rules are stored. A higher one is refused.
pub(crate) const VERSION: u32 = 2;

/// Version of rules that say nothing of columns that are left out.
pub(crate) const FIRST_VERSION: u32 = 1;

/// What is wrong with rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The state holds rules that this version does not understand.
    #[error("the state of pipeline {pipeline} holds rules that cannot be read")]
    Stored {
        /// The pipeline.
        pipeline: String,
        /// Why not.
        #[source]
        reason: Unreadable,
    },
    /// Rules that would give tables other columns, types or names than their target tables have.
    #[error("the new rules would change the target tables of {}, which are live", list(.tables))]
    ChangeShape {
        /// The source tables.
        tables: Vec<QualifiedName>,
    },
}

/// Why stored rules cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another version wrote them.
    #[error("they have version {0}, this program knows {VERSION}")]
    Version(u32),
    /// They are not what this product writes.
    #[error("{0}")]
    Malformed(String),
    /// A rule is none.
    #[error(transparent)]
    Rule(RuleError),
}

// === impl RulesError ===

impl Fault for RulesError {
    fn code(&self) -> &'static str {
        match self {
            RulesError::Stored { .. } => "RULES_UNREADABLE",
            RulesError::ChangeShape { .. } => "RULES_CHANGE_SHAPE",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            RulesError::Stored { .. } | RulesError::ChangeShape { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            RulesError::Stored { .. } => {
                "run the version of the program that stored them, or a newer one".to_owned()
            }
            RulesError::ChangeShape { .. } => {
                "give the same rules to `segcdc table resync --tables ...` to have these tables made anew and copied \
                 again, or leave the rules away"
                    .to_owned()
            }
        }
    }
}

/// Names with commas between them.
fn list(tables: &[QualifiedName]) -> String {
    tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
