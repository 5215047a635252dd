//! What a person sees: one line for each object, the reason when something is not as they meant it, and an Event.

use serde_json::Value;

use crate::support::manifests::{binding, custom_role, group, organization, site_binding, site_role, user, users};
use crate::support::{Cluster, KINDS};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The lines of a table: its header, and the row that begins with `name`.
fn table(cluster: &Cluster, arguments: &[&str], name: &str) -> (String, String) {
    let printed = cluster.run(&[&["get"], arguments].concat());
    let header = printed.lines().next().unwrap().to_owned();
    let row = printed.lines().find(|line| words(line).contains(&name)).unwrap_or_else(|| panic!("{name}: {printed}"));
    (header, row.to_owned())
}

/// What kubectl gets, the object to look for, how the header begins, and how its row does.
type Row = (&'static [&'static str], &'static str, &'static [&'static str], &'static [&'static str]);

#[test]
fn a_list_answers_the_first_question_in_one_line() {
    let cluster = Cluster::with_operator(VALUES);
    let role = "{permissions: [{resource: templates, actions: [delete]}]}";
    let site = "{assignableTo: [Site, Organization], permissions: [{resource: templates, actions: [delete]}]}";
    cluster.apply(&(organization("alpha", "{namespace: alpha, default: true}") + &users(&["ada", "bob"])));
    cluster
        .apply(&(user("eve").replace(".com}", ".com, suspended: true}") + &organization("two", "{namespace: alpha}")));
    cluster.apply(&(group("alpha", "crew", &["ada", "bob"]) + &custom_role("alpha", "deleter", role)));
    cluster.apply(&(site_role("overseer", site) + &site_binding("overseers", "overseer", &["ada"])));
    cluster.apply(&binding("alpha", "deleters", "CustomRole/deleter", &["ada", "bob", "stranger"]));
    cluster.apply(&site_binding("admin", "site-admin", &["bob"]));
    cluster.settle();

    let rows: [Row; 10] = [
        (
            &["organizations.bailiwick.dev"],
            "two",
            &["NAME", "NAMESPACE", "DEFAULT", "MEMBERS", "READY", "REASON", "AGE"],
            &["two", "false", "0", "False", "AlreadyClaimed"],
        ),
        (
            &["org"],
            "alpha",
            &["NAME", "NAMESPACE", "DEFAULT", "MEMBERS"],
            &["alpha", "alpha", "true", "2", "True", "Reconciled"],
        ),
        (
            &["users.bailiwick.dev"],
            "ada",
            &["NAME", "USERNAME", "STATE", "LAST", "SEEN", "READY", "REASON", "AGE"],
            &["ada", "ada@example.com", "Dormant", "True", "Reconciled"],
        ),
        (&["users.bailiwick.dev"], "eve", &["NAME"], &["eve", "eve@example.com", "Suspended", "True", "Suspended"]),
        (
            &["-n", "alpha", "groups.bailiwick.dev"],
            "crew",
            &["NAME", "MEMBERS", "PRIVILEGED", "READY", "REASON", "AGE"],
            &["crew", "2", "false", "True", "Reconciled"],
        ),
        (
            &["-n", "alpha", "rolebindings.bailiwick.dev"],
            "deleters",
            &["NAME", "ROLE", "GRANTS", "WITHHELD", "EXPIRES", "READY", "REASON", "AGE"],
            &["deleters", "deleter", "2", "1", "False", "PartlyWithheld"],
        ),
        (
            &["-n", "alpha", "customroles.bailiwick.dev"],
            "deleter",
            &["NAME", "PRIVILEGED", "WITHHELD", "READY", "REASON", "AGE"],
            &["deleter", "true", "0", "True", "Reconciled"],
        ),
        (
            &["siteroles.bailiwick.dev"],
            "overseer",
            &["NAME", "ASSIGNABLE", "TO", "PRIVILEGED", "HOLDER", "WITHHELD", "READY", "REASON", "AGE"],
            &["overseer", r#"["Site","Organization"]"#, "true", "0", "True", "Reconciled"],
        ),
        (&["srole"], "site-admin", &["NAME"], &["site-admin", r#"["Site"]"#, "true", "bob@example.com"]),
        (
            &["siterolebindings.bailiwick.dev"],
            "overseers",
            &["NAME", "ROLE", "GRANTS", "WITHHELD", "EXPIRES", "READY", "REASON", "AGE"],
            &["overseers", "overseer", "1", "0", "True", "Reconciled"],
        ),
    ];
    for (arguments, name, header, row) in rows {
        let expected = (header, row);
        let mut last = (String::new(), String::new());
        cluster.eventually_or(
            || {
                last = table(&cluster, arguments, name);
                words(&last.0).starts_with(expected.0) && words(&last.1).starts_with(expected.1)
            },
            |cluster| format!("{arguments:?} shows {expected:?}, not {:?}", table(cluster, arguments, name)),
        );
    }
    // Everything of ours at once.
    let all = cluster.run(&["get", "bailiwick", "--all-namespaces"]);
    for kind in KINDS {
        let one = kind.replacen("s.", ".", 1);
        assert!(all.contains(&format!("{one}/")), "{one} in {all}");
    }
    let wide = table(&cluster, &["-n", "alpha", "groups.bailiwick.dev", "-o", "wide"], "crew");
    assert!(wide.0.contains("ROLES"), "{wide:?}");
}

/// What kubectl describe shows of the conditions: `Message:`, `Reason:`, `Type:`, each on a line of its own.
fn describe(cluster: &Cluster, arguments: &[&str]) -> String {
    cluster.run(&[&["describe"], arguments].concat())
}

fn event(cluster: &Cluster, kind: &str, name: &str, reason: &str) -> Option<Value> {
    let events = cluster.get(&["events.events.k8s.io", "--all-namespaces"]);
    let about = |event: &&Value| {
        let regarding = &event["regarding"];
        regarding["kind"] == kind && regarding["name"] == name && event["reason"] == reason
    };
    events["items"].as_array().unwrap().iter().find(about).cloned()
}

/// A manifest, the object (namespace, kind, name), the condition, its reason, and what its message mentions.
type Problem = (String, [&'static str; 3], &'static str, &'static str, &'static [&'static str]);

#[test]
fn what_is_not_as_somebody_meant_it_names_the_object_and_the_field() {
    let cluster = Cluster::with_operator(VALUES);
    let role = |permission: &str| format!("{{permissions: [{permission}]}}");
    let fine = role("{resource: templates, actions: [delete]}");
    cluster.apply(&(organization("alpha", "{namespace: alpha, default: true}") + &users(&["ada", "bob"])));
    cluster.apply(&custom_role("alpha", "fine", &fine));
    let problems: Vec<Problem> = vec![
        (
            organization("beyond", "{namespace: gamma}"),
            ["", "Organization", "beyond"],
            "NamespaceAssigned",
            "NotWhitelisted",
            &["gamma", "namespaceWhitelist"],
        ),
        (
            organization("late", "{namespace: alpha}"),
            ["", "Organization", "late"],
            "NamespaceAssigned",
            "AlreadyClaimed",
            &["Namespace alpha", "(alpha)"],
        ),
        (
            organization("roleless", "{namespace: beta, memberRole: nope}"),
            ["", "Organization", "roleless"],
            "MemberRoleResolved",
            "RoleNotFound",
            &["memberRole \"nope\""],
        ),
        (
            user("ada").replace("name: ada}", "name: zada}"),
            ["", "User", "zada"],
            "UsernameAccepted",
            "UsernameTaken",
            &["User ada", "older", "same username"],
        ),
        (
            group("alpha", "crew", &["ada", "nobody"]),
            ["alpha", "Group", "crew"],
            "MembersKnown",
            "UserNotFound",
            &["members[1] (\"nobody@example.com\")"],
        ),
        (
            binding("alpha", "no-role", "CustomRole/nope", &["ada"]),
            ["alpha", "RoleBinding", "no-role"],
            "RoleResolved",
            "RoleNotFound",
            &["CustomRole \"nope\""],
        ),
        (
            binding("alpha", "wrong-place", "SiteRole/owner", &["ada"]),
            ["alpha", "RoleBinding", "wrong-place"],
            "RoleResolved",
            "RoleNotAssignableHere",
            &["SiteRole \"owner\"", "assignableTo"],
        ),
        (
            binding("alpha", "no-user", "CustomRole/fine", &["ada", "nobody"]),
            ["alpha", "RoleBinding", "no-user"],
            "SubjectsResolved",
            "UserNotFound",
            &["subjects[1] (User \"nobody@example.com\")"],
        ),
        (
            binding("alpha", "no-group", "CustomRole/fine", &["Group/nobody"]),
            ["alpha", "RoleBinding", "no-group"],
            "SubjectsResolved",
            "GroupNotFound",
            &["subjects[0] (Group \"nobody\")"],
        ),
        (
            binding("alpha", "twice", "CustomRole/fine", &["ada", "ada"]),
            ["alpha", "RoleBinding", "twice"],
            "SubjectsResolved",
            "Duplicate",
            &["subjects[1] (User \"ada@example.com\")"],
        ),
        (
            custom_role("alpha", "misspelt", &role("{resource: workspace, actions: [read]}")),
            ["alpha", "CustomRole", "misspelt"],
            "PermissionsResolved",
            "UnknownResource",
            &["permissions[0] (workspace)"],
        ),
        (
            custom_role("alpha", "too-far", &role("{resource: users, actions: [read]}")),
            ["alpha", "CustomRole", "too-far"],
            "PermissionsResolved",
            "BeyondOrganization",
            &["permissions[0] (users)"],
        ),
        (
            custom_role("alpha", "own", &role("{resource: templates, actions: [delete], scope: Own}")),
            ["alpha", "CustomRole", "own"],
            "PermissionsResolved",
            "OwnScopeNotEnabled",
            &["permissions[0] (templates)", "never widened"],
        ),
        (
            custom_role("alpha", "too-much", "{rules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]}"),
            ["alpha", "CustomRole", "too-much"],
            "Ceiling",
            "BeyondCeiling",
            &["get", "secrets"],
        ),
        (
            custom_role("alpha", "heir", "{inherits: [{kind: CustomRole, name: nope}]}"),
            ["alpha", "CustomRole", "heir"],
            "InheritsResolved",
            "RoleNotFound",
            &["inherits[0] (CustomRole \"nope\")"],
        ),
        (
            site_role("ring", "{assignableTo: [Site], inherits: [ring]}"),
            ["", "SiteRole", "ring"],
            "InheritsResolved",
            "InheritanceCycle",
            &["inherits"],
        ),
        (
            site_binding("nowhere", "nope", &["ada"]),
            ["", "SiteRoleBinding", "nowhere"],
            "RoleResolved",
            "RoleNotFound",
            &["SiteRole \"nope\""],
        ),
        (
            group("beta", "homeless", &["ada"]).replace("namespace: beta", "namespace: default"),
            ["default", "Group", "homeless"],
            "Ready",
            "NoOrganization",
            &["namespace default"],
        ),
    ];
    cluster.apply(&problems.iter().map(|(manifest, ..)| manifest.as_str()).collect::<String>());
    cluster.settle();
    for (_, [namespace, kind, name], condition, reason, mentions) in &problems {
        let plural = format!("{}s.bailiwick.dev", kind.to_lowercase());
        let place: &[&str] = if namespace.is_empty() { &[] } else { &["-n", namespace] };
        let object: Vec<&str> = place.iter().copied().chain([plural.as_str(), *name]).collect();
        let message = cluster.await_reason(&object, condition, reason);
        let described = describe(&cluster, &object);
        for mention in *mentions {
            assert!(message.contains(mention), "{kind} {name}: {mention:?} is not in {message:?}");
        }
        assert!(words(&described).windows(2).any(|pair| pair == ["Reason:", *reason]), "{described}");
        // An Event for whoever is not ready; nobody has to do anything about the others.
        let (ready, why, said) = cluster.condition(&object, "Ready").unwrap();
        if ready == "False" {
            cluster
                .eventually(&format!("an Event about {kind} {name}"), || event(&cluster, kind, name, &why).is_some());
            let event = event(&cluster, kind, name, &why).unwrap();
            assert_eq!(event["type"], "Warning");
            assert_eq!(event["reportingController"], "bailiwick");
            assert_eq!(event["note"].as_str().unwrap(), said);
            assert!(describe(&cluster, &object).contains("Warning"), "describe shows the Event");
        } else {
            assert_eq!(*name, "own", "{kind} {name} is ready: {said}");
        }
    }
    // Nothing is said about what is fine.
    assert_eq!(event(&cluster, "CustomRole", "fine", "Reconciled"), None);
    let not_ready = cluster.operator.as_ref().unwrap().sum("not_ready_objects");
    assert!(not_ready >= 17.0, "{not_ready}");

    // What is mended is fine again, without anybody touching who asked.
    cluster.apply(&(user("nobody") + &group("alpha", "nobody", &["bob"])));
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "no-user"], "Ready", "Reconciled");
    cluster.await_reason(&["-n", "alpha", "groups.bailiwick.dev", "crew"], "Ready", "Reconciled");
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "no-group"], "Ready", "Reconciled");
    cluster.apply(&custom_role("alpha", "nope", &fine));
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "no-role"], "Ready", "Reconciled");
    cluster.await_reason(&["-n", "alpha", "customroles.bailiwick.dev", "heir"], "Ready", "Reconciled");
}
