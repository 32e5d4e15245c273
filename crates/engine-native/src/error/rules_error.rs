//! [`RulesError`]: what is wrong with the rules of a pipeline.

use segcdc_model::{Disposition, Fault, QualifiedName};
use segcdc_plan::rules::RuleError;

/// How rules are stored.
pub(crate) mod version {
    /// The version of now. A higher one is refused.
    pub(crate) const LATEST: u32 = 4;

    /// That of rules that say nothing of how rows are kept.
    pub(crate) const REWRITTEN: u32 = 3;

    /// That of rules that leave columns or rows out, and say nothing of masked and constant columns.
    pub(crate) const CHOICE: u32 = 2;

    /// That of rules that say nothing of columns that are left out.
    pub(crate) const FIRST: u32 = 1;
}

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
    /// Values are to be hashed, and nobody said with what.
    #[error(
        "the rules of pipeline {pipeline} hash values of columns, and there is no salt to hash them with"
    )]
    SaltMissing {
        /// The pipeline.
        pipeline: String,
    },
    /// Values were hashed with another salt.
    #[error("the salt is not the one that pipeline {pipeline} has hashed values with")]
    SaltChanged {
        /// The pipeline.
        pipeline: String,
    },
}

/// Why stored rules cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another version wrote them.
    #[error("they have version {0}, this program knows {latest}", latest = version::LATEST)]
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
            RulesError::SaltMissing { .. } => "MASK_SALT_MISSING",
            RulesError::SaltChanged { .. } => "MASK_SALT_CHANGED",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            RulesError::Stored { .. }
            | RulesError::ChangeShape { .. }
            | RulesError::SaltMissing { .. }
            | RulesError::SaltChanged { .. } => Disposition::Halt,
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
            RulesError::SaltMissing { .. } => {
                "give a secret of at least 16 bytes with --mask-salt-file FILE, or in the variable that --mask-salt-env names; keep it, \
                 for equal values have equal hashes only while it is the same"
                    .to_owned()
            }
            RulesError::SaltChanged { .. } => {
                "give the salt of before: hashes of two salts do not match each other. To go over to another one, remove the pipeline with \
                 `segcdc down --drop` and make it again, which copies all tables"
                    .to_owned()
            }
        }
    }
}

/// Names with commas between them.
fn list(tables: &[QualifiedName]) -> String {
    tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
