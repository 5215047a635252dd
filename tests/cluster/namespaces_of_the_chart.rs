//! The chart's namespaces: it creates missing ones, and leaves alone those that existed or that it created before,
//! whatever happens to the release. If one of them is refused, nothing changes.

use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::helm::{Helm, install};
use crate::support::manifests::{binding, organization, users};
use crate::support::{Cluster, Question, RELEASE, repository};

const MANAGER: [&str; 2] = ["create deployments.apps", "create rolebindings.bailiwick.dev"];

/// A namespace as its team sees it: without the operator's records, and fields that change with them.
fn namespace(cluster: &Cluster, name: &str) -> Value {
    let mut object = cluster.get(&["namespace", name]);
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["resourceVersion", "managedFields"] {
        metadata.remove(field);
    }
    for map in ["labels", "annotations"] {
        let Some(Value::Object(mut entries)) = metadata.remove(map) else { continue };
        entries.retain(|key, _| !key.starts_with("bailiwick.dev/"));
        metadata.insert(map.to_owned(), Value::Object(entries));
    }
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.remove("annotations");
    }
    object
}

/// A namespace of another Helm release.
fn owned_by_another_release(cluster: &Cluster, helm: Helm, name: &str) {
    let chart = tempfile::tempdir().unwrap();
    std::fs::create_dir(chart.path().join("templates")).unwrap();
    std::fs::write(chart.path().join("Chart.yaml"), "{apiVersion: v2, name: theirs, version: 1.0.0}").unwrap();
    let template = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{a: b}}}}}}");
    std::fs::write(chart.path().join("templates/namespace.yaml"), template).unwrap();
    helm.chart_of(cluster, chart.path(), &["install", "theirs", "--create-namespace"], "{}", &[]).unwrap();
}

/// Three that existed before Bailiwick: with workloads that Pod Security would refuse, with a stricter level, and in
/// another release.
fn tenants(cluster: &Cluster, helm: Helm) {
    cluster.apply(
        "{apiVersion: v1, kind: Namespace, metadata: {name: busy}}\n---\n\
         {apiVersion: v1, kind: Namespace, metadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: restricted, team: s}}}\n",
    );
    owned_by_another_release(cluster, helm, "theirs");
    cluster.eventually("the namespace has its ServiceAccount", || {
        cluster.exists(&["-n", "busy", "serviceaccount", "default"])
    });
    cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: on-the-host, namespace: busy}, \
         spec: {hostNetwork: true, containers: [{name: c, image: example}]}}",
    );
}

const TENANTS: [&str; 3] = ["busy", "strict", "theirs"];

#[rstest]
fn missing_ones_are_created_and_others_stay_as_they_are(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let mut cluster = Cluster::bare();
    tenants(&cluster, helm);
    let all = |names: &[&str]| names.iter().map(|name| cluster.get(&["namespace", name])).collect::<Vec<_>>();
    let before = all(&TENANTS);
    let values = |whitelist: &str, label: &str| {
        format!(
            "{{namespaceWhitelist: [busy, strict, theirs, {whitelist}], defaultOrganization: {{create: false}}, \
             namespaceLabels: {{cost-center: '{label}'}}, namespaceAnnotations: {{example.com/owner: platform}}}}"
        )
    };
    install(&cluster, helm, &values("fresh", "1"));
    assert_eq!(all(&TENANTS), before, "not even written");
    let fresh = namespace(&cluster, "fresh");
    let labels = json!({"kubernetes.io/metadata.name": "fresh", "cost-center": "1", "pod-security.kubernetes.io/enforce": "baseline"});
    assert_eq!(fresh["metadata"]["labels"], labels);
    assert_eq!(fresh["metadata"]["annotations"]["example.com/owner"], "platform");
    let ours = cluster.get(&["namespaces", "-l", "app.kubernetes.io/part-of=bailiwick"]);
    assert_eq!(ours["items"], json!([]), "no label of the chart is on a team's namespace");

    // Users arrive, and the new namespace gets a stricter level and a label.
    cluster.start_operator();
    let teams = ["busy", "strict", "theirs", "fresh"];
    for team in teams {
        cluster.apply(&organization(team, &format!("{{namespace: {team}}}")));
        cluster.apply(&binding(team, "managers", "SiteRole/organization-manager", &["ada"]));
    }
    cluster.apply(&users(&["ada"]));
    let ada = |team: &str| Question::of("ada@example.com", team);
    let everybody_works =
        |cluster: &Cluster, teams: &[&str]| teams.iter().for_each(|team| cluster.can(&ada(team), &MANAGER));
    everybody_works(&cluster, &teams);
    cluster.run(&[
        "label",
        "namespace",
        "fresh",
        "--overwrite",
        "pod-security.kubernetes.io/enforce=restricted",
        "cost-center=2",
        "more=x",
    ]);
    cluster.run(&["create", "namespace", "late"]);
    let names = ["busy", "strict", "theirs", "fresh", "late"];
    let as_they_are = |cluster: &Cluster| names.map(|name| namespace(cluster, name));
    let lived_in = as_they_are(&cluster);

    // Revision 2: another existing one, and another missing one.
    helm.chart(&cluster, &["upgrade", "bailiwick"], &values("fresh, late, newer", "3"), &[]).unwrap();
    assert_eq!(as_they_are(&cluster), lived_in);
    assert_eq!(namespace(&cluster, "newer")["metadata"]["labels"]["cost-center"], "3");
    cluster.apply(&organization("late", "{namespace: late}"));
    cluster.apply(&binding("late", "managers", "SiteRole/organization-manager", &["ada"]));
    everybody_works(&cluster, &names);
    // Back, and forward again.
    helm.run(&cluster, &["rollback", "bailiwick", "1"]).unwrap();
    cluster.cannot(&ada("late"), &MANAGER);
    everybody_works(&cluster, &teams);
    assert_eq!(as_they_are(&cluster), lived_in, "no rollback lowers a level or takes a label away");
    helm.run(&cluster, &["rollback", "bailiwick", "2"]).unwrap();
    everybody_works(&cluster, &names);

    // Everything outlives the release, and another installation finds it.
    helm.run(&cluster, &["uninstall", "bailiwick"]).unwrap();
    cluster.kill_operator();
    assert_eq!(as_they_are(&cluster), lived_in);
    assert!(cluster.exists(&["namespace", "newer"]) && cluster.exists(&["-n", "busy", "pod", "on-the-host"]));
    install(&cluster, helm, &values("fresh, late, newer", "3"));
    assert_eq!(as_they_are(&cluster), lived_in);
    cluster.start_operator();
    everybody_works(&cluster, &names);
}

/// A policy of the cluster's own that refuses to create these.
fn refuse_to_create(cluster: &Cluster, names: &str) {
    cluster.apply(&format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: of-the-site}}\n\
         spec:\n  matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], resources: [namespaces], operations: [CREATE]}}]}}\n  \
         validations: [{{expression: \"!(object.metadata.name in {names})\", message: the site refuses this name}}]\n---\n\
         apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: of-the-site}}\n\
         spec: {{policyName: of-the-site, validationActions: [Deny]}}\n"
    ));
    cluster.eventually("the policy acts", || {
        let output = cluster.kubectl(&["create", "namespace", "refused", "--dry-run=server"]);
        String::from_utf8_lossy(&output.stderr).contains("the site refuses this name")
    });
}

/// Everything that the chart installed, by kind and name: without field managers and controllers' statuses.
fn installed(cluster: &Cluster) -> BTreeMap<String, Value> {
    let kinds = "clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,configmaps,services,deployments.apps,\
                 validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingadmissionpolicies,\
                 mutatingadmissionpolicybindings,siteroles,organizations";
    let list = cluster.get(&[kinds, "-A", "-l", "app.kubernetes.io/instance=bailiwick"]);
    let content = |object: &Value| {
        let mut object = object.clone();
        object.as_object_mut().unwrap().remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        ["resourceVersion", "managedFields"].iter().for_each(|field| drop(metadata.remove(*field)));
        (format!("{} {} {}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]), object)
    };
    list["items"].as_array().unwrap().iter().map(content).collect()
}

#[rstest]
fn nothing_is_half_applied_when_one_is_refused(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let cluster = Cluster::bare();
    cluster.run(&["create", "namespace", "there"]);
    refuse_to_create(&cluster, "['refused']");
    let values = |whitelist: &str| format!("{{namespaceWhitelist: [{whitelist}]}}");
    let first = ["upgrade", "--install", "bailiwick", "--create-namespace"];
    let error = helm.chart(&cluster, &first, &values("another, refused, there"), &[]).unwrap_err();
    assert!(error.contains("the site refuses this name"), "{error}");
    assert!(installed(&cluster).is_empty());

    // The same command works without it.
    helm.chart(&cluster, &first, &values("another, there"), &[]).unwrap();
    cluster.await_policies();
    let before = installed(&cluster);
    assert!(before.len() > 40, "{}", before.len());
    let unchanged = |values: &str, named: &[&str]| {
        let error = helm.chart(&cluster, &["upgrade", "bailiwick"], values, &[]).unwrap_err();
        named.iter().for_each(|word| assert!(error.contains(word), "{error}"));
        assert!(installed(&cluster) == before, "something of the release has changed");
    };
    // `another` would have been removed, too.
    unchanged(&values("there, refused"), &["the site refuses this name"]);
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: going, finalizers: [example.com/never]}}");
    cluster.run(&["delete", "namespace", "going", "--wait=false"]);
    unchanged(&values("there, going"), &["\"going\" is being deleted"]);
    cluster.run(&["patch", "namespace", "going", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    unchanged(
        "{namespaceWhitelist: [there, mistyped], createNamespaces: false}",
        &["no namespace \"mistyped\"", "spelling"],
    );
    unchanged(
        "{namespaceWhitelist: [there, newer, mistyped], createNamespaces: [newer]}",
        &["no namespace \"mistyped\"", "createNamespaces"],
    );
    unchanged(
        "{namespaceWhitelist: [there], createNamespaces: [ther]}",
        &["ther is not in namespaceWhitelist (there)"],
    );
    assert!(!cluster.exists(&["namespace", "newer"]));
    // A list of namespaces to create does create them.
    helm.chart(
        &cluster,
        &["upgrade", "bailiwick"],
        "{namespaceWhitelist: [there, newer], createNamespaces: [newer]}",
        &[],
    )
    .unwrap();
    assert!(cluster.exists(&["-n", "newer", "rolebindings.rbac.authorization.k8s.io", "bailiwick-grantable"]));
}

/// Its namespaces were part of the release, so Helm would delete an unmarked one.
#[rstest]
fn an_upgrade_from_the_previous_chart_takes_nothing_from_a_namespace(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let cluster = Cluster::bare();
    cluster.run(&["create", "namespace", "there"]);
    let previous = repository().join("tests/previous-chart/bailiwick.tgz");
    let values = "{namespaceWhitelist: [alpha, beta, there]}";
    let first = ["install", "bailiwick", "--create-namespace"];
    helm.chart_of(&cluster, &previous, &first, values, &["--take-ownership"]).unwrap();
    cluster.await_policies();
    cluster.run(&[
        "label",
        "namespace",
        "alpha",
        "--overwrite",
        "pod-security.kubernetes.io/enforce=restricted",
        "a=b",
    ]);
    let names = ["alpha", "beta", "there"];
    let before = names.map(|name| namespace(&cluster, name));
    cluster.run(&["annotate", "namespace", "beta", "helm.sh/resource-policy-"]);
    let upgrade = |values: &str| helm.chart(&cluster, &["upgrade", "bailiwick"], values, &[]);
    for values in [values, "{namespaceWhitelist: [alpha]}"] {
        let error = upgrade(values).unwrap_err();
        assert!(error.contains("Helm would delete namespace \"beta\""), "{error}");
        let command = error.split("Mark it first: ").nth(1).unwrap().lines().next().unwrap();
        assert_eq!(command, "kubectl annotate namespace beta helm.sh/resource-policy=keep");
    }
    cluster.run(&["annotate", "namespace", "beta", "helm.sh/resource-policy=keep"]);
    upgrade(values).unwrap();
    assert_eq!(names.map(|name| namespace(&cluster, name)), before);
    // From now on they belong only to the teams, and the old chart's labels can go.
    cluster.shell(helm, repository(), &crate::support::helm::documented("### Namespaces of the first charts")).unwrap();
    let ours = cluster.get(&["namespaces", "-l", "app.kubernetes.io/instance=bailiwick"]);
    assert_eq!(ours["items"], json!([]));
    upgrade("{namespaceWhitelist: [alpha]}").unwrap();
    assert!(names.iter().all(|name| cluster.exists(&["namespace", name])));
    let level = namespace(&cluster, "alpha")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].clone();
    assert_eq!(level, "restricted");
    assert!(cluster.exists(&["-n", RELEASE, "deployment", "bailiwick"]));
}

/// Helm applies the list of namespaces before the operator's rights in them.
#[test]
fn a_longer_whitelist_raises_no_false_alarm() {
    let mut cluster = Cluster::bare();
    let teams: Vec<String> = (0..6).map(|n| format!("team-{n}")).collect();
    let values =
        |whitelist: &str| format!("{{namespaceWhitelist: [{whitelist}], defaultOrganization: {{create: false}}}}");
    install(&cluster, Helm::Four, &values("first"));
    cluster.start_operator();
    cluster.apply(&(users(&["ada"]) + &organization("first", "{namespace: first}")));
    for team in &teams {
        cluster.run(&["create", "namespace", team]);
        cluster.apply(&organization(team, &format!("{{namespace: {team}}}")));
        cluster.apply(&binding(team, "managers", "SiteRole/organization-manager", &["ada"]));
        cluster.await_reason(&["organizations.bailiwick.dev", team], "NamespaceAssigned", "NotWhitelisted");
    }
    cluster.settle();
    let longer = format!("first, {}", teams.join(", "));
    Helm::Four.chart(&cluster, &["upgrade", "bailiwick"], &values(&longer), &[]).unwrap();
    for team in &teams {
        cluster.can(&Question::of("ada@example.com", team), &MANAGER);
        cluster.await_reason(&["organizations.bailiwick.dev", team], "Ready", "Reconciled");
        cluster.await_reason(&["-n", team, "rolebindings.bailiwick.dev", "managers"], "Ready", "Reconciled");
    }
    cluster.settle();
    let reasons = |kind: &str| {
        let events = cluster.get(&["events.events.k8s.io", "--all-namespaces"]);
        let events = events["items"].as_array().unwrap().iter().filter(|event| event["type"] == kind);
        events.map(|event| event["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Events are sent in parallel, and some are dropped, so a real problem comes last.
    let mut n = 0;
    cluster.eventually("an Event of something that is wrong", || {
        n += 1;
        cluster.apply(&binding("first", &format!("wrong-{n}"), "SiteRole/none", &["ada"]));
        reasons("Warning").contains(&"RoleNotFound".to_owned())
    });
    let mut alarms = reasons("Warning");
    alarms.retain(|reason| !["NotWhitelisted", "NoOrganization", "RoleNotFound"].contains(&reason.as_str()));
    assert_eq!(alarms, [""; 0], "{}", cluster.operator_log());
}
