//! Assigning roles: `bind` in the built-in roles, on every path by which a role reaches a subject.

use super::{Site, VALUES};
use crate::support::Question;
use crate::support::manifests::{binding, custom_role, group, organization, site_binding, site_role, users};

const NOBODY: &[&str] = &["zoe"];
const READS: &str = "{permissions: [{resource: services, actions: [read]}]}";

fn who(name: &str) -> String {
    format!("{name}@example.com")
}

fn needs_bind(kind: &str, role: &str, name: &str) -> String {
    format!("to assign {kind} {role}, {} needs the verb \"bind\" on it", who(name))
}

/// An organization with a manager, and the site's people.
fn site() -> Site {
    let site = Site::with_operator(VALUES);
    let people = ["mia", "otto", "sid", "uma", "max", "zoe", "pat"];
    let roles = [("site-manager", "max"), ("owner", "otto"), ("site-admin", "sid"), ("user-admin", "uma")];
    let bindings: String = roles.iter().map(|(role, name)| site_binding(&format!("{role}s"), role, &[name])).collect();
    site.cluster.apply(
        &(users(&people)
            + &organization("alpha", "{namespace: alpha, default: true}")
            + &organization("beta", "{namespace: beta}")
            + &site_role(
                "wide",
                "{assignableTo: [Organization], permissions: [{resource: users, actions: [update]}]}",
            )
            + &binding("alpha", "managers", "SiteRole/organization-manager", &["mia"])
            + &bindings),
    );
    site.cluster.settle();
    for (name, namespace, what) in [
        ("mia", "alpha", "create rolebindings.bailiwick.dev"),
        ("otto", "", "create siterolebindings.bailiwick.dev"),
        ("sid", "", "bind siteroles.bailiwick.dev"),
        ("uma", "alpha", "update groups.bailiwick.dev"),
        ("max", "beta", "create rolebindings.bailiwick.dev"),
    ] {
        site.cluster.can(&Question::of(&who(name), namespace), &[what]);
    }
    site.person(&who("mia")).soon_may_not_create(
        &binding("alpha", "trial", "SiteRole/wide", NOBODY),
        &needs_bind("SiteRole", "wide", "mia"),
    );
    site
}

#[test]
fn a_role_is_handed_out_by_who_may_bind_it() {
    let site = site();
    a_manager_hands_out_the_roles_of_the_organization(&site);
    the_sites_people_hand_out_what_is_theirs(&site);
    the_way_it_is_written_makes_no_difference(&site);
    writing_the_same_again_is_writing(&site);
    the_members_of_an_organization_get_no_other_role_in_passing(&site);
}

fn a_manager_hands_out_the_roles_of_the_organization(site: &Site) {
    let mia = site.person(&who("mia"));
    for role in ["organization-member", "organization-manager"] {
        mia.creates(&binding("alpha", role, &format!("SiteRole/{role}"), NOBODY));
    }
    mia.creates(&custom_role("alpha", "reader", READS));
    mia.creates(&binding("alpha", "readers", "CustomRole/reader", NOBODY));
    // A missing role is no obstacle.
    mia.creates(&binding("alpha", "early", "CustomRole/not-there-yet", NOBODY));
    mia.creates(&binding("alpha", "x", "CustomRole/reader", NOBODY).replace("name: x", "generateName: more-"));
    for role in ["wide", "owner", "auditor", "site-admin", "user-admin", "not-there-yet"] {
        mia.may_not_create(
            &binding("alpha", "trial", &format!("SiteRole/{role}"), NOBODY),
            &(needs_bind("SiteRole", role, "mia") + " in namespace alpha"),
        );
    }
    // Another organization's are not hers: the API server refuses before any policy runs.
    mia.may_not_create(
        &binding("beta", "trial", "SiteRole/organization-member", NOBODY),
        "cannot create resource \"rolebindings\"",
    );
    // Nor with the right to write there, while she has `bind` in alpha only.
    let pat = site.person(&who("pat"));
    pat.holds("beta", WRITES)
        .holds("alpha", "[{apiGroups: [bailiwick.dev], resources: [siteroles, customroles], verbs: [bind]}]");
    pat.may_not_create(
        &binding("beta", "trial", "SiteRole/organization-member", NOBODY),
        &needs_bind("SiteRole", "organization-member", "pat"),
    );
    pat.may_not_create(&binding("beta", "trial", "CustomRole/any", NOBODY), &needs_bind("CustomRole", "any", "pat"));
}

const WRITES: &str = "[{apiGroups: [bailiwick.dev], resources: [groups, rolebindings, customroles, rolebindings/status, groups/status], \
                      verbs: [get, list, create, update, patch, delete, deletecollection]}]";

fn the_sites_people_hand_out_what_is_theirs(site: &Site) {
    let (max, otto, sid) = (site.person(&who("max")), site.person(&who("otto")), site.person(&who("sid")));
    // A site-manager may not write SiteRoleBindings; with that right, `bind` decides.
    max.holds("", "[{apiGroups: [bailiwick.dev], resources: [siterolebindings], verbs: [create, get, update, patch]}]");
    max.creates(&site_binding("auditors", "auditor", NOBODY));
    max.creates(&binding("beta", "managers", "SiteRole/organization-manager", NOBODY));
    max.may_not_create(&site_binding("trial", "owner", NOBODY), &needs_bind("SiteRole", "owner", "max"));
    max.may_not_create(
        &binding("beta", "trial", "CustomRole/reader", NOBODY),
        &needs_bind("CustomRole", "reader", "max"),
    );
    for role in ["auditor", "owner", "site-manager", "template-admin", "user-admin"] {
        otto.creates(&site_binding(&format!("by-otto-{role}"), role, NOBODY));
    }
    otto.creates(&binding("beta", "by-otto", "CustomRole/reader", NOBODY));
    otto.may_not_create(&site_binding("trial", "site-admin", NOBODY), &needs_bind("SiteRole", "site-admin", "otto"));
    otto.may_not_create(
        &site_binding("trial", "not-there-yet", NOBODY),
        &needs_bind("SiteRole", "not-there-yet", "otto"),
    );
    sid.creates(&site_binding("by-sid", "site-admin", NOBODY));
    sid.creates(&site_binding("early", "not-there-yet", NOBODY));
    // A thousand subjects neither exceed the cost limit of the policy nor hide the missing right.
    let many: Vec<String> = (0..1_000).map(|n| format!("User/user-{n}@example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    otto.may_not_create(&site_binding("trial", "site-admin", &many), &needs_bind("SiteRole", "site-admin", "otto"));
    otto.creates(&site_binding("many", "auditor", &many));
    site.cluster.run(&["delete", "siterolebindings.bailiwick.dev", "many", "early", "by-sid"]);
}

fn the_way_it_is_written_makes_no_difference(site: &Site) {
    let mia = site.person(&who("mia"));
    let kind = "rolebindings.bailiwick.dev";
    let refused = needs_bind("SiteRole", "wide", "mia");
    let readers = ["-n", "alpha", "patch", kind, "readers"];
    let role = r#"{"spec":{"roleRef":{"kind":"SiteRole","name":"wide"}}}"#;
    let json = r#"[{"op":"replace","path":"/spec/roleRef","value":{"kind":"SiteRole","name":"wide"}}]"#;
    mia.may_not(&[&readers[..], &["--type=merge", "-p", role]].concat(), &refused);
    mia.may_not(&[&readers[..], &["--type=json", "-p", json]].concat(), &refused);
    let other = binding("alpha", "readers", "SiteRole/wide", NOBODY);
    mia.may_not_with(&["replace"], &other, &refused);
    mia.may_not_with(&["apply", "--server-side", "--force-conflicts"], &other, &refused);
    mia.may_not_with(&["apply", "--server-side"], &binding("alpha", "made", "SiteRole/wide", NOBODY), &refused);
    mia.may_not_create(
        &binding("alpha", "x", "SiteRole/wide", NOBODY).replace("name: x", "generateName: x-"),
        &refused,
    );
    mia.does(
        &[
            &readers[..],
            &["--type=merge", "-p", r#"{"spec":{"roleRef":{"kind":"SiteRole","name":"organization-member"}}}"#],
        ]
        .concat(),
    );

    // Only a user that could have assigned the role may extend another's assignment.
    site.cluster.apply(&binding("alpha", "wides", "SiteRole/wide", NOBODY));
    let add = r#"[{"op":"add","path":"/spec/subjects/-","value":{"kind":"User","name":"mia@example.com"}}]"#;
    mia.may_not(&["-n", "alpha", "patch", kind, "wides", "--type=json", "-p", add], &refused);
    mia.may_not(
        &[
            "-n",
            "alpha",
            "patch",
            kind,
            "wides",
            "--type=merge",
            "-p",
            r#"{"spec":{"expiresAt":"2040-01-01T00:00:00Z"}}"#,
        ],
        &refused,
    );
    // Adding and removing a label requires nothing.
    mia.does(&["-n", "alpha", "label", kind, "wides", "a=b"]);
    let status = ["--subresource=status", "--type=merge", "-p"];
    let pat = site.person(&who("pat"));
    pat.holds("alpha", WRITES);
    let through_status = r#"{"spec":{"roleRef":{"kind":"SiteRole","name":"wide"}},"status":{"grants":7}}"#;
    pat.does(&[&readers[..], &status, &[through_status]].concat());
    assert_eq!(site.cluster.get(&["-n", "alpha", kind, "readers"])["spec"]["roleRef"]["name"], "organization-member");
    mia.does(&["-n", "alpha", "delete", kind, "wides"]);
}

/// The operator trusts a binding that is younger than the Group that it names.
fn writing_the_same_again_is_writing(site: &Site) {
    let ned = site.person(&who("ned"));
    ned.holds("alpha", WRITES);
    let kind = "rolebindings.bailiwick.dev";
    let crew = binding("alpha", "crew", "CustomRole/reader", &["Group/crew"]);
    site.cluster.apply(&crew);
    let refused = needs_bind("CustomRole", "reader", "ned");
    ned.does(&["-n", "alpha", "label", kind, "crew", "a=b"]);
    ned.does(&[
        "-n",
        "alpha",
        "patch",
        kind,
        "crew",
        "--type=merge",
        "-p",
        r#"{"metadata":{"annotations":{"a":"b"}}}"#,
    ]);
    ned.may_not_with(&["apply", "--server-side", "--field-manager=ned"], &crew, &refused);
    let mut later = site.cluster.get(&["-n", "alpha", kind, "crew", "--show-managed-fields"]);
    // A write that changes only times is no change.
    later["metadata"]["labels"]["a"] = "c".into();
    for entry in later["metadata"]["managedFields"].as_array_mut().unwrap() {
        entry["time"] = "2040-01-01T00:00:00Z".into();
    }
    ned.may_not_with(&["replace"], &later.to_string(), &refused);
    let mia = site.person(&who("mia"));
    mia.does_with(&["apply", "--server-side", "--field-manager=mia"], &crew);
}

fn the_members_of_an_organization_get_no_other_role_in_passing(site: &Site) {
    let max = site.person(&who("max"));
    let refused = |role: &str| {
        format!(
            "spec.memberRole assigns SiteRole {role} to every member: max@example.com needs the verb \"bind\" on it"
        )
    };
    let patch = |role: &str| {
        ["patch", "organizations.bailiwick.dev", "beta", "--type=merge", "-p"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("{{\"spec\":{{\"memberRole\":{role}}}}}")])
            .collect::<Vec<_>>()
    };
    let words = |words: &[String]| words.to_vec();
    for role in ["\"\"", "\"organization-member\"", "null", "\"organization-manager\""] {
        let patch = words(&patch(role));
        max.does(&patch.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let wide = patch("\"wide\"");
    max.may_not(&wide.iter().map(String::as_str).collect::<Vec<_>>(), &refused("wide"));
    max.may_not_create(&organization("gamma", "{memberRole: wide}"), &refused("wide"));
    max.creates(&organization("gamma", "{}"));
    max.does(&[
        "patch",
        "organizations.bailiwick.dev",
        "gamma",
        "--type=merge",
        "-p",
        r#"{"spec":{"displayName":"G"}}"#,
    ]);
    max.does(&["delete", "organizations.bailiwick.dev", "gamma"]);
}

#[test]
fn a_role_is_written_by_who_may_bind_it_and_what_it_inherits() {
    let site = site();
    custom_roles(&site);
    site_roles(&site);
}

fn custom_roles(site: &Site) {
    let mia = site.person(&who("mia"));
    let inherits = |names: &[String]| format!("{{inherits: [{}]}}", names.join(", "));
    let custom = |n: usize| format!("{{kind: CustomRole, name: r{n}}}");
    let site_wide = "{kind: SiteRole, name: wide}".to_owned();
    mia.creates(&custom_role("alpha", "x", READS).replace("name: x", "generateName: x-"));
    let twenty: Vec<String> = (0..20).map(custom).collect();
    mia.creates(&custom_role("alpha", "twenty", &inherits(&twenty)));
    // The most requests that one policy can make.
    let bind = "{apiGroups: [bailiwick.dev], resources: [siteroles], resourceNames: [organization-manager, organization-member], verbs: [bind]}";
    let read = "{apiGroups: [apps], resources: [deployments, statefulsets], verbs: [get, list, watch, create, update, patch, delete]}";
    let rules = [vec![read; 99], vec![bind]].concat().join(", ");
    mia.creates(&custom_role("alpha", "most", &format!("{{inherits: [{}], rules: [{rules}]}}", twenty.join(", "))));
    mia.creates(&custom_role("alpha", "built-in", "{inherits: [{kind: SiteRole, name: organization-member}]}"));
    for position in [0, 19] {
        let mut twenty = twenty.clone();
        twenty[position].clone_from(&site_wide);
        let refused = format!("spec.inherits[{position}]: to inherit wide, mia@example.com needs the verb");
        mia.may_not_create(&custom_role("alpha", "trial", &inherits(&twenty)), &refused);
        mia.may_not_with(
            &["apply", "--server-side", "--force-conflicts"],
            &custom_role("alpha", "twenty", &inherits(&twenty)),
            &refused,
        );
    }
    // A role whose holders assign the site's roles reaches as far as those do.
    let rule = |names: &str| {
        format!("{{rules: [{{apiGroups: [bailiwick.dev], resources: [siteroles]{names}, verbs: [bind]}}]}}")
    };
    let refused = "mia@example.com needs \"bind\" on every SiteRole";
    mia.may_not_create(&custom_role("alpha", "trial", &rule("")), refused);
    mia.may_not_create(&custom_role("alpha", "trial", &rule(", resourceNames: [organization-member, wide]")), refused);
    mia.creates(&custom_role("alpha", "inviter", &rule(", resourceNames: [organization-member]")));
    mia.creates(&custom_role(
        "alpha",
        "lead",
        "{rules: [{apiGroups: [bailiwick.dev], resources: [customroles, groups], verbs: [bind]}]}",
    ));

    // Writing without `bind` is for one's own roles, if they are named.
    let pat = site.person(&who("pat"));
    pat.holds("alpha", WRITES).holds(
        "alpha",
        "[{apiGroups: [bailiwick.dev], resources: [customroles], resourceNames: [theirs], verbs: [bind]}]",
    );
    pat.creates(&custom_role("alpha", "theirs", READS));
    let refused = |name: &str| {
        format!(
            "writing CustomRole {name} changes what its holders may do: pat@example.com needs the verb \"bind\" on it"
        )
    };
    pat.may_not_create(&custom_role("alpha", "other", READS), &refused("other"));
    pat.may_not_create(
        &custom_role("alpha", "x", READS).replace("name: x", "generateName: theirs-"),
        "writing CustomRole theirs-",
    );
    pat.may_not_with(
        &["apply", "--server-side", "--force-conflicts"],
        &custom_role("alpha", "lead", READS),
        &refused("lead"),
    );
    pat.may_not(
        &[
            "-n",
            "alpha",
            "patch",
            "customroles.bailiwick.dev",
            "lead",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/spec/rules"}]"#,
        ],
        &refused("lead"),
    );
    pat.may_not_create(
        &custom_role("alpha", "theirs", &rule(", resourceNames: [organization-member]")),
        "to write a rule with \"bind\" on SiteRole organization-member, pat@example.com needs \"bind\" on it",
    );
    pat.does(&["-n", "alpha", "label", "customroles.bailiwick.dev", "lead", "a=b"]);
}

fn site_roles(site: &Site) {
    let role = |name: &str, inherits: &[String]| {
        site_role(name, &format!("{{assignableTo: [Site], inherits: [{}]}}", inherits.join(", ")))
    };
    let pat = site.person(&who("pat"));
    pat.holds(
        "",
        "[{apiGroups: [bailiwick.dev], resources: [siteroles], verbs: [get, create, update, patch, delete]}]",
    );
    let names: Vec<String> = (0..20).map(|n| format!("part-{n}")).collect();
    pat.holds(
        "",
        &format!(
            "[{{apiGroups: [bailiwick.dev], resources: [siteroles], resourceNames: [theirs, {}], verbs: [bind]}}]",
            names.join(", ")
        ),
    );
    pat.creates(&role("theirs", &names));
    for position in [0, 19] {
        let mut names = names.clone();
        names[position] = "owner".into();
        let wider = role("theirs", &names);
        let refused = format!("spec.inherits[{position}]: to inherit owner, pat@example.com needs the verb");
        // (Applied, it would be merged with what is there.)
        let patch = format!(r#"[{{"op":"replace","path":"/spec/inherits/{position}","value":"owner"}}]"#);
        pat.may_not(&["patch", "siteroles.bailiwick.dev", "theirs", "--type=json", "-p", &patch], &refused);
        pat.may_not_with(&["replace"], &wider, &refused);
    }
    let refused = |name: &str| {
        format!(
            "writing SiteRole {name} changes what its holders may do: pat@example.com needs the verb \"bind\" on it"
        )
    };
    pat.may_not_create(&role("other", &[]), &refused("other"));
    pat.may_not_create(&role("x", &[]).replace("name: x", "generateName: theirs-"), "writing SiteRole theirs-");
    pat.may_not(
        &["patch", "siteroles.bailiwick.dev", "auditor", "--type=merge", "-p", r#"{"spec":{"privileged":false}}"#],
        &refused("auditor"),
    );
    pat.does(&["label", "siteroles.bailiwick.dev", "auditor", "a=b"]);
    pat.does(&["delete", "siteroles.bailiwick.dev", "theirs"]);
    let sid = site.person(&who("sid"));
    sid.holds("", "[{apiGroups: [bailiwick.dev], resources: [siteroles], verbs: [get, create, update, patch]}]");
    sid.creates(&role("any", &["owner".to_owned(), "not-there-yet".to_owned()]));

    // A role that assigns roles requires the right to assign all of them; its other writers can still change the rest
    // of it.
    let binds = "[{apiGroups: [bailiwick.dev], resources: [siteroles], resourceNames: [owner], verbs: [bind]}]";
    for field in ["rules", "clusterRules"] {
        let up = site_role("theirs", &format!("{{assignableTo: [Site], {field}: {binds}}}"));
        pat.may_not_create(&up, "pat@example.com needs \"bind\" on every SiteRole");
        pat.creates(&role("theirs", &[]));
        pat.may_not_with(&["replace"], &up, "pat@example.com needs \"bind\" on every SiteRole");
        let apply = ["apply", "--server-side", "--force-conflicts"];
        pat.may_not_with(&apply, &up, "pat@example.com needs \"bind\" on every SiteRole");
        sid.does_with(&["replace"], &up);
        let named = r#"{"spec":{"displayName":"Theirs"}}"#;
        pat.does(&["patch", "siteroles.bailiwick.dev", "theirs", "--type=merge", "-p", named]);
        pat.does(&["delete", "siteroles.bailiwick.dev", "theirs"]);
    }
}

#[test]
fn who_is_in_a_group_that_holds_a_privileged_role_is_for_who_may_bind_it() {
    let site = site();
    let cluster = &site.cluster;
    cluster.apply(
        &(group("alpha", "crew", &["zoe"])
            + &group("alpha", "plain", &["zoe"])
            + &binding("alpha", "crew", "SiteRole/organization-manager", &["Group/crew"])
            + &binding("alpha", "plain", "SiteRole/organization-member", &["Group/plain"])),
    );
    cluster.eventually("the Group says that it holds a privileged role", || {
        cluster.get(&["-n", "alpha", "groups.bailiwick.dev", "crew"])["status"]["privileged"] == true
    });
    cluster.settle();
    let (uma, mia, otto) = (site.person(&who("uma")), site.person(&who("mia")), site.person(&who("otto")));
    let refused = "Group crew holds privileged roles: to change or delete it, uma@example.com needs the verb \"bind\" on it in namespace alpha";
    let change = |name: &'static str, patch: &'static str| {
        ["-n", "alpha", "patch", "groups.bailiwick.dev", name, "--type=merge", "-p", patch]
    };
    let members = r#"{"spec":{"members":["uma@example.com"]}}"#;
    for patch in [members, r#"{"spec":{"externalGroups":["oidc:uma"]}}"#, r#"{"spec":{"members":null}}"#] {
        uma.may_not(&change("crew", patch), refused);
        uma.does(&change("plain", patch));
    }
    uma.may_not_with(&["replace"], &group("alpha", "crew", &["uma"]), refused);
    uma.may_not_with(&["apply", "--server-side", "--force-conflicts"], &group("alpha", "crew", &["uma"]), refused);
    uma.may_not(&["-n", "alpha", "delete", "groups.bailiwick.dev", "crew"], refused);
    uma.may_not(
        &["delete", "--raw", "/apis/bailiwick.dev/v1alpha1/namespaces/alpha/groups?fieldSelector=metadata.name%3Dcrew"],
        refused,
    );
    // Nor by having it deleted by the garbage collector, which is exempt.
    let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}"#;
    uma.may_not(&change("crew", owner), refused);
    uma.does(&["-n", "alpha", "label", "groups.bailiwick.dev", "crew", "a=b"]);
    uma.does(&["-n", "alpha", "delete", "groups.bailiwick.dev", "plain"]);
    // With a right to write statuses: the operator corrects it.
    let manager = Question::of(&who("uma"), "alpha");
    cluster.is_refused(&manager, &["create services"]);
    mia.does(&change("crew", members));
    cluster.can(&manager, &["create services"]);
    otto.does(&change("crew", r#"{"spec":{"members":["zoe@example.com"]}}"#));
    cluster.cannot(&manager, &["create services"]);
    // Kubernetes' own cleanup works, and the manager may delete it.
    mia.does(&["-n", "alpha", "delete", "groups.bailiwick.dev", "crew"]);
    cluster.apply(
        &(group("beta", "crew", &["zoe"]) + &binding("beta", "crew", "SiteRole/organization-manager", &["Group/crew"])),
    );
    cluster.eventually("the Group says that it holds a privileged role", || {
        cluster.get(&["-n", "beta", "groups.bailiwick.dev", "crew"])["status"]["privileged"] == true
    });
    cluster.run(&["delete", "namespace", "beta", "--timeout=60s"]);
}

#[test]
fn nobody_becomes_more_by_a_role_that_hands_out_roles() {
    // A manager writes the role that would let its holders bind the site's own roles, and holds it: that worked once.
    let site = site();
    let mia = site.person(&who("mia"));
    let role = "{rules: [{apiGroups: [bailiwick.dev], resources: [siteroles], verbs: [bind]}]}";
    mia.may_not_create(&custom_role("alpha", "up", role), "needs \"bind\" on every SiteRole");
    mia.may_not_create(&binding("alpha", "up", "SiteRole/wide", &["mia"]), &needs_bind("SiteRole", "wide", "mia"));
    site.cluster.is_refused(&Question::of(&who("mia"), ""), &["update users.bailiwick.dev"]);
}
