//! Errors of the layers below as [`EngineError`].

use segcdc_plan::PlanError;
use segcdc_postgres::SourceError;
use segcdc_sqlserver::TargetError;

use super::EngineError;

impl From<SourceError> for EngineError {
    fn from(error: SourceError) -> Self {
        EngineError::Source(Box::new(error))
    }
}

impl From<TargetError> for EngineError {
    fn from(error: TargetError) -> Self {
        EngineError::Target(Box::new(error))
    }
}

impl From<PlanError> for EngineError {
    fn from(error: PlanError) -> Self {
        EngineError::Plan(Box::new(error))
    }
}
