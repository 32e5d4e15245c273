//! [`StatusNote`]: something that a person should know.

use segcdc_model::Fault;
use serde::Serialize;

use crate::error::EngineError;

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusNote {
    /// Stable code.
    pub code: String,
    /// What is the matter.
    pub detail: String,
    /// What a person can do.
    pub hint: String,
}

// === impl StatusNote ===

impl StatusNote {
    /// What an error says of itself.
    pub(crate) fn of(error: &EngineError) -> Self {
        StatusNote {
            code: error.code().to_owned(),
            detail: segcdc_model::fault::chain(error),
            hint: error.hint(),
        }
    }
}
