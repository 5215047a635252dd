//! The table of figures, each beside the target from the project's design.

use super::figures::{Figures, Report};
use crate::stats::Sample;

/// The most lists or watches of one start: the operator's own kinds, the native ones, namespaces, and a few single
/// objects. Lists have kube's pages.
const KINDS: u64 = 30;
const PAGE: u64 = 500;

/// The duration of a bare write on the machine for which the targets in milliseconds were set. On another machine, or
/// at a slower time, the multiple of a bare write of the same run counts.
const BARE_WRITE_MS: f64 = 1.2;

/// One line of the table.
struct Row {
    what: String,
    measured: String,
    bar: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    /// Holds as a multiple of bare writes, though not in milliseconds.
    HoldsInWrites,
    Missed,
}

/// A time limit in milliseconds.
#[derive(Clone, Copy)]
struct Latency {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Latency {
    /// `write`: the duration of a bare write in the same run.
    fn verdict(self, sample: &Sample, write: f64) -> Verdict {
        let within = |scale: f64| {
            let below = |percent, bar: Option<f64>| bar.is_none_or(|bar| sample.percentile(percent) <= bar * scale);
            sample.len() > 0 && below(50.0, self.p50) && below(99.0, self.p99)
        };
        if within(1.0) {
            Verdict::Holds
        } else if within(write / BARE_WRITE_MS) {
            Verdict::HoldsInWrites
        } else {
            Verdict::Missed
        }
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bars = [("p50", self.p50), ("p99", self.p99)].into_iter().filter_map(|(name, bar)| Some((name, bar?)));
        let bars: Vec<String> =
            bars.map(|(name, bar)| format!("{name} ≤ {bar} ms ({:.1} bare writes)", bar / BARE_WRITE_MS)).collect();
        f.write_str(&bars.join(", "))
    }
}

/// Prints the table for every size.
pub fn print(report: &Report) {
    for figures in report.sizes() {
        println!(
            "\n### {} organizations, {} users, {} role bindings\n",
            figures.organizations, figures.users, figures.bindings
        );
        println!("| what | measured | bar | verdict |\n|---|---|---|---|");
        rows(figures).iter().for_each(print_row);
    }
    report.by_size().filter(|runs| runs.len() > 1).for_each(print_spread);
    println!("\n### Whatever the size\n\n| what | measured | bar | verdict |\n|---|---|---|---|");
    overall(report).iter().for_each(print_row);
}

/// A figure of one run.
type Figure = fn(&Figures) -> f64;

/// How much the runs of one size differ.
fn print_spread(runs: &[Figures]) {
    let figures: [(&str, Figure); 9] = [
        ("native objects: rate, of the floor's", |f| f.floor.native_seconds / f.converge.seconds),
        ("until Ready: time, of the floor's", |f| {
            f.converge.ready_seconds / (f.floor.native_seconds + f.floor.status_seconds)
        }),
        ("a change, until the operator writes: p50, ms", |f| f.reaction_ms.median()),
        ("a suspension of 20 grants: p50, of the bare client's", |f| {
            f.suspended_ms.median() / f.bare_suspension_ms.median()
        }),
        ("the same under load: p99, ms", |f| f.suspended_under_load_ms.percentile(99.0)),
        ("a suspension everywhere: of the bare client's", |f| f.everywhere.seconds / f.everywhere.bare_seconds),
        ("a deleted binding: p50, of the bare client's", |f| f.repaired_ms.median() / f.bare_repair_ms.median()),
        ("restart: time, of a bare client's lists", |f| f.restart.seconds / f.restart.list_seconds),
        ("memory converged, MiB", |f| f.converge.resident_mib),
    ];
    println!("\n### {} organizations: {} runs\n", runs[0].organizations, runs.len());
    println!("| what | minimum | median | maximum |\n|---|---|---|---|");
    for (what, figure) in figures {
        let sample = Sample::from(runs.iter().map(figure).collect::<Vec<f64>>());
        let [least, middle, most] = [0.0, 50.0, 100.0].map(|percent| sample.percentile(percent));
        println!("| {what} | {least:.2} | {middle:.2} | {most:.2} |");
    }
}

fn print_row(row: &Row) {
    let verdict = match row.verdict {
        Verdict::Holds => "holds",
        Verdict::HoldsInWrites => "holds in bare writes, not in ms",
        Verdict::Missed => "**missed**",
    };
    println!("| {} | {} | {} | {verdict} |", row.what, row.measured, row.bar);
}

fn row(what: impl Into<String>, measured: String, bar: impl Into<String>, holds: bool) -> Row {
    Row { what: what.into(), measured, bar: bar.into(), verdict: if holds { Verdict::Holds } else { Verdict::Missed } }
}

fn rows(f: &Figures) -> Vec<Row> {
    let mut rows = converging(f);
    rows.extend(changing(f));
    rows.extend(resting(f));
    rows
}

fn converging(f: &Figures) -> Vec<Row> {
    let (c, floor) = (&f.converge, &f.floor);
    let rate = floor.native_seconds / c.seconds;
    let at = format!(
        "{:.2} s for {} objects; floor {:.2} s ({} in flight); {rate:.2} of its rate",
        c.seconds, c.native, floor.native_seconds, floor.in_flight
    );
    let both = floor.native_seconds + floor.status_seconds;
    let ready = format!(
        "{:.2} s with {} statuses, and {:.1} s of processor time; floor {both:.2} s",
        c.ready_seconds, c.statuses, c.cpu_seconds
    );
    vec![
        row("converge from nothing: every native object", at, "≥ 0.80 of the floor's rate", rate >= 0.8),
        row(
            "the same, until everything is Ready",
            ready,
            format!("≤ {:.2} s", both / 0.8),
            c.ready_seconds <= both / 0.8,
        ),
    ]
}

fn changing(f: &Figures) -> Vec<Row> {
    let write = f.bare_write_ms.median();
    let times = |sample: &Sample| {
        let [middle, most] = [50.0, 99.0].map(|percent| sample.percentile(percent) / write);
        format!("{sample} ({middle:.1} and {most:.1} bare writes)")
    };
    let timed = |what: &str, sample: &Sample, measured: String, p50: Option<f64>, p99: Option<f64>| {
        let bar = Latency { p50, p99 };
        Row { what: what.to_owned(), measured, bar: bar.to_string(), verdict: bar.verdict(sample, write) }
    };
    let everywhere = &f.everywhere;
    let unchecked = match &f.unchecked_suspension_ms {
        sample if sample.len() > 0 => format!("; an administrator's, without authorization checks, {}", times(sample)),
        _ => String::new(),
    };
    let suspended = format!("{}; a bare client's writes {}{unchecked}", times(&f.suspended_ms), f.bare_suspension_ms);
    let load = format!("{} of {}", times(&f.suspended_under_load_ms), f.suspended_under_load_ms.len());
    let site = format!(
        "{:.2} s for {} grants; a bare client {:.2} s",
        everywhere.seconds, everywhere.grants, everywhere.bare_seconds
    );
    let repaired = format!("{}; a bare client's write {}", times(&f.repaired_ms), f.bare_repair_ms);
    vec![
        timed(
            "one role binding changed, until the operator's write arrives",
            &f.reaction_ms,
            times(&f.reaction_ms),
            Some(5.0),
            Some(20.0),
        ),
        timed(
            "a user with 20 grants suspended, until none is left",
            &f.suspended_ms,
            suspended,
            Some(25.0),
            Some(100.0),
        ),
        timed("the same while every binding is projected again", &f.suspended_under_load_ms, load, None, Some(250.0)),
        row(
            "a user with a site role over all organizations suspended",
            site,
            "≤ 1.5 × the bare client",
            everywhere.seconds <= 1.5 * everywhere.bare_seconds,
        ),
        timed("a native binding deleted, until it is back", &f.repaired_ms, repaired, Some(15.0), None),
    ]
}

fn resting(f: &Figures) -> Vec<Row> {
    let restart = &f.restart;
    let requests = format!("{} lists and gets, {} watches", restart.reads, restart.watches);
    let took = format!("{:.2} s; a bare client lists the same in {:.2} s", restart.seconds, restart.list_seconds);
    let memory = format!("{:.0} MiB converged, {:.0} MiB at its highest", f.converge.resident_mib, f.converge.peak_mib);
    let objects = (f.converge.native + f.converge.statuses) as u64;
    let pages = KINDS + objects / PAGE;
    let small = f.converge.resident_mib <= 64.0 && f.converge.peak_mib <= 128.0;
    vec![
        row("a touch of every object: native writes", f.touch_writes.to_string(), "0", f.touch_writes == 0),
        row("restart over a converged world: writes", restart.writes.to_string(), "0", restart.writes == 0),
        row(
            "restart: requests that read",
            requests,
            format!("a watch and a list per kind, in pages of {PAGE} (≤ {pages})"),
            restart.reads <= pages && restart.watches <= KINDS,
        ),
        row(
            "restart: until it leads and is idle",
            took,
            "≤ 2 × the list",
            restart.seconds <= 2.0 * restart.list_seconds,
        ),
        row("memory", memory, "≤ 64 and ≤ 128 MiB", small),
    ]
}

/// Figures that compare sizes, and those without a size.
fn overall(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    for pair in report.sizes().windows(2) {
        let (small, large) = (pair[0], pair[1]);
        let each = |f: &Figures| f.converge.seconds * 1000.0 / f.converge.native as f64;
        let ratio = each(large) / each(small);
        let what = format!("cost per object, {} against {} organizations", large.organizations, small.organizations);
        let measured = format!("{:.2} against {:.2} ms; {ratio:.2} ×", each(large), each(small));
        rows.push(row(what, measured, "≤ 1.3 ×", ratio <= 1.3));
        let ratio = large.reaction_ms.median() / small.reaction_ms.median();
        let what =
            format!("reaction to one change, {} against {} organizations", large.organizations, small.organizations);
        let measured = format!("{}; {}; {ratio:.2} ×", large.reaction_ms, small.reaction_ms);
        rows.push(row(what, measured, "independent (≤ 1.3 ×)", ratio <= 1.3));
    }
    let program = &report.program;
    let binary =
        format!("{:.1} MiB, {}", program.mib, if program.linked_statically { "static" } else { "dynamically linked" });
    rows.push(row("binary", binary, "static, ≤ 20 MiB", program.linked_statically && program.mib <= 20.0));
    let start = &program.start_ms;
    rows.push(row("binary: start", start.to_string(), "≤ 50 ms", start.percentile(99.0) <= 50.0));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_machine_is_judged_by_its_own_writes_and_a_faster_one_by_milliseconds() {
        let bar = Latency { p50: Some(12.0), p99: Some(24.0) };
        let sample = |middle: f64, most: f64| Sample::from(vec![middle, middle, most]);
        assert_eq!(bar.verdict(&sample(12.0, 24.0), 0.6), Verdict::Holds);
        assert_eq!(bar.verdict(&sample(12.1, 24.0), 1.2), Verdict::Missed);
        assert_eq!(bar.verdict(&sample(24.0, 48.0), 2.4), Verdict::HoldsInWrites);
        assert_eq!(bar.verdict(&sample(24.0, 48.1), 2.4), Verdict::Missed);
        assert_eq!(bar.verdict(&Sample::from(Vec::new()), 2.4), Verdict::Missed, "nothing was measured");
        assert_eq!(bar.to_string(), "p50 ≤ 12 ms (10.0 bare writes), p99 ≤ 24 ms (20.0 bare writes)");
    }
}
