//! Objects created within one second: the operator's observations decide the order, which then stays.

use crate::support::manifests::{binding, custom_role, group, organization, users};
use crate::support::{Cluster, Question};

/// As the chart renders for Kubernetes 1.35 and older, which cannot note a Group's creator.
const WITHOUT_MUTATION: &str =
    "{namespaceWhitelist: [alpha, beta], admissionPolicies: {groupVouched: {enabled: false}}}";
const DELETE: &[&str] = &["delete podtemplates"];
const DELETER: &str = "{permissions: [{resource: templates, actions: [delete]}]}";

fn in_alpha(user: &str) -> Question {
    Question::of(&format!("{user}@example.com"), "alpha")
}

fn created(cluster: &Cluster, object: &[&str]) -> String {
    cluster.get(object)["metadata"]["creationTimestamp"].as_str().unwrap().to_owned()
}

/// Applies `manifest(name)` until the Group and the binding of that name were created within one second. Returns the
/// name.
fn in_one_second(cluster: &Cluster, prefix: &str, manifest: impl Fn(&str) -> String) -> String {
    let mut names = (0..30).map(|n| format!("{prefix}{n}"));
    let name = names.find(|name| {
        cluster.apply(&manifest(name));
        let kinds = ["groups.bailiwick.dev", "rolebindings.bailiwick.dev"];
        let [one, other] = kinds.map(|kind| created(cluster, &["-n", "alpha", kind, name]));
        one == other
    });
    name.expect("kubectl applies two objects within a second")
}

#[test]
fn a_group_that_is_applied_with_its_binding_holds_a_privileged_role_and_keeps_it() {
    let mut cluster = Cluster::with_operator(WITHOUT_MUTATION);
    cluster.apply(
        &(organization("a", "{namespace: alpha}")
            + &users(&["ada", "bob"])
            + &custom_role("alpha", "deleter", DELETER)),
    );
    cluster.await_reason(&["organizations.bailiwick.dev", "a"], "NamespaceAssigned", "Assigned");
    let team = |name: &str| {
        group("alpha", name, &["ada"]) + &binding("alpha", name, "CustomRole/deleter", &[&format!("Group/{name}")])
    };
    let name = in_one_second(&cluster, "team", team);
    let object = ["-n", "alpha", "rolebindings.bailiwick.dev", &name];
    cluster.await_reason(&object, "SubjectsResolved", "Resolved");
    cluster.can(&in_alpha("ada"), DELETE);
    let uid = cluster.get(&["-n", "alpha", "groups.bailiwick.dev", &name])["metadata"]["uid"].clone();
    cluster.eventually("it is on record", || cluster.get(&object)["status"]["olderGroups"] == serde_json::json!([uid]));

    // An operator that saw neither of them reaches the same result.
    cluster.kill_operator();
    cluster.start_operator();
    cluster.settle();
    cluster.await_reason(&object, "SubjectsResolved", "Resolved");
    cluster.can(&in_alpha("ada"), DELETE);

    // `kubectl describe` shows nothing outdated.
    cluster.apply(&binding("alpha", &name, "CustomRole/deleter", &["ada"]));
    cluster.eventually_or(
        || cluster.get(&object)["status"].get("olderGroups").is_none(),
        |cluster| cluster.get(&object)["status"].to_string(),
    );
    let held = ["-n", "alpha", "groups.bailiwick.dev", &name];
    cluster.eventually_or(
        || cluster.get(&held)["status"].get("roles").is_none(),
        |cluster| cluster.get(&held)["status"].to_string(),
    );

    // The reverse order is the attack: somebody creates the Group that a binding waits for.
    let waiting = |name: &str| {
        binding("alpha", name, "CustomRole/deleter", &[&format!("Group/{name}")]) + &group("alpha", name, &["bob"])
    };
    let name = in_one_second(&cluster, "waiting", waiting);
    let object = ["-n", "alpha", "rolebindings.bailiwick.dev", &name];
    let message = cluster.await_reason(&object, "SubjectsResolved", "GroupNotVouched");
    assert!(message.contains("delete and recreate the binding"), "{message}");
    cluster.is_refused(&in_alpha("bob"), DELETE);
}

#[test]
fn a_team_that_takes_over_a_released_namespace_applies_its_folder_in_one_go() {
    let mut cluster = Cluster::with_operator("{namespaceWhitelist: [alpha, beta]}");
    let old = users(&["ada", "bob"]) + &organization("old", "{namespace: alpha}");
    cluster.apply(
        &(old + &custom_role("alpha", "former", DELETER) + &binding("alpha", "former", "CustomRole/former", &["bob"])),
    );
    cluster.can(&in_alpha("bob"), DELETE);
    cluster.run(&["delete", "organizations.bailiwick.dev", "old"]);
    cluster.cannot(&in_alpha("bob"), DELETE);
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization-"]);
    let vacated =
        || cluster.get(&["namespace", "alpha"])["metadata"]["annotations"]["bailiwick.dev/vacated-at"].clone();
    cluster.eventually("the namespace is recorded as vacant", || !vacated().is_null());

    // At once, most likely within the second of the release.
    cluster.apply(
        &(organization("new", "{namespace: alpha}")
            + &group("alpha", "devs", &["ada"])
            + &custom_role("alpha", "deleter", DELETER)
            + &binding("alpha", "devs", "CustomRole/deleter", &["Group/devs"])),
    );
    let devs = ["-n", "alpha", "rolebindings.bailiwick.dev", "devs"];
    let holds = |cluster: &Cluster| {
        cluster.await_reason(&devs, "Ready", "Reconciled");
        for kind in ["groups", "customroles"] {
            let name = if kind == "groups" { "devs" } else { "deleter" };
            cluster.await_reason(&["-n", "alpha", &format!("{kind}.bailiwick.dev"), name], "Ready", "Reconciled");
        }
        cluster.can(&in_alpha("ada"), DELETE);
        // The former team's objects are not theirs.
        cluster.await_reason(
            &["-n", "alpha", "rolebindings.bailiwick.dev", "former"],
            "Ready",
            "FromFormerOrganization",
        );
        cluster.is_refused(&in_alpha("bob"), DELETE);
    };
    holds(&cluster);
    cluster.settle();
    cluster.kill_operator();
    cluster.start_operator();
    cluster.settle();
    holds(&cluster);
}
