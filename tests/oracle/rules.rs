//! Does this ceiling cover this rule, and does this rule allow this request?

use std::cell::Cell;
use std::collections::BTreeSet;

use bailiwick::api::ApiKind;
use bailiwick::core::Name;
use bailiwick::core::object_ref::{NativeKind, NativeRef, ObjectRef};
use bailiwick::core::rbac::{Desired, DesiredSet, RbacSpec, Subject};
use bailiwick::core::rules::{Atom, Ceiling, Rule, RuleSet, words};
use bailiwick::core::uid::Uid;
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::kubernetes::{self, is_there, reasons, uncovered};
use crate::requests::{Request, allowed, ceiling_rule, requests, rule};
use crate::{assert_mixed, run};

/// Rules that nobody should write: words with a meaning elsewhere, both kinds in one rule, empty lists.
fn strange_rule() -> impl Strategy<Value = Rule> {
    let list = |all: &'static [&'static str]| subsequence(all, 0..=2).prop_shuffle().prop_map(|list| words(&list));
    let names = prop_oneof![2 => Just(Vec::new()), 1 => list(&["a", "*", ""])];
    let paths =
        prop_oneof![1 => Just(Vec::new()), 1 => list(&["", "/", "/*", "/a", "/a*", "/a**", "/a*b", "/a/*", "**"])];
    (
        list(&["", "apps", "*"]),
        list(&["", "pods", "pods/exec", "*/exec", "*", "*/*", "pods/*", "pods/exec/a", "*/exec/a", "/exec"]),
        names,
        paths,
        list(&["get", "*", "", "GET"]),
    )
        .prop_map(|(groups, resources, names, paths, verbs)| Rule { groups, resources, names, paths, verbs })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    prop_oneof![2 => rule(), 2 => ceiling_rule(), 1 => strange_rule()]
}

#[test]
fn a_ceiling_covers_exactly_what_the_escalation_check_covers() {
    if !is_there() {
        return;
    }
    let (asked, yes) = (Cell::new(0), Cell::new(0));
    let pair = (prop::collection::vec(any_rule(), 0..5), any_rule());
    run(20_000, pair, |(owner, rule)| {
        let ceiling = Ceiling::new(owner.clone());
        let theirs: BTreeSet<Atom> =
            uncovered(&owner, std::slice::from_ref(&rule)).iter().flat_map(Rule::atoms).collect();
        let ours: BTreeSet<Atom> = rule.atoms().filter(|atom| !ceiling.covers(atom)).collect();
        prop_assert_eq!(&ours, &theirs, "beyond the ceiling: core and Kubernetes");
        let (within, beyond) = RuleSet::from_rules([&rule]).split(&ceiling);
        prop_assert!(beyond.iter().all(|atom| theirs.contains(atom)));
        prop_assert!(within.iter().all(|atom| !theirs.contains(atom)));
        asked.set(asked.get() + 1);
        yes.set(yes.get() + u64::from(ours.is_empty()));
        Ok(())
    });
    assert_mixed("ceilings and rules", asked.get(), yes.get());
}

/// One ClusterRole, whose rules "ada" holds.
fn held(rules: &[Rule]) -> DesiredSet {
    let key = |kind| NativeRef::new(kind, Name::default(), "held");
    let source = ObjectRef::new(ApiKind::SiteRole, Name::default(), "held").with_uid(Uid::default());
    let binding = RbacSpec::Binding { role: "held".into(), subjects: [Subject::User("ada".into())].into() };
    let both = [(NativeKind::ClusterRole, RbacSpec::Rules(rules.into())), (NativeKind::ClusterRoleBinding, binding)];
    both.into_iter().map(|(kind, content)| (key(kind), Desired { content, source: source.clone() })).collect()
}

/// `tests/core/rules.rs` defines unions, intersections and normal forms in terms of `allowed`.
#[test]
fn rules_and_their_normal_form_allow_exactly_what_the_authorizer_allows() {
    if !is_there() {
        return;
    }
    let (asked, yes) = (Cell::new(0), Cell::new(0));
    let universe = requests();
    let questions: Vec<kubernetes::Request> = universe
        .iter()
        .map(|request| match *request {
            Request::Resource { group, resource, name, verb } => {
                kubernetes::Request::on_resource(group, resource, name, verb)
            }
            Request::Path { path, verb } => kubernetes::Request::on_path(path, verb),
        })
        .map(|request| kubernetes::Request { user: "ada".to_owned(), ..request })
        .collect();
    let one = prop_oneof![rule(), ceiling_rule()];
    run(200, prop::collection::vec(one, 0..5), |rules| {
        let normal = reasons(&held(&RuleSet::from_rules(&rules).to_rules()), &questions);
        let theirs = reasons(&held(&rules), &questions);
        for ((request, theirs), normal) in universe.iter().zip(theirs).zip(normal) {
            prop_assert_eq!(allowed(&rules, request), theirs.is_some(), "{:?}: {:?}", request, theirs);
            prop_assert_eq!(normal.is_some(), theirs.is_some(), "{:?} by the normal form: {:?}", request, normal);
            asked.set(asked.get() + 1);
            yes.set(yes.get() + u64::from(theirs.is_some()));
        }
        Ok(())
    });
    assert_mixed("rules and requests", asked.get(), yes.get());
}
