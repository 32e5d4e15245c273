//! [`draw`]: curves over amounts that grow tenfold and more, as pictures of the format SVG.

use std::error::Error;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::{
    ChartBuilder, Circle, Color, DrawingArea, DrawingBackend, IntoDrawingArea, IntoLogRange, LineSeries,
    PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
};

use crate::spread::number;

/// Width of a picture, and height of each chart.
const SIZE: (u32, u32) = (900, 300);
/// Of the curves, in their order.
static INKS: [RGBColor; 4] =
    [RGBColor(31, 93, 158), RGBColor(200, 60, 60), RGBColor(46, 125, 50), RGBColor(120, 120, 120)];
const FONT: &str = "sans-serif";

/// Curves over one logarithmic axis.
pub(super) struct Chart {
    pub(super) title: String,
    /// What grows.
    pub(super) x: &'static str,
    /// Unit of what was measured.
    pub(super) y: &'static str,
    /// Whether that axis is logarithmic too.
    pub(super) is_y_log: bool,
    pub(super) curves: Vec<Curve>,
}

/// One curve.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Draws charts, one below the other.
pub(super) fn draw(charts: &[Chart]) -> Result<String> {
    let mut picture = String::new();
    {
        let rows = u32::try_from(charts.len()).unwrap_or(1).max(1);
        let root = SVGBackend::with_string(&mut picture, (SIZE.0, SIZE.1 * rows)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, chart) in root.split_evenly((charts.len().max(1), 1)).iter().zip(charts) {
            let (_, _, least, most) = chart.bounds();
            if chart.is_y_log {
                draw_chart(area, chart, (least / 1.5..most * 1.5).log_scale())?;
            } else {
                draw_chart(area, chart, 0.0..most * 1.1)?;
            }
        }
        root.present()?;
    }
    Ok(picture)
}

// === impl Chart ===

impl Chart {
    /// Least and greatest values of both axes.
    fn bounds(&self) -> (f64, f64, f64, f64) {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        if points().next().is_none() {
            return (1.0, 10.0, 1.0, 10.0);
        }
        points().fold((f64::MAX, f64::MIN, f64::MAX, f64::MIN), |(left, right, low, high), (x, y)| {
            (left.min(*x), right.max(*x), low.min(*y), high.max(*y))
        })
    }

    /// The corner at the left where no curve begins: most curves rise, or fall, all the way.
    fn free_corner(&self) -> SeriesLabelPosition {
        let first = |curve: &Curve| curve.points.first().map(|point| point.1);
        let last = |curve: &Curve| curve.points.last().map(|point| point.1);
        let falls = |curve: &&Curve| first(curve) > last(curve);
        if self.curves.iter().filter(falls).count() * 2 > self.curves.len() {
            SeriesLabelPosition::LowerLeft
        } else {
            SeriesLabelPosition::UpperLeft
        }
    }
}

/// A number beside an axis.
fn tick(value: f64) -> String {
    if value.fract() == 0.0 && value < 100.0 { format!("{value:.0}") } else { number(value) }
}

fn draw_chart<B, Y>(area: &DrawingArea<B, Shift>, chart: &Chart, y: Y) -> Result<()>
where
    B: DrawingBackend,
    B::ErrorType: Error + Send + Sync + 'static,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let (left, right, ..) = chart.bounds();
    let mut context = ChartBuilder::on(area)
        .caption(&chart.title, (FONT, 15))
        .margin(6)
        .margin_right(30)
        .x_label_area_size(34)
        .y_label_area_size(80)
        .build_cartesian_2d((left / 1.1..right * 1.1).log_scale(), y)?;
    context
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(chart.x)
        .y_desc(chart.y)
        .x_label_formatter(&|value| tick(*value))
        .y_label_formatter(&|value| tick(*value))
        .label_style((FONT, 12))
        .draw()?;
    for (curve, ink) in chart.curves.iter().zip(INKS.iter().cycle()) {
        context
            .draw_series(LineSeries::new(curve.points.iter().copied(), ink.stroke_width(2)))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], ink.stroke_width(2)));
        context.draw_series(curve.points.iter().map(|point| Circle::new(*point, 3, ink.filled())))?;
    }
    context
        .configure_series_labels()
        .position(chart.free_corner())
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 12))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_no_curve_begins() {
        let chart = |first: f64, last: f64| Chart {
            title: String::new(),
            x: "",
            y: "",
            is_y_log: false,
            curves: vec![Curve { name: String::new(), points: vec![(1.0, first), (2.0, last)] }],
        };
        assert!(matches!(chart(1.0, 2.0).free_corner(), SeriesLabelPosition::UpperLeft));
        assert!(matches!(chart(2.0, 1.0).free_corner(), SeriesLabelPosition::LowerLeft));
        assert_eq!([tick(1.0), tick(10.0), tick(0.5), tick(100_000.0)], ["1", "10", "0.50", "100,000"]);
    }

    #[test]
    fn charts_are_drawn_below_each_other_with_their_curves() {
        let curve =
            |name: &str, points: &[(f64, f64)]| Curve { name: name.to_owned(), points: points.to_vec() };
        let chart = |title: &str, is_y_log, curves| Chart {
            title: title.to_owned(),
            x: "bytes a row",
            y: "MiB/s",
            is_y_log,
            curves,
        };
        let points = [(50.0, 10.0), (400.0, 60.0), (100_000.0, 200.0)];
        let picture = draw(&[
            chart("upper", true, vec![curve("copy", &points), curve("apply", &points)]),
            chart("lower", false, vec![curve("copy", &[])]),
        ])
        .unwrap();
        assert!(picture.starts_with("<svg") && picture.contains("height=\"600\""), "{picture}");
        assert_eq!(picture.matches("<circle").count(), 6, "{picture}");
        for text in ["upper", "lower", "copy", "apply", "bytes a row", "MiB/s"] {
            assert!(picture.contains(text), "{text}");
        }
    }
}
