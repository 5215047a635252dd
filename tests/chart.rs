//! The chart, by the real helm and without a cluster: it lints, refuses what is wrong with a message that helps, and its
//! ceilings are the ones that `render` reckons with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use rstest::rstest;
use serde::Deserialize as _;
use serde_json::Value;

fn chart() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/bailiwick")
}

fn helm(arguments: &[&str]) -> Output {
    let tools = control_plane::Tools::locate().expect("helm is there or can be built");
    let home = tempfile::tempdir().unwrap();
    let mut helm = Command::new(tools.helm());
    for (variable, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        helm.env(variable, home.path().join(folder));
    }
    helm.env_remove("KUBECONFIG").args(arguments).output().unwrap()
}

fn template(extra: &[&str]) -> Output {
    let chart = chart();
    let mut arguments = vec![
        "template",
        "bailiwick",
        chart.to_str().unwrap(),
        "--namespace",
        "bailiwick-system",
        "--kube-version",
        "1.36.3",
    ];
    arguments.extend(extra);
    helm(&arguments)
}

fn objects(extra: &[&str]) -> Vec<Value> {
    let output = template(extra);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|d| Value::deserialize(d).unwrap()).filter(|v| !v.is_null()).collect()
}

#[test]
fn it_lints() {
    let output = helm(&["lint", "--strict", chart().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[rstest]
#[case::typo("namespaceWhitelst={a}", "namespaceWhitelst")]
#[case::system_namespace("namespaceWhitelist={kube-system}", "kube-")]
#[case::wrong_type("namespaceWhitelist=a", "namespaceWhitelist")]
#[case::not_a_name("namespaceWhitelist={Team A}", "namespaceWhitelist")]
#[case::unknown_action("catalog.workspaces.rules.pods.actions={destroy}", "actions")]
#[case::default_outside("defaultOrganization.namespace=elsewhere", "elsewhere")]
#[case::replicas("replicas=many", "replicas")]
fn values_that_are_wrong_are_refused_by_name(#[case] value: &str, #[case] named: &str) {
    let output = template(&["--set", value]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains(named), "{error}");
}

/// No rule of the chart has a wildcard, `escalate`, `impersonate`, or `bind` on RBAC's own kinds, and nobody is bound to
/// `cluster-admin`.
#[test]
fn the_operator_gets_no_right_that_would_be_every_right() {
    for object in objects(&["--set", "namespaceWhitelist={a,b}"]) {
        for rule in object["rules"].as_array().into_iter().flatten() {
            let text = rule.to_string();
            assert!(!text.contains("\"*\""), "{}: {text}", object["metadata"]["name"]);
            assert!(!text.contains("escalate") && !text.contains("impersonate"), "{text}");
            let rbac = text.contains("rbac.authorization.k8s.io");
            assert!(!(rbac && text.contains("\"bind\"")), "{text}");
            assert!(!text.contains("\"secrets\""), "{text}");
        }
        let role = object["roleRef"]["name"].as_str().unwrap_or_default();
        assert!(!["cluster-admin", "admin", "edit", "view"].contains(&role), "{object}");
    }
}

#[test]
fn the_ceiling_is_held_in_the_whitelisted_namespaces_only() {
    let bindings: Vec<String> = objects(&["--set", "namespaceWhitelist={a,b}"])
        .into_iter()
        .filter(|o| o["kind"] == "RoleBinding" && o["roleRef"]["name"] == "bailiwick-grantable")
        .map(|o| o["metadata"]["namespace"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(bindings, ["a", "b"]);
}

/// `render` has to reckon with the same ceilings as the API server: for each of its own rules, the chart's ClusterRole
/// has the same verbs on the same resources.
#[rstest]
#[case("bailiwick-catalog", "organization")]
#[case("bailiwick-catalog-cluster", "cluster")]
#[case("bailiwick-catalog-release", "release")]
fn the_ceilings_are_those_that_render_reckons_with(#[case] role: &str, #[case] target: &str) {
    use bailiwick::core::catalog::{Bounds, Target};
    use bailiwick::core::native::from_rules;
    use bailiwick::core::rules::RuleSet;
    let objects = objects(&[]);
    let named = |kind: &str, name: &str| {
        objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap_or_else(|| panic!("{name}"))
    };
    let bounds = named("ConfigMap", "bailiwick-bounds")["data"]["bounds.yaml"].as_str().unwrap();
    let bounds = Bounds::parse(bounds).unwrap();
    let target: Target = serde_json::from_value(Value::from(target)).unwrap();
    let rules: Vec<k8s_openapi::api::rbac::v1::PolicyRule> =
        serde_json::from_value(named("ClusterRole", role)["rules"].clone()).unwrap();
    let fixed: Value =
        serde_yaml::from_str(&std::fs::read_to_string(chart().join("files/fixed-rights.yaml")).unwrap()).unwrap();
    let target_name = match target {
        Target::Organization => "organization",
        Target::Cluster => "cluster",
        Target::Release => "release",
    };
    let fixed: Vec<k8s_openapi::api::rbac::v1::PolicyRule> =
        serde_json::from_value(fixed.get(target_name).cloned().unwrap_or_else(|| Value::Array(Vec::new()))).unwrap();
    let mut reckoned = bounds.ceiling(target);
    reckoned.extend(from_rules(&fixed));
    assert_eq!(RuleSet::from_rules(&from_rules(&rules)), RuleSet::from_rules(&reckoned));
}

/// Each policy has a value of its own that switches it off, with everything that belongs to it and nothing else.
#[rstest]
#[case("operatorGuard", &["bailiwick-operator-guard"])]
#[case("guardedServiceAccounts", &["bailiwick-guarded-serviceaccounts"])]
#[case("managedObjects", &["bailiwick-managed-rbac", "bailiwick-installed", "bailiwick-definitions", "bailiwick-operator-pods"])]
#[case(
    "handingOutRoles",
    &["bailiwick-bindings", "bailiwick-customroles", "bailiwick-siteroles", "bailiwick-privileged-groups", "bailiwick-member-roles"]
)]
#[case("groupVouched", &["bailiwick-group-vouched"])]
#[case("defaultOrganization", &["bailiwick-default-organization"])]
#[case("namespaceClaims", &["bailiwick-namespace-claims"])]
#[case("suspending", &["bailiwick-suspending"])]
#[case("suspendedUsers", &["bailiwick-suspended", "bailiwick-suspended-now"])]
fn a_policy_is_switched_off_by_its_value(#[case] value: &str, #[case] policies: &[&str]) {
    let names = |extra: &[&str]| -> std::collections::BTreeSet<String> {
        let of_policies = objects(extra).into_iter().filter(|o| {
            let name = o["metadata"]["name"].as_str().unwrap();
            o["apiVersion"] == "admissionregistration.k8s.io/v1" || name.starts_with("bailiwick-suspended-")
        });
        of_policies
            .map(|o| format!("{} {}", o["kind"].as_str().unwrap(), o["metadata"]["name"].as_str().unwrap()))
            .collect()
    };
    let (all, without) = (names(&[]), names(&["--set", &format!("admissionPolicies.{value}.enabled=false")]));
    let gone: Vec<&String> = all.difference(&without).collect();
    assert!(without.is_subset(&all));
    for policy in policies {
        assert!(gone.iter().any(|object| object.ends_with(&format!("Policy {policy}"))), "{policy}: {gone:?}");
        assert!(gone.iter().any(|object| object.ends_with(&format!("PolicyBinding {policy}"))), "{policy}: {gone:?}");
    }
    let expected = |object: &str| {
        let name = object.split_whitespace().nth(1).unwrap();
        policies.contains(&name) || (value == "suspendedUsers" && name.starts_with("bailiwick-suspended-"))
    };
    assert!(gone.iter().all(|object| expected(object)), "{gone:?}");
}

/// A policy that does not fail closed, or that only warns, would refuse nothing.
#[test]
fn every_policy_refuses_what_it_cannot_judge() {
    for object in objects(&[]) {
        match object["kind"].as_str().unwrap() {
            "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => {
                assert_eq!(object["spec"]["failurePolicy"], "Fail", "{}", object["metadata"]["name"]);
            }
            "ValidatingAdmissionPolicyBinding" => {
                assert_eq!(object["spec"]["validationActions"], serde_json::json!(["Deny"]));
            }
            _ => {}
        }
    }
}
