//! [`Bars`]: a bar for each table that is being copied, and a line about the whole.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use segcdc_engine_native::{ProgressSnapshot, TableProgress};
use segcdc_model::TablePhase;

use crate::progress::words;
use crate::screen;
use crate::text;

/// Bars that are shown at once; further tables wait for theirs.
const MAX_BARS: usize = 12;

/// A drawing on standard error.
pub(crate) struct Bars {
    screen: &'static MultiProgress,
    whole: ProgressBar,
    tables: HashMap<u32, ProgressBar>,
    retries: u64,
}

// === impl Bars ===

impl Bars {
    /// An empty drawing.
    pub(crate) fn new() -> Self {
        let screen = screen::drawing();
        let whole = screen.add(ProgressBar::new_spinner().with_style(style("{spinner} {msg}")));
        whole.enable_steady_tick(Duration::from_millis(120));
        Bars { screen, whole, tables: HashMap::new(), retries: 0 }
    }

    /// Draws where things stand.
    pub(crate) fn show(&mut self, snapshot: &ProgressSnapshot) {
        if let Some(retry) = words::retry(snapshot).filter(|_| snapshot.retries != self.retries) {
            self.say(&retry);
            self.retries = snapshot.retries;
        }
        let width =
            snapshot.tables.iter().map(|table| table.source.to_string().chars().count()).max().unwrap_or(0);
        for table in &snapshot.tables {
            self.table(table, width);
        }
        self.whole.set_message(words::whole(snapshot));
    }

    /// Says something above the drawing.
    pub(crate) fn say(&self, text: &str) {
        // A terminal that cannot be written to shows nothing in any case.
        self.screen.println(text).ok();
    }

    /// Ends the drawing.
    pub(crate) fn finish(&mut self) {
        for (_, bar) in self.tables.drain() {
            bar.finish_and_clear();
        }
        self.whole.finish_and_clear();
    }

    fn table(&mut self, table: &TableProgress, width: usize) {
        if table.phase != TablePhase::Copying {
            if let Some(bar) = self.tables.remove(&table.source_oid) {
                bar.finish_and_clear();
                self.say(&words::table(table));
            }
            return;
        }
        if !self.tables.contains_key(&table.source_oid) {
            if self.tables.len() >= MAX_BARS {
                return;
            }
            let template = "{prefix} [{bar:24}] {percent:>3}% {msg}";
            let bar = ProgressBar::new(table.estimated_rows.max(1)).with_style(style(template));
            let bar = self.screen.insert_before(&self.whole, bar);
            bar.set_prefix(format!("{:<width$}", table.source.to_string()));
            self.tables.insert(table.source_oid, bar);
        }
        let Some(bar) = self.tables.get(&table.source_oid) else { return };
        bar.set_length(table.estimated_rows.max(table.rows_copied).max(1));
        bar.set_position(table.rows_copied);
        let rate = text::per_second(table.rows_copied, bar.elapsed());
        bar.set_message(message(table, rate));
    }
}

/// Rows, rows a second and time to go.
fn message(table: &TableProgress, rate: u64) -> String {
    let rows = format!("{} rows, {} rows/s", text::count(table.rows_copied), text::count(rate));
    let left = table.estimated_rows.saturating_sub(table.rows_copied);
    match left.checked_div(rate) {
        Some(seconds) if left > 0 => {
            format!("{rows}, about {} to go", text::duration(Duration::from_secs(seconds)))
        }
        Some(_) | None => rows,
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
