//! The chart's ConfigMaps: no text can hang the operator, and the person that has to repair it is notified.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::manifests::{binding, custom_role, organization, site_binding, users};
use crate::support::{Cluster, Operator, Question, RELEASE, outcome, with_input};

const VALUES: &str = "
namespaceWhitelist: [alpha]
defaultOrganization: {create: false}
config: {users: {joinDefaultOrganization: false}}
";

/// The time limit for a process to end, as the kubelet would set it.
const END: Duration = Duration::from_secs(5);

fn cluster() -> Cluster {
    let cluster = Cluster::with_operator(VALUES);
    let world = [
        organization("alpha", "{namespace: alpha, default: true}"),
        users(&["ada", "max"]),
        custom_role("alpha", "lead", "{permissions: [{resource: templates, actions: [read]}]}"),
        site_binding("site-managers", "site-manager", &["max"]),
    ];
    cluster.apply(&world.concat());
    cluster.can(&Question::of("max@example.com", RELEASE), &["update configmaps bailiwick-config"]);
    cluster.settle();
    cluster
}

fn patch(
    map: &str,
    data: &serde_json::Value,
    cluster: &Cluster,
    kubeconfig: &std::path::Path,
) -> Result<String, String> {
    let mut kubectl = cluster.plane.kubectl(kubeconfig);
    kubectl.args(["-n", RELEASE, "patch", "configmap", map, "--type=merge", "--patch-file", "/dev/stdin"]);
    outcome(with_input(kubectl, &json!({"data": data}).to_string()))
}

/// Asserts that the operator reacts to changes at once.
#[track_caller]
fn is_at_work(cluster: &Cluster) {
    let started = Instant::now();
    cluster.apply(&binding("alpha", "later", "CustomRole/lead", &["ada"]));
    cluster.can(&Question::of("ada@example.com", "alpha"), &["get podtemplates"]);
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "later"]);
    cluster.cannot(&Question::of("ada@example.com", "alpha"), &["get podtemplates"]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// Asks it to end, and returns how long that took.
fn ends(mut operator: Operator) -> Duration {
    let started = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &operator.pid().to_string()]).status().unwrap().success());
    while operator.is_running() {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", operator.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    started.elapsed()
}

const ALPHA: [&str; 2] = ["organizations.bailiwick.dev", "alpha"];

#[test]
fn nested_settings_of_a_site_manager_hang_nothing_and_are_reported() {
    let mut cluster = cluster();
    cluster.await_reason(&ALPHA, "ConfigurationRead", "Readable");
    let max = cluster.plane.user_kubeconfig("max@example.com", &[]).unwrap();
    let hostile = format!("users: {}", "[".repeat(16 * 1024 - 7));
    patch("bailiwick-config", &json!({"config.yaml": hostile}), &cluster, &max).unwrap();
    let message = cluster.await_reason(&ALPHA, "ConfigurationRead", "Unreadable");
    assert!(message.contains("bailiwick-config") && message.contains("recursion limit"), "{message}");
    let unreadable = |cluster: &Cluster| cluster.operator.as_ref().unwrap().sum("configuration_unreadable");
    cluster.eventually("a metric counts it", || unreadable(&cluster) == 1.0);
    cluster.eventually("an Event is on the ConfigMap", || {
        let field = "regarding.name=bailiwick-config,reason=Unreadable,type=Warning";
        cluster
            .run(&["-n", RELEASE, "get", "events.events.k8s.io", "--field-selector", field, "-o", "name"])
            .contains("event")
    });
    is_at_work(&cluster);

    // A text that takes long to parse, then its repair: the repair counts.
    patch("bailiwick-config", &json!({"config.yaml": "users: {dormantAfterDays: 7}"}), &cluster, &max).unwrap();
    cluster.await_reason(&ALPHA, "ConfigurationRead", "Readable");
    cluster.eventually("a metric says so", || unreadable(&cluster) == 0.0);

    patch("bailiwick-config", &json!({"config.yaml": hostile}), &cluster, &max).unwrap();
    let took = ends(cluster.operator.take().unwrap());
    assert!(took < END, "{took:?}");
}

#[test]
fn what_only_the_chart_writes_is_measured_too() {
    let mut cluster = cluster();
    for (map, key) in [("bailiwick-bounds", "bounds.yaml"), ("bailiwick-policies", "suspending.yaml")] {
        let object = cluster.get(&["-n", RELEASE, "configmap", map]);
        let good = object["data"][key].clone();
        // As much as fits into a ConfigMap.
        for text in ["[".repeat(500_000), "[".repeat(900_000)] {
            patch(map, &json!({key: text}), &cluster, &cluster.admin).unwrap();
            let message = cluster.await_reason(&ALPHA, "ConfigurationRead", "Unreadable");
            assert!(message.contains(map), "{message}");
            is_at_work(&cluster);
        }
        patch(map, &json!({key: good}), &cluster, &cluster.admin).unwrap();
        cluster.await_reason(&ALPHA, "ConfigurationRead", "Readable");
    }
    // An immutable one is replaced.
    let map = cluster.get(&["-n", RELEASE, "configmap", "bailiwick-config"]);
    let broken = r#"{"immutable": true, "data": {"config.yaml": "users: ["}}"#;
    cluster.run(&["-n", RELEASE, "patch", "configmap", "bailiwick-config", "--type=merge", "-p", broken]);
    cluster.eventually("it says what to do", || {
        let condition = cluster.condition(&ALPHA, "ConfigurationRead");
        condition.is_some_and(|(_, _, message)| message.contains("immutable: delete it"))
    });
    cluster.run(&["-n", RELEASE, "delete", "configmap", "bailiwick-config"]);
    cluster.eventually("it says that it is missing", || {
        let condition = cluster.condition(&ALPHA, "ConfigurationRead");
        condition.is_some_and(|(_, _, message)| message.contains("does not exist"))
    });
    let again = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": map["data"],
        "metadata": {"name": "bailiwick-config", "namespace": RELEASE, "labels": map["metadata"]["labels"]}});
    cluster.apply(&again.to_string());
    cluster.await_reason(&ALPHA, "ConfigurationRead", "Readable");
    is_at_work(&cluster);
    let took = ends(cluster.operator.take().unwrap());
    assert!(took < END, "{took:?}");
}

/// A user that may write an object may put any time and depth into its managed fields.
#[test]
fn managed_fields_break_no_watch() {
    let mut cluster = cluster();
    cluster.apply(&binding("alpha", "kept", "CustomRole/lead", &["max"]));
    cluster.can(&Question::of("max@example.com", "alpha"), &["get podtemplates"]);
    let foreign = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: somebodys, namespace: default}, \
                   rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}";
    cluster.apply(foreign);
    let deep = |depth: usize| {
        let text = "{\"f:a\":".repeat(depth) + "{}" + &"}".repeat(depth);
        text.replacen("f:a", "f:metadata", 1)
    };
    for object in [
        vec!["-n", RELEASE, "configmap", "bailiwick-config"],
        vec!["namespace", "alpha"],
        vec!["-n", "alpha", "rolebindings.bailiwick.dev", "kept"],
        vec!["users.bailiwick.dev", "ada"],
        vec!["-n", "default", "roles.rbac.authorization.k8s.io", "somebodys"],
    ] {
        for fields in [r#"{"f:metadata": {"f:labels": {"f:x": {}}}}"#.to_owned(), deep(200)] {
            let mut value = cluster.get(&object);
            value["metadata"]["labels"]["x"] = json!(fields.len().to_string());
            let api_version = value["apiVersion"].as_str().unwrap().to_owned();
            let entry = format!(
                r#"[{{"manager": "m", "operation": "Update", "apiVersion": {api_version:?}, "time": "9999-12-31T23:59:59Z",
                   "fieldsType": "FieldsV1", "fieldsV1": {fields}}}]"#
            );
            // As text, because serde_json cannot represent this depth.
            let start = "\"metadata\":{";
            let text = value.to_string().replacen(start, &format!("{start}\"managedFields\":{entry},"), 1);
            let mut kubectl = cluster.plane.kubectl(&cluster.admin);
            kubectl.args(["replace", "-f", "-"]);
            outcome(with_input(kubectl, &text)).unwrap();
        }
        let raw = cluster.run(&[&["get"][..], &object, &["-o", "json", "--show-managed-fields"]].concat());
        assert!(raw.contains("9999-12-31") && raw.matches("f:a").count() > 128, "{raw}");
    }
    is_at_work(&cluster);
    assert!(cluster.operator.as_ref().unwrap().is_ready());
    cluster.stop_operator();
    cluster.start_operator();
    is_at_work(&cluster);
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "kept"], "Ready", "Reconciled");
}

#[test]
fn a_process_ends_in_time_when_the_api_server_does_not_answer() {
    use crate::support::{Fault, Storm};
    let mut cluster = Cluster::with_chart(VALUES);
    cluster.put_faults_between(1);
    cluster.start_operator();
    cluster.faults.as_ref().unwrap().storm(Storm::default().with(Fault::Held, 1.0));
    let took = ends(cluster.operator.take().unwrap());
    assert!(took < END, "{took:?}");
}
