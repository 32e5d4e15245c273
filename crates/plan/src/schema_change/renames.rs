//! [`ordered`]: in which order columns of a table get other names, where one's new name is another's old one. Pure.

use super::{Action, Step};
use crate::target_name::fold;

/// Puts renames into an order in which no name is taken when it is given. Where there is none, because names go round, the
/// first step gives all of them names of its own, from which they go on.
pub(super) fn ordered(mut renames: Vec<Step>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(renames.len());
    while let Some(at) = renames.iter().position(|step| is_free(step, &renames)) {
        steps.push(renames.remove(at));
    }
    let mut apart = Vec::new();
    for (number, step) in renames.iter_mut().enumerate() {
        for action in &mut step.actions {
            if let Action::RenameColumn { from, .. } = action {
                let to = format!("segcdc_renamed_{number}");
                apart.push(Action::RenameColumn { from: std::mem::replace(from, to.clone()), to });
            }
        }
    }
    if let Some(first) = renames.first_mut() {
        apart.append(&mut first.actions);
        first.actions = apart;
    }
    steps.append(&mut renames);
    steps
}

/// Whether the names that a step gives are nobody's any more.
fn is_free(step: &Step, others: &[Step]) -> bool {
    let is_taken = |to: &str| {
        let names = others.iter().filter(|other| *other != step).flat_map(|other| &other.actions);
        names
            .clone()
            .any(|action| matches!(action, Action::RenameColumn { from, .. } if fold(from) == fold(to)))
    };
    step.actions.iter().all(|action| match action {
        Action::RenameColumn { to, .. } => !is_taken(to),
        _ => true,
    })
}
