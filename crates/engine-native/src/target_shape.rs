//! [`differences`]: how target tables differ from what was made for their plans.

use segcdc_model::QualifiedName;
use segcdc_plan::TablePlan;
use segcdc_sqlserver::{Target, TargetError, tables};

/// For each plan, in their order, how its target table differs from what was made for it; empty where it does not.
///
/// # Errors
/// The target's.
pub(crate) async fn differences(
    target: &mut Target,
    plans: &[&TablePlan],
) -> Result<Vec<String>, TargetError> {
    let names: Vec<&QualifiedName> = plans.iter().map(|plan| &plan.target).collect();
    let existing = target.existing_tables(&names).await?;
    let said = |(plan, existing): (&&TablePlan, Option<_>)| match existing {
        None => "it is not there".to_owned(),
        Some(existing) => {
            let found = tables::differences(&existing, plan);
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
    };
    Ok(plans.iter().zip(existing).map(said).collect())
}
