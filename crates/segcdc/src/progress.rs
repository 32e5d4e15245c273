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
    Lines(Lines),
    /// One JSON object a line, to standard output.
    Json(Console),
}

/// A line now and then, of what has changed.
pub(crate) struct Lines {
    console: Console,
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
            Display::Json(console)
        } else if console.can_draw {
            Display::Bars(Bars::new())
        } else {
            Display::Lines(Lines { console, shown: HashMap::new(), retries: 0 })
        }
    }

    /// How often [`Display::show`] is to be called.
    pub(crate) fn period(&self) -> Duration {
        match self {
            Display::Bars(_) => Duration::from_millis(200),
            Display::Lines(_) => Duration::from_millis(500),
            Display::Json(_) => LINE_PERIOD,
        }
    }

    /// Shows where things stand.
    pub(crate) fn show(&mut self, snapshot: &ProgressSnapshot) {
        match self {
            Display::Bars(bars) => bars.show(snapshot),
            Display::Lines(lines) => lines.show(snapshot, Instant::now()),
            Display::Json(console) => console.json_line(&Event { event: "progress", snapshot }),
        }
    }

    /// Says something above what is drawn.
    pub(crate) fn say(&self, text: &str) {
        match self {
            Display::Bars(bars) => bars.say(text),
            Display::Lines(lines) => lines.console.talk(text),
            Display::Json(_) => {}
        }
    }

    /// Ends the drawing, and leaves the last state on the screen.
    pub(crate) fn finish(&mut self, snapshot: &ProgressSnapshot) {
        self.show(snapshot);
        if let Display::Bars(bars) = self {
            bars.finish();
        }
    }
}

// === impl Lines ===

impl Lines {
    fn show(&mut self, snapshot: &ProgressSnapshot, now: Instant) {
        if let Some(retry) = words::retry(snapshot).filter(|_| snapshot.retries != self.retries) {
            self.console.talk(&retry);
            self.retries = snapshot.retries;
        }
        let copies = matches!(snapshot.phase, Phase::Snapshot);
        for table in &snapshot.tables {
            let line = words::table(table);
            let moves = table.phase == TablePhase::Copying;
            // Tables that were live from the start are no news.
            let news = moves || table.phase == TablePhase::Quarantined || (copies && table.rows_copied > 0);
            if news {
                self.line(Some(table.source_oid), line, moves, now);
            }
        }
        if snapshot.activity != Activity::Stopped {
            self.line(None, words::whole(snapshot), true, now);
        }
    }

    /// Prints a line when it is news and it is time for it.
    fn line(&mut self, about: Option<u32>, line: String, moves: bool, now: Instant) {
        let due = match self.shown.get(&about) {
            None => true,
            Some((_, last)) if *last == line => about.is_none() && self.age(about, now) >= QUIET_PERIOD,
            Some(_) => !moves || self.age(about, now) >= LINE_PERIOD,
        };
        if due {
            self.console.talk(&line);
            self.shown.insert(about, (now, line));
        }
    }

    fn age(&self, about: Option<u32>, now: Instant) -> Duration {
        self.shown.get(&about).map_or(Duration::MAX, |(at, _)| now.saturating_duration_since(*at))
    }
}
