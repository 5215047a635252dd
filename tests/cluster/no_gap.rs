//! Subjects that keep access have it at every moment: while the role of a binding changes, while others are removed
//! from it, while it is split into shards, and while the operator restarts.

use std::sync::atomic::{AtomicBool, Ordering};

use bailiwick::core::shards::SHARD_SIZE;

use crate::support::manifests::{binding, custom_role, group, organization, site_binding, site_role, user, users};
use crate::support::{Cluster, Question};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";
const DELETE: &str = "delete podtemplates";

/// Asks each question continuously, in a thread of its own, while `work` runs: every answer has to be yes.
#[track_caller]
fn never_refused(cluster: &mut Cluster, questions: &[(Question, &str)], work: impl FnOnce(&mut Cluster)) {
    for (who, what) in questions {
        cluster.can(who, &[what]);
    }
    let (asker, over) = (cluster.asker(), AtomicBool::new(false));
    let ask = |(who, what): &(Question, &str)| {
        let (mut asked, mut refused) = (0, 0);
        while !over.load(Ordering::Acquire) {
            refused += u32::from(!asker.allowed(who, what));
            asked += 1;
        }
        (asked, refused)
    };
    let answers: Vec<(u32, u32)> = std::thread::scope(|scope| {
        let threads: Vec<_> = questions.iter().map(|question| scope.spawn(|| ask(question))).collect();
        // Even if the work fails, because a scope waits for its threads.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(cluster)));
        over.store(true, Ordering::Release);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((who, what), (asked, refused)) in questions.iter().zip(answers) {
        println!("{who:?} {what}: {refused} of {asked} refused");
        assert!(
            refused == 0 && asked > 200,
            "{who:?} {what}: {refused} of {asked} refused\n{}",
            cluster.operator_log()
        );
    }
}

fn person(name: &str, namespace: &str) -> Question {
    Question::of(&format!("{name}@example.com"), namespace)
}

/// Waits for the status of an object's newest generation.
fn answered(cluster: &Cluster, arguments: &[&str]) {
    cluster.eventually("the newest generation is in effect", || {
        let object = cluster.get(arguments);
        object["status"]["observedGeneration"] == object["metadata"]["generation"]
    });
}

/// Grants the same two rights as its twin, with one more in namespaces, on the cluster and in the release namespace.
const EVERYWHERE: &str = "{assignableTo: [Site, Organization], permissions: [{resource: templates, actions: [delete]}, \
                          {resource: users, actions: [create]}, {resource: configuration, actions: [update]}]}";

fn team() -> String {
    organization("alpha", "{namespace: alpha, default: true}")
        + &users(&["ada", "bob", "eve", "sam"])
        + &(site_role("three", EVERYWHERE) + &site_role("four", EVERYWHERE))
}

#[test]
fn who_keeps_access_has_it_while_a_binding_changes_its_role_or_loses_others() {
    let mut cluster = Cluster::with_operator(VALUES);
    let one = "{permissions: [{resource: templates, actions: [delete]}]}";
    let two = "{permissions: [{resource: templates, actions: [update, delete]}]}";
    cluster.apply(&(team() + &custom_role("alpha", "one", one) + &custom_role("alpha", "two", two)));
    cluster.apply(&(group("alpha", "crew", &["eve"]) + &binding("alpha", "team", "CustomRole/one", &["ada", "bob"])));
    cluster.apply(&site_binding("site", "three", &["sam", "bob"]));
    let questions = [(person("ada", "alpha"), DELETE), (person("sam", "alpha"), DELETE)];
    never_refused(&mut cluster, &questions, |cluster| {
        let roles = ["CustomRole/two", "SiteRole/three", "CustomRole/one", "SiteRole/four"];
        for round in 0..24 {
            let alone = round % 2 == 0;
            let others: &[&str] = if alone { &["ada"] } else { &["ada", "bob", "Group/crew"] };
            let site: &[&str] = if alone { &["sam"] } else { &["sam", "bob"] };
            let site = site_binding("site", ["four", "three"][round % 2], site);
            cluster.apply(&(binding("alpha", "team", roles[round % 4], others) + &site));
            // Sometimes the next change comes before this one is in effect.
            if round % 3 != 0 {
                answered(cluster, &["-n", "alpha", "rolebindings.bailiwick.dev", "team"]);
                answered(cluster, &["siterolebindings.bailiwick.dev", "site"]);
            }
            if round % 6 == 2 {
                cluster.cannot(&person("bob", "alpha"), &[DELETE]);
            }
        }
        // The role itself changes: it loses one right and gains another, while this one stays.
        cluster.apply(&binding("alpha", "team", "CustomRole/one", &["ada"]));
        for round in 0..12 {
            cluster.apply(&custom_role("alpha", "one", if round % 2 == 0 { two } else { one }));
        }
    });
}

#[test]
fn who_keeps_access_beyond_the_namespaces_has_it_while_a_binding_changes_its_role() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(
        &(team() + &site_binding("site", "three", &["sam"]) + &binding("alpha", "team", "SiteRole/three", &["ada"])),
    );
    // A subject holds both throughout, so that the bindings of the two roles are never deleted.
    cluster.apply(&(site_binding("third", "three", &["eve"]) + &site_binding("fourth", "four", &["eve"])));
    let questions = [
        (person("ada", ""), "create users.bailiwick.dev"),
        (person("sam", ""), "create users.bailiwick.dev"),
        (person("sam", "bailiwick-system"), "update configmaps bailiwick-config"),
    ];
    never_refused(&mut cluster, &questions, |cluster| {
        for round in 0..16 {
            let role = ["four", "three"][round % 2];
            let team = binding("alpha", "team", &format!("SiteRole/{role}"), &["ada"]);
            cluster.apply(&(site_binding("site", role, &["sam"]) + &team));
            answered(cluster, &["siterolebindings.bailiwick.dev", "site"]);
            if round == 8 {
                cluster.run(&["delete", "siterolebindings.bailiwick.dev", "third", "fourth"]);
            }
        }
    });
}

#[test]
fn who_keeps_access_has_it_while_a_group_grows_past_a_shard_and_shrinks_again() {
    let mut cluster = Cluster::with_operator(VALUES);
    let people: Vec<String> = (0..SHARD_SIZE + 10).map(|i| format!("p{i}")).collect();
    cluster.apply(&people.iter().map(|name| user(name)).collect::<String>());
    cluster.apply(&organization("alpha", "{namespace: alpha, default: true}"));
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    // Two shards stay while they are nearly needed.
    let few = &names[..SHARD_SIZE * 3 / 4 - 5];
    let role = "{permissions: [{resource: templates, actions: [delete]}]}";
    cluster.apply(&(custom_role("alpha", "deleter", role) + &group("alpha", "crew", few)));
    let created =
        cluster.get(&["-n", "alpha", "groups.bailiwick.dev", "crew"])["metadata"]["creationTimestamp"].clone();
    let created: jiff::Timestamp = created.as_str().unwrap().parse().unwrap();
    cluster.eventually("another second", || jiff::Timestamp::now().as_second() > created.as_second());
    cluster.apply(&binding("alpha", "crew", "CustomRole/deleter", &["Group/crew"]));
    let shards = |cluster: &Cluster| {
        let of_ours = |name: &&serde_json::Value| name.as_str().unwrap().starts_with("bailiwick:role-binding:crew:");
        cluster.native().iter().map(|object| &object["metadata"]["name"]).filter(of_ours).count()
    };
    let (first, last) = (person("p0", "alpha"), person(few[few.len() - 1], "alpha"));
    // Members' implicit role has shards as well.
    let questions = [(first.clone(), DELETE), (last, DELETE), (first, "create deployments.apps")];
    never_refused(&mut cluster, &questions, |cluster| {
        for _ in 0..6 {
            cluster.apply(&group("alpha", "crew", &names));
            cluster.can(&person(names[names.len() - 1], "alpha"), &[DELETE]);
            cluster.eventually("two shards", || shards(cluster) == 2);
            cluster.apply(&group("alpha", "crew", few));
            cluster.cannot(&person(names[names.len() - 1], "alpha"), &[DELETE]);
            cluster.eventually("one shard", || shards(cluster) == 1);
        }
    });
}

#[test]
fn nobody_loses_anything_while_the_operator_restarts() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(team() + &binding("alpha", "team", "SiteRole/three", &["ada"])));
    cluster.apply(&site_binding("site", "three", &["sam"]));
    cluster.settle();
    let questions = [
        (person("ada", "alpha"), DELETE),
        (person("ada", ""), "create users.bailiwick.dev"),
        (person("ada", "bailiwick-system"), "update configmaps bailiwick-config"),
        (person("sam", ""), "create users.bailiwick.dev"),
    ];
    never_refused(&mut cluster, &questions, |cluster| {
        for round in 0..4 {
            if round % 2 == 0 {
                cluster.stop_operator()
            } else {
                cluster.kill_operator()
            }
            cluster.start_operator();
            cluster.settle();
        }
    });
}
