//! etcd is restored from an older copy while the operator runs: the operator notices, reports it, starts over and
//! continues as if it had never seen the lost changes, without an unnecessary write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::manifests::{binding, custom_role, group, organization, users};
use crate::support::{Cluster, KINDS, Operator, Question};

const VALUES: &str = "{namespaceWhitelist: [alpha], defaultOrganization: {create: false}}";
/// From the API server's readiness until everything has been read again.
const BOUND: Duration = Duration::from_secs(60);
const RIGHT: &str = "delete podtemplates";

fn world() -> String {
    organization("alpha", "{namespace: alpha, default: true}")
        + &users(&["ada", "bob", "carl", "eve"])
        + &custom_role("alpha", "deleter", "{permissions: [{resource: templates, actions: [delete]}]}")
        + &group("alpha", "crew", &["bob", "carl"])
        + &binding("alpha", "ada", "CustomRole/deleter", &["ada"])
        + &binding("alpha", "crew", "CustomRole/deleter", &["Group/crew"])
        + &binding("alpha", "eve", "CustomRole/deleter", &["eve"])
}

fn cluster() -> Cluster {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    for name in ["ada", "bob", "carl", "eve"] {
        cluster.can(&person(name), &[RIGHT]);
    }
    cluster.quiet();
    // It is written last, and rarely.
    cluster.eventually("the record of decisions is written", || {
        let map = cluster.get(&["configmap", "bailiwick-decisions", "-n", "bailiwick-system"]);
        let kept: Value = serde_json::from_str(map["data"]["decisions.json"].as_str().unwrap()).unwrap_or_default();
        kept["claims"]["alpha"] == "alpha" && kept["defaultOrganization"] == "alpha"
    });
    cluster
}

fn person(name: &str) -> Question {
    Question::of(&format!("{name}@example.com"), "alpha")
}

fn suspend(cluster: &Cluster, name: &str) {
    cluster.run(&["patch", "users.bailiwick.dev", name, "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
}

/// Every object that the operator writes, or writes to, with its resource version.
fn versions(cluster: &Cluster) -> BTreeMap<String, String> {
    let ours = cluster.get(&[&(KINDS.join(",") + ",namespaces"), "--all-namespaces"]);
    let list = cluster.get(&["configmap", "bailiwick-suspended", "-n", "bailiwick-system"]);
    let all = ours["items"].as_array().unwrap().iter().cloned().chain(cluster.native()).chain([list]);
    let version = |object: Value| {
        let (kind, meta) = (&object["kind"], &object["metadata"]);
        (format!("{kind} {} {}", meta["namespace"], meta["name"]), meta["resourceVersion"].to_string())
    };
    all.map(version).collect()
}

/// Restores, and returns the operators' readiness messages until each has read everything again.
fn restore(cluster: &Cluster, operators: &[&Operator], times: i64) -> Vec<String> {
    let (done, mut said) = (AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut said = Vec::new();
            while !done.load(Ordering::Acquire) {
                said.extend(operators.iter().filter_map(|operator| operator.readiness()).map(|(_, text)| text));
                std::thread::sleep(Duration::from_millis(5));
            }
            said
        });
        cluster.plane.restore_etcd().unwrap();
        let back = Instant::now();
        let again = |o: &&Operator| o.metric("cluster_restores_total") >= times && o.is_ready();
        cluster.eventually_or(
            || operators.iter().all(again) && operators.iter().any(|o| o.metric("leading") == 1),
            |_| operators.iter().map(|o| o.log()).collect(),
        );
        println!("everything is read again, and one leads, {:?} after the API server is back", back.elapsed());
        assert!(back.elapsed() < BOUND);
        done.store(true, Ordering::Release);
        said = watcher.join().unwrap();
    });
    // An API server that has just started refuses writes until its policies have their parameters.
    cluster.await_policies();
    said
}

/// Asserts that the operator reacts to changes.
fn acts(cluster: &Cluster) {
    let start = Instant::now();
    let acted = |what: &str| println!("{what}: {:?}", start.elapsed());
    suspend(cluster, "ada");
    cluster.cannot(&person("ada"), &[RIGHT]);
    acted("a suspension");
    cluster.apply(&group("alpha", "crew", &["carl"]));
    cluster.cannot(&person("bob"), &[RIGHT]);
    acted("a removed member of a group");
    let eves = |cluster: &Cluster| {
        let named = |o: &Value| o["kind"] == "RoleBinding" && o["subjects"].to_string().contains("eve@example.com");
        let deleter = |o: &Value| o["roleRef"]["name"].as_str().unwrap().contains("deleter");
        let found = cluster.native().into_iter().find(|o| named(o) && deleter(o));
        found.map(|o| (o["metadata"]["name"].as_str().unwrap().to_owned(), o["metadata"]["uid"].clone()))
    };
    let (name, uid) = eves(cluster).expect("eve has a native binding");
    cluster.run(&["delete", "rolebindings.rbac.authorization.k8s.io", "-n", "alpha", &name]);
    cluster.eventually("it is made again", || eves(cluster).is_some_and(|(_, new)| new != uid));
    cluster.can(&person("eve"), &[RIGHT]);
    acted("a deleted native binding");
    cluster.apply(&(users(&["new"]) + &binding("alpha", "new", "CustomRole/deleter", &["new"])));
    cluster.can(&person("new"), &[RIGHT]);
    acted("a new user and binding");
    cluster.quiet();
}

#[test]
fn a_cluster_that_goes_back_in_time_is_read_again_and_nothing_is_written_for_it() {
    let cluster = cluster();
    let operator = cluster.operator.as_ref().unwrap();
    cluster.plane.copy_etcd().unwrap();
    let copied = versions(&cluster);

    // Changes that will be lost: some of every kind, so that many objects have higher versions than they will ever have
    // again.
    suspend(&cluster, "ada");
    cluster.apply(&group("alpha", "crew", &["carl"]));
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "eve"]);
    cluster.apply(&(users(&["lost"]) + &binding("alpha", "lost", "CustomRole/deleter", &["lost"])));
    for name in ["ada", "bob", "eve"] {
        cluster.cannot(&person(name), &[RIGHT]);
    }
    cluster.can(&person("lost"), &[RIGHT]);
    for i in 0..10 {
        let patch = json!({"spec": {"displayName": format!("Carl {i}")}}).to_string();
        cluster.run(&["patch", "users.bailiwick.dev", "carl", "--type=merge", "-p", &patch]);
    }
    cluster.quiet();

    let (writes, each) = (operator.sum("writes"), operator.lines("writes"));
    let said = restore(&cluster, &[operator], 1);
    let text = said.iter().find(|text| text.contains("gone back to an older state"));
    let text = text.unwrap_or_else(|| panic!("/readyz has not said it:\n{}", operator.log()));
    assert!(text.contains(" 503 ") && text.contains("resource version"), "{text}");
    let log = operator.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(matches!(lines.as_slice(), [line] if line.contains("gone back to an older state")), "{lines:#?}");
    println!("{}", lines[0]);

    // As if the lost changes had never been made, and without a write.
    for name in ["ada", "bob", "carl", "eve"] {
        cluster.can(&person(name), &[RIGHT]);
    }
    cluster.cannot(&person("lost"), &[RIGHT]);
    cluster.quiet();
    assert_eq!(operator.sum("writes"), writes, "{each}\n{}\n{}", operator.lines("writes"), operator.log());
    assert_eq!(versions(&cluster), copied);
    acts(&cluster);
    assert_eq!(operator.metric("cluster_restores_total"), 1, "{}", operator.log());
}

#[test]
fn a_copy_of_a_moment_ago_is_noticed_too() {
    let cluster = cluster();
    let operator = cluster.operator.as_ref().unwrap();
    // One object is a few versions newer than in the copy.
    cluster.plane.copy_etcd().unwrap();
    suspend(&cluster, "ada");
    cluster.cannot(&person("ada"), &[RIGHT]);
    restore(&cluster, &[operator], 1);
    cluster.can(&person("ada"), &[RIGHT]);
    cluster.quiet();

    // One object in the copy has been deleted since.
    cluster.plane.copy_etcd().unwrap();
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "eve"]);
    cluster.cannot(&person("eve"), &[RIGHT]);
    restore(&cluster, &[operator], 1);
    cluster.can(&person("eve"), &[RIGHT]);
    acts(&cluster);
}

#[test]
fn both_replicas_notice_and_one_acts() {
    let cluster = cluster();
    let operator = cluster.operator.as_ref().unwrap();
    let second = cluster.spawn_operator("two");
    cluster.eventually("the second has seen everything", || second.is_ready());
    cluster.plane.copy_etcd().unwrap();
    suspend(&cluster, "ada");
    cluster.cannot(&person("ada"), &[RIGHT]);
    cluster.quiet();
    restore(&cluster, &[operator, &second], 1);
    cluster.can(&person("ada"), &[RIGHT]);
    let leads = |operator: &Operator| operator.metric("leading") == 1;
    cluster.eventually("exactly one leads", || leads(operator) != leads(&second));
    let start = Instant::now();
    suspend(&cluster, "ada");
    cluster.cannot(&person("ada"), &[RIGHT]);
    println!("a suspension: {:?}", start.elapsed());
}
