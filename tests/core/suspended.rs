//! The lists of suspended users.

use std::collections::BTreeSet;

use bailiwick::core::Name;
use bailiwick::core::suspended::{in_order, list};
use proptest::prelude::*;

use crate::build::given;

fn names(names: &[&str]) -> BTreeSet<Name> {
    names.iter().map(|n| Name::from(*n)).collect()
}

/// Looks up a name as the policy does.
fn refuses(texts: &[String], username: &str) -> bool {
    texts.iter().any(|text| text.contains(&format!("\n{username}\n")))
}

proptest! {
    #[test]
    fn exactly_the_suspended_are_on_the_list(suspended in prop::collection::btree_set("[a-c@.é]{1,4}", 0..20), other in "[a-c@.é]{1,4}") {
        let set: BTreeSet<Name> = suspended.iter().map(|n| Name::from(n.as_str())).collect();
        let texts = list(&set).texts;
        prop_assert!(suspended.iter().all(|name| refuses(&texts, name)));
        prop_assert_eq!(refuses(&texts, &other), suspended.contains(&other));
    }
}

#[test]
fn a_name_that_is_no_username_is_not_on_the_list() {
    let texts = list(&names(&["a\nroot", "system:node", "", "ada"])).texts;
    assert!(!refuses(&texts, "root") && !refuses(&texts, "") && !refuses(&texts, "system:node"));
    assert!(refuses(&texts, "ada"));
}

#[test]
fn what_has_no_room_is_counted() {
    let long = |i: u32| Name::from(format!("{i:0>128}"));
    let many: BTreeSet<Name> = (0..40_000).map(long).collect();
    let list = list(&many);
    // This size limit of an object is why there are two texts and no more.
    let bytes: usize = list.texts.iter().map(String::len).sum();
    assert!((900_000..1 << 20).contains(&bytes), "{bytes}");
    let listed = list.texts.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty()).count();
    assert_eq!(listed + list.left_out.len(), many.len());
    assert!(list.left_out.iter().step_by(10_000).all(|name| !refuses(&list.texts, name)));
}

/// A user that may suspend others could otherwise free a suspended user that they may not activate.
#[test]
fn who_creates_suspended_users_takes_nobody_off_the_list() {
    let suspended = |name: &str, username: &str| {
        format!("{{kind: User, metadata: {{name: {name}}}, spec: {{username: '{username}', suspended: true}}}}")
    };
    let mut shell = given(&suspended("zoe", "zoe"));
    for n in 0..20 {
        shell.apply(&suspended(&format!("a{n}"), &format!("a{n}")));
    }
    shell.apply(&suspended("root", "zz-root"));
    let binding = "{kind: SiteRoleBinding, metadata: {name: t}, spec: {roleRef: {name: later}, subjects: [{kind: User, name: zz-root}]}}";
    shell.apply(binding);
    let order: Vec<&str> = in_order(&shell.cache).into_iter().map(|name| &**name).collect();
    assert_eq!(order[..4], ["zz-root", "zoe", "a0", "a1"]);
    // The text is full before the last of many names.
    let many: Vec<Name> = (0..40_000).map(|i| Name::from(format!("{i:0>128}"))).collect();
    let texts = list(in_order(&shell.cache).into_iter().chain(&many)).texts;
    assert!(["zz-root", "zoe"].iter().all(|name| refuses(&texts, name)));
}

/// If several Users share a username, the oldest counts.
#[test]
fn a_younger_user_of_the_same_username_suspends_nobody() {
    let mut shell = given("{kind: User, metadata: {name: ada}}");
    let suspend =
        |name: &str| format!("{{kind: User, metadata: {{name: {name}}}, spec: {{username: ada, suspended: true}}}}");
    shell.apply(&suspend("other"));
    assert_eq!(shell.cache.suspended, names(&[]));
    shell.apply(&suspend("ada"));
    assert_eq!(shell.cache.suspended, names(&["ada"]));
    shell.delete(crate::fake::Kind::User, "", "ada");
    assert_eq!(shell.cache.suspended, names(&["ada"]), "the other one speaks now");
    shell.delete(crate::fake::Kind::User, "", "other");
    assert_eq!(shell.cache.suspended, names(&[]));
}

/// A policy that reads this requires more rights for suspending the user.
#[test]
fn a_user_with_a_privileged_site_role_says_so() {
    let role = |privileged: bool| {
        format!(
            "{{kind: SiteRole, metadata: {{name: s0}}, spec: {{assignableTo: [Site], privileged: {privileged}, rules: [{{apiGroups: [''], resources: [pods], verbs: [get]}}]}}}}"
        )
    };
    let binding = "{kind: SiteRoleBinding, metadata: {name: t}, spec: {roleRef: {name: s0}, subjects: [{kind: User, name: ada}]}}";
    let mut shell = given("{kind: User, metadata: {name: ada}}\n---\n{kind: User, metadata: {name: bob}}");
    let privileged = |shell: &crate::shell::Shell, name: &str| {
        let bailiwick::core::conditions::Status::User(status) = &shell.draft(crate::fake::Kind::User, name).status
        else {
            panic!()
        };
        status.privileged
    };
    shell.apply(binding);
    assert!(privileged(&shell, "ada"), "a role that does not exist yet may turn out to be one");
    shell.apply(&role(false));
    assert!(!privileged(&shell, "ada"));
    shell.apply(&role(true));
    assert!(privileged(&shell, "ada") && !privileged(&shell, "bob"));
    shell.delete(crate::fake::Kind::SiteRoleBinding, "", "t");
    assert!(!privileged(&shell, "ada"));
}
