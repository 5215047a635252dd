//! Generated files are committed and up to date. `make generate` writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod values;

use std::fmt::Write as _;
use std::path::Path;

use bailiwick::api::conditions::{ConditionType, Reason};
use bailiwick::api::crds;

/// Compares a file with its expected content; with `BAILIWICK_GENERATE` set, writes it.
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

/// The default of `scope` did: a second server-side apply of a role changed the object.
#[test]
fn no_default_stands_inside_of_a_list() {
    fn look(schema: &serde_json::Value, in_list: bool, path: &str, found: &mut Vec<String>) {
        if in_list && schema.get("default").is_some() {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            look(property, in_list, &format!("{path}.{name}"), found);
        }
        if schema["items"].is_object() {
            look(&schema["items"], true, &format!("{path}[]"), found);
        }
    }
    let mut found = Vec::new();
    for crd in crds::all() {
        let crd = serde_json::to_value(&crd).unwrap();
        let path = crd["spec"]["names"]["kind"].as_str().unwrap();
        look(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], false, path, &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_table_of_conditions_is_that_of_the_code() {
    let mut text = String::from(
        "# Conditions and reasons\n\n<!-- Generated from src/api/conditions.rs by `make generate`. -->\n\n\
         Every object of ours carries `Ready`, and most have conditions of their own. Events, and the metric `bailiwick_not_ready_objects`, carry the reason of `Ready`; \
         who or what is withheld stands in the message, and the other conditions have the reason in detail.\n\n\
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

/// One script for all seven kinds, in a folder each, as Argo CD stores them; and all of them again in a ConfigMap, as
/// users need them.
#[test]
fn argo_cd_has_one_health_script_for_all_kinds() {
    let folder = "examples/argocd/resource_customizations";
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let script = read(&format!("{folder}/bailiwick.dev/User/health.lua"));
    let mut text = String::from(
        "# Generated from resource_customizations/ by `make generate`. Merge it into your argocd-cm:\n\
         #   kubectl apply --server-side --field-manager bailiwick-health -f argocd-cm.yaml\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n  labels:\n    \
         app.kubernetes.io/name: argocd-cm\n    app.kubernetes.io/part-of: argocd\ndata:\n  \
         # Syncs act as the account that the project names, and not as Argo CD. For ALL projects: see README.md.\n  \
         application.sync.impersonation.enabled: \"true\"\n",
    );
    let mut add = |kind: &str, script: &str| {
        writeln!(text, "  resource.customizations.health.{kind}: |").unwrap();
        for line in script.lines() {
            writeln!(text, "{}", format!("    {line}").trim_end()).unwrap();
        }
    };
    add("argoproj.io_Application", &read(&format!("{folder}/argoproj.io/Application/health.lua")));
    for crd in crds::all() {
        let kind = crd.spec.names.kind;
        up_to_date(&format!("{folder}/bailiwick.dev/{kind}/health.lua"), &script);
        add(&format!("bailiwick.dev_{kind}"), &script);
    }
    up_to_date("examples/argocd/argocd-cm.yaml", &text);
}
