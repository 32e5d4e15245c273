//! [`draw`]: throughput and lag over time, as a picture of the format SVG.

use std::error::Error;
use std::ops::Range;

use anyhow::{Result, bail};
use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, DrawingBackend, IntoDrawingArea, LineSeries, RGBColor, Rectangle,
    SVGBackend, WHITE,
};

use super::timeline::Curves;

/// Width and height.
const SIZE: (u32, u32) = (900, 440);
/// Of the curves.
const INK: RGBColor = RGBColor(31, 93, 158);
/// Of the time in which nothing runs.
const SHADE: RGBColor = RGBColor(200, 60, 60);
const FONT: &str = "sans-serif";

/// A part of the picture.
struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    points: &'a [(f64, f64)],
}

/// Draws both curves, one above the other; nothing ran in the time `away`.
pub(super) fn draw(title: &str, curves: &Curves, away: (f64, f64)) -> Result<String> {
    let panels = [
        Panel { title, unit: "transactions/s", points: &curves.throughput },
        Panel { title: "Age of the oldest transaction that is not visible", unit: "s", points: &curves.lag },
    ];
    let end = panels.iter().flat_map(|panel| panel.points).fold(1.0, |end: f64, (at, _)| end.max(*at));
    let mut picture = String::new();
    {
        let root = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let areas = root.split_evenly((2, 1));
        let [upper, lower] = areas.as_slice() else { bail!("a picture of two parts") };
        for (area, panel) in [upper, lower].into_iter().zip(&panels) {
            draw_panel(area, panel, 0.0..end, away)?;
        }
        root.present()?;
    }
    Ok(picture)
}

fn draw_panel<B>(
    area: &DrawingArea<B, Shift>,
    panel: &Panel<'_>,
    time: Range<f64>,
    away: (f64, f64),
) -> Result<()>
where
    B: DrawingBackend,
    B::ErrorType: Error + Send + Sync + 'static,
{
    let top = panel.points.iter().fold(0.1, |top: f64, (_, value)| top.max(*value)) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, (FONT, 15))
        .margin(6)
        .x_label_area_size(34)
        .y_label_area_size(70)
        .build_cartesian_2d(time, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("seconds")
        .y_desc(panel.unit)
        .label_style((FONT, 12))
        .draw()?;
    let shade = Rectangle::new([(away.0, 0.0), (away.1, top)], SHADE.mix(0.15).filled());
    chart.draw_series([shade])?;
    chart.draw_series(LineSeries::new(panel.points.iter().copied(), INK.stroke_width(2)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_curves_are_drawn() {
        let curves = Curves {
            throughput: vec![(0.5, 900.0), (1.0, 1000.0), (2.0, 0.0)],
            lag: vec![(0.5, 0.0), (2.0, 1.5)],
        };
        let picture = draw("At 1,000 transactions a second", &curves, (1.0, 2.0)).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");
        assert!(picture.matches("<polyline").count() + picture.matches("<path").count() > 2, "{picture}");
        for text in ["At 1,000 transactions a second", "transactions/s", "seconds"] {
            assert!(picture.contains(text), "{text}");
        }
        assert!(draw("nothing", &Curves::default(), (0.0, 0.0)).is_ok());
    }
}
