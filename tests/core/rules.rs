//! The algebra of rules against a model without sets: single requests, evaluated as the API server's authorizer and its
//! escalation check do.

use bailiwick::core::rules::{Atom, Ceiling, Rule, RuleSet};
use proptest::prelude::*;

use crate::cases;
use crate::requests::{Request, allowed, allows, ceiling_rule, requests, rule};

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(rule(), 0..4)
}

fn set(rules: &[Rule]) -> RuleSet {
    RuleSet::from_rules(rules)
}

/// The requests in the small universe that an atom allows.
fn covered_by(atom: &Atom) -> Vec<Request> {
    let rule = match atom.clone() {
        Atom::Resource { group, resource, name, verb } => Rule {
            groups: vec![group],
            resources: vec![resource],
            names: name.into_iter().collect(),
            paths: Vec::new(),
            verbs: vec![verb],
        },
        Atom::Path { path, verb } => Rule { paths: vec![path], verbs: vec![verb], ..Rule::default() },
    };
    requests().into_iter().filter(|r| allows(&rule, r)).collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn the_normal_form_is_the_same_set(rules in rules()) {
        let set = set(&rules);
        prop_assert_eq!(&RuleSet::from_rules(&set.to_rules()), &set);
        prop_assert_eq!(RuleSet::from_rules(&set.to_rules()).to_rules(), set.to_rules());
        for request in requests() {
            prop_assert_eq!(allowed(&rules, &request), allowed(&set.to_rules(), &request), "{:?}", request);
        }
    }

    #[test]
    fn equal_sets_have_equal_normal_forms(rules in rules(), seed in any::<prop::sample::Index>()) {
        // The same rights, written atom by atom and in another order.
        let mut atoms: Vec<Atom> = rules.iter().flat_map(Rule::atoms).collect();
        if !atoms.is_empty() {
            let n = seed.index(atoms.len());
            atoms.rotate_left(n);
        }
        prop_assert_eq!(RuleSet::from_atoms(atoms).to_rules(), set(&rules).to_rules());
    }

    #[test]
    fn union_intersection_and_containment_mean_what_they_say(a in rules(), b in rules()) {
        let (x, y) = (set(&a), set(&b));
        let (union, both) = (x.clone().union(&y), x.intersection(&y));
        for request in requests() {
            let (in_a, in_b) = (allowed(&a, &request), allowed(&b, &request));
            prop_assert_eq!(allowed(&union.to_rules(), &request), in_a || in_b, "union: {:?}", request);
            prop_assert_eq!(allowed(&both.to_rules(), &request), in_a && in_b, "intersection: {:?}", request);
        }
        prop_assert_eq!(&union, &y.clone().union(&x));
        prop_assert_eq!(&both, &y.intersection(&x));
        prop_assert_eq!(&x.clone().union(&x), &x);
        prop_assert_eq!(&x.intersection(&x), &x);
        prop_assert!(union.contains_all(&x) && union.contains_all(&y));
        prop_assert!(x.contains_all(&both) && y.contains_all(&both));
        prop_assert_eq!(x.contains_all(&y), x.clone().union(&y) == x);
        // Absorption.
        prop_assert_eq!(&x.intersection(&union), &x);
        prop_assert_eq!(&x.clone().union(&both), &x);
    }

    #[test]
    fn a_set_contains_what_it_allows(rules in rules(), asked in rule()) {
        let set = set(&rules);
        for atom in asked.atoms() {
            let every = covered_by(&atom).iter().all(|r| allowed(&rules, r));
            prop_assert_eq!(set.contains(&atom), every, "{}", atom);
        }
    }

    /// A ceiling allows what it covers; and it covers what it allows in full, except rights that only several of its
    /// rules allow together by name (the API server's escalation check looks at one rule at a time, and so do we).
    #[test]
    fn a_ceiling_covers_an_atom_exactly_when_one_of_its_rules_allows_all_of_it(
        ceiling in prop::collection::vec(ceiling_rule(), 0..4),
        asked in rule(),
    ) {
        let whole = Ceiling::new(ceiling.clone());
        for atom in asked.atoms() {
            let one = ceiling.iter().any(|rule| covered_by(&atom).iter().all(|r| allows(rule, r)));
            prop_assert_eq!(whole.covers(&atom), one, "{}", atom);
        }
    }

    #[test]
    fn a_split_loses_nothing_and_keeps_the_two_apart(
        ceiling in prop::collection::vec(ceiling_rule(), 0..4),
        rules in rules(),
    ) {
        let ceiling = Ceiling::new(ceiling);
        let (within, beyond) = set(&rules).split(&ceiling);
        prop_assert!(within.iter().all(|atom| ceiling.covers(atom)));
        prop_assert!(!beyond.iter().any(|atom| ceiling.covers(atom)));
        prop_assert_eq!(RuleSet::from_atoms(within.iter().cloned().chain(beyond)), set(&rules));
    }
}
