//! Generated files are committed and must not be stale. `make generate` writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod fields;
mod metrics;
mod roles;
mod values;

use std::fmt::Write as _;
use std::path::Path;

use bailiwick::api::conditions::{ConditionType, Reason};
use bailiwick::api::crds;

/// Compares a file with its expected text. If `BAILIWICK_GENERATE` is set, writes it first.
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

/// `scope` once had a default, and a second server-side apply of a role was a write.
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
fn the_reference_of_conditions_is_that_of_the_code() {
    let mut text = String::from(
        "# Conditions and reasons\n\n<!-- Generated from src/api/conditions.rs by `make generate`. -->\n\n\
         Every Bailiwick object has the condition `Ready`, and most have others. Events and the metric \
         `bailiwick_not_ready_objects` carry the reason of `Ready`.\nThe message says who or what is withheld, and the \
         other conditions give the reasons in detail.\n\n## Conditions\n\n\
         | condition | `True` means |\n|---|---|\n",
    );
    for word in ConditionType::ALL {
        writeln!(text, "| `{word}` | {} |", word.meaning()).unwrap();
    }
    text.push_str("\n## Reasons\n");
    for word in Reason::ALL {
        write!(text, "\n### {word}\n\n{}\n", word.meaning()).unwrap();
    }
    up_to_date("docs/reference/conditions.md", &text);
}

#[test]
fn the_reference_pages_are_those_of_the_code_and_the_chart() {
    up_to_date("docs/reference/values.md", &values::reference());
    up_to_date("docs/reference/fields.md", &fields::reference());
    up_to_date("docs/reference/cli.md", &cli::reference());
    up_to_date("docs/reference/metrics.md", &metrics::reference());
    up_to_date("docs/reference/roles.md", &roles::reference());
}

/// People look for the message that they got, and for the policy that it names.
#[test]
fn the_pages_about_refusals_know_every_policy_and_quote_messages_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (table, refused) = (read("docs/reference/policies.md"), read("docs/refused.md"));
    let files = std::fs::read_dir(root.join("charts/bailiwick/templates/policies")).unwrap();
    let templates: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let named = regex::Regex::new(r"AdmissionPolicy\nmetadata:\n  name: (bailiwick-[a-z-]*[a-z])\n").unwrap();
    for policy in named.captures_iter(&templates).map(|found| format!("`{}`", &found[1])) {
        assert!(table.contains(&policy), "docs/reference/policies.md has no row for {policy}");
        assert!(refused.contains(&policy) || policy == "`bailiwick-group-vouched`", "docs/refused.md lacks {policy}");
    }
    // The last message is the API server's own.
    let rows: Vec<&str> = refused.lines().filter(|line| line.starts_with("| ") && line.contains("](#")).collect();
    for row in &rows[..rows.len() - 1] {
        for part in row.split('|').nth(1).unwrap().split('…').map(str::trim).filter(|part| !part.is_empty()) {
            assert!(templates.contains(part), "no policy says {part:?}");
        }
    }
}

/// One script for all seven kinds: in a folder for each, as Argo CD expects them, and together in a ConfigMap for its
/// users.
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
