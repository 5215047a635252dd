//! A backup is restored while no operator runs: decisions that depend on the original order survive.

use serde_json::{Value, json};

use crate::support::manifests::{binding, group, organization, site_role, users};
use crate::support::{Cluster, Question, RELEASE};

const VALUES: &str = "{namespaceWhitelist: [alpha], defaultOrganization: {create: false}}";

fn ask(user: &str, namespace: &str) -> Question {
    Question::of(&format!("{user}@example.com"), namespace)
}

/// All our objects, as a backup tool restores them: ordered by name, without the API server's fields. Objects with
/// owners are left out, as Velero does not restore them to their owners.
fn backup(cluster: &Cluster) -> Vec<Value> {
    let kinds = ["users", "organizations", "siteroles", "siterolebindings", "groups", "customroles", "rolebindings"];
    let kinds = kinds.map(|kind| format!("{kind}.bailiwick.dev")).join(",");
    let mut objects = cluster.get(&[&kinds, "-A"])["items"].as_array().unwrap().clone();
    for object in &mut objects {
        object.as_object_mut().unwrap().remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| ["name", "namespace", "labels", "annotations"].contains(&key.as_str()));
    }
    objects.sort_by_key(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
    objects
}

#[test]
fn a_restored_site_decides_as_it_did() {
    let mut cluster = Cluster::with_operator(VALUES);
    let user = |name: &str, suspended: bool| {
        json!({
            "apiVersion": "bailiwick.dev/v1alpha1", "kind": "User", "metadata": {"name": name},
            "spec": {"username": "zed@example.com", "suspended": suspended},
        })
        .to_string()
    };
    let one_by_one = |cluster: &Cluster, manifests: [String; 2], what: &str| {
        for manifest in manifests {
            cluster.apply(&manifest);
            cluster.settle();
            let now = jiff::Timestamp::now().as_second();
            cluster.eventually(what, || jiff::Timestamp::now().as_second() > now);
        }
    };
    // In each pair the one with the later name comes first.
    cluster.apply(&users(&["ada", "bob"]));
    one_by_one(&cluster, [user("zed", true), user("a-zed", false)], "another second");
    one_by_one(
        &cluster,
        [organization("zeta", "{namespace: alpha}"), organization("eta", "{namespace: alpha}")],
        "another second",
    );
    let seal = "{singleHolder: true, privileged: false, assignableTo: [Site], permissions: [{resource: organizations, actions: [create]}]}";
    cluster.apply(&site_role("seal", seal));
    let holder = |name: &str, user: &str| crate::support::manifests::site_binding(name, "seal", &[user]);
    one_by_one(&cluster, [holder("z", "ada"), holder("a", "bob")], "another second");
    cluster.apply(&binding("alpha", "zed", "SiteRole/organization-manager", &["zed"]));
    // A binding waits for a Group, which is created by a user that may not assign the role.
    let groups = ["-n", "alpha", "create", "role", "groups", "--verb=create,patch", "--resource=groups.bailiwick.dev"];
    cluster.run(&groups);
    cluster.run(&["-n", "alpha", "create", "rolebinding", "carl", "--role=groups", "--user=carl@example.com"]);
    cluster.apply(&binding("alpha", "waiting", "SiteRole/organization-manager", &["Group/ghost"]));
    cluster.can(&ask("carl", "alpha"), &["create groups.bailiwick.dev"]);
    let carl = cluster.plane.user_kubeconfig("carl@example.com", &[]).unwrap();
    cluster.try_apply_as(&carl, &group("alpha", "ghost", &["bob"])).unwrap();
    cluster.settle();
    let decided = |cluster: &Cluster| {
        cluster.settle();
        cluster.await_reason(
            &["-n", "alpha", "rolebindings.bailiwick.dev", "waiting"],
            "SubjectsResolved",
            "GroupNotVouched",
        );
        cluster.is_refused(&ask("bob", "alpha"), &["create rolebindings.bailiwick.dev"]);
        cluster.is_refused(&ask("zed", "alpha"), &["create rolebindings.bailiwick.dev"]);
        cluster.can(&ask("ada", ""), &["create organizations.bailiwick.dev"]);
        cluster.is_refused(&ask("bob", ""), &["create organizations.bailiwick.dev"]);
        cluster.await_reason(&["organizations.bailiwick.dev", "zeta"], "NamespaceAssigned", "Assigned");
        cluster.await_reason(&["organizations.bailiwick.dev", "zeta"], "Default", "IsDefault");
        cluster.await_reason(&["organizations.bailiwick.dev", "eta"], "NamespaceAssigned", "AlreadyClaimed");
    };
    decided(&cluster);
    let record = |cluster: &Cluster| {
        cluster.get(&["-n", RELEASE, "configmap", "bailiwick-decisions"])["data"]["decisions.json"].clone()
    };
    let wanted = json!({
        "defaultOrganization": "zeta", "claims": {"alpha": "zeta"}, "holders": {"seal": "ada@example.com"},
        "usernames": {"zed@example.com": "zed"},
    });
    let is_recorded = |cluster: &Cluster| {
        let Some(text) = record(cluster).as_str().map(str::to_owned) else { return false };
        let mut kept: Value = serde_json::from_str(&text).unwrap();
        let doubts = kept.as_object_mut().unwrap().remove("doubts").unwrap_or_default();
        kept == wanted && doubts.get("alpha/RoleBinding/waiting Group/ghost").is_some()
    };
    cluster.eventually_or(|| is_recorded(&cluster), |cluster| format!("recorded: {}", record(cluster)));

    // Everything is lost, including the record on the namespace, and returns without statuses, in another order.
    let objects = backup(&cluster);
    cluster.kill_operator();
    let kinds = "users,organizations,siteroles,siterolebindings";
    let kinds = kinds.split(',').map(|kind| format!("{kind}.bailiwick.dev")).collect::<Vec<_>>().join(",");
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev,groups.bailiwick.dev", "--all"]);
    // The default organization goes last, as its policy requires.
    cluster.eventually("everything is deleted", || cluster.kubectl(&["delete", &kinds, "--all"]).status.success());
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization-"]);
    let annotations = ["organization-uid-", "last-organization-"].map(|key| format!("bailiwick.dev/{key}"));
    cluster.run(&["annotate", "namespace", "alpha", &annotations[0], &annotations[1]]);
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
    cluster.start_operator();
    decided(&cluster);
    // The record now has another UID for the binding than the object; the next start must not forget what that means.
    cluster.eventually_or(|| is_recorded(&cluster), |cluster| format!("recorded: {}", record(cluster)));
    cluster.kill_operator();
    cluster.start_operator();
    decided(&cluster);
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "waiting"]);
    cluster.apply(&binding("alpha", "waiting", "SiteRole/organization-manager", &["Group/ghost"]));
    cluster.can(&ask("bob", "alpha"), &["create rolebindings.bailiwick.dev"]);
}

/// A former manager leaves more behind than the record of decisions can name, and waits for a restore.
#[test]
fn who_leaves_very_much_behind_gets_nothing_back_by_a_restore() {
    let mut cluster = Cluster::with_operator(VALUES);
    let manages = &["create rolebindings.bailiwick.dev"];
    let manager = |name: &str, user: &str| binding("alpha", name, "SiteRole/organization-manager", &[user]);
    let of =
        |name: &str| ["-n".to_owned(), "alpha".to_owned(), "rolebindings.bailiwick.dev".to_owned(), name.to_owned()];
    let await_reason = |cluster: &Cluster, name: &str, reason: &str| {
        cluster.await_reason(&of(name).each_ref().map(String::as_str), "Ready", reason)
    };
    cluster.apply(&(users(&["ada", "bob"]) + &organization("old", "{namespace: alpha}") + &manager("left", "ada")));
    cluster.can(&ask("ada", "alpha"), manages);
    let crowd = |n| {
        json!({
            "apiVersion": "bailiwick.dev/v1alpha1", "kind": "RoleBinding",
            "metadata": {"name": format!("a-{n}"), "namespace": "alpha"},
            "spec": {
                "roleRef": {"kind": "SiteRole", "name": "organization-manager"},
                "subjects": [{"kind": "User", "name": "ada@example.com"}],
            },
        })
    };
    cluster.create_all((0..600).map(crowd));
    cluster.settle();
    // The namespace gets another organization with another manager.
    cluster.run(&["delete", "organizations.bailiwick.dev", "old"]);
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization-"]);
    cluster.apply(&organization("new", "{namespace: alpha}"));
    cluster.await_reason(&["organizations.bailiwick.dev", "new"], "NamespaceAssigned", "Assigned");
    await_reason(&cluster, "left", "FromFormerOrganization");
    let claimed = jiff::Timestamp::now().as_second();
    cluster.eventually("another second", || jiff::Timestamp::now().as_second() > claimed + 1);
    cluster.apply(&manager("right", "bob"));
    cluster.can(&ask("bob", "alpha"), manages);
    let is_recorded = |cluster: &Cluster| {
        let map = cluster.get(&["-n", RELEASE, "configmap", "bailiwick-decisions"]);
        let kept: Value = serde_json::from_str(map["data"]["decisions.json"].as_str().unwrap_or("{}")).unwrap();
        kept["doubts"] == json!({"alpha/*": ""})
    };
    cluster.eventually("the record says that all is in doubt", || is_recorded(&cluster));

    // Without a restore, a restart revokes nothing.
    cluster.settle();
    cluster.kill_operator();
    cluster.start_operator();
    cluster.settle();
    await_reason(&cluster, "right", "Reconciled");
    cluster.can(&ask("bob", "alpha"), manages);
    cluster.is_refused(&ask("ada", "alpha"), manages);

    // After a restore, nobody has anything until somebody vouches for it.
    let objects = backup(&cluster);
    cluster.kill_operator();
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "--all", "--wait=true"]);
    let bindings = objects.into_iter().filter(|object| object["kind"] == "RoleBinding");
    cluster.create_all(bindings);
    cluster.start_operator();
    await_reason(&cluster, "left", "NotOnRecord");
    let message = await_reason(&cluster, "right", "NotOnRecord");
    assert!(message.contains("Write its spec again, or delete and recreate it"), "{message}");
    cluster.settle();
    cluster.is_refused(&ask("ada", "alpha"), manages);
    let patch = r#"{"spec":{"expiresAt":"2999-01-01T00:00:00Z"}}"#;
    cluster.run(&["-n", "alpha", "patch", "rolebindings.bailiwick.dev", "right", "--type=merge", "-p", patch]);
    cluster.can(&ask("bob", "alpha"), manages);
    cluster.settle();
    cluster.eventually("the record says that all is in doubt", || is_recorded(&cluster));
    cluster.kill_operator();
    cluster.start_operator();
    cluster.settle();
    cluster.is_refused(&ask("ada", "alpha"), manages);
    await_reason(&cluster, "right", "Reconciled");
    cluster.can(&ask("bob", "alpha"), manages);
}
