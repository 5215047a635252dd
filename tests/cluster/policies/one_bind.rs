//! One `bind` is a right to assign one role. It does not help against holders of another role, or to get more of it.

use super::{Site, VALUES};
use crate::support::Question;
use crate::support::manifests::{binding, custom_role, group, organization, site_binding, site_role, users};

const READS: &str = "{permissions: [{resource: services, actions: [read]}]}";
const APPLY: [&str; 3] = ["apply", "--server-side", "--force-conflicts"];

/// May write bindings and roles, but not delete them.
fn writes(resources: &str) -> String {
    format!("[{{apiGroups: [bailiwick.dev], resources: [{resources}], verbs: [get, list, create, update, patch]}}]")
}

fn bind(resources: &str, names: &str) -> String {
    let names = if names.is_empty() { String::new() } else { format!("resourceNames: [{names}], ") };
    format!("[{{apiGroups: [bailiwick.dev], resources: [{resources}], {names}verbs: [bind]}}]")
}

fn patch<'a>(kind: &'a str, name: &'a str, patch: &'a str) -> Vec<&'a str> {
    vec!["-n", "alpha", "patch", kind, name, "--type=merge", "-p", patch]
}

#[test]
fn who_may_hand_out_one_role_takes_no_other_role_away() {
    let site = Site::with_operator(VALUES);
    let cluster = &site.cluster;
    cluster.apply(
        &(users(&["zoe", "otto"])
            + &organization("alpha", "{namespace: alpha, default: true}")
            + &organization("beta", "{namespace: beta, memberRole: wide}")
            + &site_role(
                "wide",
                "{assignableTo: [Organization], permissions: [{resource: services, actions: [read]}]}",
            )
            + &custom_role("alpha", "own", READS)
            + &custom_role("alpha", "other", READS)
            + &binding("alpha", "managers", "SiteRole/organization-manager", &["zoe"])
            + &site_binding("owners", "owner", &["otto"])),
    );
    let (zoe, otto) = (Question::of("zoe@example.com", "alpha"), Question::of("otto@example.com", ""));
    cluster.can(&zoe, &["create services"]);
    cluster.can(&otto, &["create siterolebindings.bailiwick.dev"]);
    let ned = site.person("ned");
    ned.holds("alpha", &writes("rolebindings, customroles")).holds("alpha", &bind("customroles", "own"));
    ned.holds("", &writes("siterolebindings, organizations")).holds("", &bind("siteroles", "auditor"));

    // Otherwise a status write could conflict with the object's replacement.
    cluster.settle();
    let refused = "replacing SiteRole organization-manager with another role revokes it: ned needs the verb \"bind\" on it in namespace \
                   alpha";
    let own = r#"{"spec":{"roleRef":{"kind":"CustomRole","name":"own"}}}"#;
    let kind = "rolebindings.bailiwick.dev";
    ned.soon_may_not(&patch(kind, "managers", own), refused);
    let exchanged = binding("alpha", "managers", "CustomRole/own", &["zoe"]);
    ned.may_not_with(&["replace"], &exchanged, refused);
    ned.may_not_with(&APPLY, &exchanged, refused);
    ned.may_not_with(&["replace"], &binding("alpha", "managers", "CustomRole/own", &[]), refused);
    let auditor = r#"{"spec":{"roleRef":{"kind":"SiteRole","name":"auditor"}}}"#;
    let owners = "replacing SiteRole owner with another role revokes it: ned needs the verb \"bind\" on it";
    ned.may_not(&patch("siterolebindings.bailiwick.dev", "owners", auditor), owners);
    // They decide about roles that they may assign. The kind is part of the role.
    ned.creates(&binding("alpha", "own", "CustomRole/own", &["zoe"]));
    let named_alike = r#"{"spec":{"roleRef":{"kind":"SiteRole","name":"own"}}}"#;
    ned.may_not(&patch(kind, "own", named_alike), "to assign SiteRole own, ned");
    ned.holds("alpha", &bind("customroles", "other"));
    ned.does(&patch(kind, "own", r#"{"spec":{"roleRef":{"kind":"CustomRole","name":"other"}}}"#));

    // Nor by having the garbage collector delete it, through an owner that is gone.
    let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}"#;
    for (kind, name) in [
        (kind, "managers"),
        ("customroles.bailiwick.dev", "own"),
        ("siterolebindings.bailiwick.dev", "owners"),
        ("organizations.bailiwick.dev", "beta"),
    ] {
        let refused = format!(
            "an owner reference can get {name} deleted by garbage collection: to change its owners, ned needs the verb \"delete\" on it"
        );
        ned.may_not(&patch(kind, name, owner), &refused);
    }
    // A user that may delete it may have it deleted.
    ned.holds(
        "alpha",
        "[{apiGroups: [bailiwick.dev], resources: [rolebindings], resourceNames: [own], verbs: [delete]}]",
    );
    ned.does(&patch(kind, "own", owner));
    cluster.eventually("the garbage collector takes it", || !cluster.exists(&["-n", "alpha", kind, "own"]));

    // Removing the member role requires the same right as setting it.
    for role in ["\"\"", "null", "\"organization-member\""] {
        let patch = format!("{{\"spec\":{{\"memberRole\":{role}}}}}");
        ned.may_not(
            &["patch", "organizations.bailiwick.dev", "beta", "--type=merge", "-p", &patch],
            "changing spec.memberRole revokes SiteRole wide from every member: ned needs the verb \"bind\" on it",
        );
    }
    ned.holds("", &bind("siteroles", "wide"));
    ned.does(&["patch", "organizations.bailiwick.dev", "beta", "--type=merge", "-p", r#"{"spec":{"memberRole":""}}"#]);

    cluster.settle();
    assert!(cluster.allowed(&zoe, "create services"));
    assert!(cluster.allowed(&otto, "create siterolebindings.bailiwick.dev"));
}

#[test]
fn who_may_hand_out_one_role_does_not_write_into_it_that_it_hands_out_more() {
    let site = Site::with_operator(VALUES);
    let cluster = &site.cluster;
    cluster.apply(
        &(users(&["zoe", "mia"])
            + &organization("alpha", "{namespace: alpha, default: true}")
            + &binding("alpha", "managers", "SiteRole/organization-manager", &["mia"])
            + &group("alpha", "crew", &["zoe"])),
    );
    cluster.can(&Question::of("mia@example.com", "alpha"), &["create customroles.bailiwick.dev"]);
    in_an_organization(&site);
    at_the_site(&site);
}

fn rule(resources: &str, names: &str, verb: &str) -> String {
    let names = if names.is_empty() { String::new() } else { format!(", resourceNames: [{names}]") };
    format!("{{apiGroups: [bailiwick.dev], resources: [{resources}]{names}, verbs: [{verb}]}}")
}

fn theirs(rules: &[String]) -> String {
    custom_role("alpha", "theirs", &format!("{{rules: [{}]}}", rules.join(", ")))
}

fn in_an_organization(site: &Site) {
    let pat = site.person("pat");
    pat.holds("alpha", &writes("customroles")).holds("alpha", &bind("customroles", "theirs"));
    let every = |kind: &str| format!("pat needs \"bind\" on every {kind}");
    let one =
        |kind: &str, name: &str| format!("to write a rule with \"bind\" on {kind} {name}, pat needs \"bind\" on it");
    pat.soon_may_not_create(&theirs(&[rule("groups", "", "bind")]), &every("Group"));
    pat.creates(&theirs(&[rule("groups", "", "get")]));
    site.cluster.settle();
    for write in [&APPLY[..], &["replace"]] {
        for (resource, kind) in [("groups", "Group"), ("customroles", "CustomRole")] {
            pat.may_not_with(write, &theirs(&[rule(resource, "", "bind")]), &every(kind));
            pat.may_not_with(write, &theirs(&[rule(resource, "crew", "bind")]), &one(kind, "crew"));
            // Behind others, and among other verbs and kinds.
            pat.may_not_with(
                write,
                &theirs(&[rule("groups", "", "get"), rule(&format!("siteroles, {resource}"), "crew", "'get', 'bind'")]),
                "a rule with \"bind\" on",
            );
        }
        pat.may_not_with(write, &theirs(&[rule("siteroles", "", "bind")]), &every("SiteRole"));
        let elsewhere = "a rule with \"bind\" on anything but siteroles, customroles and groups of bailiwick.dev, pat needs \"bind\" on everything";
        pat.may_not_with(write, &theirs(&[rule("rolebindings", "", "bind")]), elsewhere);
        let native = rule("roles", "", "bind").replace("bailiwick.dev", "rbac.authorization.k8s.io");
        pat.may_not_with(write, &theirs(&[native]), elsewhere);
    }
    // Exactly their own rights.
    pat.does_with(&APPLY, &theirs(&[rule("customroles", "theirs", "bind")]));
    pat.holds("alpha", &bind("groups", "crew"));
    pat.does_with(&APPLY, &theirs(&[rule("customroles", "theirs", "bind"), rule("groups", "crew", "bind")]));
    pat.may_not_with(&APPLY, &theirs(&[rule("groups", "crew, plain", "bind")]), &one("Group", "plain"));
    let names: Vec<String> = (0..10).map(|n| format!("g{n}")).collect();
    pat.holds("alpha", &bind("groups, customroles", &names.join(", ")));
    // The most requests that the policy can make, one by one.
    let reads =
        vec![rule("rolebindings, customroles, groups", "", "get, list, watch, create, update, patch, delete"); 98];
    let most = [rule("customroles", &names.join(", "), "bind"), rule("groups", &names.join(", "), "bind")];
    pat.does_with(&APPLY, &theirs(&[&reads[..], &most].concat()));
    let last = [&names[..9], &["crew-2".to_owned()]].concat().join(", ");
    pat.may_not_with(&APPLY, &theirs(&[rule("groups", &last, "bind")]), &one("Group", "crew-2"));
    let more = format!("{}, crew", names.join(", "));
    pat.may_not_with(&APPLY, &theirs(&[rule("groups", &more, "bind")]), &every("Group"));
    pat.holds("alpha", &bind("groups", ""));
    pat.does_with(&APPLY, &theirs(&[rule("groups", &more, "bind"), rule("groups", "", "bind")]));
    // A manager of the organization has both.
    site.person("mia@example.com").creates(&custom_role(
        "alpha",
        "lead",
        &format!("{{rules: [{}]}}", rule("customroles, groups", "", "bind")),
    ));
}

fn at_the_site(site: &Site) {
    let pat = site.person("pat");
    pat.holds("", &writes("siteroles")).holds("", &bind("siteroles", "theirs"));
    let role = |field: &str, rules: &[String]| {
        site_role("theirs", &format!("{{assignableTo: [Site], {field}: [{}]}}", rules.join(", ")))
    };
    pat.creates(&role("rules", &[]));
    for field in ["rules", "clusterRules"] {
        // Rights in one organization do not apply at the site.
        for (resource, kind) in [("groups", "Group"), ("customroles", "CustomRole")] {
            let refused = format!("pat needs \"bind\" on every {kind}");
            pat.may_not_with(&APPLY, &role(field, &[rule(resource, "", "bind")]), &refused);
            let refused = format!("to write a rule with \"bind\" on {kind} crew, pat needs \"bind\" on it");
            pat.may_not_with(&APPLY, &role(field, &[rule(resource, "crew", "bind")]), &refused);
        }
        let refused = "to write a rule with \"suspend\", pat needs \"suspend\" on every User";
        pat.may_not_with(&APPLY, &role(field, &[rule("users", "zoe", "suspend")]), refused);
    }
    // Rights that another user wrote into it are not theirs.
    let given = [rule("groups", "", "bind"), rule("users", "", "suspend")];
    let patch = format!("spec: {{clusterRules: [{}]}}", given.join(", "));
    site.cluster.run(&["patch", "siteroles.bailiwick.dev", "theirs", "--type=merge", "-p", &patch]);
    let named = r#"{"spec":{"displayName":"Theirs"}}"#;
    pat.does(&["patch", "siteroles.bailiwick.dev", "theirs", "--type=merge", "-p", named]);
    pat.may_not_with(&APPLY, &role("rules", &given), "pat needs ");
    pat.holds("", &bind("groups", ""))
        .holds("", "[{apiGroups: [bailiwick.dev], resources: [users], verbs: [suspend]}]");
    pat.does_with(&APPLY, &role("rules", &given));
}
