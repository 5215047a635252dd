//! The messages for people: one line for each object, the reason for a problem, and an Event.

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

/// Arguments of kubectl get, the object to look for, the beginnings of the header and of its row.
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
            &["NAME", "NAMESPACE", "READY", "REASON", "AGE"],
            &["two", "False", "AlreadyClaimed"],
        ),
        (&["org"], "alpha", &["NAME", "NAMESPACE"], &["alpha", "alpha", "True", "Reconciled"]),
        (
            &["users.bailiwick.dev"],
            "ada",
            &["NAME", "USERNAME", "STATE", "READY", "REASON", "AGE"],
            &["ada", "ada@example.com", "Active", "True", "Reconciled"],
        ),
        (&["users.bailiwick.dev"], "eve", &["NAME"], &["eve", "eve@example.com", "Suspended", "True", "Suspended"]),
        (
            &["-n", "alpha", "groups.bailiwick.dev"],
            "crew",
            &["NAME", "MEMBERS", "READY", "REASON", "AGE"],
            &["crew", "2", "True", "Reconciled"],
        ),
        (
            &["-n", "alpha", "rolebindings.bailiwick.dev", "-o", "wide"],
            "deleters",
            &["NAME", "ROLE", "READY", "AGE", "REASON", "GRANTS", "WITHHELD"],
            &["deleters", "deleter", "False"],
        ),
        (
            &["-n", "alpha", "customroles.bailiwick.dev"],
            "deleter",
            &["NAME", "WITHHELD", "READY", "REASON", "AGE"],
            &["deleter", "0", "True", "Reconciled"],
        ),
        (
            &["siteroles.bailiwick.dev"],
            "overseer",
            &["NAME", "WITHHELD", "READY", "REASON", "AGE"],
            &["overseer", "0", "True", "Reconciled"],
        ),
        (&["srole"], "site-admin", &["NAME"], &["site-admin", "0", "True", "Reconciled"]),
        (
            &["siterolebindings.bailiwick.dev"],
            "overseers",
            &["NAME", "ROLE", "READY", "AGE"],
            &["overseers", "overseer", "True"],
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
    // All our kinds at once.
    let all = cluster.run(&["get", "bailiwick", "--all-namespaces"]);
    for kind in KINDS {
        let one = kind.replacen("s.", ".", 1);
        assert!(all.contains(&format!("{one}/")), "{one} in {all}");
    }
    let (header, row) = table(&cluster, &["srole", "-o", "wide"], "overseer");
    assert!(header.contains("SITE") && header.contains("ORGANIZATION") && header.contains("HOLDER"), "{header}");
    let row = words(&row);
    assert_eq!(row[row.len() - 2..], ["Site", "Organization"]);
}

/// The conditions in the output of kubectl describe: `Message:`, `Reason:`, `Type:`, each on its own line.
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

/// A manifest, the object (namespace, kind, name), the condition, its reason, and fragments of its message.
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
            &["namespace alpha", "Organization alpha"],
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
            custom_role("alpha", "own", &role("{resource: events, actions: [read], scope: Own}")),
            ["alpha", "CustomRole", "own"],
            "PermissionsResolved",
            "OwnScopeNotEnabled",
            &["permissions[0] (events)", "never widened"],
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
        // An Event for each object that is not ready; the others require no action.
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
    // A healthy object gets no Event.
    assert_eq!(event(&cluster, "CustomRole", "fine", "Reconciled"), None);
    let not_ready = cluster.operator.as_ref().unwrap().sum("not_ready_objects");
    assert!(not_ready >= 17.0, "{not_ready}");

    // A fix makes it ready again, without a change of the binding.
    cluster.apply(&(user("nobody") + &group("alpha", "nobody", &["bob"])));
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "no-user"], "Ready", "Reconciled");
    cluster.await_reason(&["-n", "alpha", "groups.bailiwick.dev", "crew"], "Ready", "Reconciled");
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "no-group"], "Ready", "Reconciled");
    cluster.apply(&custom_role("alpha", "nope", &fine));
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "no-role"], "Ready", "Reconciled");
    cluster.await_reason(&["-n", "alpha", "customroles.bailiwick.dev", "heir"], "Ready", "Reconciled");
}

/// The lines of the log that mention all of these.
fn lines(cluster: &Cluster, mentions: &[&str]) -> Vec<String> {
    let log = cluster.operator_log();
    log.lines().filter(|line| mentions.iter().all(|mention| line.contains(mention))).map(str::to_owned).collect()
}

const ALPHA_AND_BETA: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}, \
                              admissionPolicies: {defaultOrganization: {enabled: false}}}";

/// A quota blocked a native binding, and the status claimed that every subject holds the role.
#[test]
fn what_a_quota_or_lost_rights_keep_out_is_not_said_to_be_there() {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(&(organization("alpha", "{namespace: alpha, default: true}") + &users(&["ada"])));
    let alpha = ["organizations.bailiwick.dev", "alpha"];
    cluster.await_reason(&alpha, "Ready", "Reconciled");
    cluster.settle();
    let grants = |what: &[&str]| cluster.get(what)["status"]["grants"].as_u64();
    let before = grants(&alpha).unwrap();
    cluster.apply(
        "{apiVersion: v1, kind: ResourceQuota, metadata: {name: none, namespace: alpha}, \
         spec: {hard: {count/rolebindings.rbac.authorization.k8s.io: '0'}}}",
    );
    // Replaces the controller manager, which does not run here.
    let count = r#"{"count/rolebindings.rbac.authorization.k8s.io":"0"}"#;
    let status = format!(r#"{{"status":{{"hard":{count},"used":{count}}}}}"#);
    let quota =
        ["-n", "alpha", "patch", "resourcequota", "none", "--subresource=status", "--type=merge", "-p", &status];
    cluster.run(&quota);
    // The API server learns about a quota through a watch.
    let probe =
        ["-n", "alpha", "create", "rolebinding", "probe", "--clusterrole=view", "--user=ada", "--dry-run=server"];
    cluster.eventually("the quota is enforced", || !cluster.kubectl(&probe).status.success());
    cluster.apply(&binding("alpha", "q", "SiteRole/organization-manager", &["ada"]));
    let q = ["-n", "alpha", "rolebindings.bailiwick.dev", "q"];
    let message = cluster.await_reason(&q, "SubjectsResolved", "RefusedByApiServer");
    assert!(message.contains("1 of 1 subjects do not hold the role: User \"ada@example.com\""), "{message}");
    assert!(message.contains("exceeded quota: none"), "{message}");
    assert_eq!(grants(&q).unwrap_or_default(), 0);
    cluster.eventually("the organization counts what is there", || grants(&alpha).unwrap_or_default() == before);
    cluster.run(&["-n", "alpha", "delete", "resourcequota", "none"]);
    cluster.await_reason(&q, "SubjectsResolved", "Resolved");
    cluster.await_reason(&q, "Ready", "Reconciled");
    assert_eq!(grants(&q), Some(1));
    cluster.eventually("an Event says that it is well again", || {
        event(&cluster, "RoleBinding", "q", "Reconciled").is_some_and(|event| event["type"] == "Normal")
    });
    assert_eq!(lines(&cluster, &["an object is ready", "RoleBinding/alpha/q"]).len(), 1);
    cluster.settle();
    the_rights_that_the_chart_gives_back_are_noticed_at_once(&cluster);
}

fn the_rights_that_the_chart_gives_back_are_noticed_at_once(cluster: &Cluster) {
    let rights = ["-n", "alpha", "rolebindings.rbac.authorization.k8s.io", "bailiwick-projector"];
    let mut lost = cluster.get(&rights);
    lost["metadata"].as_object_mut().unwrap().retain(|key, _| ["name", "namespace", "labels"].contains(&key.as_str()));
    cluster.run(&[&["delete"], &rights[..]].concat());
    cluster.apply(&binding("alpha", "later", "SiteRole/organization-manager", &["ada"]));
    let alpha = ["organizations.bailiwick.dev", "alpha"];
    cluster.await_reason(&alpha, "NamespaceAssigned", "OperatorNotAuthorized");
    // By then the pause is more than six seconds long.
    cluster.eventually("it is tried again and again", || {
        lines(cluster, &["a write did not succeed", "RoleBinding alpha/", "create"]).len() >= 8
    });
    cluster.apply(&lost.to_string());
    let restored = std::time::Instant::now();
    cluster.await_reason(&alpha, "NamespaceAssigned", "Assigned");
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "later"], "Ready", "Reconciled");
    let took = restored.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_log_shows_each_change_once() {
    let mut cluster = Cluster::with_operator(ALPHA_AND_BETA);
    cluster.apply(&(organization("alpha", "{namespace: alpha, default: true}") + &users(&["ada", "bob"])));
    cluster.apply(&custom_role("alpha", "fine", "{permissions: [{resource: templates, actions: [delete]}]}"));
    cluster.apply(&custom_role("alpha", "other", "{permissions: [{resource: templates, actions: [read]}]}"));
    cluster.apply(&binding("alpha", "team", "CustomRole/fine", &["ada", "bob"]));
    cluster.settle();
    // An object that is ready from the beginning is no news, and a pending claim gets no warning.
    for kind in ["User", "RoleBinding", "CustomRole"] {
        assert_eq!(lines(&cluster, &["an object is", &format!("object=\"{kind}/")]), Vec::<String>::new());
    }
    assert_eq!(event(&cluster, "RoleBinding", "team", "NoOrganization"), None);

    let spec =
        |user: &str, spec: &str| cluster.run(&["patch", "users.bailiwick.dev", user, "--type=merge", "-p", spec]);
    spec("ada", r#"{"spec":{"suspended":true}}"#);
    cluster.settle();
    spec("ada", r#"{"spec":{"suspended":false}}"#);
    cluster.settle();
    cluster.apply(&binding("alpha", "team", "CustomRole/other", &["ada", "bob"]));
    cluster.settle();
    let soon = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 3).unwrap();
    let patch = format!(r#"{{"spec":{{"expiresAt":"{soon}"}}}}"#);
    cluster.run(&["-n", "alpha", "patch", "rolebindings.bailiwick.dev", "team", "--type=merge", "-p", &patch]);
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "team"], "Ready", "Expired");
    cluster.apply(&organization("beta", "{namespace: beta, default: true}"));
    cluster.await_reason(&["organizations.bailiwick.dev", "beta"], "Ready", "AlreadyTaken");
    cluster.apply(&organization("alpha", "{namespace: alpha, default: false}"));
    cluster.await_reason(&["organizations.bailiwick.dev", "beta"], "Ready", "Reconciled");
    cluster.settle();
    for mentions in [
        &["a namespace is claimed", "alpha"][..],
        &["a namespace is claimed", "beta"],
        &["a user is suspended", "ada@example.com"],
        &["a user is active again", "ada@example.com"],
        &["a binding has a new role", "RoleBinding/alpha/team", "CustomRole/fine", "CustomRole/other"],
        &["a binding has expired", "RoleBinding/alpha/team"],
        &["an organization became the default", "organization=\"beta\""],
        &["an object is ready", "Organization/beta"],
    ] {
        assert_eq!(lines(&cluster, mentions).len(), 1, "{mentions:?}: {}", cluster.operator_log());
    }
    let taken = lines(&cluster, &["grants have changed", "alpha", "given=0", "cause=\"User/ada\""]);
    assert_eq!(taken.len(), 1, "{}", cluster.operator_log());
    assert!(!taken[0].contains("taken=0"), "{taken:?}");
    let of_site = lines(&cluster, &["grants have changed", "(site)"]);
    assert!(!of_site.is_empty() && of_site.iter().all(|line| line.contains("cause=")), "{of_site:#?}");

    // Existing objects are no change for an operator that starts.
    cluster.stop_operator();
    cluster.start_operator();
    cluster.settle();
    for message in
        ["grants have changed", "an object is", "a user is", "a binding has", "an organization became", "is claimed"]
    {
        assert_eq!(lines(&cluster, &[message]), Vec::<String>::new());
    }
}
