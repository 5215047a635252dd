//! The reference of the metrics, from what the operator serves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bailiwick::operator::metrics::{MapLabels, Metrics, ReasonLabels, StateLabels, WriteLabels};

#[derive(Default)]
struct Metric {
    kind: String,
    help: String,
    labels: Vec<String>,
}

/// The whole page.
pub fn reference() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         <!-- Generated from src/operator/metrics.rs by `make generate`. -->\n\n\
         Every replica serves `/metrics` on port 8080, for Prometheus. Read the gauges of the leader only \
         (`bailiwick_leading == 1`): other replicas show what they last knew about objects. \
         `metrics.prometheusRule` in the [values](values.md) installs alerts.\n\n\
         The label `reason` is a [reason](conditions.md) of the condition `Ready`.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for (name, Metric { kind, help, labels }) in served() {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let suffix = if kind == "counter" { "_total" } else { "" };
        writeln!(text, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    text
}

fn served() -> BTreeMap<String, Metric> {
    let metrics = Metrics::default();
    // A family is silent until it has a member.
    metrics.writes.get_or_create(&WriteLabels { verb: "apply", result: "ok" }).inc();
    metrics.not_ready.get_or_create(&ReasonLabels { reason: "NotSet" }).set(1);
    metrics.policies.get_or_create(&StateLabels { state: "InPlace" }).set(1);
    metrics.configuration_unreadable.get_or_create(&MapLabels { config_map: "bailiwick-config" }).set(1);
    let mut found = BTreeMap::<String, Metric>::new();
    for line in metrics.text().lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                found.entry(name.to_owned()).or_default().help = help.to_owned()
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                found.entry(name.to_owned()).or_default().kind = kind.to_owned()
            }
            (Some(sample), ..) if !sample.starts_with('#') => {
                let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
                let of = found.iter_mut().rev().find(|(metric, _)| name.starts_with(*metric)).unwrap().1;
                let labels = labels.trim_end_matches('}').split(',').filter_map(|label| Some(label.split_once('=')?.0));
                of.labels = labels.filter(|label| *label != "le").map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    let undescribed: Vec<&String> =
        found.iter().filter(|(_, metric)| metric.help.is_empty()).map(|(name, _)| name).collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
    found
}
