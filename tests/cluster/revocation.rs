//! Every way to revoke access: with the operator running, with the operator stopped where native objects have owners,
//! and when the API server refuses changes of a binding.

use crate::support::manifests::{
    binding, binding_spec, custom_role, group, organization, site_binding, site_role, user, users,
};
use crate::support::{Cluster, Question};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";
/// A right that no member has.
const DELETE: &[&str] = &["delete podtemplates"];
/// A role with that right.
const DELETER: &str = "{permissions: [{resource: templates, actions: [delete]}]}";

fn alpha() -> String {
    organization("alpha", "{namespace: alpha, default: true}") + &custom_role("alpha", "deleter", DELETER)
}

fn in_alpha(name: &str) -> Question {
    Question::of(&format!("{name}@example.com"), "alpha")
}

fn on_the_cluster(name: &str) -> Question {
    Question::of(&format!("{name}@example.com"), "")
}

fn patch(cluster: &Cluster, what: &[&str], patch: &str) {
    cluster.run(&[&["patch"], what, &["--type=merge", "-p", patch]].concat());
}

/// The whole second in which something happened, by the API server's clock.
fn second(time: &serde_json::Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[test]
fn every_way_to_take_access_away_does() {
    let cluster = Cluster::with_operator(VALUES);
    let people =
        ["deleted", "dropped", "roleless", "left", "groupless", "gone", "suspended", "site", "siteless", "keeper"];
    cluster.apply(&(alpha() + &users(&people)));
    let site_wide = "{assignableTo: [Site], permissions: [{resource: templates, actions: [delete]}, \
                     {resource: users, actions: [create]}]}";
    let roles =
        custom_role("alpha", "doomed", DELETER) + &site_role("overseer", site_wide) + &site_role("fading", site_wide);
    let groups = group("alpha", "crew", &["left", "keeper"]) + &group("alpha", "club", &["groupless"]);
    cluster.apply(&(roles + &groups));
    let bindings = [
        binding("alpha", "deleted", "CustomRole/deleter", &["deleted"]),
        binding("alpha", "dropped", "CustomRole/deleter", &["dropped", "keeper"]),
        binding("alpha", "roleless", "CustomRole/doomed", &["roleless"]),
        binding("alpha", "crew", "CustomRole/deleter", &["Group/crew", "Group/club"]),
        binding("alpha", "users", "CustomRole/deleter", &["gone", "suspended"]),
        site_binding("site", "overseer", &["site"]),
        site_binding("siteless", "fading", &["siteless"]),
    ];
    cluster.apply(&bindings.concat());
    for name in people {
        cluster.can(&in_alpha(name), DELETE);
    }
    for name in ["site", "siteless"] {
        cluster.can(&on_the_cluster(name), &["create users.bailiwick.dev"]);
    }

    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "deleted"]);
    cluster.cannot(&in_alpha("deleted"), DELETE);
    cluster.apply(&binding("alpha", "dropped", "CustomRole/deleter", &["keeper"]));
    cluster.cannot(&in_alpha("dropped"), DELETE);
    cluster.run(&["-n", "alpha", "delete", "customroles.bailiwick.dev", "doomed"]);
    cluster.cannot(&in_alpha("roleless"), DELETE);
    cluster.apply(&group("alpha", "crew", &["keeper"]));
    cluster.cannot(&in_alpha("left"), DELETE);
    cluster.run(&["-n", "alpha", "delete", "groups.bailiwick.dev", "club"]);
    cluster.cannot(&in_alpha("groupless"), DELETE);
    cluster.run(&["delete", "users.bailiwick.dev", "gone"]);
    cluster.cannot(&in_alpha("gone"), &["delete podtemplates", "create deployments.apps"]);
    patch(&cluster, &["users.bailiwick.dev", "suspended"], r#"{"spec":{"suspended":true}}"#);
    cluster.cannot(&in_alpha("suspended"), &["delete podtemplates", "create deployments.apps"]);
    cluster.run(&["delete", "siterolebindings.bailiwick.dev", "site"]);
    cluster.cannot(&in_alpha("site"), DELETE);
    cluster.cannot(&on_the_cluster("site"), &["create users.bailiwick.dev"]);
    cluster.run(&["delete", "siteroles.bailiwick.dev", "fading"]);
    cluster.cannot(&in_alpha("siteless"), DELETE);
    cluster.cannot(&on_the_cluster("siteless"), &["create users.bailiwick.dev"]);
    cluster.settle();
    assert!(cluster.allowed(&in_alpha("keeper"), DELETE[0]), "who keeps access keeps it");

    cluster.run(&["delete", "organizations.bailiwick.dev", "alpha"]);
    cluster.cannot(&in_alpha("keeper"), &["delete podtemplates", "create deployments.apps"]);
    cluster.eventually("nothing is left of the organization but its namespace", || {
        cluster.native().iter().all(|object| object["metadata"]["namespace"] != "alpha")
    });
    assert!(cluster.exists(&["namespace", "alpha"]));
}

#[test]
fn deleting_takes_access_away_while_no_operator_runs() {
    let mut cluster = Cluster::with_operator(VALUES);
    let people = ["bound", "roleless", "site", "siteless", "keeper"];
    let site_wide = "{assignableTo: [Site], permissions: [{resource: templates, actions: [delete]}, \
                     {resource: users, actions: [create]}]}";
    let roles =
        custom_role("alpha", "doomed", DELETER) + &site_role("overseer", site_wide) + &site_role("fading", site_wide);
    let bindings = [
        binding("alpha", "bound", "CustomRole/deleter", &["bound"]),
        binding("alpha", "roleless", "CustomRole/doomed", &["roleless"]),
        binding("alpha", "keeper", "CustomRole/deleter", &["keeper"]),
        site_binding("site", "overseer", &["site"]),
        site_binding("siteless", "fading", &["siteless"]),
    ];
    cluster.apply(&(alpha() + &users(&people) + &roles + &bindings.concat()));
    for name in people {
        cluster.can(&in_alpha(name), DELETE);
    }
    for name in ["site", "siteless"] {
        cluster.can(&on_the_cluster(name), &["create users.bailiwick.dev"]);
    }
    cluster.settle();
    cluster.stop_operator();

    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "bound"]);
    cluster.run(&["-n", "alpha", "delete", "customroles.bailiwick.dev", "doomed"]);
    cluster.run(&["delete", "siterolebindings.bailiwick.dev", "site"]);
    cluster.run(&["delete", "siteroles.bailiwick.dev", "fading"]);
    for name in ["bound", "roleless", "site", "siteless"] {
        cluster.cannot(&in_alpha(name), DELETE);
    }
    cluster.cannot(&on_the_cluster("siteless"), &["create users.bailiwick.dev"]);
    assert!(cluster.allowed(&in_alpha("keeper"), DELETE[0]), "who keeps access keeps it");

    // All holders share the cluster-scoped part of a SiteRoleBinding, so it waits for the operator.
    cluster.start_operator();
    cluster.settle();
    cluster.cannot(&on_the_cluster("site"), &["create users.bailiwick.dev"]);
    let left: Vec<String> = cluster.native().iter().map(|o| o["metadata"]["name"].to_string()).collect();
    assert!(
        !left.iter().any(|name| ["bound", "doomed", "site:", "fading"].iter().any(|n| name.contains(n))),
        "{left:?}"
    );
}

#[test]
fn a_time_bound_grant_ends_on_time_and_at_the_takeover_when_nobody_was_there() {
    let mut cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(alpha() + &users(&["soon", "later", "over", "site"])));
    cluster
        .apply(&site_role("overseer", "{assignableTo: [Site], permissions: [{resource: users, actions: [create]}]}"));
    let until = |name: &str, end: jiff::Timestamp| {
        let spec = binding_spec("CustomRole/deleter", &[name]);
        let spec = format!("{}, expiresAt: {:?}}}", spec.strip_suffix('}').unwrap(), end.to_string());
        binding("alpha", name, "CustomRole/deleter", &[]).split("spec:").next().unwrap().to_owned()
            + &format!("spec: {spec}\n")
    };
    let of_site = |end: jiff::Timestamp| {
        let manifest = site_binding("site", "overseer", &["site"]);
        manifest.trim_end().strip_suffix('}').unwrap().to_owned() + &format!(", expiresAt: {:?}}}\n", end.to_string())
    };
    let in_seconds = |n: i64| jiff::Timestamp::from_second(now().as_second() + n).unwrap();
    let (end, never) = (in_seconds(4), in_seconds(3600));
    let past = in_seconds(-10);
    cluster.apply(&(until("soon", end) + &until("later", never) + &until("over", past) + &of_site(end)));
    cluster.can(&in_alpha("soon"), DELETE);
    cluster.can(&on_the_cluster("site"), &["create users.bailiwick.dev"]);
    cluster.eventually("the grant ends", || {
        let asked = now();
        let allowed = cluster.allowed(&in_alpha("soon"), DELETE[0]);
        assert!(allowed || now() >= end, "it does not end before its time: {asked} is before {end}");
        !allowed
    });
    assert!(now() < end + jiff::SignedDuration::from_secs(3), "it ended at {}, its end was {end}", now());
    cluster.cannot(&on_the_cluster("site"), &["create users.bailiwick.dev"]);
    for binding in ["soon", "over"] {
        cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", binding], "Ready", "Expired");
        cluster.is_refused(&in_alpha(binding), DELETE);
    }
    cluster.await_reason(&["siterolebindings.bailiwick.dev", "site"], "Ready", "Expired");

    let end = in_seconds(3);
    cluster.apply(&(until("soon", end) + &of_site(end)));
    cluster.can(&in_alpha("soon"), DELETE);
    cluster.stop_operator();
    cluster.eventually("the time is over", || now() > end);
    assert!(cluster.allowed(&in_alpha("soon"), DELETE[0]), "native RBAC knows no time: without an operator it goes on");
    cluster.start_operator();
    cluster.cannot(&in_alpha("soon"), DELETE);
    cluster.cannot(&on_the_cluster("site"), &["create users.bailiwick.dev"]);
    cluster.settle();
    assert!(cluster.allowed(&in_alpha("later"), DELETE[0]), "the one that has time left goes on");
}

#[test]
fn a_ceiling_that_shrinks_takes_away_what_is_beyond_it_and_stops_no_other_revocation() {
    const NO_TEMPLATES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}, \
                                catalog: {templates: {rules: {pods: null}}}}";
    const SERVICE: &[&str] = &["delete services"];
    let mut cluster = Cluster::with_operator(VALUES);
    let both = "{permissions: [{resource: services, actions: [delete]}], \
                rules: [{apiGroups: [''], resources: [podtemplates], verbs: [delete]}]}";
    cluster.apply(&(alpha() + &users(&["ada", "bob", "eve"]) + &custom_role("alpha", "both", both)));
    cluster.apply(&binding("alpha", "both", "CustomRole/both", &["ada", "bob"]));
    cluster.apply(&binding("alpha", "words", "CustomRole/deleter", &["eve"]));
    let (ada, bob, eve) = (in_alpha("ada"), in_alpha("bob"), in_alpha("eve"));
    cluster.can(&ada, &[DELETE, SERVICE].concat());
    cluster.can(&bob, &[DELETE, SERVICE].concat());
    cluster.can(&eve, DELETE);

    // With the operator running.
    assert!(cluster.helm_upgrade(NO_TEMPLATES).status.success());
    cluster.apply(&binding("alpha", "both", "CustomRole/both", &["ada"]));
    cluster.cannot(&bob, &[DELETE, SERVICE].concat());
    cluster.cannot(&ada, DELETE);
    cluster.cannot(&eve, DELETE);
    cluster.can(&ada, SERVICE);
    let message =
        cluster.await_reason(&["-n", "alpha", "customroles.bailiwick.dev", "both"], "Ceiling", "BeyondCeiling");
    assert!(message.contains("podtemplates"), "{message}");

    // It grows again, then shrinks while no operator runs: the binding changes under the smaller ceiling.
    assert!(cluster.helm_upgrade(VALUES).status.success());
    cluster.apply(&binding("alpha", "both", "CustomRole/both", &["ada", "bob"]));
    cluster.can(&ada, &[DELETE, SERVICE].concat());
    cluster.can(&bob, &[DELETE, SERVICE].concat());
    cluster.can(&eve, DELETE);
    cluster.settle();
    cluster.stop_operator();
    assert!(cluster.helm_upgrade(NO_TEMPLATES).status.success());
    cluster.apply(&binding("alpha", "both", "CustomRole/both", &["ada"]));
    patch(&cluster, &["users.bailiwick.dev", "eve"], r#"{"spec":{"suspended":true}}"#);
    cluster.start_operator();
    cluster.cannot(&bob, &[DELETE, SERVICE].concat());
    cluster.cannot(&ada, DELETE);
    cluster.cannot(&eve, &["delete podtemplates", "create deployments.apps"]);
    cluster.can(&ada, SERVICE);
    cluster.settle();
    assert_eq!(cluster.operator.as_ref().unwrap().metric("refused_objects"), 0);
}

#[test]
fn a_revocation_that_the_api_server_refuses_to_have_written_is_done_by_deleting() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(alpha() + &users(&["ada", "bob"])));
    cluster.apply(&binding("alpha", "deleters", "CustomRole/deleter", &["ada", "bob"]));
    let (ada, bob) = (in_alpha("ada"), in_alpha("bob"));
    cluster.can(&ada, DELETE);
    cluster.can(&bob, DELETE);
    cluster.settle();

    // Deleting this removes the operator's ceiling in alpha: from now on it may write no grant there.
    cluster.run(&["-n", "alpha", "delete", "rolebindings.rbac.authorization.k8s.io", "bailiwick-grantable"]);
    cluster.apply(&binding("alpha", "deleters", "CustomRole/deleter", &["ada"]));
    cluster.cannot(&bob, DELETE);
    let binding = ["-n", "alpha", "rolebindings.bailiwick.dev", "deleters"];
    let message = cluster.await_reason(&binding, "Ready", "RefusedByApiServer");
    assert!(message.contains("attempting to grant RBAC permissions not currently held"), "{message}");

    assert!(cluster.helm_upgrade(VALUES).status.success());
    cluster.can(&ada, DELETE);
    cluster.await_reason(&binding, "Ready", "Reconciled");
    cluster.is_refused(&bob, DELETE);
}

#[test]
fn a_role_with_one_holder_has_one_and_roles_stay_in_the_place_that_they_are_for() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(alpha() + &users(&["ada", "bob", "eve", "mona"])));
    let (ada, bob, eve) = (on_the_cluster("ada"), on_the_cluster("bob"), on_the_cluster("eve"));
    let power: &[&str] = &["delete organizations.bailiwick.dev"];
    cluster.apply(&site_binding("one", "site-admin", &["ada"]));
    cluster.can(&ada, power);
    cluster.can(&in_alpha("ada"), &["delete deployments.apps"]);
    let robot = "ServiceAccount/robot";
    let second = site_binding("two", "site-admin", &["bob", "ExternalGroup/admins", robot])
        .replace(r#"name: "robot""#, r#"name: robot, namespace: alpha"#);
    cluster.apply(&second);
    let two = ["siterolebindings.bailiwick.dev", "two"];
    let message = cluster.await_reason(&two, "SubjectsResolved", "HeldByAnother");
    for word in ["subjects[0]", "bob@example.com", "admins", "Only users can hold"] {
        assert!(message.contains(word), "{message} does not name {word}");
    }
    cluster.is_refused(&bob, power);
    cluster.is_refused(&on_the_cluster("nobody").with_groups(&["admins"]), power);
    cluster.is_refused(&Question::of_service_account("alpha", "robot", ""), power);

    // A suspended holder loses it to the next, and does not get it back when activated.
    patch(&cluster, &["users.bailiwick.dev", "ada"], r#"{"spec":{"suspended":true}}"#);
    cluster.cannot(&ada, power);
    cluster.can(&bob, power);
    cluster.can(&in_alpha("bob"), &["delete deployments.apps"]);
    cluster.eventually("the role names its holder", || {
        cluster.get(&["siteroles.bailiwick.dev", "site-admin"])["status"]["holder"] == "bob@example.com"
    });
    patch(&cluster, &["users.bailiwick.dev", "ada"], r#"{"spec":{"suspended":false}}"#);
    cluster.await_reason(&["siterolebindings.bailiwick.dev", "one"], "SubjectsResolved", "HeldByAnother");
    cluster.is_refused(&ada, power);
    cluster.is_refused(&in_alpha("ada"), &["update deployments.apps"]);
    assert!(cluster.allowed(&bob, power[0]));

    // Whatever admission accepted, the operator assigns a role only where it may.
    cluster.apply(&binding("alpha", "site-role-here", "SiteRole/owner", &["eve"]));
    cluster.apply(&binding("alpha", "one-holder-here", "SiteRole/site-admin", &["eve"]));
    cluster.apply(&site_binding("organization-role-there", "organization-manager", &["eve"]));
    cluster.apply(&site_binding("implicit-there", "member", &["eve"]));
    for name in ["site-role-here", "one-holder-here"] {
        let place = ["-n", "alpha", "rolebindings.bailiwick.dev", name];
        cluster.await_reason(&place, "RoleResolved", "RoleNotAssignableHere");
        cluster.await_reason(&place, "Ready", "RoleNotAssignableHere");
    }
    for name in ["organization-role-there", "implicit-there"] {
        cluster.await_reason(&["siterolebindings.bailiwick.dev", name], "Ready", "RoleNotAssignableHere");
    }
    cluster.settle();
    cluster.is_refused(
        &in_alpha("eve"),
        &["create groups.bailiwick.dev", "update deployments.apps", "create podtemplates"],
    );
    cluster.is_refused(&eve, &["create users.bailiwick.dev", "delete organizations.bailiwick.dev"]);
}

#[test]
fn of_two_users_with_one_username_the_older_counts() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(alpha() + &users(&["ada"])));
    cluster.apply(&binding("alpha", "deleters", "CustomRole/deleter", &["ada"]));
    let ada = in_alpha("ada");
    cluster.can(&ada, DELETE);
    cluster.apply(
        &user("ada").replace("name: ada}", "name: impostor}").replace("example.com}", "example.com, suspended: true}"),
    );
    let impostor = ["users.bailiwick.dev", "impostor"];
    let message = cluster.await_reason(&impostor, "Ready", "UsernameTaken");
    assert!(message.contains("User ada"), "{message}");
    cluster.settle();
    assert!(cluster.allowed(&ada, DELETE[0]), "a younger User suspends nobody");
    // Deleting one of them does not delete the username: the other one counts for it now, and is suspended.
    cluster.run(&["delete", "users.bailiwick.dev", "ada"]);
    cluster.cannot(&ada, DELETE);
    cluster.await_reason(&impostor, "Ready", "Suspended");
    patch(&cluster, &impostor, r#"{"spec":{"suspended":false}}"#);
    cluster.can(&ada, DELETE);
}

#[test]
fn nobody_gets_a_role_by_creating_the_group_that_a_binding_was_waiting_for() {
    // Without the policy that keeps user administrators from such Groups, to test the operator's own rule.
    let cluster =
        Cluster::with_operator(&VALUES.replacen('{', "{admissionPolicies: {handingOutRoles: {enabled: false}}, ", 1));
    let plain = "{privileged: false, permissions: [{resource: templates, actions: [update]}]}";
    cluster.apply(&(alpha() + &users(&["uma", "mona", "bob"]) + &custom_role("alpha", "plain", plain)));
    cluster.apply(&site_binding("user-admins", "user-admin", &["uma"]));
    cluster.apply(&binding("alpha", "managers", "SiteRole/organization-manager", &["mona"]));
    let waiting = |group: &str| binding("alpha", group, "CustomRole/deleter", &[&format!("Group/{group}")]);
    cluster.apply(&(waiting("first") + &waiting("second") + &waiting("third")));
    cluster.apply(&binding("alpha", "plain", "CustomRole/plain", &["Group/first"]));
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "first"], "SubjectsResolved", "GroupNotFound");
    cluster.can(&in_alpha("uma"), &["create groups.bailiwick.dev"]);
    cluster.can(&in_alpha("mona"), &["create groups.bailiwick.dev", "bind groups.bailiwick.dev"]);
    cluster.is_refused(&in_alpha("uma"), &["bind groups.bailiwick.dev"]);
    let uma = cluster.plane.user_kubeconfig("uma@example.com", &[]).unwrap();
    let mona = cluster.plane.user_kubeconfig("mona@example.com", &[]).unwrap();
    let vouched = |group: &str| {
        let group = cluster.get(&["-n", "alpha", "groups.bailiwick.dev", group]);
        group["metadata"]["annotations"]["bailiwick.dev/vouched"].clone()
    };
    let first = ["-n", "alpha", "rolebindings.bailiwick.dev", "first"];
    let another_second = || {
        let written = now().as_second();
        cluster.eventually("another second has begun", || now().as_second() > written);
    };

    // A user administrator creates one, with a forged note.
    let forged = group("alpha", "first", &["uma"])
        .replace("namespace: alpha}", "namespace: alpha, annotations: {bailiwick.dev/vouched: 'true'}}");
    cluster.try_apply_as(&uma, &forged).unwrap();
    // Where nothing overwrites the note, the operator ignores it.
    let vouching = cluster.has_mutating_policies();
    assert_eq!(vouched("first"), if vouching { "false" } else { "true" });
    let message = cluster.await_reason(&first, "SubjectsResolved", "GroupNotVouched");
    assert!(message.contains(r#"subjects[0] (Group "first")"#), "{message}");
    cluster.is_refused(&in_alpha("uma"), DELETE);
    // They may assign a role that is not privileged.
    cluster.can(&in_alpha("uma"), &["update podtemplates"]);
    // Nor by changing the Group that they created.
    cluster.try_apply_as(&uma, &group("alpha", "first", &["uma", "bob"])).unwrap();
    cluster.can(&in_alpha("bob"), &["update podtemplates"]);
    cluster.is_refused(&in_alpha("bob"), DELETE);
    // Writing the binding again shows that its author knows the Group. A label does not affect who gets the role.
    let group_created = cluster.get(&["-n", "alpha", "groups.bailiwick.dev", "first"])["metadata"].clone();
    let group_created = second(&group_created["creationTimestamp"]);
    cluster.eventually("that second is over", || now().as_second() > group_created);
    cluster.run(&["-n", "alpha", "label", "rolebindings.bailiwick.dev", "first", "seen=yes"]);
    cluster.apply(&binding("alpha", "later", "CustomRole/deleter", &["mona"]));
    cluster.settle();
    cluster.is_refused(&in_alpha("uma"), DELETE);
    patch(&cluster, &first, r#"{"spec":{"expiresAt":"2999-01-01T00:00:00Z"}}"#);
    cluster.can(&in_alpha("uma"), DELETE);
    // A recreated Group is another one.
    let deleted = cluster.kubectl_as(&uma, &["-n", "alpha", "delete", "groups.bailiwick.dev", "first"]);
    assert!(deleted.status.success());
    cluster.cannot(&in_alpha("uma"), DELETE);
    another_second();
    cluster.try_apply_as(&uma, &group("alpha", "first", &["uma"])).unwrap();
    cluster.await_reason(&first, "SubjectsResolved", "GroupNotVouched");
    cluster.is_refused(&in_alpha("uma"), DELETE);

    // A manager of the organization may assign roles to it, so their Group counts.
    cluster.try_apply_as(&mona, &group("alpha", "second", &["bob"])).unwrap();
    let second = ["-n", "alpha", "rolebindings.bailiwick.dev", "second"];
    if vouching {
        assert_eq!(vouched("second"), "true");
    } else {
        // Its author is unknown, so it counts once somebody writes the binding again.
        cluster.await_reason(&second, "SubjectsResolved", "GroupNotVouched");
        cluster.is_refused(&in_alpha("bob"), DELETE);
        another_second();
        patch(&cluster, &second, r#"{"spec":{"expiresAt":"2999-01-01T00:00:00Z"}}"#);
    }
    cluster.can(&in_alpha("bob"), DELETE);

    // And a Group counts once a manager has taken it over.
    cluster.try_apply_as(&uma, &group("alpha", "third", &["uma"])).unwrap();
    cluster.await_reason(
        &["-n", "alpha", "rolebindings.bailiwick.dev", "third"],
        "SubjectsResolved",
        "GroupNotVouched",
    );
    let annotated =
        cluster.kubectl_as(&mona, &["-n", "alpha", "annotate", "groups.bailiwick.dev", "third", "seen=yes"]);
    assert!(annotated.status.success(), "{annotated:?}");
    if vouching {
        cluster.can(&in_alpha("uma"), DELETE);
    } else {
        cluster.settle();
        cluster.is_refused(&in_alpha("uma"), DELETE);
    }
}
