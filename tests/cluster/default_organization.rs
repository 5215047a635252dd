//! The default organization: exactly one while there is any, and moved only on purpose.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::manifests::{organization, user, users};
use crate::support::{Cluster, Question};

/// Without the policy that protects the default organization, to test its deletion.
const VALUES: &str = "{namespaceWhitelist: [alpha, beta, gamma], defaultOrganization: {create: false}, \
                      admissionPolicies: {defaultOrganization: {enabled: false}}}";
const MEMBER: &[&str] = &["create deployments.apps"];

fn defaults(cluster: &Cluster) -> Vec<String> {
    let is_default = |o: &&bailiwick::api::Organization| o.status.as_ref().is_some_and(|s| s.default);
    cluster.organizations().iter().filter(is_default).filter_map(|o| o.metadata.name.clone()).collect()
}

/// Runs `work` while a thread lists all organizations continuously: there are never two defaults.
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

/// Asserts that nothing moves: the operator has handled everything, and the default is the same.
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
        // No organization requests it, so the existing one is the default.
        cluster.apply(&(user("nia") + &organization("one", "{namespace: alpha}")));
        becomes_default(&cluster, "one");
        cluster.can(&nia("alpha"), MEMBER);
        // Another one requests it, but the incumbent does not.
        cluster.apply(&organization("two", "{namespace: beta, default: true}"));
        becomes_default(&cluster, "two");
        cluster.can(&nia("beta"), MEMBER);
        cluster.cannot(&nia("alpha"), MEMBER);
        // Two request it: the incumbent stays. (Within one second the name decides, so the younger one's is later.)
        cluster.apply(&organization("two-b", "{namespace: gamma, default: true}"));
        let message = cluster.await_reason(&["organizations.bailiwick.dev", "two-b"], "Default", "AlreadyTaken");
        assert!(message.contains("Organization two"), "{message}");
        stays_default(&cluster, "two");
        // Its first status may still report a pending claim.
        cluster.await_reason(&["organizations.bailiwick.dev", "two-b"], "Ready", "AlreadyTaken");
        // It no longer requests it while another one does.
        asks(&cluster, "two", false);
        becomes_default(&cluster, "two-b");
        cluster.can(&nia("gamma"), MEMBER);
        cluster.cannot(&nia("beta"), MEMBER);
        cluster.settle();
        assert_eq!(default("two").1, "NotRequested");
        // It no longer requests it, and no other one does: it stays.
        asks(&cluster, "two-b", false);
        stays_default(&cluster, "two-b");
        // A later request gets it.
        asks(&cluster, "one", true);
        becomes_default(&cluster, "one");
        cluster.can(&nia("alpha"), MEMBER);
        // It is deleted, and no other one requests it: the oldest becomes the default.
        cluster.run(&["delete", "organizations.bailiwick.dev", "one"]);
        becomes_default(&cluster, "two");
        cluster.can(&nia("beta"), MEMBER);
        cluster.cannot(&nia("alpha"), MEMBER);
        // None of this moved a namespace.
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
            // Two changes hand the default on, in either order.
            for manifest in order(&not_asking, &then_asking) {
                cluster.apply(&manifest);
                cluster.settle();
            }
            becomes_default(&cluster, "two");
        });
        cluster.run(&["delete", "organizations.bailiwick.dev", "one", "two"]);
    }
    // Both created before any operator runs, and both request it: the older one wins, within one second the first by
    // name.
    cluster.stop_operator();
    cluster.apply(&(organization("two", "{default: true}") + &organization("one", "{default: true}")));
    cluster.start_operator();
    cluster.settle();
    assert_eq!(defaults(&cluster).len(), 1);
    let first = defaults(&cluster).remove(0);
    // The record stays, across a restart and an edit of the other one.
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
    // Users that belong nowhere are its members, while a value says so.
    let here = nia("bailiwick-system");
    cluster.can(&here, MEMBER);
    let join = |join: bool| {
        let values = format!("{{{policies}, config: {{users: {{joinDefaultOrganization: {join}}}}}}}");
        assert!(cluster.helm_upgrade(&values).status.success());
    };
    join(false);
    cluster.cannot(&here, MEMBER);
    // Every user still holds `member`.
    cluster.can(&nia(""), &["list users.bailiwick.dev"]);
    join(true);
    cluster.can(&here, MEMBER);

    // No other organization gets the namespace that it took, though its spec never named it.
    cluster.apply(&organization("other", "{namespace: bailiwick-system, default: true}"));
    cluster.await_reason(&["organizations.bailiwick.dev", "other"], "NamespaceAssigned", "AlreadyClaimed");
    asks(&cluster, "default", false);
    becomes_default(&cluster, "other");
    cluster.settle();
    // It keeps the namespace when the default moves on; users without an organization now belong to the other one,
    // which has none.
    cluster.await_reason(&default, "NamespaceAssigned", "Assigned");
    cluster.await_reason(&["organizations.bailiwick.dev", "other"], "NamespaceAssigned", "AlreadyClaimed");
    assert_eq!(cluster.get(&default)["status"]["namespace"], "bailiwick-system");
    cluster.cannot(&here, MEMBER);
    // The same applies to one without `spec.namespace`.
    cluster.run(&["delete", "organizations.bailiwick.dev", "other"]);
    cluster.apply(&organization("third", "{default: true}"));
    becomes_default(&cluster, "third");
    cluster.await_reason(&["organizations.bailiwick.dev", "third"], "NamespaceAssigned", "NotSet");
    cluster.await_reason(&default, "NamespaceAssigned", "Assigned");
    // Back again, as before.
    asks(&cluster, "third", false);
    asks(&cluster, "default", true);
    becomes_default(&cluster, "default");
    cluster.can(&here, MEMBER);
}
