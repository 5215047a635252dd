//! The operator while the API server answers badly, late, partially or not at all; afterwards the state has to be as if
//! none of that had happened.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

mod history;

use jiff::{SignedDuration, Timestamp};

use crate::support::manifests::{binding, custom_role, group, organization, site_binding, site_role, user, users};
use crate::support::{Cluster, DENIALS, Fault, Faults, Question, Random, Storm};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta, gamma], defaultOrganization: {create: false}}";
/// At every place: in namespaces, on the cluster and in the release namespace.
const OVERSEER: &str = "{assignableTo: [Site, Organization], permissions: [{resource: templates, actions: [delete]}, \
                        {resource: users, actions: [create]}, {resource: configuration, actions: [update]}]}";

/// A cluster with an operator behind a proxy, and the RBAC from before it.
fn behind_a_proxy(seed: u64) -> (Cluster, BTreeSet<String>) {
    let mut cluster = Cluster::with_chart(VALUES);
    cluster.put_faults_between(seed);
    let before = cluster.rbac().into_keys().collect();
    cluster.start_operator();
    (cluster, before)
}

fn faults(cluster: &Cluster) -> &Faults {
    cluster.faults.as_ref().unwrap()
}

/// Some objects of every kind, different in every round.
fn world(round: usize) -> String {
    let people: Vec<String> = (0..8).map(|i| format!("p{}-{i}", round % 3)).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let mut yaml = users(&people) + &site_role("overseer", OVERSEER);
    yaml += &site_binding("overseers", "overseer", &[people[round % 8], "ExternalGroup/oidc:overseers"]);
    for (index, namespace) in ["alpha", "beta"].into_iter().enumerate() {
        let actions = ["delete", "update", "delete, update"][(round + index) % 3];
        yaml += &organization(namespace, &format!("{{namespace: {namespace}}}"));
        let permissions = format!("{{permissions: [{{resource: templates, actions: [{actions}]}}]}}");
        yaml += &custom_role(namespace, "editor", &permissions);
        yaml += &group(namespace, "crew", &people[round % 4..]);
        for i in 0..6 {
            let role = ["CustomRole/editor", "SiteRole/overseer", "SiteRole/organization-manager"][(i + round) % 3];
            let subjects = [people[(i + round) % 8], "Group/crew", "ServiceAccount/ci", "stranger"];
            yaml += &binding(namespace, &format!("b{i}"), role, &subjects[..1 + (i + round) % 4]);
        }
    }
    yaml
}

#[test]
fn after_a_storm_of_any_kind_everything_is_as_it_should_be() {
    let (cluster, before) = behind_a_proxy(Random::seed());
    for (round, fault) in Fault::ALL.into_iter().enumerate() {
        let start = Instant::now();
        let rate = if matches!(fault, Fault::DroppedWatch | Fault::ExpiredWatch) { 0.2 } else { 0.5 };
        let storm = Storm::default().with(fault, rate);
        // With its Lease the operator works in the middle of the storm; without, it loses leadership.
        faults(&cluster).storm(if round % 2 == 0 { storm } else { storm.sparing_the_lease() });
        cluster.apply(&world(round));
        cluster.run(&["delete", "users.bailiwick.dev", &format!("p{}-{}", round % 3, round % 8)]);
        cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", &format!("b{}", round % 6)]);
        cluster.eventually(&format!("{fault:?} strikes often"), || faults(&cluster).hits(fault) >= 20);
        faults(&cluster).calm();
        cluster.is_as_desired(&before);
        println!("{fault:?}: settled after {:?}", start.elapsed());
    }
}

#[test]
fn after_the_api_server_was_out_of_reach_everything_is_as_it_should_be() {
    let (cluster, before) = behind_a_proxy(Random::seed());
    for round in [0, 2, 4] {
        let operator = cluster.operator.as_ref().unwrap();
        let done = operator.sum("writes");
        cluster.apply(&world(round));
        // In the middle of the work on it.
        cluster.eventually("the operator has begun", || operator.sum("writes") > done);
        faults(&cluster).refuse();
        cluster.apply(&world(round + 1));
        cluster.run(&["delete", "users.bailiwick.dev", &format!("p{}-0", round % 3)]);
        let errors = operator.sum("watch_errors");
        cluster.eventually("watches fail", || operator.sum("watch_errors") > errors + 17.0);
        faults(&cluster).calm();
        cluster.is_as_desired(&before);
    }
}

#[test]
fn a_leader_that_could_not_renew_its_lease_writes_again_soon() {
    let (cluster, before) = behind_a_proxy(Random::seed());
    cluster.apply(&world(0));
    cluster.is_as_desired(&before);
    let writes_soon = |name: &str| {
        let start = Instant::now();
        cluster.apply(&user(name));
        cluster.apply(&binding("alpha", "after", "CustomRole/editor", &[name]));
        cluster.can(&Question::of(&format!("{name}@example.com"), "alpha"), &["delete podtemplates"]);
        println!("{name}: {:?}", start.elapsed());
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "soon, not {:?}\n{}",
            start.elapsed(),
            cluster.operator_log()
        );
    };
    // Repeatedly: the cause of longer pauses has to be forgotten once it is over.
    for name in ["first", "second", "third"] {
        faults(&cluster).storm(Storm::default().with(Fault::ServerError, 1.0).only("/leases"));
        cluster.eventually("renewals fail", || faults(&cluster).hits(Fault::ServerError) >= 5);
        faults(&cluster).calm();
        writes_soon(name);
    }
    // Deleting the Lease does not stop it either.
    let lease = || cluster.get(&["-n", "bailiwick-system", "leases"])["items"][0].clone();
    let uid = lease()["metadata"]["uid"].clone();
    cluster.run(&["-n", "bailiwick-system", "delete", "lease", "bailiwick"]);
    cluster.eventually("there is another Lease, and it is held", || {
        let lease = lease();
        lease["metadata"]["uid"] != uid && lease["spec"]["holderIdentity"].is_string()
    });
    writes_soon("fourth");
}

#[test]
fn what_was_written_and_deleted_while_the_watch_was_broken_is_made_again() {
    let (cluster, before) = behind_a_proxy(Random::seed());
    cluster.apply(&world(0));
    cluster.is_as_desired(&before);
    // The operator still sees its own objects, and writes, but does not see native RBAC. Its watch cannot resume, so no
    // event will ever show it the deletion.
    let deaf = Storm::default().with(Fault::ExpiredWatch, 1.0).with(Fault::ServerError, 1.0);
    faults(&cluster).storm(deaf.only("/rbac.authorization.k8s.io/v1/rolebindings"));
    cluster.eventually("the watch is broken", || faults(&cluster).hits(Fault::ServerError) >= 2);
    cluster.apply(&binding("alpha", "late", "CustomRole/editor", &["p0-0"]));
    let native = || cluster.rbac().into_keys().find(|name| name.contains("alpha/bailiwick:role-binding:late:"));
    cluster.eventually("it is written", || native().is_some());
    cluster.settle();
    let name = native().unwrap();
    cluster.remove("nativeRoleBinding", "alpha", name.rsplit_once('/').unwrap().1).unwrap();
    faults(&cluster).calm();
    cluster.eventually("it is there again", || native().is_some());
    cluster.is_as_desired(&before);
}

#[test]
fn an_end_is_not_late_because_something_else_cannot_be_written() {
    let (cluster, _) = behind_a_proxy(Random::seed());
    let end = Timestamp::now().checked_add(SignedDuration::from_secs(25)).unwrap().round(jiff::Unit::Second).unwrap();
    let manifest = world(0) + &binding("alpha", "short", "CustomRole/editor", &["p0-7"]);
    let (first, last) = manifest.rsplit_once("{roleRef: ").unwrap();
    cluster.apply(
        &(organization("gamma", "{namespace: gamma}") + first + &format!("{{expiresAt: \"{end}\", roleRef: {last}")),
    );
    // Nothing else grants this in this round.
    let who = Question::of("p0-7@example.com", "alpha");
    cluster.settle();
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "b0", "b1", "b2", "b3", "b4", "b5"]);
    cluster.run(&["-n", "alpha", "delete", "groups.bailiwick.dev", "crew"]);
    cluster.can(&who, &["delete podtemplates"]);
    cluster.settle();
    // New roles of this namespace cannot be created, so the pauses of its key become long.
    faults(&cluster).storm(Storm::default().with(Fault::ServerError, 1.0).only("/namespaces/alpha/roles"));
    let role = "{permissions: [{resource: templates, actions: [update]}]}";
    cluster.apply(
        &(custom_role("alpha", "failing", role) + &binding("alpha", "failing", "CustomRole/failing", &["p0-1"])),
    );
    cluster.eventually("it ends", || Timestamp::now() >= end);
    assert!(faults(&cluster).hits(Fault::ServerError) >= 5);
    cluster.cannot(&who, &["delete podtemplates"]);
    let late = Timestamp::now().duration_since(end);
    println!("late by {late:#}, after {} failures", faults(&cluster).hits(Fault::ServerError));
    assert!(late < SignedDuration::from_secs(2), "late by {late:#}\n{}", cluster.operator_log());
}

/// A webhook chooses the code and the reason of its denial.
#[test]
fn a_revocation_that_a_webhook_denies_is_done_by_deleting() {
    let (cluster, _) = behind_a_proxy(Random::seed());
    let role = "{permissions: [{resource: templates, actions: [delete]}]}";
    cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}")
            + &custom_role("alpha", "deleter", role)
            + &users(&["ada", "bob"])),
    );
    let delete = &["delete podtemplates"];
    let [ada, bob] = ["ada", "bob"].map(|name| Question::of(&format!("{name}@example.com"), "alpha"));
    for code in DENIALS {
        cluster.apply(&binding("alpha", "deleters", "CustomRole/deleter", &["ada", "bob"]));
        cluster.can(&bob, delete);
        cluster.settle();
        let denied = Fault::Denied(code);
        faults(&cluster).storm(
            Storm::default().with(denied, 1.0).only("rbac.authorization.k8s.io/v1/namespaces/alpha/rolebindings"),
        );
        cluster.apply(&binding("alpha", "deleters", "CustomRole/deleter", &["ada"]));
        cluster.cannot(&bob, delete);
        cluster.can(&ada, delete);
        assert!(faults(&cluster).hits(denied) > 0, "nothing was denied with {code}");
        cluster.settle();
        faults(&cluster).calm();
    }
}

/// The native RBAC objects that name a user.
fn naming(cluster: &Cluster, name: &str) -> Vec<String> {
    let named = format!("{name}@example.com");
    let native = cluster.rbac().into_iter().filter(|(_, content)| content.to_string().contains(&named));
    native.map(|(key, _)| key).collect()
}

#[test]
fn what_takes_access_away_does_not_wait_for_what_gives_it() {
    let (cluster, before) = behind_a_proxy(Random::seed());
    cluster.apply(&world(0));
    cluster.is_as_desired(&before);
    let suspend = |name: &str| {
        cluster.run(&["patch", "users.bailiwick.dev", name, "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    };
    let held = || faults(&cluster).hits(Fault::Held) > 0;
    let naming = |name: &str| naming(&cluster, name);
    let everywhere = ["alpha", "beta", ""].map(|namespace| Question::of("p0-5@example.com", namespace));
    cluster.can(&everywhere[0], &["delete podtemplates"]);
    cluster.can(&everywhere[1], &["update podtemplates"]);

    // A role that has to exist before its binding, and a user who will hold it and everything else.
    faults(&cluster).storm(Storm::default().with(Fault::Held, 1.0).only("/namespaces/alpha/roles"));
    let role = custom_role("alpha", "new", "{permissions: [{resource: templates, actions: [update]}]}");
    cluster.apply(&(role + &binding("alpha", "new", "CustomRole/new", &["p0-5"])));
    cluster.eventually("the role is being written", held);
    let start = Instant::now();
    suspend("p0-5");
    for place in &everywhere {
        cluster.cannot(place, &["delete podtemplates", "update podtemplates", "create deployments.apps"]);
    }
    cluster.eventually("nothing names who is suspended", || naming("p0-5").is_empty());
    // The operator waits 30 s for an answer before it abandons a write.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}\n{}", start.elapsed(), cluster.operator_log());
    assert!(held());
    faults(&cluster).calm();
    cluster.is_as_desired(&before);

    // Nor for a role that loses rules.
    faults(&cluster).storm(Storm::default().with(Fault::Held, 1.0).only("/namespaces/alpha/roles/"));
    cluster.apply(&custom_role("alpha", "editor", "{permissions: [{resource: templates, actions: [update]}]}"));
    cluster.eventually("the role is being written", held);
    let start = Instant::now();
    suspend("p0-4");
    cluster.eventually("nothing names who is suspended", || naming("p0-4").is_empty());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}\n{}", start.elapsed(), cluster.operator_log());
    assert!(held());
    faults(&cluster).calm();
    cluster.is_as_desired(&before);

    // From a binding that is being granted: everything else goes at once, and this subject once it is written.
    let b3 = |subjects: &[&str]| binding("alpha", "b3", "CustomRole/editor", subjects);
    let hold_b3 = || {
        let storm = Storm::default().with(Fault::Held, 1.0).only("/alpha/rolebindings/bailiwick:role-binding:b3:");
        faults(&cluster).storm(storm);
    };
    let only_in_b3 = |name: &str| {
        let only = |naming: &[String]| naming.len() == 1 && naming[0].contains("alpha/bailiwick:role-binding:b3:");
        cluster
            .eventually_or(|| only(&naming(name)), |_| format!("only b3 names who is suspended: {:?}", naming(name)));
    };
    hold_b3();
    cluster.apply(&b3(&["p0-3", "p0-2", "Group/crew", "ServiceAccount/ci", "stranger", "ServiceAccount/new"]));
    cluster.eventually("the binding is being written", held);
    let start = Instant::now();
    suspend("p0-3");
    only_in_b3("p0-3");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}\n{}", start.elapsed(), cluster.operator_log());
    assert!(held());
    faults(&cluster).calm();
    cluster.eventually("nothing names who is suspended", || naming("p0-3").is_empty());
    cluster.is_as_desired(&before);

    // Nor does it wait for another revocation; and grants do not wait for long.
    hold_b3();
    cluster.apply(&b3(&["p0-2", "Group/crew"]));
    cluster.eventually("the binding is being written", held);
    let start = Instant::now();
    suspend("p0-2");
    only_in_b3("p0-2");
    cluster.apply(&binding("beta", "late", "CustomRole/editor", &["p0-1"]));
    let given = || cluster.rbac().into_keys().any(|name| name.contains("beta/bailiwick:role-binding:late:"));
    cluster.eventually("something else is given", given);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}\n{}", start.elapsed(), cluster.operator_log());
    assert!(held());
    faults(&cluster).calm();
    cluster.eventually("nothing names who is suspended", || naming("p0-2").is_empty());
    cluster.is_as_desired(&before);
}

/// More than the number of places.
const MANY: u64 = 70;

#[test]
fn no_number_of_writes_that_are_not_answered_holds_up_what_takes_access_away() {
    let (cluster, before) = behind_a_proxy(Random::seed());
    cluster.apply(&world(0));
    cluster.is_as_desired(&before);
    let people: Vec<String> = (0..8).map(|i| format!("p0-{i}")).collect();
    let crew = |namespace: &str, without: &str| {
        let members: Vec<&str> = people.iter().map(String::as_str).filter(|name| *name != without).collect();
        group(namespace, "crew", &members)
    };
    let hold = |path| faults(&cluster).storm(Storm::default().with(Fault::Held, 1.0).only(path));
    let held = |at_least: u64| {
        cluster.eventually_or(
            || faults(&cluster).hits(Fault::Held) >= at_least,
            |_| format!("{} writes of {at_least} are held", faults(&cluster).hits(Fault::Held)),
        );
    };
    let within = |start: Instant| assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());

    // Out of a group, while another grant of the namespace is in flight.
    hold("/alpha/rolebindings/bailiwick:role-binding:b3:");
    let b3 = ["p0-3", "Group/crew", "ServiceAccount/ci", "stranger", "ServiceAccount/new"];
    cluster.apply(&binding("alpha", "b3", "CustomRole/editor", &b3));
    held(1);
    let start = Instant::now();
    cluster.apply(&crew("alpha", "p0-6"));
    let naming_in = |namespace: &str| {
        let native = naming(&cluster, "p0-6").into_iter();
        native.filter(|key| key.contains(&format!(" {namespace}/"))).collect::<Vec<_>>()
    };
    let only_b3 = || naming_in("alpha").iter().all(|key| key.contains(":b3:"));
    cluster.eventually_or(only_b3, |_| format!("{:?}", naming_in("alpha")));
    within(start);
    faults(&cluster).calm();
    cluster.eventually("nothing in alpha names who left the group", || naming_in("alpha").is_empty());
    cluster.is_as_desired(&before);

    // Out of a group, while more grants than places are in flight elsewhere.
    hold("/namespaces/alpha/rolebindings");
    let many: Vec<String> =
        (0..MANY).map(|n| binding("alpha", &format!("many-{n}"), "CustomRole/editor", &["p0-7"])).collect();
    cluster.apply(&many.concat());
    held(64);
    let start = Instant::now();
    cluster.apply(&crew("beta", "p0-6"));
    cluster.eventually("nothing in beta names who left the group", || naming_in("beta").is_empty());
    within(start);
    faults(&cluster).calm();
    cluster.is_as_desired(&before);

    // Nor while more revocations than places are in flight elsewhere, which hold up no grant either.
    hold("/namespaces/alpha/rolebindings");
    let suspend = |name: &str| {
        cluster.run(&["patch", "users.bailiwick.dev", name, "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    };
    suspend("p0-7");
    held(MANY);
    let start = Instant::now();
    suspend("p0-1");
    let only_alpha = || naming(&cluster, "p0-1").iter().all(|key| key.contains(" alpha/"));
    cluster.eventually_or(only_alpha, |_| format!("{:?}", naming(&cluster, "p0-1")));
    cluster.apply(&binding("beta", "late", "CustomRole/editor", &["p0-2"]));
    let given = || cluster.rbac().into_keys().any(|name| name.contains("beta/bailiwick:role-binding:late:"));
    cluster.eventually("something else is given", given);
    within(start);
    faults(&cluster).calm();
    cluster.eventually("nothing names who is suspended", || {
        ["p0-1", "p0-7"].iter().all(|name| naming(&cluster, name).is_empty())
    });
    cluster.is_as_desired(&before);
}

#[test]
fn a_conflict_that_does_not_end_is_not_tried_without_a_pause() {
    let (cluster, before) = behind_a_proxy(Random::seed());
    cluster.apply(&world(0));
    cluster.is_as_desired(&before);
    // The new binding conflicts with nothing, and the other is unchanged.
    let new = binding("alpha", "new", "CustomRole/editor", &["p0-0"]);
    for changed in [new, binding("alpha", "b0", "CustomRole/editor", &["p0-1", "p0-2"])] {
        let conflicts = || faults(&cluster).hits(Fault::Conflict);
        let so_far = conflicts();
        faults(&cluster).storm(Storm::default().with(Fault::Conflict, 1.0).only("/namespaces/alpha/rolebindings"));
        cluster.apply(&changed);
        cluster.eventually("it is in conflict", || conflicts() > so_far);
        let start = Instant::now();
        cluster.eventually("it is tried again and again", || conflicts() >= so_far + 6);
        assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());
        faults(&cluster).calm();
        cluster.is_as_desired(&before);
    }
}

#[test]
fn readyz_says_that_watches_are_broken() {
    let (cluster, _) = behind_a_proxy(Random::seed());
    let operator = cluster.operator.as_ref().unwrap();
    let within = |seconds: u64, what: &str, holds: &dyn Fn() -> bool| {
        let start = Instant::now();
        cluster.eventually(what, holds);
        println!("{what} after {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: within {seconds} s\n{}", operator.log());
    };
    let errors = operator.sum("watch_errors");
    faults(&cluster).refuse();
    within(20, "it is not ready, and says which watches are broken", &|| {
        let readiness = operator.readiness();
        readiness.is_some_and(|(code, text)| code == 503 && text.contains("NativeRoleBinding"))
    });
    assert!(operator.sum("watch_errors") > errors && operator.metric("watches_broken") > 0);
    faults(&cluster).calm();
    within(30, "it is ready again", &|| operator.is_ready());
    assert_eq!(operator.metric("watches_broken"), 0);
}
