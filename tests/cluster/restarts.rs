//! Restarts of the operator and of the API server, sudden deaths and two replicas: nothing is written twice, nothing is
//! missing, nothing is left over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::manifests::{binding, custom_role, group, organization, site_binding, site_role, user, users};
use crate::support::{Cluster, KINDS, Operator, Question, Random};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";
/// The lease duration of the tests, plus the time that two cores may need to notice its end.
const HANDOVER: Duration = Duration::from_secs(3 + 4);

/// Some of everything.
fn world() -> String {
    let mut yaml =
        organization("alpha", "{namespace: alpha, default: true}") + &organization("beta", "{namespace: beta}");
    yaml += &users(&["ada", "bob", "eve", "mona", "zoe"]);
    yaml += &site_role(
        "overseer",
        "{assignableTo: [Site, Organization], permissions: [{resource: templates, actions: [delete]}, \
         {resource: users, actions: [create]}, {resource: configuration, actions: [update]}]}",
    );
    yaml += &site_binding("overseers", "overseer", &["zoe", "ExternalGroup/oidc:overseers"]);
    yaml += &site_binding("admin", "site-admin", &["mona"]);
    for namespace in ["alpha", "beta"] {
        yaml += &custom_role(namespace, "deleter", "{permissions: [{resource: templates, actions: [delete]}]}");
        yaml += &group(namespace, "crew", &["ada", "bob", "nobody"]);
        yaml += &binding(namespace, "deleters", "CustomRole/deleter", &["ada", "ServiceAccount/ci", "stranger"]);
        yaml += &binding(namespace, "managers", "SiteRole/organization-manager", &["eve"]);
        yaml += &binding(namespace, "overseers", "SiteRole/overseer", &["bob"]);
    }
    yaml
}

/// The native objects that a new operator creates from scratch.
fn made_from_nothing(cluster: &mut Cluster) -> BTreeMap<String, Value> {
    cluster.stop_operator();
    for kind in ["clusterrolebindings", "clusterroles", "rolebindings", "roles"] {
        let kind = format!("{kind}.rbac.authorization.k8s.io");
        let all = [&kind, "--all-namespaces", "-l", "app.kubernetes.io/managed-by=bailiwick"];
        let arguments: Vec<&str> = ["delete"].iter().chain(&all).copied().collect();
        cluster.run(&arguments);
    }
    assert_eq!(cluster.native_content(), BTreeMap::new());
    cluster.start_operator();
    cluster.quiet();
    cluster.native_content()
}

#[track_caller]
fn assert_same(left: &BTreeMap<String, Value>, right: &BTreeMap<String, Value>) {
    let over: Vec<&String> = left.keys().filter(|key| !right.contains_key(*key)).collect();
    let missing: Vec<&String> = right.keys().filter(|key| !left.contains_key(*key)).collect();
    assert!(over.is_empty() && missing.is_empty(), "left over: {over:#?}\nmissing: {missing:#?}");
    for (name, value) in left {
        assert_eq!(value, &right[name], "{name}");
    }
}

/// Makes a change that needs exactly one status; once that is written, the operator has seen everything before it.
fn one_status_write(cluster: &Cluster, operator: &Operator, display_name: &str) {
    let patch = json!({"spec": {"displayName": display_name}}).to_string();
    cluster.run(&["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", &patch]);
    cluster.eventually("the change is answered for", || {
        let user = cluster.get(&["users.bailiwick.dev", "ada"]);
        user["status"]["observedGeneration"] == user["metadata"]["generation"] && operator.metric("units_busy") == 0
    });
}

#[test]
fn a_converged_world_is_left_alone() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.quiet();
    let converged = cluster.native_content();
    assert!(converged.len() > 20, "{converged:#?}");

    // Restarted, cleanly and not.
    for sudden in [false, true] {
        let before = cluster.writes();
        if sudden {
            cluster.kill_operator()
        } else {
            cluster.stop_operator()
        }
        cluster.start_operator();
        cluster.settle();
        let operator = cluster.operator.as_ref().unwrap();
        assert_eq!(operator.sum("writes"), 0.0, "{}", operator.lines("writes"));
        assert_eq!(cluster.writes(), before, "{}", operator.lines("writes"));
        one_status_write(&cluster, operator, &format!("Ada {sudden}"));
        assert_eq!(operator.sum("writes"), 1.0, "{}", operator.lines("writes"));
        assert_eq!(cluster.writes(), before + 2, "the change and its status");
    }

    // Every object touched.
    let operator = cluster.operator.as_ref().unwrap();
    let (before, said) = (cluster.native_writes(), operator.sum("writes"));
    cluster.run(&["label", &KINDS.join(","), "--all", "--all-namespaces", "touched=yes"]);
    one_status_write(&cluster, operator, "Ada, touched");
    assert_eq!(cluster.native_writes(), before, "{}", operator.lines("writes"));
    assert_eq!(operator.sum("writes"), said + 1.0, "{}", operator.lines("writes"));

    // Every native object, with a label that does not matter to the operator.
    let said = operator.sum("writes");
    for kind in ["clusterrolebindings", "clusterroles", "rolebindings", "roles"] {
        let kind = format!("{kind}.rbac.authorization.k8s.io");
        cluster.run(&[
            "label",
            &kind,
            "--all-namespaces",
            "-l",
            "app.kubernetes.io/managed-by=bailiwick",
            "touched=yes",
        ]);
    }
    one_status_write(&cluster, operator, "Ada, native");
    assert_eq!(operator.sum("writes"), said + 1.0, "{}", operator.lines("writes"));

    // The same chart with the same values.
    let said = operator.sum("writes");
    assert!(cluster.helm_upgrade(VALUES).status.success());
    one_status_write(&cluster, operator, "Ada, upgraded");
    assert_eq!(operator.sum("writes"), said + 1.0, "{}", operator.lines("writes"));
    assert_eq!(cluster.native_content().len(), converged.len());
}

/// Bindings, roles and users that differ between rounds: most existing ones change, some are deleted, some are new.
fn many(round: usize) -> String {
    let mut yaml = String::new();
    for i in 0..24 {
        let namespace = ["alpha", "beta"][i % 2];
        let role = ["CustomRole/deleter", "SiteRole/overseer", "SiteRole/organization-manager"][(i + round) % 3];
        let person = format!("p{}", (i * 7 + round * 5) % 12);
        yaml += &binding(namespace, &format!("b{i}"), role, &[&person, "ada", &format!("p{}", (i + round) % 12)]);
    }
    for i in 0..12 {
        yaml += &user(&format!("p{i}"));
    }
    yaml
}

#[test]
fn an_operator_that_dies_at_any_moment_leaves_nothing_undone_and_nothing_over() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.settle();
    let mut random = Random::new(Random::seed());
    for round in 0..6 {
        cluster.kill_operator();
        // Changes while no operator runs; the next one dies in the middle of its work.
        cluster.apply(&many(round));
        let gone = format!("b{}", random.below(24));
        cluster.run(&[
            "delete",
            "rolebindings.bailiwick.dev",
            "-n",
            ["alpha", "beta"][round % 2],
            &gone,
            "--ignore-not-found",
        ]);
        cluster.run(&["delete", "users.bailiwick.dev", &format!("p{}", random.below(12))]);
        let operator = cluster.spawn_operator("next");
        let enough = random.below(70) as f64;
        let finished = || operator.metric("leading") == 1 && operator.is_ready() && operator.metric("units_busy") == 0;
        cluster.eventually("the operator has begun", || operator.sum("writes") > enough || finished());
        cluster.operator = Some(operator);
    }
    cluster.kill_operator();
    cluster.start_operator();
    cluster.quiet();
    let survived = cluster.native_content();
    assert_same(&survived, &made_from_nothing(&mut cluster));
}

#[test]
fn an_api_server_that_dies_in_the_middle_changes_nothing_about_the_end() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&world());
    cluster.apply(&many(0));
    for round in 1..4 {
        // The operator is working when its API server stops.
        cluster.apply(&many(round));
        cluster.plane.kill_api_server().unwrap();
        cluster.plane.start_api_server().unwrap();
    }
    cluster.apply(&binding("alpha", "last", "CustomRole/deleter", &["zoe"]));
    cluster.can(&Question::of("zoe@example.com", "alpha"), &["delete podtemplates"]);
    cluster.run(&["delete", "users.bailiwick.dev", "zoe"]);
    cluster.cannot(&Question::of("zoe@example.com", "alpha"), &["delete podtemplates", "create deployments.apps"]);
    cluster.quiet();
    let operator = cluster.operator.as_ref().unwrap();
    assert_eq!(operator.metric("cluster_restores_total"), 0, "nobody restored anything\n{}", operator.log());
    let survived = cluster.native_content();
    assert_same(&survived, &made_from_nothing(&mut cluster));
}

fn leads(operator: &Operator) -> bool {
    operator.is_ready() && operator.metric("leading") == 1
}

#[test]
fn of_two_operators_one_writes_and_the_other_takes_over() {
    let mut cluster = Cluster::with_operator(VALUES);
    let second = cluster.spawn_operator("two");
    cluster.eventually("the second has seen everything", || second.is_ready());
    cluster.apply(&world());
    cluster.can(&Question::of("ada@example.com", "alpha"), &["delete podtemplates"]);
    cluster.quiet();
    assert_eq!(second.metric("leading"), 0);
    assert_eq!(second.sum("writes"), 0.0, "a replica that does not lead writes nothing\n{}", second.log());
    assert!(cluster.operator.as_ref().unwrap().sum("writes") > 20.0);

    // A leader that stops cleanly hands over at once, and the next one finds nothing to do.
    let before = cluster.writes();
    cluster.stop_operator();
    let start = Instant::now();
    cluster.eventually("the second leads", || leads(&second));
    assert!(start.elapsed() < Duration::from_secs(2), "at once, not {:?}", start.elapsed());
    cluster.operator = Some(second);
    cluster.settle();
    assert_eq!(cluster.writes(), before);

    // A killed leader is replaced once its lease has expired.
    let third = cluster.spawn_operator("three");
    cluster.eventually("the third has seen everything", || third.is_ready());
    cluster.kill_operator();
    let start = Instant::now();
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "managers"]);
    cluster.run(&["patch", "users.bailiwick.dev", "bob", "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    cluster.eventually("the third leads", || leads(&third));
    assert!(start.elapsed() < HANDOVER, "within the time of the lease, not {:?}", start.elapsed());
    cluster.operator = Some(third);
    cluster.cannot(&Question::of("bob@example.com", "alpha"), &["delete podtemplates", "create deployments.apps"]);

    // A frozen leader that wakes up while another one leads writes nothing any more.
    let frozen = cluster.operator.take().unwrap();
    let fourth = cluster.spawn_operator("four");
    cluster.eventually("the fourth has seen everything", || fourth.is_ready());
    let writes = frozen.sum("writes");
    let signal = |name: &str| {
        let pid = frozen.pid().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    cluster.run(&["patch", "users.bailiwick.dev", "eve", "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    cluster.eventually("the fourth leads", || leads(&fourth));
    signal("-CONT");
    cluster.operator = Some(fourth);
    cluster.cannot(&Question::of("eve@example.com", "beta"), &["create deployments.apps", "delete deployments.apps"]);
    cluster.eventually("the other one knows", || frozen.metric("leading") == 0);
    cluster.apply(&binding("alpha", "late", "CustomRole/deleter", &["zoe"]));
    cluster.quiet();
    assert_eq!(frozen.sum("writes"), writes, "{}", frozen.log());
}
