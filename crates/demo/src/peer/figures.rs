//! [`Figures`]: what was measured of both engines, as a table for the terminal and for the page.

use crate::spread::{Spread, number};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    /// Rates.
    More,
    /// Times, memory.
    Less,
}

/// One figure, of all runs of both engines.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// What it is.
    pub(super) name: String,
    /// Unit.
    pub(super) unit: &'static str,
    /// Which way is better.
    pub(super) better: Better,
    /// The native engine's.
    pub(super) native: Vec<f64>,
    /// Kafka Connect's.
    pub(super) peer: Vec<f64>,
}

/// All figures, in their order.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<Figure>);

// === impl Figures ===

impl Figures {
    /// Adds a value of one run; a name that is new comes last.
    pub(super) fn add(&mut self, native: bool, name: &str, unit: &'static str, better: Better, value: f64) {
        let known = self.0.iter_mut().find(|figure| figure.name == name);
        let figure = match known {
            Some(figure) => figure,
            None => {
                let (native, peer) = (Vec::new(), Vec::new());
                self.0.push(Figure { name: name.to_owned(), unit, better, native, peer });
                let Some(last) = self.0.last_mut() else { return };
                last
            }
        };
        if native { figure.native.push(value) } else { figure.peer.push(value) }
    }

    /// Name, native, peer and ratio of each figure.
    fn rows(&self) -> Vec<[String; 4]> {
        let rows = self.0.iter().map(|figure| {
            let [native, peer] = [&figure.native, &figure.peer].map(|values| Spread::of(values));
            let show = |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), Spread::show);
            let ratio = match (native, peer) {
                (Some(native), Some(peer)) => ratio(figure.better, native.median, peer.median),
                _ => "–".to_owned(),
            };
            [format!("{}, {}", figure.name, figure.unit), show(native), show(peer), ratio]
        });
        rows.collect()
    }

    /// A table of Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text =
            "| | native | Kafka Connect | native is better by |\n|---|---:|---:|---:|\n".to_owned();
        for [name, native, peer, ratio] in self.rows() {
            text.push_str(&format!("| {name} | {native} | {peer} | {ratio} |\n"));
        }
        text
    }

    /// A table of plain lines.
    pub(super) fn plain(&self) -> String {
        let head = ["", "native", "Kafka Connect", "native is better by"].map(str::to_owned);
        let rows: Vec<[String; 4]> = [head].into_iter().chain(self.rows()).collect();
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let [name, native, peer, ratio] = [width(0), width(1), width(2), width(3)];
        let lines =
            rows.iter().map(|[a, b, c, d]| format!("  {a:<name$}  {b:>native$}  {c:>peer$}  {d:>ratio$}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// How many times better the native engine is; below 1 it is worse.
fn ratio(better: Better, native: f64, peer: f64) -> String {
    let (above, below) = match better {
        Better::More => (native, peer),
        Better::Less => (peer, native),
    };
    // Nothing can be so many times better than nothing.
    if below <= 0.0 { "–".to_owned() } else { format!("{}×", number(above / below)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_the_median_its_spread_and_the_better_side() {
        let mut figures = Figures::default();
        for value in [300.0, 100.0, 200.0] {
            figures.add(true, "rate", "rows/s", Better::More, value);
        }
        figures.add(false, "rate", "rows/s", Better::More, 50.0);
        figures.add(false, "rate", "rows/s", Better::More, 30.0);
        figures.add(true, "time", "ms", Better::Less, 10.0);
        figures.add(false, "time", "ms", Better::Less, 5.0);
        figures.add(false, "broker", "MiB", Better::Less, 5.0);
        let text = figures.markdown();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| rate, rows/s | 200 (100–300) | 40.0 (30.0–50.0) | 5.0× |",
                "| time, ms | 10.0 (10.0–10.0) | 5.0 (5.0–5.0) | 0.50× |",
                "| broker, MiB | – | 5.0 (5.0–5.0) | – |",
            ]
        );
        assert_eq!(figures.plain().lines().count(), 4);
    }
}
