//! Which object came first, when creation times are the same second.

use bailiwick::api;
use bailiwick::api::ApiKind;
use bailiwick::core::cache::Cache;
use bailiwick::core::order::{self, First, Handover};
use bailiwick::core::records::{self, Binding, Group};
use rstest::rstest;
use serde_json::{Value, json};

const SECOND: &str = "2026-11-30T08:00:00Z";
const NEXT: &str = "2026-11-30T08:00:01Z";

fn metadata(name: &str, version: u64, created: &str) -> Value {
    json!({
        "name": name, "namespace": "n0", "uid": format!("uid-of-{name}"), "generation": 1,
        "resourceVersion": version.to_string(), "creationTimestamp": created,
    })
}

fn group(version: u64, created: &str) -> Group {
    let group = json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": "Group", "metadata": metadata("g", version, created), "spec": {}});
    (&serde_json::from_value::<api::Group>(group).unwrap()).into()
}

/// As a list shows it, or as a watch shows its creation.
fn binding(version: u64, is_event: bool, older_groups: &[&str]) -> Binding {
    let mut binding = json!({
        "apiVersion": "bailiwick.dev/v1alpha1", "kind": "RoleBinding", "metadata": metadata("b", version, SECOND),
        "spec": {"roleRef": {"kind": "SiteRole", "name": "s"}, "subjects": [{"kind": "Group", "name": "g"}]},
    });
    if !older_groups.is_empty() {
        binding["status"] = json!({"olderGroups": older_groups});
    }
    let mut binding = Binding::from(&serde_json::from_value::<api::RoleBinding>(binding).unwrap());
    binding.meta.written_version = if is_event { version } else { 0 };
    binding
}

#[rstest]
#[case::the_group_was_seen_first(group(5, SECOND), binding(6, true, &[]), false)]
#[case::the_binding_was_seen_first(group(6, SECOND), binding(5, true, &[]), true)]
#[case::only_lists_showed_them(group(5, SECOND), binding(6, false, &[]), true)]
#[case::a_status_has_it_on_record(group(9, SECOND), binding(6, false, &["uid-of-g"]), false)]
#[case::a_status_has_another_group_on_record(group(9, SECOND), binding(6, false, &["uid-of-h"]), true)]
#[case::the_group_is_a_second_younger(group(9, NEXT), binding(6, false, &[]), true)]
#[case::versions_say_more_than_clocks(group(5, NEXT), binding(6, true, &[]), false)]
fn a_binding_may_have_waited_for_a_group(#[case] group: Group, #[case] binding: Binding, #[case] waited: bool) {
    assert_eq!(order::may_have_waited(&Cache::default(), &binding, &group), waited);
    assert_eq!(order::older_group(&binding, &group).is_some(), !waited, "what is not in doubt by time is not recorded");
}

#[test]
fn a_binding_that_is_older_by_time_needs_no_record() {
    let mut group = group(9, SECOND);
    group.meta.created = Some("2026-11-30T07:59:59Z".parse::<jiff::Timestamp>().unwrap().into());
    let binding = binding(6, false, &[]);
    assert!(
        !order::may_have_waited(&Cache::default(), &binding, &group) && order::older_group(&binding, &group).is_none()
    );
}

/// A later change of its status does not show when the spec was written.
#[test]
fn what_an_event_told_outlives_a_change_of_the_status_and_ends_with_a_change_of_the_spec() {
    let mut cache = Cache::default();
    let mut show = |binding: Binding| {
        cache.binding(&"n0".into(), &"b".into(), Some(binding), None);
        cache.local["n0"].bindings.get("b").unwrap().meta.written_version
    };
    assert_eq!(show(binding(5, true, &[])), 5);
    assert_eq!(show(binding(7, true, &[])), 5, "the status changed");
    let mut written = binding(9, false, &[]);
    written.meta.generation = 2;
    assert_eq!(show(written.clone()), 0, "the spec changed at some version between");
    written.meta.version = 11;
    written.meta.generation = 3;
    written.meta.written_version = 11;
    assert_eq!(show(written), 11);
}

#[test]
fn the_first_event_of_an_object_that_is_not_new_tells_nothing() {
    let mut cache = Cache::default();
    let mut late = binding(5, true, &[]);
    late.meta.generation = 2;
    cache.binding(&"n0".into(), &"b".into(), Some(late), None);
    assert_eq!(cache.local["n0"].bindings.get("b").unwrap().meta.written_version, 0);
}

/// `new` holds the namespace since it changed hands; it was vacated at version 20, until [`SECOND`].
fn handover() -> Handover {
    let mut cache = Cache::default();
    cache.bounds.namespace_whitelist.insert("n0".to_owned());
    let organization = json!({
        "apiVersion": "bailiwick.dev/v1alpha1", "kind": "Organization",
        "metadata": {"name": "new", "uid": "uid-of-new", "resourceVersion": "1", "creationTimestamp": SECOND},
        "spec": {"namespace": "n0"},
    });
    let organization: api::Organization = serde_json::from_value(organization).unwrap();
    cache.organization(&"new".into(), Some((&organization).into()), None);
    let mut show = |version: u64, labels: Value, annotations: Value| {
        let meta = json!({"name": "n0", "uid": "n", "resourceVersion": version.to_string(), "labels": labels, "annotations": annotations});
        let meta: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta = serde_json::from_value(meta).unwrap();
        cache.namespace(&"n0".into(), Some((&meta).into()), None);
    };
    let last = "bailiwick.dev/last-organization";
    show(20, json!({}), json!({last: "old", "bailiwick.dev/vacated-at": SECOND}));
    show(
        30,
        json!({"bailiwick.dev/organization": "new"}),
        json!({last: "new", "bailiwick.dev/organization-uid": "uid-of-new", "bailiwick.dev/claimed-at": SECOND}),
    );
    Handover::of(&cache, "n0").unwrap()
}

#[rstest]
#[case::written_before_it_was_vacated(19, true, None, true)]
#[case::of_the_version_of_the_vacancy_itself(20, true, None, true)]
#[case::written_while_it_was_vacant(21, true, None, false)]
#[case::written_after_the_claim(31, true, None, false)]
#[case::only_a_list_showed_it(31, false, None, true)]
#[case::a_status_has_it_on_record(19, false, Some("new"), false)]
#[case::it_was_another_organizations(19, false, Some("old"), true)]
fn an_object_of_the_second_of_a_handover(
    #[case] version: u64,
    #[case] is_event: bool,
    #[case] recorded: Option<&str>,
    #[case] former: bool,
) {
    let mut binding = binding(version, is_event, &[]);
    binding.meta.belongs_to = recorded.map(Into::into);
    let handover = handover();
    assert_eq!(
        order::predates_claim(&Cache::default(), ApiKind::RoleBinding, &binding.meta, Some(&handover)).is_some(),
        former
    );
    assert_eq!(order::belongs_to(&binding.meta, Some(&handover)).is_some(), !former);
    binding.meta.created = Some(NEXT.parse::<jiff::Timestamp>().unwrap().into());
    assert!(
        order::predates_claim(&Cache::default(), ApiKind::RoleBinding, &binding.meta, Some(&handover)).is_none(),
        "its time is beyond doubt"
    );
    assert_eq!(order::belongs_to(&binding.meta, Some(&handover)), None, "and needs no record");
}

fn user(name: &str, second: &str, seen_at: u64, suspended: bool) -> api::User {
    let mut meta = metadata(name, seen_at.max(1), second);
    meta.as_object_mut().unwrap().remove("namespace");
    let user = json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": "User", "metadata": meta, "spec": {"username": "zed", "suspended": suspended}});
    serde_json::from_value(user).unwrap()
}

/// Two Users with one username: the first one counts, suspended or not.
#[rstest]
#[case::the_older_one(("a", SECOND, 0, false), ("b", NEXT, 0, true), "a")]
#[case::the_older_one_is_suspended(("a", NEXT, 0, false), ("b", SECOND, 0, true), "b")]
#[case::of_one_second_the_first_seen(("b", SECOND, 5, false), ("a", SECOND, 6, true), "b")]
#[case::of_one_second_the_suspended_one(("a", SECOND, 0, false), ("b", SECOND, 0, true), "b")]
#[case::only_one_was_seen(("a", SECOND, 5, false), ("b", SECOND, 0, true), "b")]
#[case::both_are_active(("b", SECOND, 0, false), ("a", SECOND, 0, false), "a")]
fn of_two_users_with_one_username_one_counts(
    #[case] one: (&str, &str, u64, bool),
    #[case] other: (&str, &str, u64, bool),
    #[case] counts: &str,
) {
    for order in [[one, other], [other, one]] {
        let mut cache = Cache::default();
        for (name, second, seen_at, suspended) in order {
            let mut record = records::User::from(&user(name, second, seen_at, suspended));
            record.meta.written_version = seen_at;
            cache.user(&name.into(), Some(record), None);
        }
        assert_eq!(&*cache.canonical_user(&"zed".into()).unwrap().meta.name, counts);
        assert_eq!(cache.speakers().count(), 1);
        assert_eq!(cache.contested_usernames().count(), 1);
    }
}

#[rstest]
#[case::none(&[], Some(None))]
#[case::one(&[("a", SECOND, 0)], Some(Some("a")))]
#[case::a_tie(&[("a", SECOND, 0), ("b", SECOND, 0)], None)]
#[case::a_tie_behind_the_first(&[("b", SECOND, 0), ("c", SECOND, 0), ("a", "2026-11-30T07:00:00Z", 0)], Some(Some("a")))]
#[case::a_tie_of_three_with_one_seen(&[("a", SECOND, 3), ("b", SECOND, 0), ("c", SECOND, 2)], None)]
#[case::a_tie_that_was_seen(&[("a", SECOND, 3), ("b", SECOND, 4), ("c", SECOND, 2)], Some(Some("c")))]
fn the_first_of_several(#[case] objects: &[(&str, &str, u64)], #[case] first: Option<Option<&str>>) {
    let users = objects.iter().map(|(name, second, seen_at)| {
        let mut record = records::User::from(&user(name, second, *seen_at, false));
        record.meta.written_version = *seen_at;
        record
    });
    let mut users: Vec<records::User> = users.collect();
    for _ in 0..users.len().max(1) {
        let found = match order::first(users.iter(), |user| &user.meta) {
            First::Known(user) => Some(user.map(|user| &*user.meta.name)),
            First::Open(_) => None,
        };
        assert_eq!(found, first);
        if !users.is_empty() {
            users.rotate_left(1);
        }
    }
}

const DOUBTS: &[&str] = &["n0/RoleBinding/b", "n0/RoleBinding/b Group/g"];

/// After a restore, until somebody writes the spec.
#[rstest]
#[case::it_was_restored(DOUBTS, "uid-before", false, true)]
#[case::somebody_has_written_it(DOUBTS, "uid-before", true, false)]
#[case::it_is_the_same_object(DOUBTS, "uid-of-b", false, false)]
#[case::the_record_is_full(&["n0/*"], "", false, true)]
#[case::the_record_is_full_and_somebody_has_written_it(&["n0/*"], "", true, false)]
#[case::the_record_of_another_namespace_is_full(&["n1/*"], "", false, false)]
fn a_doubt_of_before_a_restore(
    #[case] doubts: &[&str],
    #[case] uid: &str,
    #[case] is_written: bool,
    #[case] doubted: bool,
) {
    let mut cache = Cache::default();
    for doubt in doubts {
        cache.kept.doubts.insert((*doubt).to_owned(), uid.to_owned());
    }
    let mut group = group(1, SECOND);
    group.meta.created = Some("2026-11-30T07:59:59Z".parse::<jiff::Timestamp>().unwrap().into());
    group.vouched = true;
    let binding = binding(9, is_written, &[]);
    assert_eq!(order::predates_claim(&cache, ApiKind::RoleBinding, &binding.meta, None).is_some(), doubted);
    assert_eq!(order::may_have_waited(&cache, &binding, &group), doubted);
}
