//! [`Display`]: what a person or a program sees while a pipeline runs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use segcdc_engine_native::ProgressSnapshot;
use segcdc_engine_native::progress::Activity;
use segcdc_model::{Phase, TablePhase};
use serde::Serialize;

use crate::arguments::Output;
use crate::console::Console;
use crate::progress::bars::Bars;

mod bars;
mod words;

/// Time between two plain lines of one thing that moves.
const LINE_PERIOD: Duration = Duration::from_secs(2);

/// Time between two plain lines when nothing moves.
const QUIET_PERIOD: Duration = Duration::from_secs(30);

/// What is seen while a pipeline runs.
pub(crate) enum Display {
    /// Bars that are drawn again and again, on a terminal.
    Bars(Bars),
    /// A line now and then.
    Lines(Console, Lines),
    /// One JSON object a line, to standard output; when the last one was written, and in which phase.
    Json(Console, Option<(Instant, Phase)>),
}

/// A line now and then, of what has changed.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The last line about each table, and about the whole under no name.
    shown: HashMap<Option<u32>, (Instant, String)>,
    retries: u64,
}

/// A progress event in JSON.
#[derive(Debug, Serialize)]
struct Event<'a> {
    event: &'static str,
    #[serde(flatten)]
    snapshot: &'a ProgressSnapshot,
}

// === impl Display ===

impl Display {
    /// What fits the console.
    pub(crate) fn new(console: Console) -> Self {
        if console.output == Output::Json {
            Display::Json(console, None)
        } else if console.can_draw {
            Display::Bars(Bars::new())
        } else {
            Display::Lines(console, Lines::default())
        }
    }

    /// How often [`Display::show`] is to be called.
    pub(crate) fn period(&self) -> Duration {
        match self {
            Display::Bars(_) => Duration::from_millis(200),
            Display::Lines(..) | Display::Json(..) => Duration::from_millis(500),
        }
    }

    /// Shows where things stand.
    pub(crate) fn show(&mut self, snapshot: &ProgressSnapshot) {
        match self {
            Display::Bars(bars) => bars.show(snapshot),
            Display::Lines(console, lines) => {
                lines.news(snapshot, Instant::now()).iter().for_each(|line| console.talk(line));
            }
            Display::Json(console, last) => {
                // A copy is watched closely; what follows it goes on for years.
                let calm = matches!(snapshot.phase, Phase::CatchUp | Phase::Streaming);
                if calm
                    && last.is_some_and(|(at, phase)| phase == snapshot.phase && at.elapsed() < LINE_PERIOD)
                {
                    return;
                }
                console.json_line(&Event { event: "progress", snapshot });
                *last = Some((Instant::now(), snapshot.phase));
            }
        }
    }

    /// Says something above what is drawn.
    pub(crate) fn say(&self, text: &str) {
        match self {
            Display::Bars(bars) => bars.say(text),
            Display::Lines(console, _) => console.talk(text),
            Display::Json(..) => {}
        }
    }

    /// Ends the drawing, and leaves the last state on the screen.
    pub(crate) fn finish(&mut self, snapshot: &ProgressSnapshot) {
        if let Display::Json(_, last) = self {
            *last = None;
        }
        self.show(snapshot);
        if let Display::Bars(bars) = self {
            bars.finish();
        }
    }
}

// === impl Lines ===

impl Lines {
    /// The lines that are due now, oldest news first.
    fn news(&mut self, snapshot: &ProgressSnapshot, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(retry) = words::retry(snapshot).filter(|_| snapshot.retries != self.retries) {
            lines.push(retry);
            self.retries = snapshot.retries;
        }
        let copies = matches!(snapshot.phase, Phase::Snapshot);
        for table in &snapshot.tables {
            let moves = table.phase == TablePhase::Copying;
            let was_shown = self.shown.contains_key(&Some(table.source_oid));
            // Tables that were live from the start are no news.
            let set_aside = matches!(table.phase, TablePhase::Paused | TablePhase::Quarantined);
            let is_news = moves || was_shown || set_aside;
            if is_news || (copies && table.rows_copied > 0) {
                lines.extend(self.due(Some(table.source_oid), words::table(table), moves, now));
            }
        }
        if snapshot.activity != Activity::Stopped {
            lines.extend(self.due(None, words::whole(snapshot), true, now));
        }
        lines
    }

    /// The line, when it is news and it is time for it.
    fn due(&mut self, about: Option<u32>, line: String, moves: bool, now: Instant) -> Option<String> {
        let due = self.shown.get(&about).is_none_or(|(at, last)| {
            let age = now.saturating_duration_since(*at);
            if *last == line { about.is_none() && age >= QUIET_PERIOD } else { !moves || age >= LINE_PERIOD }
        });
        due.then(|| {
            self.shown.insert(about, (now, line.clone()));
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_engine_native::{Progress, TableProgress};
    use segcdc_model::QualifiedName;

    /// A line for each look, joined; looks are half a second apart.
    fn watch(snapshots: &[ProgressSnapshot]) -> Vec<String> {
        let mut lines = Lines::default();
        let start = Instant::now();
        let news = snapshots.iter().zip(0_u32..).map(|(snapshot, number)| {
            lines.news(snapshot, start + Duration::from_millis(500) * number).join(" | ")
        });
        news.collect()
    }

    fn snapshot(phase: Phase, table: TablePhase, rows_copied: u64) -> ProgressSnapshot {
        let mut snapshot = Progress::new("p").snapshot();
        snapshot.activity = Activity::Running;
        snapshot.phase = phase;
        snapshot.tables = vec![TableProgress {
            source_oid: 1,
            source: QualifiedName::new("public", "t"),
            target: QualifiedName::new("dbo", "t"),
            phase: table,
            rows_copied,
            bytes_copied: 0,
            estimated_rows: 0,
            changes_applied: 0,
            error: None,
        }];
        snapshot
    }

    #[test]
    fn a_copy_is_told_every_other_second_and_its_end_at_once() {
        let copying = |rows| snapshot(Phase::Snapshot, TablePhase::Copying, rows);
        let done = snapshot(Phase::Streaming, TablePhase::Streaming, 9);
        let seen = watch(&[copying(1), copying(2), copying(3), copying(4), copying(5), done.clone(), done]);
        let whole = "copying tables: 0 of 1 tables, 0 rows, 0 rows/s, 0 B/s";
        assert_eq!(
            seen,
            [
                format!("public.t: copying, 1 rows | {whole}"),
                String::new(),
                String::new(),
                String::new(),
                "public.t: copying, 5 rows".to_owned(),
                "public.t: live, 9 rows copied | following: lag 0ms, 0 tx/s, 0 changes/s, applied 0/0"
                    .to_owned(),
                String::new(),
            ]
        );
    }

    #[test]
    fn a_quiet_pipeline_says_so_now_and_then() {
        let quiet = snapshot(Phase::Streaming, TablePhase::Streaming, 9);
        let seen = watch(&vec![quiet; 122]);
        let told: Vec<usize> =
            seen.iter().enumerate().filter(|(_, line)| !line.is_empty()).map(|(number, _)| number).collect();
        assert_eq!(
            told,
            [0, 60, 120],
            "every 30 seconds, and nothing of tables that were live from the start"
        );
    }
}
