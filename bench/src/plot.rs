//! Plots as SVG: CPU per record by contestant, and figures over sizes.

use std::path::Path;

use model::{Error, Result};
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color, IntoDrawingArea, IntoLogRange, LineSeries, Rectangle, SVGBackend,
    SeriesLabelPosition, WHITE,
};
use plotters::style::{Palette, Palette99};

use crate::results::{Contestant, Results};

const SIZE: (u32, u32) = (860, 420);

/// A line through points.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

fn failed(path: &Path, e: &dyn std::fmt::Display) -> Error {
    Error::external(format!("{}: the plot cannot be written: {e}", path.display()))
}

/// Horizontal bars, one per figure.
///
/// # Errors
/// When the file cannot be written.
pub fn bars(path: &Path, title: &str, unit: &str, figures: &[(String, f64)]) -> Result<()> {
    let greatest = figures.iter().map(|(_, figure)| *figure).fold(0.0, f64::max).max(1e-9);
    let n = figures.len().max(1);
    let draw = || -> std::result::Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let name = |at: &f64| {
            let place = at.floor();
            let middle = (at - place - 0.5).abs() < 0.01;
            figures.get(place as usize).filter(|_| middle).map_or(String::new(), |(name, _)| name.clone())
        };
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(170)
            .build_cartesian_2d(0.0..greatest * 1.15, 0.0..n as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(2 * n + 1)
            .y_label_formatter(&name)
            .x_desc(unit)
            .draw()?;
        chart.draw_series(figures.iter().enumerate().map(|(i, (_, figure))| {
            let y = i as f64;
            Rectangle::new([(0.0, y + 0.2), (*figure, y + 0.8)], Palette99::pick(i).filled())
        }))?;
        area.present()?;
        Ok(())
    };
    draw().map_err(|e| failed(path, &*e))
}

/// Lines over a logarithmic axis.
///
/// # Errors
/// When the file cannot be written.
pub fn lines(path: &Path, title: &str, (x, y): (&str, &str), lines: &[Line]) -> Result<()> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let least = all().map(|(x, _)| *x).fold(f64::MAX, f64::min);
    let most = all().map(|(x, _)| *x).fold(f64::MIN, f64::max);
    let highest = all().map(|(_, y)| *y).fold(0.0, f64::max).max(1e-9);
    if least >= most {
        return Ok(());
    }
    let draw = || -> std::result::Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(60)
            .build_cartesian_2d((least..most).log_scale(), 0.0..highest * 1.15)?;
        chart.configure_mesh().x_desc(x).y_desc(y).draw()?;
        for (i, line) in lines.iter().enumerate() {
            let colour = Palette99::pick(i).to_rgba();
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 16, y + 2)], colour.filled()));
            chart.draw_series(line.points.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    };
    draw().map_err(|e| failed(path, &*e))
}

/// The plots of a result into a folder; their names.
///
/// # Errors
/// When they cannot be written.
pub fn all(results: &Results, folder: &Path) -> Result<Vec<String>> {
    let ran: Vec<&Contestant> = results.contestants.iter().filter(|c| !c.rounds.is_empty()).collect();
    let mut names = Vec::new();
    if let Some(first) = ran.first() {
        let same = |c: &&&Contestant| c.keys == first.keys && c.length == first.length;
        let name = |c: &Contestant| match c.workers {
            0 | 1 => c.name.clone(),
            n => format!("{}, {n} workers", c.name),
        };
        let figures: Vec<(String, f64)> =
            ran.iter().filter(same).rev().map(|c| (name(c), c.cpu_per_million)).collect();
        bars(&folder.join("cpu.svg"), &results.scenario.name, "CPU-s per million records", &figures)?;
        names.push("cpu.svg".to_owned());
        for (file, axis, of) in [
            ("keys.svg", "entities ×", (|c: &Contestant| c.keys) as fn(&Contestant) -> f64),
            ("length.svg", "records ×", |c| c.length),
            ("workers.svg", "workers", |c| f64::from(c.workers)),
        ] {
            let mut series: Vec<Line> = Vec::new();
            for c in ran.iter().filter(|c| of(c) > 0.0) {
                let point = (of(c), c.cpu_per_million);
                match series.iter_mut().find(|line| line.name == c.name) {
                    Some(line) => line.points.push(point),
                    None => series.push(Line { name: c.name.clone(), points: vec![point] }),
                }
            }
            series.retain(|line| line.points.iter().any(|point| point.0 != line.points[0].0));
            if !series.is_empty() {
                lines(&folder.join(file), &results.scenario.name, (axis, "CPU-s per million"), &series)?;
                names.push(file.to_owned());
            }
        }
    }
    for c in results.contestants.iter().filter(|c| c.latency_ms.is_some()) {
        let curves = crate::latency::curves(c);
        let file = format!("{}.svg", c.name);
        lines(&folder.join(&file), &c.name, ("share of probes that took longer, 1 in", "ms"), &curves)?;
        names.push(file);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{Line, bars, lines};

    #[test]
    fn plots_name_what_they_show() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let figures = [("floor".to_owned(), 0.6), ("replay".to_owned(), 1.4)];
        bars(&folder.path().join("a.svg"), "city-5", "CPU-s", &figures).unwrap();
        assert!(["city-5", "CPU-s", "floor", "replay"].iter().all(|text| read("a.svg").contains(text)));
        let line = Line { name: "replay".into(), points: vec![(1.0, 2.0), (32.0, 2.5)] };
        lines(&folder.path().join("b.svg"), "keys", ("entities", "CPU-s"), &[line]).unwrap();
        assert!(["keys", "entities", "replay"].iter().all(|text| read("b.svg").contains(text)));
    }
}
