//! Shards: a binding of many subjects becomes several native ones. When their number changes, all of them get new
//! names, and nobody may notice.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::core::Name;
use bailiwick::core::cache::CeilingScope;
use bailiwick::core::object_ref::NativeKind;
use bailiwick::core::rbac::{Observed, RbacSpec};
use bailiwick::operator::watch_event::{Item, WatchEvent};
use rstest::rstest;

use super::words::{ACME, binding, creations_fail};
use super::{Story, given};
use crate::fake::Kind;

/// A binding of so many ServiceAccounts, from this one on.
fn robots(first: usize, count: usize) -> String {
    let subjects: Vec<String> = (first..first + count).map(|n| format!("ServiceAccount robot-{n:03}")).collect();
    binding("n0", "robots", "reader", &subjects)
}

/// The role `reader` with these verbs, and more fields.
fn reader(verbs: &str, more: &str) -> String {
    format!(
        "{{kind: SiteRole, metadata: {{name: reader}}, spec: {{privileged: false, assignableTo: [Organization], \
         rules: [{{apiGroups: [''], resources: [pods], verbs: [{verbs}]}}]{more}}}}}"
    )
}

/// One subject more, or a third fewer, renames all shards of a binding.
#[rstest]
#[case::one_more(128, 129)]
#[case::a_third_less(129, 90)]
fn those_who_stay_keep_a_role_while_new_shards_cannot_be_created(#[case] before: usize, #[case] after: usize) {
    let mut story = given(&[ACME, &robots(0, before)]);
    let all = story.bound_by("RoleBinding", "robots");
    assert_eq!(all.len(), before);
    let shards = story.grants();

    story.server.fault = creations_fail;
    story.apply(&robots(1, after));
    story.wait(60);
    let left = story.bound_by("RoleBinding", "robots");
    assert_eq!(left.len(), after.min(before - 1), "{left:?}");
    assert!(left.is_subset(&all) && !left.iter().any(|robot| robot.contains("robot-000")));

    // They get the role's current rights.
    story.apply(&reader("get, watch", ""));
    story.wait(60);
    let has_grown = |observed: &Observed| matches!(&observed.content, Some(RbacSpec::Rules(rules)) if rules.iter().any(|rule| rule.verbs.len() == 2));
    assert!(story.server.rbac.present.values().any(|observed| has_grown(observed)), "the role has not grown");

    story.recover();
    assert_eq!(story.bound_by("RoleBinding", "robots").len(), after);
    assert_ne!(story.grants(), shards, "no shard has another name");
}

/// The names of native bindings that are shards.
fn shards(story: &Story) -> BTreeMap<NativeKind, BTreeSet<Name>> {
    let mut shards = BTreeMap::<_, BTreeSet<Name>>::new();
    for (key, observed) in &story.server.rbac.present {
        if matches!(&observed.content, Some(RbacSpec::Binding { subjects, .. }) if subjects.len() > 1) {
            shards.entry(key.kind).or_default().insert(key.name.clone());
        }
    }
    shards
}

/// The ceiling was recreated, or the operator is the first version with a seed.
#[test]
fn another_seed_renames_all_shards_and_takes_nothing_from_anybody() {
    let more = ", clusterRules: [{nonResourceURLs: [/healthz], verbs: [get]}]";
    let mut story = given(&[ACME, &reader("get", more), &robots(0, 129)]);
    let bound = |story: &Story| {
        [("RoleBinding", "robots"), ("SiteRole", "reader")].map(|(kind, name)| story.bound_by(kind, name))
    };
    let (before, all) = (shards(&story), bound(&story));
    let of = |kind| before.get(&kind).map(BTreeSet::len);
    assert_eq!((of(NativeKind::RoleBinding), of(NativeKind::ClusterRoleBinding)), (Some(2), Some(2)));
    assert_eq!(all.each_ref().map(BTreeSet::len), [129, 130]);

    story.server.fault = creations_fail;
    story.server.seed = "7b1a6cbb-9d0c-4c07-8f6e-0d4b6f5a2c11".into();
    let ceiling = story.server.store.ceilings[&Kind::CeilingCluster].clone();
    let item = Item::Ceiling(CeilingScope::Cluster, ceiling, story.server.seed.clone());
    story.events.push(WatchEvent::Item(Box::new(item)));
    story.wait(60);
    assert_eq!(bound(&story), all, "the old shards stay until the new ones are there");

    story.recover();
    assert_eq!(bound(&story), all);
    let after = shards(&story);
    assert!(before.iter().all(|(kind, names)| after[kind].is_disjoint(names) && after[kind].len() == 2));
}

/// Found by a security review: around 8,192 holders of a SiteRole, one more or less rewrote some 200 objects each time.
#[test]
fn one_subject_more_or_less_rewrites_one_shard_and_not_all_of_them() {
    let mut story = given(&[ACME, &robots(0, 129)]);
    let shards = story.grants();
    for subjects in [128, 129, 127, 130] {
        story.apply(&robots(0, subjects));
        story.converge();
        assert_eq!(story.grants(), shards);
    }
    story.apply(&robots(0, 96));
    story.settle();
    assert_ne!(story.grants(), shards, "so many are not needed any more");
}
