//! What is generated from the code is committed, and not stale. `make generate` writes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod values;

use std::fmt::Write as _;
use std::path::Path;

use bailiwick::api::conditions::{ConditionType, Reason};
use bailiwick::api::crds;

/// Compares a file with what it should be; with `BAILIWICK_GENERATE` set, writes it.
#[track_caller]
fn up_to_date(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BAILIWICK_GENERATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == text, "{path} is stale: run `make generate` and read the difference");
}

#[test]
fn the_crds_are_those_of_the_code() {
    for crd in crds::all() {
        let name = crd.metadata.name.clone().unwrap();
        let text = crds::to_yaml(&crd).unwrap();
        up_to_date(&format!("crds/{name}.yaml"), &text);
        for chart in ["charts/bailiwick/crds", "charts/bailiwick-crds/files"] {
            up_to_date(&format!("{chart}/{name}.yaml"), &text);
        }
    }
}

#[test]
fn no_other_crds_are_shipped() {
    for directory in ["crds", "charts/bailiwick/crds", "charts/bailiwick-crds/files"] {
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
        assert_eq!(files.count(), crds::all().len(), "{directory}");
    }
}

#[test]
fn the_table_of_conditions_is_that_of_the_code() {
    let mut text = String::from(
        "# Conditions and reasons\n\n<!-- Generated from src/api/conditions.rs by `make generate`. -->\n\n\
         Every object of ours carries `Ready`, and conditions of its own. Events and metrics use the same reasons.\n\n\
         | condition | `True` means |\n|---|---|\n",
    );
    for word in ConditionType::ALL {
        writeln!(text, "| `{word}` | {} |", word.meaning()).unwrap();
    }
    text.push_str("\n| reason | meaning |\n|---|---|\n");
    for word in Reason::ALL {
        writeln!(text, "| `{word}` | {} |", word.meaning()).unwrap();
    }
    up_to_date("docs/reference/conditions.md", &text);
}

#[test]
fn the_reference_of_the_values_is_that_of_the_chart() {
    up_to_date("docs/reference/values.md", &values::reference());
}
