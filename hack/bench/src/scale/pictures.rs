//! The figures as curves, in SVG.

use std::path::Path;

use plotters::prelude::*;

use super::figures::{Figures, Report};
use crate::error::Error;

/// One line in a picture.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws every picture into a directory.
pub fn draw(report: &Report, directory: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(directory)?;
    if let Some(largest) = report.sizes().last() {
        converging(largest, &directory.join("converge.svg"))?;
        latencies(largest, &directory.join("latency.svg"))?;
    }
    memory(report, &directory.join("memory.svg"))
}

fn converging(figures: &Figures, path: &Path) -> Result<(), Error> {
    let thousands = |course: &[(f64, usize)]| course.iter().map(|(at, n)| (*at, *n as f64 / 1000.0)).collect();
    let curves = [
        Curve { name: "Bailiwick".to_owned(), points: thousands(&figures.converge.course) },
        Curve { name: "a bare client (the floor)".to_owned(), points: thousands(&figures.floor.course) },
    ];
    let title = format!("Converging from nothing: {} organizations", figures.organizations);
    picture(path, &title, ("seconds", "thousand native objects"), &curves)
}

fn latencies(figures: &Figures, path: &Path) -> Result<(), Error> {
    let percent =
        |sample: &crate::stats::Sample| sample.curve().into_iter().map(|(at, share)| (at, share * 100.0)).collect();
    let samples = [
        ("a change, until the operator writes", &figures.reaction_ms),
        ("a deleted binding, until it is back", &figures.repaired_ms),
        ("a suspension of 20 grants, idle", &figures.suspended_ms),
        ("the same 20 writes by a bare client", &figures.bare_suspension_ms),
        ("a suspension of 20 grants, under load", &figures.suspended_under_load_ms),
    ];
    let curves = samples.map(|(name, sample)| Curve { name: name.to_owned(), points: percent(sample) });
    picture(path, &format!("Latency: {} organizations", figures.organizations), ("milliseconds", "per cent"), &curves)
}

fn memory(report: &Report, path: &Path) -> Result<(), Error> {
    let of = |name: &str, value: fn(&Figures) -> f64| Curve {
        name: name.to_owned(),
        points: report.sizes().into_iter().map(|f| (f.organizations as f64, value(f))).collect(),
    };
    let curves = [
        of("converged", |f| f.converge.resident_mib),
        of("highest while converging", |f| f.converge.peak_mib),
        of("after a restart", |f| f.restart.resident_mib),
    ];
    picture(path, "Resident memory", ("organizations", "MiB"), &curves)
}

fn picture(path: &Path, title: &str, axes: (&str, &str), curves: &[Curve]) -> Result<(), Error> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let width = points().map(|p| p.0).fold(0.0, f64::max) * 1.05;
    let height = points().map(|p| p.1).fold(0.0, f64::max) * 1.05;
    if width == 0.0 || height == 0.0 {
        return Ok(());
    }
    paint(path, title, axes, curves, (width, height)).map_err(|error| Error::Program(error.to_string()))
}

fn paint(
    path: &Path,
    title: &str,
    axes: (&str, &str),
    curves: &[Curve],
    (width, height): (f64, f64),
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (760, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..width, 0.0..height)?;
    chart.configure_mesh().x_desc(axes.0).y_desc(axes.1).light_line_style(WHITE).draw()?;
    // Colors that color-blind readers can tell apart.
    let colours = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(120, 120, 120), BLACK];
    for (curve, colour) in curves.iter().zip(colours) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), style))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::LowerRight)
        .draw()?;
    area.present()?;
    Ok(())
}
