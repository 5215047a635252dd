//! Which organization is the default one: exactly one as long as there is any, and moved only on purpose.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::manifests::{organization, user, users};
use crate::support::{Cluster, Question};

/// Without the policy that keeps the default organization: what if it is deleted all the same?
const VALUES: &str = "{namespaceWhitelist: [alpha, beta, gamma], defaultOrganization: {create: false}, \
                      admissionPolicies: {defaultOrganization: {enabled: false}}}";
const MEMBER: &[&str] = &["create deployments.apps"];

fn defaults(cluster: &Cluster) -> Vec<String> {
    let is_default = |o: &&bailiwick::api::Organization| o.status.as_ref().is_some_and(|s| s.default);
    cluster.organizations().iter().filter(is_default).filter_map(|o| o.metadata.name.clone()).collect()
}

/// Does something, while somebody lists all organizations as fast as they can: there are never two defaults.
fn never_two<T>(cluster: &Cluster, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = || {
            let (mut looks, mut seen) = (0, Vec::new());
            while !over.load(Ordering::Acquire) && seen.len() < 2 {
                seen = defaults(cluster);
                looks += 1;
            }
            (looks, seen)
        };
        let watcher = scope.spawn(watch);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Release);
        let (looks, seen) = watcher.join().unwrap();
        assert!(seen.len() < 2, "two defaults: {seen:?}");
        assert!(looks > 10, "{looks} looks");
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[track_caller]
fn becomes_default(cluster: &Cluster, name: &str) {
    cluster.eventually(&format!("{name} is the default"), || defaults(cluster) == [name]);
}

/// Nothing moves: the operator has answered for everything, and the default is the same.
#[track_caller]
fn stays_default(cluster: &Cluster, name: &str) {
    cluster.settle();
    assert_eq!(defaults(cluster), [name]);
}

fn asks(cluster: &Cluster, name: &str, asks: bool) {
    let patch = format!(r#"{{"spec":{{"default":{asks}}}}}"#);
    cluster.run(&["patch", "organizations.bailiwick.dev", name, "--type=merge", "-p", &patch]);
}

fn nia(namespace: &str) -> Question {
    Question::of("nia@example.com", namespace)
}

#[test]
fn the_default_moves_when_it_stops_asking_and_another_asks_and_not_before() {
    let cluster = Cluster::with_operator(VALUES);
    let default = |name| cluster.condition(&["organizations.bailiwick.dev", name], "Default").unwrap();
    never_two(&cluster, || {
        // Nobody asks: the one that is there.
        cluster.apply(&(user("nia") + &organization("one", "{namespace: alpha}")));
        becomes_default(&cluster, "one");
        cluster.can(&nia("alpha"), MEMBER);
        // The incumbent does not ask, and another one does.
        cluster.apply(&organization("two", "{namespace: beta, default: true}"));
        becomes_default(&cluster, "two");
        cluster.can(&nia("beta"), MEMBER);
        cluster.cannot(&nia("alpha"), MEMBER);
        // Two that ask: the incumbent stays. (Of one second's creation times the name decides, so the younger one's is later.)
        cluster.apply(&organization("two-b", "{namespace: gamma, default: true}"));
        let message = cluster.await_reason(&["organizations.bailiwick.dev", "two-b"], "Default", "AlreadyTaken");
        assert!(message.contains("Organization two"), "{message}");
        stays_default(&cluster, "two");
        // It is not what it asks to be. (Its first status may still say that its claim is being recorded.)
        cluster.await_reason(&["organizations.bailiwick.dev", "two-b"], "Ready", "AlreadyTaken");
        // It stops asking while another one asks.
        asks(&cluster, "two", false);
        becomes_default(&cluster, "two-b");
        cluster.can(&nia("gamma"), MEMBER);
        cluster.cannot(&nia("beta"), MEMBER);
        cluster.settle();
        assert_eq!(default("two").1, "NotRequested");
        // It stops asking, and nobody else asks: it stays.
        asks(&cluster, "two-b", false);
        stays_default(&cluster, "two-b");
        // One that asks later gets it.
        asks(&cluster, "one", true);
        becomes_default(&cluster, "one");
        cluster.can(&nia("alpha"), MEMBER);
        // It goes: of those that are left, nobody asks, so the oldest.
        cluster.run(&["delete", "organizations.bailiwick.dev", "one"]);
        becomes_default(&cluster, "two");
        cluster.can(&nia("beta"), MEMBER);
        cluster.cannot(&nia("alpha"), MEMBER);
        // No namespace moved with any of that.
        for (name, namespace) in [("two", "beta"), ("two-b", "gamma")] {
            let organization = cluster.get(&["organizations.bailiwick.dev", name]);
            assert_eq!(organization["status"]["namespace"], namespace);
        }
    });
}

#[test]
fn any_order_of_two_manifests_has_the_same_end() {
    let mut cluster = Cluster::with_operator(VALUES);
    let asking = organization("one", "{namespace: alpha, default: true}");
    let silent = organization("two", "{namespace: beta}");
    let [not_asking, then_asking] =
        [organization("one", "{namespace: alpha}"), organization("two", "{namespace: beta, default: true}")];
    for reverse in [false, true] {
        let order =
            |a: &str, b: &str| if reverse { [b.to_owned(), a.to_owned()] } else { [a.to_owned(), b.to_owned()] };
        never_two(&cluster, || {
            for manifest in order(&asking, &silent) {
                cluster.apply(&manifest);
                cluster.settle();
                assert_eq!(defaults(&cluster).len(), 1);
            }
            becomes_default(&cluster, "one");
            // The default is handed on by two changes, whichever comes first.
            for manifest in order(&not_asking, &then_asking) {
                cluster.apply(&manifest);
                cluster.settle();
            }
            becomes_default(&cluster, "two");
        });
        cluster.run(&["delete", "organizations.bailiwick.dev", "one", "two"]);
    }
    // Both at once, before any operator runs, and both ask: the older one, or of one second the first by name.
    cluster.stop_operator();
    cluster.apply(&(organization("two", "{default: true}") + &organization("one", "{default: true}")));
    cluster.start_operator();
    cluster.settle();
    assert_eq!(defaults(&cluster).len(), 1);
    let first = defaults(&cluster).remove(0);
    // What is recorded stays, also over a restart, and when the other one is edited.
    cluster.stop_operator();
    cluster.start_operator();
    cluster.apply(&organization("three", "{default: true}"));
    stays_default(&cluster, &first);
}

#[test]
fn without_a_whitelist_the_default_organization_takes_the_release_namespace_and_keeps_it() {
    // As above, without the policy.
    let policies = "admissionPolicies: {defaultOrganization: {enabled: false}}";
    let cluster = Cluster::with_operator(&format!("{{{policies}}}"));
    cluster.apply(&users(&["nia"]));
    let default = ["organizations.bailiwick.dev", "default"];
    cluster.await_reason(&default, "NamespaceAssigned", "Assigned");
    becomes_default(&cluster, "default");
    assert_eq!(cluster.get(&default)["status"]["namespace"], "bailiwick-system");
    assert_eq!(cluster.get(&default)["spec"]["namespace"], serde_json::Value::Null);
    // Users who belong nowhere are its members, as long as a value says so.
    let here = nia("bailiwick-system");
    cluster.can(&here, MEMBER);
    let join = |join: bool| {
        let values = format!("{{{policies}, config: {{users: {{joinDefaultOrganization: {join}}}}}}}");
        assert!(cluster.helm_upgrade(&values).status.success());
    };
    join(false);
    cluster.cannot(&here, MEMBER);
    // `member` is held by every user all the same.
    cluster.can(&nia(""), &["list users.bailiwick.dev"]);
    join(true);
    cluster.can(&here, MEMBER);

    // Nobody else gets the namespace that it took, though it never named it.
    cluster.apply(&organization("other", "{namespace: bailiwick-system, default: true}"));
    cluster.await_reason(&["organizations.bailiwick.dev", "other"], "NamespaceAssigned", "AlreadyClaimed");
    asks(&cluster, "default", false);
    becomes_default(&cluster, "other");
    cluster.settle();
    // What it took stays when the default moves on; who belongs nowhere belongs to the other one now, which has none.
    cluster.await_reason(&default, "NamespaceAssigned", "Assigned");
    cluster.await_reason(&["organizations.bailiwick.dev", "other"], "NamespaceAssigned", "AlreadyClaimed");
    assert_eq!(cluster.get(&default)["status"]["namespace"], "bailiwick-system");
    cluster.cannot(&here, MEMBER);
    // The same goes for one that names none.
    cluster.run(&["delete", "organizations.bailiwick.dev", "other"]);
    cluster.apply(&organization("third", "{default: true}"));
    becomes_default(&cluster, "third");
    cluster.await_reason(&["organizations.bailiwick.dev", "third"], "NamespaceAssigned", "NotSet");
    cluster.await_reason(&default, "NamespaceAssigned", "Assigned");
    // Back again: it is as it was.
    asks(&cluster, "third", false);
    asks(&cluster, "default", true);
    becomes_default(&cluster, "default");
    cluster.can(&here, MEMBER);
}
