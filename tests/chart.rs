//! The charts, with the real helm (4, and 3 where they differ) and without a cluster: they lint, refuse wrong values
//! with a helpful message, and have the same ceilings as `render`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bailiwick::core::catalog::{Bounds, Target};
use bailiwick::core::own_objects::Ownership;
use bailiwick::core::rbac::from_rules;
use bailiwick::core::rules::RuleSet;
use k8s_openapi::api::rbac::v1::PolicyRule;
use rstest::rstest;
use serde::Deserialize as _;
use serde_json::{Value, json};

fn chart() -> PathBuf {
    charts().join("bailiwick")
}

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts")
}

/// The version of helm.
#[derive(Clone, Copy)]
enum Helm {
    Three,
    Four,
}

fn helm(arguments: &[&str]) -> Output {
    helm_of(Helm::Four, arguments)
}

fn helm_of(version: Helm, arguments: &[&str]) -> Output {
    let program = match version {
        Helm::Three => control_plane::Tools::helm_3().expect("Helm 3 is there or can be built"),
        Helm::Four => control_plane::Tools::locate().expect("helm is there or can be built").helm().to_owned(),
    };
    let home = tempfile::tempdir().unwrap();
    let mut helm = Command::new(program);
    for (variable, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        helm.env(variable, home.path().join(folder));
    }
    helm.env_remove("KUBECONFIG").args(arguments).output().unwrap()
}

fn template(extra: &[&str]) -> Output {
    template_of(Helm::Four, extra)
}

fn template_of(version: Helm, extra: &[&str]) -> Output {
    let chart = chart();
    let mut arguments = vec![
        "template",
        "bailiwick",
        chart.to_str().unwrap(),
        "--namespace",
        "bailiwick-system",
        "--kube-version",
        control_plane::pins::KUBERNETES,
    ];
    arguments.extend(extra);
    helm_of(version, &arguments)
}

fn objects(extra: &[&str]) -> Vec<Value> {
    parsed(template(extra))
}

fn parsed(output: Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|d| Value::deserialize(d).unwrap()).filter(|v| !v.is_null()).collect()
}

/// With every option that is off by default.
fn everything(version: Helm) -> Vec<Value> {
    parsed(template_of(version, &["--values", chart().join("ci/everything-values.yaml").to_str().unwrap()]))
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["kind"].as_str().unwrap()).collect()
}

#[rstest]
fn they_lint(#[values(Helm::Three, Helm::Four)] version: Helm, #[values("bailiwick", "bailiwick-crds")] chart: &str) {
    let output = helm_of(version, &["lint", "--strict", charts().join(chart).to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn both_helms_make_the_same_of_it() {
    assert_eq!(everything(Helm::Three), everything(Helm::Four));
}

/// Charts and binary are released together.
#[test]
fn they_have_the_version_of_the_binary() {
    for chart in ["bailiwick", "bailiwick-crds"] {
        let text = std::fs::read_to_string(charts().join(chart).join("Chart.yaml")).unwrap();
        let chart: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(
            (&chart["version"], &chart["appVersion"]),
            (&env!("CARGO_PKG_VERSION").into(), &env!("CARGO_PKG_VERSION").into())
        );
    }
}

#[test]
fn every_object_is_labelled_and_its_name_is_fixed() {
    // A namespace is its team's: the next test.
    for object in everything(Helm::Four).iter().filter(|object| object["kind"] != "Namespace") {
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"]["app.kubernetes.io/part-of"], "bailiwick", "{object}");
        assert_eq!(metadata["labels"]["helm.sh/chart"], format!("bailiwick-{}", env!("CARGO_PKG_VERSION")), "{object}");
        let of_people = ["Organization", "SiteRole"].contains(&object["kind"].as_str().unwrap());
        assert!(of_people || metadata["name"].as_str().unwrap().starts_with("bailiwick"), "{object}");
    }
}

/// As far as Helm cannot look up existing namespaces; for lookups see `tests/cluster/namespaces_of_the_chart.rs`.
#[test]
fn a_namespace_has_its_pod_security_level_and_what_values_say_and_no_label_of_the_chart() {
    let namespaces = |extra: &[&str]| -> BTreeMap<String, Value> {
        let all = objects(&[&["--set", "namespaceWhitelist={a,b,bailiwick-system}"], extra].concat()).into_iter();
        let all = all.filter(|o| o["kind"] == "Namespace");
        all.map(|o| (o["metadata"]["name"].as_str().unwrap().to_owned(), o["metadata"].clone())).collect()
    };
    let plain = namespaces(&[]);
    assert_eq!(plain.keys().collect::<Vec<_>>(), ["a", "b"], "not the release namespace");
    assert_eq!(plain["a"]["labels"], json!({"pod-security.kubernetes.io/enforce": "baseline"}));
    let own = namespaces(&[
        "--set",
        "namespaceLabels.team=t,namespaceLabels.pod-security\\.kubernetes\\.io/enforce=restricted,namespaceAnnotations.mail=m",
    ]);
    assert_eq!(own["a"]["labels"], json!({"pod-security.kubernetes.io/enforce": "restricted", "team": "t"}));
    assert_eq!(own["a"]["annotations"]["mail"], "m");
    assert_eq!(own["a"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert!(own["a"]["annotations"].get("helm.sh/hook").is_none(), "Argo CD would run it at every sync");
    assert_eq!(namespaces(&["--set", "createNamespaces={b}"]).keys().collect::<Vec<_>>(), ["b"]);
    assert!(namespaces(&["--set", "createNamespaces=false"]).is_empty());
}

#[test]
fn monitoring_is_there_when_asked_for_and_needs_no_crd_otherwise() {
    let monitoring = ["ServiceMonitor", "PrometheusRule"];
    let (plain, all) = (objects(&[]), everything(Helm::Four));
    assert!(monitoring.iter().all(|kind| !kinds(&plain).contains(kind) && kinds(&all).contains(kind)));
    let dashboard =
        |objects: &[Value]| objects.iter().find(|o| o["metadata"]["name"] == "bailiwick-dashboard").cloned();
    assert!(dashboard(&plain).is_none());
    let dashboard = dashboard(&all).unwrap();
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    let monitor = all.iter().find(|o| o["kind"] == "ServiceMonitor").unwrap();
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let service = all.iter().find(|o| o["kind"] == "Service").unwrap();
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value, "the ServiceMonitor finds the Service");
    }
    let port = &monitor["spec"]["endpoints"][0]["port"];
    assert!(service["spec"]["ports"].as_array().unwrap().iter().any(|p| &p["name"] == port));
}

/// An alert on a missing metric would never fire, and nobody would notice.
#[test]
fn alerts_and_dashboard_speak_of_metrics_that_exist() {
    use bailiwick::operator::metrics::{MapLabels, Metrics, ReasonLabels, StateLabels, WriteLabels};
    let metrics = Metrics::default();
    // A family exposes nothing until it has a member.
    metrics.writes.get_or_create(&WriteLabels { verb: "apply", result: "failed" }).inc();
    metrics.not_ready.get_or_create(&ReasonLabels { reason: "NotSet" }).set(1);
    metrics.policies.get_or_create(&StateLabels { state: "InPlace" }).set(1);
    metrics.configuration_unreadable.get_or_create(&MapLabels { config_map: "bailiwick-config" }).set(1);
    let text = metrics.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let served: BTreeSet<&str> = samples.map(|line| line.split(['{', ' ']).next().unwrap()).collect();

    let all = everything(Helm::Four);
    let rules = all.iter().find(|o| o["kind"] == "PrometheusRule").unwrap();
    let rules = rules["spec"]["groups"][0]["rules"].as_array().unwrap();
    let dashboard = std::fs::read_to_string(chart().join("files/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<&str> = rules.iter().chain(targets).map(|holder| holder["expr"].as_str().unwrap()).collect();
    let word = regex::Regex::new("bailiwick_[a-z_]+").unwrap();
    for expression in &expressions {
        let mut named = word.find_iter(expression).map(|found| found.as_str()).peekable();
        assert!(named.peek().is_some(), "{expression}");
        // A standby replica has queued what it saw, and works nothing off.
        let of_the_leader =
            ["units_busy", "refused_objects", "not_ready_objects"].iter().any(|m| expression.contains(m));
        assert!(!of_the_leader || expression.contains("(bailiwick_leading == 1)"), "{expression}");
        named.for_each(|name| assert!(served.contains(name), "{name} in {expression}; there is {served:?}"));
    }
    for rule in rules {
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{rule}");
        let annotations = &rule["annotations"];
        assert!(annotations["summary"].is_string() && annotations["description"].is_string(), "{rule}");
    }
}

#[test]
fn the_pod_of_helm_test_is_nobodys_replica_and_has_no_rights() {
    let all = everything(Helm::Four);
    let pod = all.iter().find(|o| o["kind"] == "Pod").unwrap();
    let deployment = all.iter().find(|o| o["kind"] == "Deployment").unwrap();
    let selected = |selector: &Value| {
        selector.as_object().unwrap().iter().all(|(label, value)| &pod["metadata"]["labels"][label] == value)
    };
    assert!(!selected(&deployment["spec"]["selector"]["matchLabels"]));
    let policy = all.iter().find(|o| o["kind"] == "NetworkPolicy").unwrap();
    let from = &policy["spec"]["ingress"][0]["from"];
    assert!(selected(&from[0]["podSelector"]["matchLabels"]), "it may ask, whoever else may");
    assert_eq!(from[1]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "monitoring");
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert!(pod["spec"].get("serviceAccountName").is_none());
    let image = |spec: &Value| spec["containers"][0]["image"].clone();
    assert_eq!(image(&pod["spec"]), image(&deployment["spec"]["template"]["spec"]));
}

/// The operator connects to the API server, whose address the chart cannot know.
#[test]
fn the_network_policy_limits_what_leaves_only_when_asked_to() {
    let types = |objects: Vec<Value>| {
        let policy = objects.into_iter().find(|o| o["kind"] == "NetworkPolicy").unwrap();
        policy["spec"]["policyTypes"].clone()
    };
    assert_eq!(types(objects(&[])), json!(["Ingress"]));
    assert_eq!(types(everything(Helm::Four)), json!(["Ingress", "Egress"]));
    for (value, kind) in [("networkPolicy.enabled=false", "NetworkPolicy"), ("flowSchema.enabled=false", "FlowSchema")]
    {
        assert!(kinds(&objects(&[])).contains(&kind) && !kinds(&objects(&["--set", value])).contains(&kind));
    }
}

#[test]
fn a_spread_of_ones_own_stands_in_place_of_the_charts() {
    let all = everything(Helm::Four);
    let deployment = all.iter().find(|o| o["kind"] == "Deployment").unwrap();
    let spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
    assert_eq!(spread.len(), 1);
    assert_eq!(spread[0]["topologyKey"], "topology.kubernetes.io/zone");
    assert_eq!(spread[0]["labelSelector"], deployment["spec"]["selector"], "it is about the operator's Pods");
}

/// Both ways install the same CRDs; those of the second chart can be upgraded, and survive its removal.
#[test]
fn the_chart_of_crds_has_what_crds_has() {
    let output = helm(&["template", "bailiwick-crds", charts().join("bailiwick-crds").to_str().unwrap()]);
    let mut crds = parsed(output);
    assert_eq!(crds.len(), 7);
    for crd in &mut crds {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{name}");
        assert_eq!(crd["metadata"]["labels"]["app.kubernetes.io/part-of"], "bailiwick", "{name}");
        let text = std::fs::read_to_string(chart().join("crds").join(format!("{name}.yaml"))).unwrap();
        let plain: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(plain["metadata"]["labels"]["app.kubernetes.io/part-of"], "bailiwick", "{name}");
        assert_eq!(crd["spec"], plain["spec"], "{name}");
    }
}

#[rstest]
#[case::typo("namespaceWhitelst={a}", "namespaceWhitelst")]
#[case::system_namespace("namespaceWhitelist={kube-system}", "belong to the cluster")]
#[case::nodes_namespace("namespaceWhitelist={team,kube-node-lease}", "belong to the cluster")]
#[case::public_namespace("namespaceWhitelist={kube-public}", "belong to the cluster")]
#[case::openshift("namespaceWhitelist={openshift}", "belong to the cluster")]
#[case::openshift_operators("namespaceWhitelist={openshift-operators}", "belong to the cluster")]
#[case::default_in_system("defaultOrganization.namespace=kube-system", "belong to the cluster")]
#[case::egress("networkPolicy.egress=none", "egress")]
#[case::peer("networkPolicy.from[0].podselector.a=b", "podselector")]
#[case::interval("metrics.serviceMonitor.interval=often", "interval")]
#[case::labels("metrics.prometheusRule.labels.team=3", "labels")]
#[case::monitor_typo("metrics.servicemonitor.enabled=true", "servicemonitor")]
#[case::priority("flowSchema.priorityLevel=exempt", "a level for workloads")]
#[case::spread("topologySpreadConstraints[0].maxSkew=1", "topologyKey")]
#[case::wrong_type("namespaceWhitelist=a", "namespaceWhitelist")]
#[case::created_and_not_whitelisted("createNamespaces={elsewhere}", "elsewhere is not in namespaceWhitelist")]
#[case::forged_claim(
    "namespaceLabels.bailiwick\\.dev/organization=mine",
    "namespaceLabels/bailiwick.dev~1organization"
)]
#[case::hook_of_helm("namespaceAnnotations.helm\\.sh/hook=pre-delete", "left to Bailiwick and Helm")]
#[case::not_a_name("namespaceWhitelist={Team A}", "namespaceWhitelist")]
#[case::unknown_action("catalog.workspaces.rules.pods.actions={destroy}", "actions")]
#[case::default_outside("defaultOrganization.namespace=elsewhere", "elsewhere")]
#[case::replicas("replicas=many", "replicas")]
fn values_that_are_wrong_are_refused_by_name(
    #[case] value: &str,
    #[case] named: &str,
    #[values(Helm::Three, Helm::Four)] version: Helm,
) {
    let output = template_of(version, &["--set", value]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains(named), "{error}");
}

/// A namespace whose name merely resembles a system namespace belongs to a user, as do the namespaces of add-ons.
#[rstest]
fn other_namespaces_may_be_whitelisted(
    #[values("default", "kubernetes", "kubeflow", "openshiftless", "gatekeeper-system")] namespace: &str,
) {
    let made = objects(&["--set", &format!("namespaceWhitelist={{{namespace}}}")]);
    assert!(made.iter().any(|o| o["kind"] == "Namespace" && o["metadata"]["name"] == namespace));
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

/// Argo CD respects Helm's annotation only when an Application is deleted. It would prune a namespace that leaves the
/// whitelist, with its contents; and an Application with an object that it must not prune would stay OutOfSync.
#[test]
fn what_helm_keeps_argo_cd_neither_prunes_nor_deletes_nor_counts() {
    let mut all = objects(&["--set", "namespaceWhitelist={a,b}"]);
    all.extend(parsed(helm(&["template", "bailiwick-crds", charts().join("bailiwick-crds").to_str().unwrap()])));
    let annotations = |o: &'_ Value| o["metadata"]["annotations"].clone();
    let kept: Vec<Value> = all.iter().map(annotations).filter(|a| a["helm.sh/resource-policy"] == "keep").collect();
    assert!(kept.len() > 17, "two namespaces, the default organization, the built-in roles, the definitions");
    for annotations in kept {
        assert_eq!(annotations["argocd.argoproj.io/sync-options"], "Prune=false,Delete=false");
        assert_eq!(annotations["argocd.argoproj.io/compare-options"], "IgnoreExtraneous");
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

/// Beside the operator: anyone that could write its ConfigMaps, scale it, or cut it off from the API server could stop
/// all revocation.
#[test]
fn the_ceiling_in_the_release_namespace_is_lower() {
    let objects = objects(&["--set", "namespaceWhitelist={a,bailiwick-system}"]);
    let bound = |namespace: &str| -> Vec<&str> {
        let of = |o: &&Value| {
            o["kind"] == "RoleBinding"
                && o["metadata"]["namespace"] == namespace
                && o["roleRef"]["kind"] == "ClusterRole"
        };
        objects.iter().filter(of).map(|o| o["roleRef"]["name"].as_str().unwrap()).collect()
    };
    let team = bound("a");
    assert!(team.contains(&"bailiwick-grantable") && !team.contains(&"bailiwick-grantable-home"), "{team:?}");
    let home = bound("bailiwick-system");
    assert!(home.contains(&"bailiwick-grantable-home") && !home.contains(&"bailiwick-grantable"), "{home:?}");
    let elsewhere = objects.iter().find(|o| o["metadata"]["name"] == "bailiwick-catalog-elsewhere").unwrap();
    let rules: Vec<PolicyRule> = serde_json::from_value(elsewhere["rules"].clone()).unwrap();
    let resources: BTreeSet<&str> =
        rules.iter().flat_map(|rule| rule.resources.iter().flatten()).map(|r| &**r).collect();
    for resource in
        ["configmaps", "networkpolicies", "horizontalpodautoscalers", "verticalpodautoscalers", "scaledobjects"]
    {
        assert!(resources.contains(resource), "{resource}");
    }
}

/// `render` has to use the same ceilings as the API server: for each of its rules, the chart's ClusterRole has the same
/// verbs on the same resources.
#[rstest]
#[case::everywhere("bailiwick-catalog", "organization", Target::Organization, true)]
#[case::elsewhere("bailiwick-catalog-elsewhere", "", Target::Organization, false)]
#[case::cluster("bailiwick-catalog-cluster", "cluster", Target::Cluster, true)]
#[case::release("bailiwick-catalog-release", "", Target::Release, true)]
fn the_ceilings_are_those_that_render_reckons_with(
    #[case] role: &str,
    #[case] fixed: &str,
    #[case] target: Target,
    #[case] in_release_namespace: bool,
) {
    let objects = objects(&[]);
    let named = |kind: &str, name: &str| {
        objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap_or_else(|| panic!("{name}"))
    };
    let bounds = named("ConfigMap", "bailiwick-bounds")["data"]["bounds.yaml"].as_str().unwrap();
    let bounds = Bounds::parse(bounds).unwrap();
    let rules: Vec<PolicyRule> = serde_json::from_value(named("ClusterRole", role)["rules"].clone()).unwrap();
    let all_fixed: Value =
        serde_yaml::from_str(&std::fs::read_to_string(chart().join("files/fixed-rights.yaml")).unwrap()).unwrap();
    let fixed: Vec<PolicyRule> =
        serde_json::from_value(all_fixed.get(fixed).cloned().unwrap_or_else(|| Value::Array(Vec::new()))).unwrap();
    let mut reckoned =
        bounds.ceiling(|word| word.target == target && word.in_release_namespace == in_release_namespace);
    reckoned.extend(from_rules(&fixed));
    assert_eq!(RuleSet::from_rules(&from_rules(&rules)), RuleSet::from_rules(&reckoned));
}

/// Each policy has a value that switches it off, together with its own objects and nothing else.
#[rstest]
#[case("operatorGuard", &["bailiwick-operator-guard"])]
#[case("guardedServiceAccounts", &["bailiwick-guarded-serviceaccounts"])]
#[case("managedObjects", &["bailiwick-managed-rbac", "bailiwick-installed", "bailiwick-definitions", "bailiwick-operator-pods", "bailiwick-ceilings"])]
#[case(
    "handingOutRoles",
    &["bailiwick-bindings", "bailiwick-customroles", "bailiwick-siteroles", "bailiwick-bind-rules", "bailiwick-privileged-groups",
      "bailiwick-finalizers", "bailiwick-member-roles", "bailiwick-owners"]
)]
#[case("groupVouched", &["bailiwick-group-vouched"])]
#[case("defaultOrganization", &["bailiwick-default-organization"])]
// It protects the label by which the policies about own objects select namespaces.
#[case("namespaceClaims", &["bailiwick-namespace-claims", "bailiwick-owner", "bailiwick-own-fence", "bailiwick-own-user"])]
#[case("ownObjects", &["bailiwick-owner", "bailiwick-own-fence", "bailiwick-own-user"])]
#[case("suspending", &["bailiwick-suspending"])]
#[case(
    "suspendedUsers",
    &["bailiwick-suspended", "bailiwick-suspended-ceiling", "bailiwick-suspended-now", "bailiwick-suspended-status"]
)]
fn a_policy_is_switched_off_by_its_value(#[case] value: &str, #[case] policies: &[&str]) {
    let names = |extra: &[&str]| -> std::collections::BTreeSet<String> {
        let of_policies = objects(extra).into_iter().filter(|o| {
            let name = o["metadata"]["name"].as_str().unwrap();
            o["apiVersion"] == "admissionregistration.k8s.io/v1" || name == "bailiwick-suspended"
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
        // Its bindings have names of their own.
        let lists = value == "suspendedUsers" && name.starts_with("bailiwick-suspended-");
        // Without it others can write objects that look like the operator's, so these no longer exempt them.
        let looks_alike = value == "managedObjects" && name == "bailiwick-suspended-now-rbac";
        policies.contains(&name) || lists || looks_alike
    };
    assert!(gone.iter().all(|object| expected(object)), "{gone:?}");
}

/// `bailiwick render` has the same rule as the chart, because it has no policies to look at.
#[rstest]
#[case::default("{}")]
#[case::own_kinds(
    "{catalog: {workspaces: {rules: {rays: {apiGroups: [ray.io], resources: [rayclusters], templates: [spec.template]}}}}}"
)]
#[case::read_only(
    "{catalog: {workspaces: {rules: {pods: {apiGroups: [''], resources: [pods], actions: [read, create]}}}}}"
)]
#[case::secrets(
    "{catalog: {private: {rules: {all: {apiGroups: ['', secrets.io], resources: [secrets, secrets/status]}}}}}"
)]
fn owners_are_recorded_and_fenced_for_the_same_kinds(#[case] values: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values).unwrap();
    let objects = objects(&["--values", file.path().to_str().unwrap()]);
    let find =
        |kind: &str, name: &str| objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap();
    let bounds = find("ConfigMap", "bailiwick-bounds")["data"]["bounds.yaml"].as_str().unwrap();
    let expected = Bounds::parse(bounds).unwrap().own_kinds();
    let text = find("ConfigMap", "bailiwick-policies")["data"]["own-objects.yaml"].as_str().unwrap();
    let policies = bailiwick::core::policies::parse(text).unwrap();
    // Nothing but the kinds themselves is in both: the policy that records owners also matches statuses.
    assert_eq!(Ownership::new(&policies, &Default::default(), &policies), Ownership::Enforced(expected.clone()));
    assert!(expected.iter().all(|(group, kind)| &**kind != "secrets" || !group.is_empty()), "{expected:?}");
}

/// A policy that fails open, or only warns, would refuse nothing. Two of them would refuse too much, for everybody,
/// when their parameters cannot be read (docs/decisions/2026-11-22-suspended-users.md).
#[test]
fn every_policy_but_two_refuses_what_it_cannot_judge() {
    for object in objects(&[]) {
        match object["kind"].as_str().unwrap() {
            "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => {
                let open = object["kind"] == "ValidatingAdmissionPolicy"
                    && ["bailiwick-suspended-now", "bailiwick-suspended-ceiling"]
                        .contains(&object["metadata"]["name"].as_str().unwrap());
                let expected = if open { "Ignore" } else { "Fail" };
                assert_eq!(object["spec"]["failurePolicy"], expected, "{}", object["metadata"]["name"]);
            }
            "ValidatingAdmissionPolicyBinding" => {
                assert_eq!(object["spec"]["validationActions"], json!(["Deny"]));
            }
            _ => {}
        }
    }
}

/// docs/reference/kubernetes-versions.md says what each version lacks. The charts render accordingly, and refuse the
/// version before the first one.
#[test]
fn the_table_of_kubernetes_versions_is_true() {
    use control_plane::pins::{KUBERNETES, SUPPORTED};
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    let (oldest, newest) = (minor(SUPPORTED[0]), minor(SUPPORTED[SUPPORTED.len() - 1]));
    assert!(SUPPORTED.contains(&KUBERNETES));
    let page = std::fs::read_to_string(charts().join("../docs/reference/kubernetes-versions.md")).unwrap();
    assert!(page.contains(&format!("Kubernetes 1.{oldest} to 1.{newest}")), "the page names the range");

    let on = |version: &str| objects(&["--kube-version", version]);
    let named = |objects: &[Value]| -> BTreeSet<(String, String)> {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        objects.iter().map(|object| (word(&object["kind"]), word(&object["metadata"]["name"]))).collect()
    };
    let everything = named(&on(SUPPORTED[SUPPORTED.len() - 1]));
    let (mut stated, mut first_row) = (Vec::new(), u32::MAX);
    for line in page.lines().filter(|line| line.starts_with("| 1.")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (first, last) = cells[0].split_once(" to ").unwrap_or((cells[0], cells[0]));
        first_row = first_row.min(minor(first));
        let left_out: BTreeSet<&str> = cells[2].split('`').filter(|word| word.starts_with("bailiwick-")).collect();
        // Untested versions render alike.
        let untested: Vec<String> = (minor(first)..oldest).map(|minor| format!("1.{minor}.0")).collect();
        let tested = SUPPORTED.iter().filter(|version| (minor(first)..=minor(last)).contains(&minor(version)));
        let tested: Vec<&str> = tested.copied().collect();
        stated.extend(tested.iter().copied());
        for version in untested.iter().map(String::as_str).chain(tested) {
            let rendered = on(version);
            let missing: Vec<_> = everything.difference(&named(&rendered)).cloned().collect();
            assert!(missing.iter().all(|(kind, _)| kind.contains("AdmissionPolicy")), "{version}: {missing:?}");
            let policies = missing.iter().filter(|(kind, _)| kind.ends_with("Policy")).map(|(_, name)| name.as_str());
            assert_eq!(policies.collect::<BTreeSet<_>>(), left_out, "{version}");
            let bounds = rendered.iter().find(|object| object["metadata"]["name"] == "bailiwick-bounds").unwrap();
            let vouched = bounds["data"].to_string().contains("groupsAreVouched: true");
            assert_eq!(vouched, !left_out.contains("bailiwick-group-vouched"), "{version}: the operator is told");
        }
    }
    assert_eq!(stated, SUPPORTED, "each version is in one row, oldest first");

    for chart in ["bailiwick", "bailiwick-crds"] {
        let text = std::fs::read_to_string(charts().join(chart).join("Chart.yaml")).unwrap();
        let chart: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(chart["kubeVersion"], format!(">=1.{first_row}.0-0"));
    }
    let output = template(&["--kube-version", &format!("1.{}.99", first_row - 1)]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("kubeVersion"), "{output:?}");
}
