//! Words of the catalog: the native verbs, resources and names behind each action.

use bailiwick::api::{Action, Permission, Scope};
use bailiwick::core::catalog::{Bounds, Target};
use bailiwick::core::rules::RuleSet;
use proptest::prelude::*;
use rstest::rstest;

use crate::cases;
use crate::fake::bounds;
use crate::histories::permission;

fn parse(catalog: &str) -> Bounds {
    Bounds::parse(&format!("releaseNamespace: release\nnamespaceWhitelist: []\ncatalog:\n{catalog}")).unwrap()
}

fn ask(word: &str, actions: &str, names: &[&str]) -> Permission {
    let names = (!names.is_empty()).then(|| names.iter().map(|n| (*n).to_owned()).collect());
    let actions = actions.split_whitespace().map(|a| serde_yaml::from_str(a).unwrap()).collect();
    Permission { resource: word.to_owned(), actions, scope: Scope::All, names }
}

/// The rights, as `verb resource.group/name`, each on its own.
fn rights(bounds: &Bounds, permission: &Permission) -> Vec<String> {
    let (_, rules) = bounds.rules(permission).unwrap();
    let mut rights: Vec<String> = RuleSet::from_rules(&rules).iter().map(ToString::to_string).collect();
    rights.sort();
    rights
}

const PODS: &str = "
  things:
    rules:
      pods: {apiGroups: [''], resources: [pods]}
      exec: {apiGroups: [''], resources: [pods/exec, pods/attach], actions: [use]}
";

#[rstest]
#[case("create", &["create pods"])]
#[case("read", &["get pods", "list pods", "watch pods"])]
#[case("list", &["list pods", "watch pods"])]
#[case("update", &["patch pods", "update pods"])]
#[case("delete", &["delete pods", "deletecollection pods"])]
#[case("use", &["create pods/attach", "create pods/exec", "get pods/attach", "get pods/exec"])]
#[case("read list", &["get pods", "list pods", "watch pods"])]
fn an_action_is_these_verbs(#[case] actions: &str, #[case] expected: &[&str]) {
    assert_eq!(rights(&parse(PODS), &ask("things", actions, &[])), expected);
}

#[rstest]
#[case("create", &[])]
#[case("read", &["get pods/a", "list pods/a", "watch pods/a"])]
#[case("update", &["patch pods/a", "update pods/a"])]
#[case("delete", &["delete pods/a"])]
#[case("use", &["create pods/attach/a", "create pods/exec/a", "get pods/attach/a", "get pods/exec/a"])]
fn by_name_there_is_no_create_and_no_deletecollection(#[case] actions: &str, #[case] expected: &[&str]) {
    assert_eq!(rights(&parse(PODS), &ask("things", actions, &["a"])), expected);
}

const NAMED: &str = "
  things:
    target: release
    rules:
      some: {apiGroups: [''], resources: [configmaps], resourceNames: [a, b]}
";

#[rstest]
#[case::all_that_are_bound(&[], &["delete configmaps/a", "delete configmaps/b"])]
#[case::one_of_them(&["a", "c"], &["delete configmaps/a"])]
#[case::none_of_them(&["c"], &[])]
fn names_are_those_that_are_asked_for_and_bound(#[case] names: &[&str], #[case] expected: &[&str]) {
    assert_eq!(rights(&parse(NAMED), &ask("things", "create delete", names)), expected);
    assert_eq!(parse(NAMED).rules(&ask("things", "read", &[])).unwrap().0, Target::Release);
}

#[test]
fn an_entry_allows_only_its_actions() {
    let bounds =
        parse("\n  things:\n    rules:\n      logs: {apiGroups: [''], resources: [pods/log], actions: [read]}\n");
    assert_eq!(rights(&bounds, &ask("things", "create update delete use", &[])), Vec::<String>::new());
    assert_eq!(
        rights(&bounds, &ask("things", "list", &[])),
        ["list pods/log", "watch pods/log"],
        "list is part of read"
    );
}

#[test]
fn an_unknown_word_means_nothing() {
    assert!(parse(PODS).rules(&ask("thing", "read", &[])).is_none());
}

#[test]
fn a_misspelled_key_is_refused() {
    assert!(Bounds::parse("releaseNamespace: r\nnamespaceWhitelist: []\ncatalog: {x: {ruels: {}}}").is_err());
    assert!(Bounds::parse("releaseNamespace: r\nnamespaceWhitelist: []\ncatalog: {}\nextra: 1").is_err());
}

/// An empty name would grant cluster-wide.
#[test]
fn a_release_namespace_without_a_name_is_refused() {
    let error = Bounds::parse("releaseNamespace: \"\"\nnamespaceWhitelist: []\ncatalog: {}").unwrap_err();
    assert_eq!(error.to_string(), "releaseNamespace is empty");
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn connecting_takes_use_and_nothing_else(permission in permission()) {
        let bounds = bounds(&[], false);
        let Some((_, rules)) = bounds.rules(&permission) else { return Ok(()) };
        let connects = rules.iter().any(|r| r.resources.iter().any(|r| r.contains('/')));
        prop_assert!(!connects || permission.actions.contains(&Action::Use));
    }

    #[test]
    fn a_name_only_ever_narrows(permission in permission()) {
        let bounds = bounds(&[], false);
        let all = Permission { names: None, ..permission.clone() };
        let (Some((_, named)), Some((_, all))) = (bounds.rules(&permission), bounds.rules(&all)) else { return Ok(()) };
        prop_assert!(RuleSet::from_rules(&all).contains_all(&RuleSet::from_rules(&named)));
        if permission.names.is_some() {
            prop_assert!(named.iter().all(|r| !r.names.is_empty() && !r.verbs.iter().any(|v| &**v == "deletecollection")));
        }
    }

    #[test]
    fn more_actions_never_allow_less(permission in permission(), more in permission()) {
        let bounds = bounds(&[], false);
        let both = Permission { actions: [permission.actions.clone(), more.actions].concat(), ..permission.clone() };
        let (Some((_, few)), Some((_, many))) = (bounds.rules(&permission), bounds.rules(&both)) else { return Ok(()) };
        prop_assert!(RuleSet::from_rules(&many).contains_all(&RuleSet::from_rules(&few)));
    }
}
