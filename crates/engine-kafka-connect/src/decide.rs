//! [`decide`]: the steps from what is there to what should be. Pure.
//!
//! ```text
//! secrets, validation through the worker
//! state row (names of everything)              from here on, what is made can be found and removed
//! heartbeat tables, publication, target tables
//! slot                                         WAL is kept from here on
//! state complete
//! sinks stopped, source stopped                nothing moves before everything is there
//! where the source begins                      if that is known: tables were copied, or another engine ran before
//! resume source, begin sinks                   the source makes the topics; a reader would make them otherwise
//! ```
//!
//! Each step can be repeated. A set-up that was interrupted is resumed by deciding again from what is there then.

use std::collections::BTreeMap;

use segcdc_engine_native::EngineError;
use serde::Serialize;

use crate::error::ConnectError;
use crate::property::{Change, Connector, Properties, Role, differences};
use crate::rest::ConnectorWord;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Name of the slot.
    pub slot: String,
    /// Name of the publication.
    pub publication: String,
    /// The target knows the pipeline.
    pub has_state: bool,
    /// Its set-up was completed once.
    pub is_complete: bool,
    /// The slot is there.
    pub has_slot: bool,
    /// The slot was invalidated, in the server's word for why.
    pub lost: Option<String>,
    /// Rows were copied and followed, and now nothing reads the slot.
    pub is_unread: bool,
    /// The publication is there.
    pub has_publication: bool,
    /// Its heartbeat tables are on both sides and published.
    pub has_heartbeats: bool,
    /// It is known where the source connector begins.
    pub has_start: bool,
    /// The source connector has some progress stored.
    pub has_offset: bool,
    /// The connectors of the wanted names that are there.
    pub connectors: BTreeMap<String, ObservedConnector>,
}

/// A connector as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedConnector {
    /// Its configuration.
    pub properties: Properties,
    /// Its state; `None` while the worker does not say.
    pub word: Option<ConnectorWord>,
    /// It has stored how far it is.
    pub has_progress: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Put the passwords where the worker reads them.
    WriteSecrets,
    /// Have the worker check all configurations.
    Validate,
    /// Write the pipeline's state.
    WriteState,
    /// Make the heartbeat tables on both sides.
    CreateHeartbeats,
    /// Add the heartbeat tables to a publication that has been in use without them.
    PublishHeartbeats,
    /// Make the publication.
    CreatePublication,
    /// Make the target's tables with their keys.
    CreateTables,
    /// Make the slot.
    CreateSlot,
    /// Note in the state that everything is there.
    CompleteState,
    /// Make a connector, stopped.
    CreateConnector {
        /// The connector.
        connector: String,
    },
    /// Give a connector another configuration.
    UpdateConnector {
        /// The connector.
        connector: String,
        /// What differs.
        changes: Vec<Change>,
    },
    /// Tell the source connector where to begin.
    PlaceOffset {
        /// The connector.
        connector: String,
    },
    /// Let a connector run.
    Resume {
        /// The connector.
        connector: String,
    },
    /// Start a connector again that says it runs and does not: it may hold a password that was changed.
    Restart {
        /// The connector.
        connector: String,
    },
    /// Let a sink begin with the first message, once the source has made its topic.
    Begin {
        /// The sink.
        connector: String,
    },
}

/// The steps from what is there to what should be.
///
/// # Errors
/// `CONNECTOR_EXISTS` for a connector that a pipeline without state cannot have made; `SLOT_MISSING`, `SLOT_LOST` and
/// `PUBLICATION_MISSING` for what a complete pipeline has lost.
pub fn decide(connectors: &[Connector], observed: &Observed) -> Result<Vec<Step>, ConnectError> {
    if !observed.has_state
        && let Some(connector) = observed.connectors.keys().next()
    {
        return Err(ConnectError::ConnectorExists { connector: connector.clone() });
    }
    if observed.is_complete && !observed.has_slot {
        return Err(EngineError::SlotMissing { slot: observed.slot.clone() }.into());
    }
    // Debezium would wait for half an hour, and say nothing.
    if let Some(reason) = &observed.lost {
        return Err(EngineError::SlotLost { slot: observed.slot.clone(), reason: reason.clone() }.into());
    }
    if observed.is_complete && !observed.has_publication {
        return Err(EngineError::PublicationMissing { publication: observed.publication.clone() }.into());
    }
    let mut steps = vec![Step::WriteSecrets, Step::Validate];
    if !observed.has_state {
        steps.push(Step::WriteState);
    }
    if !observed.is_complete {
        steps.push(Step::CreateHeartbeats);
        if !observed.has_publication {
            steps.push(Step::CreatePublication);
        }
        steps.push(Step::CreateTables);
        if !observed.has_slot {
            steps.push(Step::CreateSlot);
        }
        steps.push(Step::CompleteState);
    } else if !observed.has_heartbeats {
        steps.extend([Step::CreateHeartbeats, Step::PublishHeartbeats]);
    }
    for connector in connectors {
        match observed.connectors.get(&connector.name) {
            None => steps.push(Step::CreateConnector { connector: connector.name.clone() }),
            Some(found) => {
                let changes = differences(&found.properties, &connector.to_properties());
                if !changes.is_empty() {
                    steps.push(Step::UpdateConnector { connector: connector.name.clone(), changes });
                }
            }
        }
    }
    let source = connectors.iter().find(|connector| connector.role == Role::Source);
    if let Some(source) = source.filter(|_| observed.has_start && !observed.has_offset) {
        let word = observed.connectors.get(&source.name).and_then(|found| found.word);
        if word != Some(ConnectorWord::Running) {
            steps.push(Step::PlaceOffset { connector: source.name.clone() });
        }
    }
    steps.extend(starts(connectors, observed));
    Ok(steps)
}

/// Lets the connectors run: the source first, which makes the topics as they should be.
fn starts(connectors: &[Connector], observed: &Observed) -> Vec<Step> {
    let (sources, sinks): (Vec<_>, Vec<_>) =
        connectors.iter().partition(|connector| connector.role == Role::Source);
    let mut steps = Vec::new();
    for connector in sources.into_iter().chain(sinks) {
        let found = observed.connectors.get(&connector.name);
        let (name, has_progress) = (connector.name.clone(), found.is_some_and(|found| found.has_progress));
        let runs = found.is_some_and(|found| found.word == Some(ConnectorWord::Running));
        match connector.role {
            Role::Sink if !has_progress => steps.push(Step::Begin { connector: name }),
            Role::Source if runs && observed.is_unread => steps.push(Step::Restart { connector: name }),
            Role::Source | Role::Sink if !runs => steps.push(Step::Resume { connector: name }),
            Role::Source | Role::Sink => {}
        }
    }
    steps
}

// === impl Step ===

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::WriteSecrets => f.write_str("put the passwords where the worker reads them"),
            Step::Validate => f.write_str("have the worker check the configurations"),
            Step::WriteState => f.write_str("write the pipeline's state"),
            Step::CreateHeartbeats => f.write_str("make the heartbeat tables"),
            Step::PublishHeartbeats => f.write_str("add the heartbeat tables to the publication"),
            Step::CreatePublication => f.write_str("make the publication"),
            Step::CreateTables => f.write_str("make the target's tables"),
            Step::CreateSlot => f.write_str("make the slot"),
            Step::CompleteState => f.write_str("note that everything is there"),
            Step::CreateConnector { connector } => write!(f, "make connector {connector}, stopped"),
            Step::UpdateConnector { connector, changes } => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                write!(f, "change connector {connector}: {}", changes.join(", "))
            }
            Step::PlaceOffset { connector } => write!(f, "tell connector {connector} where to begin"),
            Step::Resume { connector } => write!(f, "let connector {connector} run"),
            Step::Restart { connector } => {
                write!(f, "start connector {connector} again, which reads nothing")
            }
            Step::Begin { connector } => {
                write!(f, "let connector {connector} begin, once its topic is there")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::Property;
    use proptest::prelude::*;
    use segcdc_model::Fault;

    fn connector(name: &str, role: Role) -> Connector {
        let line = |name: &str, value: &str| Property {
            name: name.to_owned(),
            value: value.to_owned(),
            reason: String::new(),
        };
        Connector {
            name: name.to_owned(),
            role,
            class: "x.Y".to_owned(),
            properties: vec![line("a", "1"), line("b", "2")],
        }
    }

    fn wanted() -> Vec<Connector> {
        vec![connector("sink", Role::Sink), connector("source", Role::Source)]
    }

    /// What carrying out a step leaves.
    fn after(step: &Step, mut observed: Observed) -> Observed {
        match step {
            Step::WriteSecrets | Step::Validate | Step::CreateHeartbeats | Step::CreateTables => {}
            Step::PublishHeartbeats => observed.has_heartbeats = true,
            Step::PlaceOffset { .. } => observed.has_offset = true,
            Step::WriteState => observed.has_state = true,
            Step::CreatePublication => {
                (observed.has_publication, observed.has_heartbeats) = (true, true);
            }
            Step::CreateSlot => observed.has_slot = true,
            Step::CompleteState => observed.is_complete = true,
            Step::CreateConnector { connector } | Step::UpdateConnector { connector, .. } => {
                let properties = wanted().first().map(Connector::to_properties).unwrap_or_default();
                let word = observed.connectors.get(connector).and_then(|found| found.word);
                let word = word.or(Some(ConnectorWord::Stopped));
                let has_progress = observed.connectors.get(connector).is_some_and(|found| found.has_progress);
                let found = ObservedConnector { properties, word, has_progress };
                observed.connectors.insert(connector.clone(), found);
            }
            Step::Restart { .. } => observed.is_unread = false,
            Step::Resume { connector } | Step::Begin { connector } => {
                if let Some(found) = observed.connectors.get_mut(connector) {
                    found.word = Some(ConnectorWord::Running);
                    found.has_progress |= matches!(step, Step::Begin { .. });
                }
            }
        }
        observed
    }

    fn words(steps: &[Step]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_new_pipeline_takes_all_steps_in_order() {
        let steps = decide(&wanted(), &Observed::default()).unwrap();
        insta::assert_snapshot!("steps_new", words(&steps).join("\n"));
    }

    #[test]
    fn connectors_of_others_are_not_touched() {
        let found = ObservedConnector { properties: Properties::new(), word: None, has_progress: false };
        let observed =
            Observed { connectors: BTreeMap::from([("sink".to_owned(), found)]), ..Observed::default() };
        assert_eq!(decide(&wanted(), &observed).unwrap_err().code(), "CONNECTOR_EXISTS");
    }

    #[test]
    fn what_was_changed_by_hand_is_put_back() {
        let mut properties = connector("x", Role::Sink).to_properties();
        properties.insert("b".to_owned(), "3".to_owned());
        properties.insert("name".to_owned(), "sink".to_owned());
        let drifted =
            ObservedConnector { properties, word: Some(ConnectorWord::Running), has_progress: true };
        let paused = ObservedConnector {
            properties: connector("x", Role::Sink).to_properties(),
            word: Some(ConnectorWord::Paused),
            has_progress: true,
        };
        let observed = Observed {
            has_state: true,
            is_complete: true,
            has_slot: true,
            lost: None,
            is_unread: false,
            has_publication: true,
            has_heartbeats: true,
            has_start: false,
            has_offset: true,
            slot: "s".to_owned(),
            publication: "p".to_owned(),
            connectors: BTreeMap::from([("sink".to_owned(), drifted), ("source".to_owned(), paused)]),
        };
        let steps = decide(&wanted(), &observed).unwrap();
        assert_eq!(
            words(&steps)[2..],
            ["change connector sink: b: 3 -> 2".to_owned(), "let connector source run".to_owned()]
        );
    }

    #[test]
    fn a_pipeline_that_begins_at_a_known_position_is_told_before_it_runs() {
        let mut observed = Observed {
            has_state: true,
            is_complete: true,
            has_slot: true,
            has_publication: true,
            has_start: true,
            ..Observed::default()
        };
        let steps = decide(&wanted(), &observed).unwrap();
        insta::assert_snapshot!("steps_from_a_position", words(&steps).join("\n"));
        // Whatever step it is interrupted behind.
        for cut in 0..=steps.len() {
            let mut found = steps.iter().take(cut).fold(observed.clone(), |seen, step| after(step, seen));
            for step in decide(&wanted(), &found).unwrap() {
                assert!(found.has_offset || !matches!(step, Step::Resume { .. }), "{cut} {step}");
                found = after(&step, found);
            }
            assert!(found.has_offset && found.has_heartbeats && found.connectors.len() == 2);
        }
        // What runs is left alone.
        observed = steps.iter().fold(observed, |seen, step| after(step, seen));
        assert_eq!(decide(&wanted(), &observed).unwrap(), [Step::WriteSecrets, Step::Validate]);
    }

    #[test]
    fn a_slot_or_publication_that_is_lost_is_not_made_again() {
        let complete = Observed { has_state: true, is_complete: true, has_slot: true, ..Observed::default() };
        assert_eq!(decide(&wanted(), &complete).unwrap_err().code(), "PUBLICATION_MISSING");
        let whole = Observed { has_publication: true, ..complete };
        let missing = Observed { has_slot: false, ..whole.clone() };
        assert_eq!(decide(&wanted(), &missing).unwrap_err().code(), "SLOT_MISSING");
        let lost = Observed { lost: Some("wal_removed".to_owned()), ..whole };
        assert_eq!(decide(&wanted(), &lost).unwrap_err().code(), "SLOT_LOST");
    }

    #[test]
    fn a_pipeline_that_runs_as_it_should_is_left_alone() {
        let mut observed = Observed::default();
        for step in decide(&wanted(), &observed).unwrap() {
            observed = after(&step, observed);
        }
        assert_eq!(decide(&wanted(), &observed).unwrap(), [Step::WriteSecrets, Step::Validate]);
    }

    #[test]
    fn a_source_that_reads_nothing_is_started_again() {
        let mut observed = Observed::default();
        for step in decide(&wanted(), &observed).unwrap() {
            observed = after(&step, observed);
        }
        observed.is_unread = true;
        let restart = Step::Restart { connector: "source".to_owned() };
        assert_eq!(decide(&wanted(), &observed).unwrap(), [Step::WriteSecrets, Step::Validate, restart]);
    }

    #[test]
    fn no_sink_begins_before_the_source_and_none_twice() {
        let steps = decide(&wanted(), &Observed::default()).unwrap();
        let at = |wanted: &Step| steps.iter().position(|step| step == wanted).unwrap();
        let source = at(&Step::Resume { connector: "source".to_owned() });
        assert!(source < at(&Step::Begin { connector: "sink".to_owned() }));
        // One that has written something goes on where it was.
        let sink = ObservedConnector {
            properties: connector("x", Role::Sink).to_properties(),
            word: Some(ConnectorWord::Stopped),
            has_progress: true,
        };
        let connectors = BTreeMap::from([("sink".to_owned(), sink)]);
        let observed = Observed { has_state: true, connectors, ..Observed::default() };
        let steps = decide(&wanted(), &observed).unwrap();
        assert!(steps.contains(&Step::Resume { connector: "sink".to_owned() }));
        assert!(!steps.iter().any(|step| matches!(step, Step::Begin { .. })));
    }

    proptest! {
        /// Whatever step a set-up is interrupted behind, deciding again leads to the same end; and no connector runs
        /// before everything is there.
        #[test]
        fn an_interrupted_set_up_is_finished(cuts in prop::collection::vec(0_usize..14, 0..4)) {
            let mut observed = Observed::default();
            for cut in cuts.iter().copied().chain([usize::MAX]) {
                for step in decide(&wanted(), &observed).unwrap().iter().take(cut) {
                    if matches!(step, Step::Resume { .. } | Step::Begin { .. }) {
                        prop_assert!(observed.is_complete && observed.has_slot && observed.has_publication);
                        prop_assert_eq!(observed.connectors.len(), 2);
                    }
                    observed = after(step, observed);
                }
            }
            let running = |found: &ObservedConnector| found.word == Some(ConnectorWord::Running);
            prop_assert!(observed.connectors.len() == 2 && observed.connectors.values().all(running));
            prop_assert!(observed.has_state && observed.is_complete && observed.has_slot);
        }
    }
}
