//! The chart from its installation to its removal, and back, with Helm 4 and Helm 3: access changes when the values say
//! so, and never because of Helm.

use std::collections::BTreeMap;

use rstest::rstest;
use serde::Deserialize as _;
use serde_json::Value;

use crate::examples::Example;
use crate::support::helm::{Helm, documented, install};
use crate::support::manifests::{binding, organization, users};
use crate::support::{Cluster, KINDS, Question, RELEASE, repository, with_input};

/// The quickstart's values.
fn values(whitelist: &str) -> String {
    format!("{{namespaceWhitelist: [{whitelist}], defaultOrganization: {{create: false}}}}")
}

const QUICKSTART: &str = "data-science, platform, sandbox";
const GROWN: &str = "data-science, platform, sandbox, annex";

#[rstest]
fn from_installation_to_removal_and_back(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let mut cluster = Cluster::bare();
    let quickstart = Example::read("quickstart").questions();
    install(&cluster, helm, &values(QUICKSTART));
    cluster.start_operator();
    assert!(cluster.operator.as_ref().unwrap().probe().status.success(), "as `helm test` asks");
    cluster.apply_directory("examples/quickstart");
    cluster.answers(&quickstart);
    let upgrade = |cluster: &Cluster, whitelist: &str| {
        helm.chart(cluster, &["upgrade", "bailiwick"], &values(whitelist), &[]).unwrap();
    };

    // Revision 2: it grows while the operator runs.
    upgrade(&cluster, GROWN);
    let annex = organization("annex", "{namespace: annex}") + &users(&["zoe"]);
    cluster.apply(&(annex + &binding("annex", "managers", "SiteRole/organization-manager", &["zoe"])));
    let zoe = Question::of("zoe@example.com", "annex");
    let manager = ["create deployments.apps", "create rolebindings.bailiwick.dev"];
    cluster.can(&zoe, &manager);
    let label =
        cluster.get(&["namespace", "annex"])["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].clone();
    assert_eq!(label, "baseline");

    // Revision 3: it shrinks. The operator may no longer write there, but nothing is left behind.
    upgrade(&cluster, QUICKSTART);
    cluster.cannot(&zoe, &manager);
    cluster.eventually("no grant is left in annex", || {
        cluster.native().iter().all(|object| object["metadata"]["namespace"] != "annex")
    });
    cluster.is_refused(
        &Question::of_service_account(RELEASE, "bailiwick", "annex"),
        &["create rolebindings.rbac.authorization.k8s.io", "create deployments.apps"],
    );
    assert!(cluster.exists(&["namespace", "annex"]));
    cluster.answers(&quickstart);

    // Back to revision 2.
    helm.run(&cluster, &["rollback", "bailiwick", "2"]).unwrap();
    cluster.can(&zoe, &manager);
    cluster.answers(&quickstart);
    cluster.quiet();

    // Helm deletes the operator's rights, configuration and ServiceAccount while the Pods still run for a while; then
    // the operator ends.
    let granted = cluster.native_content();
    helm.run(&cluster, &["uninstall", "bailiwick"]).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    cluster.kill_operator();
    assert_eq!(cluster.native_content(), granted, "uninstalling changes no grant");
    for kind in ["siteroles.bailiwick.dev/organization-manager", "organizations.bailiwick.dev/data-science"] {
        assert!(cluster.exists(&[kind]), "{kind}");
    }
    assert!(!cluster.exists(&["clusterrole", "bailiwick-operator"]));
    cluster.answers(&quickstart);
    cluster.can(&zoe, &manager);

    // On top of the remains.
    install(&cluster, helm, &values(GROWN));
    cluster.start_operator();
    cluster.quiet();
    assert_eq!(cluster.native_content(), granted, "installing again changes no grant");
    cluster.answers(&quickstart);

    // And removed.
    cluster.stop_operator();
    helm.run(&cluster, &["uninstall", "bailiwick"]).unwrap();
    cluster.shell(helm, repository(), &documented("### Removing everything")).unwrap();
    nothing_is_left(&cluster, &quickstart);

    // As on the first day, even for other organizations.
    install(
        &cluster,
        helm,
        "{namespaceWhitelist: [annex], createNamespaces: false, defaultOrganization: {create: false}}",
    );
    cluster.start_operator();
    let other = organization("other", "{namespace: annex}") + &users(&["zoe"]);
    cluster.apply(&(other + &binding("annex", "managers", "SiteRole/organization-manager", &["zoe"])));
    cluster.can(&zoe, &manager);
}

/// Resources for which the previous chart's catalog has no word, or no action.
const NEW: [&str; 8] = [
    "events",
    "configmaps",
    "serviceaccounts",
    "horizontalpodautoscalers",
    "networkpolicies",
    "poddisruptionbudgets",
    "list siteroles",
    "get siteroles",
];

/// An upgrade of the chart costs nobody access, whether the operator or the chart is newer for a while, and a rollback
/// revokes only the upgrade's additions.
#[rstest]
fn an_upgrade_from_the_previous_chart(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let mut cluster = Cluster::bare();
    let quickstart = Example::read("quickstart").questions();
    let is_new = |what: &str| NEW.iter().any(|resource| what.contains(resource));
    let is_old =
        |(who, what, can): &&(Question, String, bool)| !can || !(format!("{who:?}").contains("dina@") || is_new(what));
    let before_the_upgrade: Vec<_> = quickstart.iter().filter(is_old).cloned().collect();
    let values = values(QUICKSTART);
    let previous = repository().join("tests/previous-chart/bailiwick.tgz");
    helm.chart_of(&cluster, &previous, &["install", "bailiwick", "--create-namespace"], &values, &[]).unwrap();
    cluster.await_policies();
    let policies = |cluster: &Cluster| cluster.get(&["validatingadmissionpolicies"])["items"].as_array().unwrap().len();
    let before = policies(&cluster);
    cluster.start_operator();
    cluster.apply_directory("examples/quickstart");
    cluster.answers(&before_the_upgrade);
    cluster.quiet();
    let granted = cluster.native_content();

    // As the README says: first the CRDs, which Helm leaves alone. The running operator is newer than the chart.
    cluster.shell(helm, repository(), &documented("### CRDs")).unwrap();
    helm.chart(&cluster, &["upgrade", "bailiwick"], &values, &[]).unwrap();
    cluster.await_policies();
    assert!(policies(&cluster) > before, "the upgrade changes something");
    if cluster.has_mutating_policies() {
        // Rights on own objects come when the new policies have been in place for a while.
        let role = ["siteroles.bailiwick.dev", "organization-member"];
        cluster.await_reason(&role, "PermissionsResolved", "Resolved");
    }
    cluster.quiet();
    let upgraded = cluster.native_content();
    assert!(granted.keys().all(|name| upgraded.contains_key(name)), "{granted:?} {upgraded:?}");
    let writes = cluster.native_writes();
    let unchanged = |cluster: &Cluster| {
        cluster.quiet();
        cluster.answers(&quickstart);
        assert_eq!(cluster.native_content(), upgraded);
        assert_eq!(cluster.native_writes() - writes, 0);
    };
    unchanged(&cluster);
    cluster.kill_operator();
    cluster.start_operator();
    unchanged(&cluster);

    helm.run(&cluster, &["rollback", "bailiwick", "1"]).unwrap();
    assert_eq!(policies(&cluster), before);
    cluster.quiet();
    cluster.answers(&before_the_upgrade);
    assert_eq!(cluster.native_content(), granted);
}

fn nothing_is_left(cluster: &Cluster, questions: &[(Question, String, bool)]) {
    assert_eq!(cluster.native(), Vec::<Value>::new());
    for kind in KINDS {
        assert!(!cluster.exists(&["crd", kind]), "{kind}");
    }
    let namespaces = cluster.get(&["namespaces"]);
    for namespace in namespaces["items"].as_array().unwrap() {
        let metadata = &namespace["metadata"];
        for key in ["labels", "annotations"].iter().flat_map(|map| metadata[map].as_object()).flat_map(|map| map.keys())
        {
            assert!(!key.starts_with("bailiwick.dev/"), "{key} on {}", metadata["name"]);
        }
    }
    assert!(cluster.exists(&["namespace", "data-science"]));
    let nobody: Vec<_> = questions.iter().map(|(who, what, _)| (who.clone(), what.clone(), false)).collect();
    cluster.answers(&nobody);
}

/// The objects of the release by name: their resourceVersion, and everything else except who wrote it.
fn live(cluster: &Cluster, helm: Helm) -> BTreeMap<String, (String, Value)> {
    let manifest = helm.run(cluster, &["get", "manifest", "bailiwick"]).unwrap();
    let mut kubectl = cluster.plane.kubectl(&cluster.admin);
    kubectl.args(["get", "-f", "-", "-o", "json"]);
    let list: Value = serde_json::from_slice(&with_input(kubectl, &manifest).stdout).unwrap();
    let version = |object: &Value| {
        let mut object = object.clone();
        let metadata = object["metadata"].as_object_mut().unwrap();
        let version = metadata.remove("resourceVersion").unwrap();
        metadata.remove("managedFields");
        let place = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
        let name = format!("{}/{}", place, metadata["name"].as_str().unwrap());
        let version = version.as_str().unwrap().to_owned();
        if name.ends_with("/bailiwick-decisions") {
            // The operator writes it when idle.
            object.as_object_mut().unwrap().remove("data");
            return (format!("{} {name}", object["kind"].as_str().unwrap()), (String::new(), object));
        }
        (format!("{} {name}", object["kind"].as_str().unwrap()), (version, object))
    };
    list["items"].as_array().unwrap().iter().map(version).collect()
}

/// With the same helm as before, and when Helm 4 takes over from Helm 3.
#[rstest]
#[case::of_helm_4(Helm::Four, Helm::Four)]
#[case::of_helm_3(Helm::Three, Helm::Three)]
#[case::of_helm_3_by_helm_4(Helm::Three, Helm::Four)]
fn an_upgrade_with_the_same_values_changes_nothing_and_is_no_conflict(#[case] first: Helm, #[case] then: Helm) {
    let mut cluster = Cluster::bare();
    let values = "{namespaceWhitelist: [alpha]}";
    install(&cluster, first, values);
    cluster.start_operator();
    cluster.apply(&(organization("alpha", "{namespace: alpha}") + &users(&["ada"])));
    cluster.apply(&binding("alpha", "managers", "SiteRole/organization-manager", &["ada"]));
    cluster.can(&Question::of("ada@example.com", "alpha"), &["create deployments.apps"]);
    cluster.quiet();
    let upgrade = || {
        then.chart(&cluster, &["upgrade", "bailiwick"], values, &[]).unwrap();
        cluster.quiet();
    };
    let before = live(&cluster, then);
    assert!(before.len() > 30, "{before:?}");
    upgrade();
    // The API server may move Helm behind the operator in `managedFields`, which is ordered by time, when a list item
    // has a default. Nothing that anybody reads changes.
    let once = live(&cluster, then);
    for (name, (_, object)) in &once {
        assert_eq!(object, &before[name].1, "{name}");
    }
    upgrade();
    let twice = live(&cluster, then);
    let written: Vec<_> = twice.iter().filter(|(name, (version, _))| once[*name].0 != *version).collect();
    assert!(written.is_empty() && twice.len() == before.len(), "{written:?}");
}

/// As the README says about edits in the cluster.
#[rstest]
fn an_edit_of_what_the_chart_sets_is_said_by_helm_4_and_left_by_helm_3(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let cluster = Cluster::bare();
    install(&cluster, helm, "{}");
    let edit = r#"{"spec":{"displayName":"Reviser"}}"#;
    cluster.run(&["patch", "siterole", "auditor", "--type=merge", "-p", edit]);
    let upgrade = |more: &[&str]| helm.chart(&cluster, &["upgrade", "bailiwick"], "{}", more);
    let name = || cluster.get(&["siterole", "auditor"])["spec"]["displayName"].clone();
    if helm == Helm::Three {
        upgrade(&[]).unwrap();
        assert_eq!(name(), "Reviser");
    } else {
        let error = upgrade(&[]).unwrap_err();
        assert!(error.contains("conflict") && error.contains("auditor"), "{error}");
        upgrade(&["--force-conflicts"]).unwrap();
        assert_eq!(name(), "Auditor");
    }
}

#[test]
fn waiting_ends_by_the_conditions_of_our_objects() {
    let mut cluster = Cluster::bare();
    let values = |name: &str| {
        format!("{{namespaceWhitelist: [alpha], defaultOrganization: {{displayName: {name}, namespace: alpha}}}}")
    };
    install(&cluster, Helm::Four, &values("one"));
    cluster.start_operator();
    cluster.quiet();
    cluster.stop_operator();
    cluster.pretend_that_the_pods_run();

    // Ready, but for an older generation.
    let upgrade = |cluster: &Cluster, name: &str, timeout: &str| {
        let wait = ["--wait", "--timeout", timeout];
        Helm::Four.chart(cluster, &["upgrade", "bailiwick"], &values(name), &wait)
    };
    let error = upgrade(&cluster, "two", "3s").unwrap_err();
    assert!(error.contains("Organization//default not ready") && !error.contains("Deployment"), "{error}");
    cluster.start_operator();
    upgrade(&cluster, "three", "60s").unwrap();
    let default = cluster.get(&["organization", "default"]);
    assert_eq!(default["status"]["observedGeneration"], default["metadata"]["generation"]);

    // Seen, but not ready.
    cluster.run(&["delete", "organization", "default"]);
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization=another", "--overwrite"]);
    let error = upgrade(&cluster, "four", "5s").unwrap_err();
    assert!(error.contains("Organization//default not ready") && !error.contains("Deployment"), "{error}");
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization-"]);
    upgrade(&cluster, "four", "60s").unwrap();
    cluster.await_reason(&["organization", "default"], "Ready", "Reconciled");
}

#[rstest]
fn a_namespace_that_is_missing_is_named_and_nothing_is_installed(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let cluster = Cluster::bare();
    let values = "{namespaceWhitelist: [there, not-there], createNamespaces: false}";
    let try_install = || helm.chart(&cluster, &["install", "bailiwick", "--create-namespace"], values, &[]);
    cluster.run(&["create", "namespace", "there"]);
    let error = try_install().unwrap_err();
    assert!(error.contains("there is no namespace \"not-there\"") && error.contains("createNamespaces"), "{error}");
    assert!(!cluster.exists(&["clusterrole", "bailiwick-operator"]));
    // Once it exists, the same command works.
    cluster.run(&["create", "namespace", "not-there"]);
    try_install().unwrap();
    let error = helm
        .chart(&cluster, &["upgrade", "bailiwick"], "{namespaceWhitelist: [lost], createNamespaces: false}", &[])
        .unwrap_err();
    assert!(error.contains("there is no namespace \"lost\""), "{error}");
    assert!(cluster.exists(&["-n", "not-there", "rolebindings.rbac.authorization.k8s.io", "bailiwick-grantable"]));
}

/// Including everything that is off by default: the API server accepts it, in a namespace that enforces Pod Security
/// "restricted".
#[test]
fn everything_that_the_chart_can_install_is_accepted() {
    let cluster = Cluster::bare();
    cluster.run(&["apply", "-f", repository().join("crds").to_str().unwrap()]);
    for namespace in [RELEASE, "a", "b"] {
        cluster.run(&["create", "namespace", namespace]);
    }
    cluster.run(&["label", "namespace", RELEASE, "pod-security.kubernetes.io/enforce=restricted"]);
    let values = repository().join("charts/bailiwick/ci/everything-values.yaml");
    let version = cluster.version()["gitVersion"].as_str().unwrap().to_owned();
    let values = std::fs::read_to_string(values).unwrap();
    let text = Helm::Four.chart(&cluster, &["template", "bailiwick"], &values, &["--kube-version", &version]).unwrap();
    let objects = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    // This cluster lacks the Prometheus Operator's kinds.
    let ours = |object: &Value| !object.is_null() && object["apiVersion"] != "monitoring.coreos.com/v1";
    let list: Vec<Value> = objects.filter(ours).collect();
    assert!(list.iter().any(|object| object["kind"] == "FlowSchema") && list.len() > 40);
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": list}).to_string();
    cluster.eventually("the new kinds are served", || {
        cluster.kubectl(&["get", "siteroles.bailiwick.dev"]).status.success()
    });
    let mut kubectl = cluster.plane.kubectl(&cluster.admin);
    kubectl.args(["apply", "--server-side", "--dry-run=server", "-f", "-"]);
    let output = with_input(kubectl, &list);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no warning, of Pod Security least of all");
}

/// Tested with priority and fairness, which the tests' control plane usually disables.
#[test]
fn the_operators_requests_do_not_queue_with_those_of_the_tenants() {
    let cluster = Cluster::bare_with_flags(&["--enable-priority-and-fairness=true", "--max-requests-inflight=400"]);
    install(&cluster, Helm::Four, "{}");
    cluster.run(&["create", "serviceaccount", "tenant"]);
    let of = |namespace: &str, account: &str| {
        let token = cluster.run(&["-n", namespace, "create", "token", account]);
        cluster.plane.token_kubeconfig(account, token.trim()).unwrap()
    };
    let (operator, tenant) = (of(RELEASE, "bailiwick"), of("default", "tenant"));
    let dispatched = |schema: &str, level: &str| {
        let metrics = cluster.run(&["get", "--raw", "/metrics"]);
        let labels = format!(r#"requests_total{{flow_schema="{schema}",priority_level="{level}"}} "#);
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("apiserver_flowcontrol_dispatched_")?.strip_prefix(&*labels));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    cluster.eventually("the API server has seen the FlowSchema", || {
        cluster.kubectl_as(&operator, &["get", "--raw", "/apis/bailiwick.dev/v1alpha1/organizations"]);
        dispatched("bailiwick", "workload-high") > 0
    });
    let before = dispatched("bailiwick", "workload-high");
    cluster.kubectl_as(&tenant, &["get", "--raw", "/api/v1/namespaces"]);
    assert_eq!(dispatched("bailiwick", "workload-high"), before);
    assert!(dispatched("service-accounts", "workload-low") > 0, "where the tenants' are");
}
