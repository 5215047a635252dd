//! The rights to suspend, activate and delete users.

use serde_json::Value;

use super::{Person, Site, VALUES};
use crate::support::Cluster;
use crate::support::manifests::{organization, user};

const WRITE: &str = "[{apiGroups: [bailiwick.dev], resources: [users], verbs: [get, list, create, update, patch, delete, deletecollection]}]";
const SUSPEND: &str = "[{apiGroups: [bailiwick.dev], resources: [users], verbs: [suspend]}]";

fn refusal(name: &str, who: &str) -> String {
    format!("to suspend or activate User {name}, {who} needs the verb \"suspend\" on it")
}

fn suspend(name: &str, suspended: &str) -> Vec<String> {
    let patch = format!("{{\"spec\":{{\"suspended\":{suspended}}}}}");
    ["patch", "users.bailiwick.dev", name, "--type=merge", "-p", &patch].map(str::to_owned).to_vec()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn of(name: &str, metadata: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: bailiwick.dev/v1alpha1, kind: User, metadata: {{name: {name}{metadata}}}, spec: {{username: {name}@example.com{spec}}}}}\n"
    )
}

#[test]
fn suspending_is_a_right_apart_from_editing() {
    let site = Site::with_chart(VALUES);
    site.cluster.apply(&(user("ada") + &user("bob") + &of("sue", "", ", suspended: true")));
    let eve = site.person("eve");
    eve.holds("", WRITE);
    eve.soon_may_not(&words(&suspend("ada", "true")), &refusal("ada", "eve"));
    editing_is_not_suspending(&eve);
    every_way_of_writing_it_is_the_same(&eve);
    nobody_puts_the_label_on(&eve);
    let sam = site.person("sam");
    sam.holds("", WRITE).holds("", SUSPEND);
    whoever_has_the_verb_suspends_and_activates(&sam);
}

fn editing_is_not_suspending(eve: &Person) {
    eve.does(&["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", r#"{"spec":{"email":"ada@example.com"}}"#]);
    eve.does(&["patch", "users.bailiwick.dev", "sue", "--type=merge", "-p", r#"{"spec":{"email":"sue@example.com"}}"#]);
    eve.does(&words(&suspend("ada", "false")));
    eve.does(&words(&suspend("sue", "true")));
    eve.creates(&user("cid"));
    eve.creates(&of("dan", "", ", suspended: false"));
    eve.does(&["delete", "users.bailiwick.dev", "cid", "dan"]);
}

fn every_way_of_writing_it_is_the_same(eve: &Person) {
    for suspended in ["false", "null"] {
        eve.may_not(&words(&suspend("sue", suspended)), &refusal("sue", "eve"));
    }
    let json = |op: &str| format!("[{{\"op\":\"{op}\",\"path\":\"/spec/suspended\",\"value\":true}}]");
    for (name, op) in [("ada", "add"), ("sue", "remove")] {
        eve.may_not(&["patch", "users.bailiwick.dev", name, "--type=json", "-p", &json(op)], &refusal(name, "eve"));
    }
    eve.may_not_with(&["replace"], &of("sue", "", ""), &refusal("sue", "eve"));
    eve.may_not_with(&["replace"], &of("ada", "", ", suspended: true"), &refusal("ada", "eve"));
    let apply = ["apply", "--server-side", "--force-conflicts"];
    eve.may_not_with(&apply, &of("ada", "", ", suspended: true"), &refusal("ada", "eve"));
    eve.may_not_with(&apply, &of("new", "", ", suspended: true"), &refusal("new", "eve"));
    eve.may_not_create(&of("new", "", ", suspended: true"), &refusal("new", "eve"));
    eve.may_not_create(
        &of("new", "", ", suspended: true").replace("name: new", "generateName: new-"),
        "to suspend or activate User",
    );
    // Deleting and recreating does not activate a user, nor does having it deleted.
    eve.may_not(&["delete", "users.bailiwick.dev", "sue"], &refusal("sue", "eve"));
    eve.may_not(
        &["delete", "--raw", "/apis/bailiwick.dev/v1alpha1/users?fieldSelector=metadata.name%3Dsue"],
        &refusal("sue", "eve"),
    );
    let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}"#;
    eve.does(&["patch", "users.bailiwick.dev", "sue", "--type=merge", "-p", owner]);
    // The garbage collector deletes the one that it may, after it was refused the other one.
    eve.creates(&of("gus", "", ""));
    eve.does(&["patch", "users.bailiwick.dev", "gus", "--type=merge", "-p", owner]);
    let cluster = &eve.site.cluster;
    cluster.eventually("the garbage collector works", || !cluster.exists(&["users.bailiwick.dev", "gus"]));
    assert!(cluster.exists(&["users.bailiwick.dev", "sue"]));
    cluster.run(&[
        "patch",
        "users.bailiwick.dev",
        "sue",
        "--type=merge",
        "-p",
        r#"{"metadata":{"ownerReferences":null}}"#,
    ]);
}

/// Each such label costs every write in organizations a little.
fn nobody_puts_the_label_on(eve: &Person) {
    let cluster = &eve.site.cluster;
    for name in ["ada", "sue"] {
        eve.may_not(&["label", "users.bailiwick.dev", name, "bailiwick.dev/suspension=now"], &refusal(name, "eve"));
        let labelled = of(name, ", labels: {bailiwick.dev/suspension: now}", "");
        eve.may_not_with(&["apply", "--server-side", "--force-conflicts"], &labelled, &refusal(name, "eve"));
    }
    eve.may_not_create(&of("new", ", labels: {bailiwick.dev/suspension: now}", ""), &refusal("new", "eve"));
    // A leftover label may be removed.
    cluster.run(&["label", "users.bailiwick.dev", "bob", "bailiwick.dev/suspension=now"]);
    eve.does(&["label", "users.bailiwick.dev", "bob", "bailiwick.dev/suspension-"]);
}

fn whoever_has_the_verb_suspends_and_activates(sam: &Person) {
    let cluster = &sam.site.cluster;
    sam.does(&words(&suspend("ada", "true")));
    if cluster.has_mutating_policies() {
        assert_eq!(label(cluster, "ada"), "now");
        nobody_takes_the_label_off(sam);
    } else {
        assert_eq!(label(cluster, "ada"), Value::Null, "nothing puts it on");
    }
    sam.does(&words(&suspend("ada", "false")));
    sam.creates(&of("new", "", ", suspended: true"));
    sam.does(&["delete", "users.bailiwick.dev", "sue", "new"]);
}

fn label(cluster: &Cluster, name: &str) -> Value {
    cluster.get(&["users.bailiwick.dev", name])["metadata"]["labels"]["bailiwick.dev/suspension"].clone()
}

/// Until the operator has handled the suspension, nobody can remove the label in any way.
fn nobody_takes_the_label_off(sam: &Person) {
    let cluster = &sam.site.cluster;
    let path = "users.bailiwick.dev";
    let _ = sam.tries(&["label", path, "ada", "bailiwick.dev/suspension-"]);
    assert_eq!(label(cluster, "ada"), "now");
    let _ = sam.tries(&["label", path, "ada", "bailiwick.dev/suspension=later", "--overwrite"]);
    assert_eq!(label(cluster, "ada"), "now");
    let strip = r#"[{"op":"remove","path":"/metadata/labels"}]"#;
    let _ = sam.tries(&["patch", path, "ada", "--type=json", "-p", strip]);
    assert_eq!(label(cluster, "ada"), "now");
    let _ = sam.tries(&["patch", path, "ada", "--subresource=status", "--type=json", "-p", strip]);
    assert_eq!(label(cluster, "ada"), "now");
    let _ = sam.tries_with(&["replace"], &of("ada", "", ", suspended: true"));
    assert_eq!(label(cluster, "ada"), "now");
    let _ = sam
        .tries_with(&["apply", "--server-side", "--force-conflicts"], &of("ada", ", labels: {}", ", suspended: true"));
    assert_eq!(label(cluster, "ada"), "now");
}

#[test]
fn the_built_in_roles_say_who_suspends() {
    let site = Site::with_operator(VALUES);
    let people = ["ada", "uma", "otto", "sid", "mia", "rita"];
    let names: String = people.iter().map(|name| user(name)).collect();
    site.cluster.apply(&(names + &organization("alpha", "{namespace: alpha, default: true}")));
    for (role, person) in [("user-admin", "uma"), ("owner", "otto"), ("site-admin", "sid"), ("site-manager", "mia")] {
        site.cluster.apply(&crate::support::manifests::site_binding(&format!("{role}s"), role, &[person]));
    }
    site.cluster.settle();
    for (name, may) in [("uma", true), ("otto", true), ("sid", true), ("mia", false)] {
        let who = format!("{name}@example.com");
        let person = site.person(&who);
        site.cluster.can(&crate::support::Question::of(&who, ""), &["update users.bailiwick.dev"]);
        if may {
            person.does(&words(&suspend("ada", "true")));
            person.does(&words(&suspend("ada", "false")));
        } else {
            person.soon_may_not(&words(&suspend("ada", "true")), &refusal("ada", &who));
        }
    }
}

/// Suspending the holder of a privileged site role requires the right to take that role from them.
#[test]
fn nobody_locks_an_administrator_out() {
    let site = Site::with_chart(VALUES);
    let cluster = &site.cluster;
    // The field is the operator's; older definitions are completed here.
    let field = r#"[{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/privileged","value":{"type":"boolean"}}]"#;
    cluster.run(&["patch", "crd", "users.bailiwick.dev", "--type=json", "-p", field]);
    cluster.apply(&(user("root") + &user("ada") + &user("old")));
    cluster.run(&["patch", "users.bailiwick.dev", "old", "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    for name in ["root", "old"] {
        cluster.eventually("the User says that it is privileged", || {
            let status = ["--subresource=status", "--type=merge", "-p", r#"{"status":{"privileged":true}}"#];
            cluster.run(&[&["patch", "users.bailiwick.dev", name][..], &status].concat());
            cluster.get(&["users.bailiwick.dev", name])["status"]["privileged"] == true
        });
    }
    let uma = site.person("uma");
    uma.holds("", WRITE).holds("", SUSPEND);
    let refused = |name: &str| {
        format!(
            "User {name} holds privileged site roles: to suspend, activate or delete it, uma needs the verb \"update\" on \
             every SiteRoleBinding"
        )
    };
    uma.soon_may_not(&words(&suspend("root", "true")), &refused("root"));
    uma.may_not(&words(&suspend("old", "false")), &refused("old"));
    for name in ["root", "old"] {
        uma.may_not(&["delete", "users.bailiwick.dev", name], &refused(name));
        uma.does(&["patch", "users.bailiwick.dev", name, "--type=merge", "-p", r#"{"spec":{"email":"a@b.c"}}"#]);
    }
    uma.may_not(
        &["delete", "--raw", "/apis/bailiwick.dev/v1alpha1/users?fieldSelector=metadata.name%3Droot"],
        &refused("root"),
    );
    uma.may_not_with(&["replace"], &of("root", "", ", suspended: true"), &refused("root"));
    // The garbage collector may update everything, including site role bindings. It deletes the one that it may, after
    // it was refused the other one.
    let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}"#;
    uma.does(&["patch", "users.bailiwick.dev", "root", "--type=merge", "-p", owner]);
    uma.creates(&user("gus"));
    uma.does(&["patch", "users.bailiwick.dev", "gus", "--type=merge", "-p", owner]);
    cluster.eventually("the garbage collector works", || !cluster.exists(&["users.bailiwick.dev", "gus"]));
    assert!(cluster.exists(&["users.bailiwick.dev", "root"]));
    let nobody = r#"{"metadata":{"ownerReferences":null}}"#;
    cluster.run(&["patch", "users.bailiwick.dev", "root", "--type=merge", "-p", nobody]);
    uma.does(&words(&suspend("ada", "true")));
    // Suspending requires both rights: changing bindings alone is not enough.
    let otto = site.person("otto");
    otto.holds("", WRITE).holds("", "[{apiGroups: [bailiwick.dev], resources: [siterolebindings], verbs: [update]}]");
    otto.may_not(&words(&suspend("root", "true")), &refusal("root", "otto"));
    otto.holds("", SUSPEND);
    otto.does(&words(&suspend("root", "true")));
    otto.does(&["delete", "users.bailiwick.dev", "root", "old"]);
}
