//! The states of a pipeline: one table of transitions. Pure.
//!
//! [`Desired`] is what a person asked for last and is stored at once. [`State`] is where the pipeline stands on its way
//! there, as the nodes report it. [`next`] is the only function that says which state follows which; what it does not
//! name is an error, not a guess.
//!
//! ```text
//!               Start                 Assigned             Live
//!   STOPPED ----------> UNASSIGNED ------------> STARTING ------> RUNNING <---> DEGRADED
//!      ^  ^                 ^  ^                    |  Failed        |    Tables/Healed
//!      |  '--- Ended --- STOPPING <---- Stop -------+----------------+
//!      |                    |  |                    |                |
//!      |                 PAUSING -- Ended --> PAUSED                 +-- Failed --> FAILED
//!      |                 RESTARTING -- Ended --> UNASSIGNED
//!   DELETING <-- Delete (STOPPED, PAUSED, FAILED, UNASSIGNED)
//! ```

use serde::{Deserialize, Serialize};

/// What a person asked for. Stored with the pipeline; set by commands only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Desired {
    /// Copy and follow.
    Running,
    /// Rest, to be resumed: slot and state stay.
    Paused,
    /// Rest until further notice: slot and state stay.
    Stopped,
    /// Be removed, with all that was made for it.
    Deleted,
}

/// Where a pipeline stands. Stored with the pipeline; set through [`next`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It shall run and no node has taken it yet.
    Unassigned,
    /// A node has taken it; its engine is not following yet.
    Starting,
    /// All tables are live or being copied.
    Running,
    /// It runs; at least one table is quarantined.
    Degraded,
    /// It shall pause; its engine has not ended yet.
    Pausing,
    /// Paused, and no engine runs.
    Paused,
    /// It shall stop; its engine has not ended yet.
    Stopping,
    /// Stopped, and no engine runs.
    Stopped,
    /// It ends to begin anew.
    Restarting,
    /// Its engine ended by an error that does not pass by itself.
    Failed,
    /// What was made for it is being removed; its row goes last.
    Deleting,
}

/// What a person can ask of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Run. Also ends a pause and tries a failed pipeline again.
    Start,
    /// Rest, to be resumed.
    Pause,
    /// Run again after a pause.
    Resume,
    /// Rest until further notice.
    Stop,
    /// End and begin anew.
    Restart,
    /// Be removed.
    Delete,
}

/// What happens to a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A person asks.
    Asked(Command),
    /// A node holds its lease and begins.
    Assigned,
    /// The engine follows and no table is quarantined.
    Live,
    /// The engine follows and a table is quarantined.
    TableFailed,
    /// The engine ended as it was told to, or its node lost the lease or died.
    Ended,
    /// The engine ended by an error that does not pass by itself.
    Failed,
}

/// A move that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pipeline that is {} cannot take \"{}\"", state.as_str(), event.as_str())]
pub struct InvalidState {
    /// Where the pipeline stands.
    pub state: State,
    /// What was to happen.
    pub event: Event,
}

/// The state after an event.
///
/// # Errors
/// [`InvalidState`] for a move that does not exist. Nothing has happened then.
pub fn next(state: State, event: Event) -> Result<State, InvalidState> {
    match event {
        Event::Asked(command) => asked(state, command),
        Event::Assigned | Event::Live | Event::TableFailed => came_up(state, event),
        Event::Ended | Event::Failed => went_down(state, event),
    }
    .ok_or(InvalidState { state, event })
}

/// What is desired once a command was taken.
pub const fn desired_after(command: Command) -> Desired {
    match command {
        Command::Start | Command::Resume | Command::Restart => Desired::Running,
        Command::Pause => Desired::Paused,
        Command::Stop => Desired::Stopped,
        Command::Delete => Desired::Deleted,
    }
}

/// What a command makes of a state. Asking twice is no error: the second finds the first under way.
fn asked(state: State, command: Command) -> Option<State> {
    use State::{
        Degraded, Deleting, Failed, Paused, Pausing, Restarting, Running, Starting, Stopped, Stopping,
        Unassigned,
    };
    Some(match (command, state) {
        (Command::Start, Stopped | Paused | Failed) | (Command::Resume, Paused) => Unassigned,
        (Command::Start | Command::Resume, Unassigned | Starting | Running | Degraded | Restarting) => state,
        // It is on its way down and shall be up: it goes down first.
        (Command::Start, Stopping | Pausing) | (Command::Resume, Pausing) => Restarting,
        (Command::Pause, Starting | Running | Degraded | Restarting) => Pausing,
        (Command::Pause, Unassigned) => Paused,
        (Command::Pause, Paused | Pausing) => state,
        (Command::Stop, Starting | Running | Degraded | Pausing | Restarting) => Stopping,
        (Command::Stop, Unassigned | Paused | Failed) => Stopped,
        (Command::Stop, Stopped | Stopping) => state,
        (Command::Restart, Starting | Running | Degraded) => Restarting,
        (Command::Restart, Failed) => Unassigned,
        (Command::Restart, Unassigned | Restarting) => state,
        // A running pipeline is not deleted by one wrong word.
        (Command::Delete, Stopped | Paused | Failed | Unassigned) => Deleting,
        (Command::Delete, Deleting) => state,
        _ => return None,
    })
}

fn came_up(state: State, event: Event) -> Option<State> {
    use State::{Degraded, Pausing, Restarting, Running, Starting, Stopping, Unassigned};
    Some(match (event, state) {
        (Event::Assigned, Unassigned | Starting) => Starting,
        (Event::Live, Starting | Running | Degraded) => Running,
        (Event::TableFailed, Starting | Running | Degraded) => Degraded,
        // A report that was on its way when somebody asked for something else.
        (Event::Live | Event::TableFailed, Pausing | Stopping | Restarting) => state,
        _ => return None,
    })
}

fn went_down(state: State, event: Event) -> Option<State> {
    use State::{
        Degraded, Failed, Paused, Pausing, Restarting, Running, Starting, Stopped, Stopping, Unassigned,
    };
    Some(match (event, state) {
        // Nobody asked it to: it still shall run, and the next node takes it.
        (Event::Ended, Starting | Running | Degraded | Restarting | Unassigned) => Unassigned,
        (Event::Failed, Starting | Running | Degraded) => Failed,
        (Event::Failed, Restarting) => Unassigned,
        // It shall be down and is down, in whatever way.
        (Event::Ended | Event::Failed, Pausing) => Paused,
        (Event::Ended | Event::Failed, Stopping) => Stopped,
        _ => return None,
    })
}

// === impl State ===

impl State {
    /// All of them.
    pub const ALL: [State; 11] = [
        State::Unassigned,
        State::Starting,
        State::Running,
        State::Degraded,
        State::Pausing,
        State::Paused,
        State::Stopping,
        State::Stopped,
        State::Restarting,
        State::Failed,
        State::Deleting,
    ];

    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Unassigned => "UNASSIGNED",
            State::Starting => "STARTING",
            State::Running => "RUNNING",
            State::Degraded => "DEGRADED",
            State::Pausing => "PAUSING",
            State::Paused => "PAUSED",
            State::Stopping => "STOPPING",
            State::Stopped => "STOPPED",
            State::Restarting => "RESTARTING",
            State::Failed => "FAILED",
            State::Deleting => "DELETING",
        }
    }

    /// The state of a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        State::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether an engine runs, and shall.
    pub const fn shall_be_up(self) -> bool {
        matches!(self, State::Starting | State::Running | State::Degraded)
    }

    /// Whether an engine may be running.
    pub const fn may_be_up(self) -> bool {
        match self {
            State::Starting
            | State::Running
            | State::Degraded
            | State::Pausing
            | State::Stopping
            | State::Restarting => true,
            State::Unassigned | State::Paused | State::Stopped | State::Failed | State::Deleting => false,
        }
    }
}

// === impl Desired ===

impl Desired {
    /// All of them.
    pub const ALL: [Desired; 4] = [Desired::Running, Desired::Paused, Desired::Stopped, Desired::Deleted];

    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Desired::Running => "RUNNING",
            Desired::Paused => "PAUSED",
            Desired::Stopped => "STOPPED",
            Desired::Deleted => "DELETED",
        }
    }

    /// What a stored word means.
    pub fn from_word(word: &str) -> Option<Self> {
        Desired::ALL.into_iter().find(|desired| desired.as_str() == word)
    }
}

// === impl Command ===

impl Command {
    /// All of them.
    pub const ALL: [Command; 6] =
        [Command::Start, Command::Pause, Command::Resume, Command::Stop, Command::Restart, Command::Delete];

    /// The word in routes, commands and the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Command::Start => "start",
            Command::Pause => "pause",
            Command::Resume => "resume",
            Command::Stop => "stop",
            Command::Restart => "restart",
            Command::Delete => "delete",
        }
    }
}

// === impl Event ===

impl Event {
    /// For messages and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Event::Asked(command) => command.as_str(),
            Event::Assigned => "assigned",
            Event::Live => "live",
            Event::TableFailed => "table failed",
            Event::Ended => "ended",
            Event::Failed => "failed",
        }
    }
}

// === impl InvalidState ===

impl InvalidState {
    /// What to do instead.
    pub fn hint(&self) -> String {
        match (self.event, self.state) {
            (Event::Asked(_), State::Deleting) => "It is being removed; nothing else can be asked of it.",
            (Event::Asked(Command::Delete), _) => "Stop it first; then delete it.",
            (
                Event::Asked(Command::Pause | Command::Restart | Command::Resume),
                State::Stopped | State::Paused,
            ) => "Start it.",
            (Event::Asked(_), State::Stopping | State::Pausing) => "Wait until it has ended, then ask again.",
            (Event::Asked(_), State::Failed) => "Read its error, mend the cause, and start it.",
            _ => "Ask for its status, and try again.",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events() -> Vec<Event> {
        let asked = Command::ALL.map(Event::Asked);
        let others = [Event::Assigned, Event::Live, Event::TableFailed, Event::Ended, Event::Failed];
        asked.into_iter().chain(others).collect()
    }

    /// The whole table, as it is published: what is not in it does not exist.
    #[test]
    fn the_table_is_this_one() {
        let mut text = String::new();
        for state in State::ALL {
            for event in events() {
                if let Ok(after) = next(state, event) {
                    text.push_str(&format!(
                        "{:<11} {:<13} {}\n",
                        state.as_str(),
                        event.as_str(),
                        after.as_str()
                    ));
                }
            }
        }
        insta::assert_snapshot!("transitions", text);
    }

    #[test]
    fn asking_twice_is_no_error() {
        for state in State::ALL {
            for command in Command::ALL {
                if let Ok(after) = next(state, Event::Asked(command)) {
                    assert!(next(after, Event::Asked(command)).is_ok(), "{state:?} {command:?} {after:?}");
                }
            }
        }
    }

    #[test]
    fn what_was_asked_for_comes_about_whatever_the_engine_does() {
        // From each state that takes a command, an engine that comes up and ends leads to what is desired.
        for state in State::ALL {
            for command in [Command::Pause, Command::Stop] {
                let Ok(mut at) = next(state, Event::Asked(command)) else { continue };
                for event in [Event::Live, Event::Ended] {
                    at = next(at, event).unwrap_or(at);
                }
                let wanted = if command == Command::Pause { State::Paused } else { State::Stopped };
                assert_eq!(at, wanted, "{state:?} {command:?}");
            }
        }
    }

    proptest! {
        /// However commands and reports mix, no engine is believed to be up in a state of rest, and nothing leaves
        /// DELETING.
        #[test]
        fn a_state_of_rest_is_reached_through_the_engine_only(steps in prop::collection::vec(0_usize..11, 0..60)) {
            let events = events();
            let (mut state, mut up) = (State::Stopped, false);
            for step in steps {
                let event = events[step];
                let possible = match event {
                    Event::Asked(_) => true,
                    Event::Assigned => !up && state == State::Unassigned,
                    Event::Live | Event::TableFailed | Event::Failed | Event::Ended => up,
                };
                if !possible {
                    continue;
                }
                let was = state;
                let Ok(after) = next(state, event) else {
                    prop_assert!(matches!(event, Event::Asked(_)), "{was:?} has no answer to {event:?}");
                    continue;
                };
                state = after;
                match event {
                    Event::Assigned => up = true,
                    Event::Ended | Event::Failed => up = false,
                    Event::Asked(_) | Event::Live | Event::TableFailed => {}
                }
                prop_assert_eq!(state.may_be_up(), up, "{:?} {:?} {:?}", was, event, state);
                prop_assert!(was != State::Deleting || state == State::Deleting);
            }
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.as_str()), Some(state));
        }
        for desired in Desired::ALL {
            assert_eq!(Desired::from_word(desired.as_str()), Some(desired));
        }
    }
}
