//! [`decide`]: what is to be done about one pipeline, by where it stands and what its run is doing. Pure.
//!
//! It says one step at a time and is asked again after each, so that it does not matter where a process died.

use crate::lifecycle::{Event, State};

/// What the run of a pipeline is doing on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// There is none.
    None,
    /// An engine runs.
    Up {
        /// It copies or follows.
        is_live: bool,
        /// A table is quarantined.
        has_quarantined: bool,
        /// It began with other settings than those that are stored by now.
        is_outdated: bool,
        /// It was told to stop.
        is_stopping: bool,
    },
    /// It ended as it was told to.
    Ended,
    /// It did all that it was for.
    Done,
    /// It ended by an error.
    Failed,
    /// What was made for the pipeline is being removed.
    Removing,
    /// It was removed.
    Removed,
    /// It could not be removed.
    NotRemoved,
    /// The last attempt to remove it failed not long ago.
    Resting,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Take the pipeline, and begin to run it.
    Start,
    /// Tell the run to stop.
    Stop,
    /// Something has happened: move the pipeline's state.
    Move(Event),
    /// It did all that it was for: it is stopped, and stays so.
    Finish,
    /// Begin to remove what was made for it.
    Remove,
    /// Nothing of it is left: forget it.
    Forget,
    /// Note why it could not be removed, and try again later.
    NoteRemoval,
}

/// What is to be done about a pipeline.
pub fn decide(state: State, run: Run) -> Step {
    match run {
        Run::None => idle(state),
        // It ends, is taken as one that ended by itself, and begins anew with the settings that are stored then.
        Run::Up { is_outdated: true, is_stopping, .. } if state.shall_be_up() => {
            if is_stopping {
                Step::Wait
            } else {
                Step::Stop
            }
        }
        Run::Up { is_live, has_quarantined, is_stopping, is_outdated: _ } => match state {
            State::Starting | State::Running | State::Degraded => up(state, is_live, has_quarantined),
            // It shall rest, begin anew or be gone, or somebody has moved it by hand.
            State::Pausing
            | State::Stopping
            | State::Restarting
            | State::Deleting
            | State::Paused
            | State::Stopped
            | State::Failed
            | State::Unassigned => {
                if is_stopping {
                    Step::Wait
                } else {
                    Step::Stop
                }
            }
        },
        Run::Done if state.shall_be_up() => Step::Finish,
        Run::Ended | Run::Done => Step::Move(Event::Ended),
        Run::Failed => Step::Move(Event::Failed),
        Run::Removing | Run::Resting => Step::Wait,
        Run::Removed if state == State::Deleting => Step::Forget,
        Run::NotRemoved if state == State::Deleting => Step::NoteRemoval,
        Run::Removed | Run::NotRemoved => Step::Wait,
    }
}

/// Nothing runs here.
fn idle(state: State) -> Step {
    match state {
        State::Unassigned => Step::Start,
        // The process that ran it is gone.
        State::Starting
        | State::Running
        | State::Degraded
        | State::Pausing
        | State::Stopping
        | State::Restarting => Step::Move(Event::Ended),
        State::Deleting => Step::Remove,
        State::Paused | State::Stopped | State::Failed => Step::Wait,
    }
}

/// It runs and shall run.
fn up(state: State, is_live: bool, has_quarantined: bool) -> Step {
    match (is_live, has_quarantined, state) {
        (true, true, State::Starting | State::Running) => Step::Move(Event::TableFailed),
        (true, false, State::Starting | State::Degraded) => Step::Move(Event::Live),
        _ => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{Command, next};

    const UP: Run = Run::Up { is_live: true, has_quarantined: false, is_outdated: false, is_stopping: false };
    const OUTDATED: Run =
        Run::Up { is_live: true, has_quarantined: false, is_outdated: true, is_stopping: false };

    /// Follows the steps until nothing is to be done, as the reconciler would; an engine does what it is told.
    fn settle(mut state: State, mut run: Run) -> (State, Run) {
        for _ in 0..20 {
            match decide(state, run) {
                Step::Wait => return (state, run),
                Step::Start => {
                    state = next(state, Event::Assigned).unwrap();
                    run = UP;
                }
                Step::Stop => run = Run::Ended,
                Step::Move(event) => {
                    state = next(state, event).unwrap_or(state);
                    run = if run == UP { UP } else { Run::None };
                }
                Step::Remove => run = Run::Removed,
                Step::Forget | Step::Finish | Step::NoteRemoval => return (state, Run::None),
            }
        }
        panic!("it does not come to rest: {state:?} {run:?}");
    }

    #[test]
    fn from_everywhere_it_comes_to_where_it_shall_be() {
        for state in State::ALL {
            for run in [Run::None, UP, OUTDATED, Run::Ended, Run::Failed] {
                let (after, rest) = settle(state, run);
                let runs = rest == UP;
                assert!(
                    !matches!(after, State::Starting | State::Pausing | State::Stopping | State::Restarting),
                    "{state:?} {run:?}: stuck in {after:?}"
                );
                assert_eq!(runs, after.may_be_up(), "{state:?} {run:?} -> {after:?} {rest:?}");
            }
        }
    }

    #[test]
    fn what_a_person_asks_comes_about() {
        let (running, run) = settle(State::Unassigned, Run::None);
        assert_eq!((running, run), (State::Running, UP));
        for (command, expected) in [(Command::Pause, State::Paused), (Command::Stop, State::Stopped)] {
            let asked = next(running, Event::Asked(command)).unwrap();
            assert_eq!(settle(asked, run), (expected, Run::None), "{command:?}");
        }
        let asked = next(running, Event::Asked(Command::Restart)).unwrap();
        assert_eq!(settle(asked, run), (State::Running, UP));
        let asked = next(State::Stopped, Event::Asked(Command::Delete)).unwrap();
        assert_eq!(settle(asked, Run::None), (State::Deleting, Run::None), "forgotten from there");
    }

    #[test]
    fn a_pipeline_whose_process_died_is_started_again() {
        for state in [State::Starting, State::Running, State::Degraded, State::Restarting] {
            assert_eq!(settle(state, Run::None), (State::Running, UP), "{state:?}");
        }
        assert_eq!(settle(State::Pausing, Run::None), (State::Paused, Run::None));
        assert_eq!(settle(State::Stopping, Run::None), (State::Stopped, Run::None));
    }

    #[test]
    fn a_quarantined_table_shows_and_heals() {
        let run = |has_quarantined| Run::Up {
            is_live: true,
            has_quarantined,
            is_outdated: false,
            is_stopping: false,
        };
        assert_eq!(decide(State::Running, run(true)), Step::Move(Event::TableFailed));
        assert_eq!(decide(State::Degraded, run(true)), Step::Wait);
        assert_eq!(decide(State::Degraded, run(false)), Step::Move(Event::Live));
        let stopping =
            Run::Up { is_live: true, has_quarantined: false, is_outdated: false, is_stopping: true };
        assert_eq!(decide(State::Stopping, stopping), Step::Wait, "told once");
    }

    #[test]
    fn a_run_with_old_settings_makes_way_for_one_with_the_new() {
        for state in [State::Starting, State::Running, State::Degraded] {
            assert_eq!(decide(state, OUTDATED), Step::Stop, "{state:?}");
            assert_eq!(settle(state, OUTDATED), (State::Running, UP), "{state:?}");
        }
        let stopping =
            Run::Up { is_live: true, has_quarantined: false, is_outdated: true, is_stopping: true };
        assert_eq!(decide(State::Running, stopping), Step::Wait, "told once");
        assert_eq!(settle(State::Stopping, OUTDATED), (State::Stopped, Run::None), "it shall rest anyway");
    }
}
