//! [`Figures`]: what was measured of both engines, as a table for the terminal and for the page.

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

/// Least, middle and greatest value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

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

// === impl Spread ===

impl Spread {
    /// `None` without values.
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Spread { least, median: f64::midpoint(lower, upper), greatest })
    }

    fn show(self) -> String {
        let Spread { least, median, greatest } = self;
        format!("{} ({}–{})", number(median), number(least), number(greatest))
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

/// Three digits that count, with commas.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a figure for people, far below 2^52"
)]
fn number(value: f64) -> String {
    match value {
        value if value < 0.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value if value < 999.5 => format!("{value:.0}"),
        value => {
            let unit = 10_f64.powi(value.log10().floor() as i32 - 2);
            crate::narrator::grouped(((value / unit).round() * unit).round() as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let check = |value: f64, shown: &str| assert_eq!(number(value), shown);
        check(0.0, "0.00");
        check(0.126, "0.13");
        check(12.34, "12.3");
        check(99.96, "100");
        check(123.4, "123");
        check(999.6, "1,000");
        check(123_456.0, "123,000");
        check(9_999_999.0, "10,000,000");
    }

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
