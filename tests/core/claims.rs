//! Which organization holds which namespace, and which one is the default: the product's promises, and invariants of
//! every history.

use bailiwick::api::vocabulary as v;
use bailiwick::core::claims;
use bailiwick::core::order::{self, First};
use proptest::prelude::*;
use rstest::rstest;

use crate::build::given;
use crate::cases;
use crate::fake::{Kind, Object, Op, RELEASE, SPACES, namespace, slot};
use crate::histories::history;
use crate::shell::Shell;

const O: Kind = Kind::Organization;

fn organization(name: &str, spec: &str) -> String {
    format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n---\n")
}

/// The record on a namespace: the organization's name and UID.
fn record(shell: &Shell, namespace: &str) -> Option<(String, String)> {
    let Some(Object::Namespace(meta)) = shell.store.objects.get(&slot(Kind::Namespace, "", namespace)) else {
        return None;
    };
    let name = meta.labels.as_ref()?.get(v::ORGANIZATION)?.clone();
    Some((name, meta.annotations.as_ref()?.get(v::ORGANIZATION_UID)?.clone()))
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn one_default_one_holder_and_records_that_stand(ops in history(50)) {
        let mut shell = Shell::new();
        for op in &ops {
            let before: Vec<_> = SPACES.iter().map(|ns| (*ns, record(&shell, ns))).collect();
            shell.play(std::slice::from_ref(op));
            let organizations = shell.store.objects.keys().filter(|(kind, ..)| *kind == O).count();
            // While their order is unknown, there is none.
            let first = order::first(claims::equal_candidates(&shell.cache), |organization| &organization.meta);
            let is_one = organizations > 0 && !matches!(first, First::Open(_));
            let defaults = shell.defaults().len();
            prop_assert!(defaults == usize::from(is_one) || defaults == 1 && organizations > 0, "{:?}", shell.defaults());
            // Each organization holds at most one namespace, and each namespace has at most one holder.
            let mut held = std::collections::BTreeMap::new();
            for name in shell.all.organizations.keys() {
                if let Some(namespace) = shell.holds(name) {
                    prop_assert_eq!(claims::holder(&shell.cache, &namespace).map(|o| o.meta.name.clone()), Some(name.clone()));
                    prop_assert!(held.insert(namespace, name.clone()).is_none());
                }
            }
            for (namespace, before) in before {
                let let_go = match op {
                    Op::Replace(o) => o.slot().0 == Kind::Namespace,
                    Op::Release(name) => *name == namespace,
                    _ => false,
                };
                if let (Some(before), Some(after), false) = (before, record(&shell, namespace), let_go) {
                    // A record names the same organization while it exists; only another object of that name may take
                    // its place.
                    prop_assert_eq!(&before.0, &after.0, "the claim on {} has moved", namespace);
                }
            }
        }
    }

    /// Whatever was applied in whatever order: asked again, the same organization stays the default.
    #[test]
    fn the_default_stays_until_it_stops_asking_and_another_asks(ops in history(40)) {
        let mut shell = Shell::new();
        for op in &ops {
            let before = shell.defaults();
            shell.play(std::slice::from_ref(op));
            let after = shell.defaults();
            let Some(incumbent) = before.first() else { continue };
            if after == before {
                continue;
            }
            let replaced = matches!(op, Op::Replace(o) if o.slot().2 == *incumbent);
            match shell.store.objects.get(&slot(O, "", incumbent)) {
                Some(Object::Organization(o)) if !replaced => {
                    prop_assert!(!o.spec.default, "it still asks");
                    let Some(Object::Organization(new)) = shell.store.objects.get(&slot(O, "", &after[0])) else {
                        panic!("the default is not there")
                    };
                    prop_assert!(new.spec.default, "nobody asked");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn first_come_first_served() {
    let shell = given(&(organization("first", "namespace: n0") + &organization("second", "namespace: n0")));
    assert_eq!(shell.says(O, "first", "NamespaceAssigned"), "True Assigned");
    assert_eq!(shell.says(O, "second", "NamespaceAssigned"), "False AlreadyClaimed");
    assert_eq!(shell.holds("second"), None);
}

#[test]
fn of_two_that_come_at_once_the_older_gets_the_namespace() {
    let mut shell = Shell::new();
    let apply =
        crate::build::objects(&(organization("younger", "namespace: n0") + &organization("older", "namespace: n0")));
    // Seen in reverse order: the younger one is a second younger.
    for object in apply.into_iter().rev() {
        shell.store.now += 2;
        let events = shell.store.act(&Op::Put(Box::new(object)));
        shell.take_in(events);
    }
    shell.decide();
    shell.settle();
    assert_eq!(shell.holds("older").as_deref(), Some("n0"));
    assert_eq!(shell.says(O, "younger", "Ready"), "False AlreadyClaimed");
}

#[test]
fn a_deleted_organization_leaves_its_namespace_reserved_for_its_name() {
    let mut shell = given(&organization("a", "namespace: n0"));
    shell.delete(O, "", "a");
    shell.apply(&organization("b", "namespace: n0"));
    assert_eq!(shell.says(O, "b", "NamespaceAssigned"), "False ReservedFor");
    // Another organization of the same name cannot claim another namespace …
    shell.apply(&organization("a", "namespace: n1"));
    assert_eq!(shell.says(O, "a", "NamespaceAssigned"), "False ReservedElsewhere");
    // … and gets its own back once the record names it.
    shell.delete(O, "", "a");
    shell.apply(&organization("a", "namespace: n0"));
    assert_eq!(shell.holds("a").as_deref(), Some("n0"));
    let uid = shell.cache.organizations.get("a").unwrap().meta.uid.to_string();
    assert_eq!(record(&shell, "n0"), Some(("a".to_owned(), uid)));
}

/// In many clusters people may create namespaces of their own, with any label.
#[test]
fn a_record_on_a_namespace_that_is_not_whitelisted_keeps_nobody_from_their_own() {
    let mut shell = given("");
    let labels = [(v::ORGANIZATION.to_owned(), "a".to_owned())];
    let events = shell.store.edit_namespace("n2", |meta| meta.labels = Some(labels.into()));
    shell.take_in(events);
    shell.apply(&organization("a", "namespace: n0"));
    assert_eq!(shell.holds("a").as_deref(), Some("n0"));
}

/// Found by `nothing_is_missed_by_deciding_only_what_is_affected`: the other namespace was never claimed.
#[test]
fn when_a_record_elsewhere_is_released_the_wanted_namespace_is_claimed() {
    let mut shell = given(&organization("a", "namespace: n0"));
    shell.delete(O, "", "a");
    shell.apply(&organization("a", "namespace: n1"));
    assert_eq!(shell.holds("a"), None);
    shell.play(&[Op::Release("n0")]);
    shell.check();
    assert_eq!(shell.holds("a").as_deref(), Some("n1"));
}

#[test]
fn after_a_release_another_organization_gets_the_namespace_but_nothing_that_was_in_it() {
    let rest = "
kind: User
metadata: {name: ada}
---
kind: SiteRole
metadata: {name: s0}
spec: {privileged: false, assignableTo: [Organization], permissions: [{resource: workspaces, actions: [read]}]}
---
kind: CustomRole
metadata: {name: c0, namespace: n0}
spec: {permissions: [{resource: workspaces, actions: [update]}]}
---
kind: Group
metadata: {name: g0, namespace: n0}
spec: {members: [ada]}
---
kind: RoleBinding
metadata: {name: old, namespace: n0}
spec: {roleRef: {kind: SiteRole, name: s0}, subjects: [{kind: User, name: ada}]}
";
    let default = organization("d", "default: true");
    let mut shell = given(&(default + &organization("a", "namespace: n0, memberRole: s0") + rest));
    assert!(shell.can("ada", "n0", "get apps/deployments"));
    shell.delete(O, "", "a");
    shell.apply(&organization("b", "namespace: n0, memberRole: s0"));
    shell.play(&[Op::Wait(4), Op::Release("n0"), Op::Wait(4)]);
    assert_eq!(shell.holds("b").as_deref(), Some("n0"));
    assert!(!shell.can("ada", "n0", "get apps/deployments"));
    for (kind, name) in [(Kind::RoleBinding, "old"), (Kind::Group, "g0"), (Kind::CustomRole, "c0")] {
        assert_eq!(shell.says(kind, name, "Ready"), "False FromFormerOrganization");
    }
    // New objects count, but bring nothing old back.
    shell.apply("{kind: RoleBinding, metadata: {name: new, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c0}, subjects: [{kind: Group, name: g0}]}}");
    assert_eq!(shell.says(Kind::RoleBinding, "new", "RoleResolved"), "False FromFormerOrganization");
    // The former one returns only after another release.
    shell.apply(&organization("a", "namespace: n0"));
    assert_eq!(shell.says(O, "a", "NamespaceAssigned"), "False AlreadyClaimed");
}

#[test]
fn a_namespace_is_vacated_before_it_changes_hands() {
    let mut shell = given(&organization("a", "namespace: n0"));
    shell.delete(O, "", "a");
    shell.apply(&organization("b", "namespace: n0"));
    let events = shell.store.act(&Op::Release("n0"));
    shell.take_in(events);
    let now = shell.store.time();
    assert_eq!(claims::claim(&shell.cache, "n0", now, false), None, "something of a is still there");
    let claim = claims::claim(&shell.cache, "n0", now, true).unwrap();
    assert_eq!((claim.organization.as_deref(), &*claim.last_organization.0), (None, "a"), "first it is vacated");
    let vacated_at = claim.vacated_at;
    let end_of_this_second = jiff::Timestamp::from_second(now.as_second() + 1).unwrap();
    assert_eq!(vacated_at, Some(end_of_this_second), "until then objects may be a's");
    let events = shell.store.record_claim(&claim);
    shell.take_in(events);
    let claim = claims::claim(&shell.cache, "n0", now, true).unwrap();
    assert_eq!((claim.organization.as_deref(), claim.vacated_at), (Some("b"), None));
    assert_eq!(claim.claimed_at, vacated_at);
}

#[rstest]
#[case::not_whitelisted("namespace: n2", "False NotWhitelisted")]
#[case::no_such_namespace("namespace: n9", "False NamespaceNotFound")]
#[case::terminating("namespace: n1", "False NamespaceTerminating")]
#[case::fine("namespace: n0", "True Assigned")]
#[case::none("", "False NotSet")]
fn a_namespace_has_to_be_available(#[case] spec: &str, #[case] said: &str) {
    let mut shell = given(&organization("incumbent", "default: true, namespace: release"));
    shell.play(&[Op::Terminate("n1"), Op::Bounds(vec!["n0", "n1", "n9", RELEASE], false)]);
    shell.apply(&organization("o", spec));
    assert_eq!(shell.says(O, "o", "NamespaceAssigned"), said);
    let ready = if said == "False NotSet" { "True NotSet" } else { said };
    let ready = if said == "True Assigned" { "False RoleNotFound" } else { ready };
    assert_eq!(shell.says(O, "o", "Ready"), ready, "the member role is not there either");
}

/// `spec.namespace` cannot be changed, so the message has to name every way out.
#[rstest]
#[case::a_letter_less("team-blu", Some("team-blue"))]
#[case::two_letters_swapped("taem-blue", Some("team-blue"))]
#[case::nothing_like_it("accounting", None)]
fn a_mistyped_namespace_is_met_with_the_similar_one(#[case] name: &str, #[case] similar: Option<&str>) {
    let mut shell = given(&organization("incumbent", "default: true, namespace: release"));
    shell.play(&[Op::Bounds(vec!["team-blue", "team-green", RELEASE], false)]);
    shell.apply(&organization("o", &format!("namespace: {name}")));
    let message = shell.condition(O, "o", "NamespaceAssigned").message.to_string();
    let hint = similar.map_or_else(String::new, |similar| format!(" Did you mean {similar}?"));
    assert_eq!(
        message,
        format!(
            "Namespace {name} is not available.{hint} Add {name:?} to the Helm value `namespaceWhitelist` and upgrade the \
             release, or recreate this Organization with another `spec.namespace`."
        )
    );
}

#[test]
fn a_namespace_that_leaves_the_whitelist_leaves_its_grants() {
    let mut shell = given(
        &(organization("o", "namespace: n0, memberRole: s0")
            + "
kind: SiteRole
metadata: {name: s0}
spec: {privileged: false, assignableTo: [Organization], permissions: [{resource: workspaces, actions: [read]}]}
---
kind: User
metadata: {name: ada}
---
kind: Group
metadata: {name: g, namespace: n0}
spec: {members: [ada]}
"),
    );
    assert!(shell.can("ada", "n0", "get apps/deployments"));
    shell.play(&[Op::Bounds(vec![RELEASE], false)]);
    assert!(!shell.can("ada", "n0", "get apps/deployments"));
    assert_eq!(shell.says(O, "o", "Ready"), "False NotWhitelisted");
    assert_eq!(shell.says(Kind::Group, "g", "Ready"), "False NoOrganization");
    // It is still on record, so it returns with the whitelist.
    shell.play(&[Op::Bounds(vec!["n0"], false)]);
    assert!(shell.can("ada", "n0", "get apps/deployments"));
}

#[test]
fn the_only_organization_is_the_default_one_and_takes_the_release_namespace() {
    let shell = given(&organization("o", ""));
    assert_eq!(shell.defaults(), ["o"]);
    assert_eq!(shell.holds("o").as_deref(), Some(RELEASE));
}

#[test]
fn when_the_default_moves_on_no_namespace_moves() {
    let mut shell = given(&(organization("a", "default: true") + &organization("b", "namespace: n0, default: true")));
    assert_eq!(shell.defaults(), ["a"]);
    assert_eq!(shell.says(O, "b", "Default"), "False AlreadyTaken");
    shell.apply(&organization("a", "default: false"));
    assert_eq!(shell.defaults(), ["b"]);
    assert_eq!((shell.holds("a").as_deref(), shell.holds("b").as_deref()), (Some(RELEASE), Some("n0")));
    shell.apply(&organization("b", "namespace: n0, default: false"));
    assert_eq!(shell.defaults(), ["b"], "nobody asks: the incumbent stays");
}

#[test]
fn the_default_organization_takes_no_namespace_that_somebody_names() {
    let shell = given(&(organization("a", "namespace: release") + &organization("b", "default: true")));
    assert_eq!(shell.defaults(), ["b"]);
    assert_eq!(shell.holds("a").as_deref(), Some(RELEASE));
    assert_eq!(shell.says(O, "b", "NamespaceAssigned"), "False NotSet");
    let shell = given(&(organization("a", "default: true") + &organization("b", "namespace: release")));
    assert_eq!(shell.says(O, "b", "NamespaceAssigned"), "False AlreadyClaimed");
}

#[test]
fn without_a_whitelisted_release_namespace_the_default_organization_is_inert() {
    let mut shell = Shell::new();
    shell.play(&[Op::Bounds(vec!["n0"], false)]);
    shell.apply(&organization("a", "default: true"));
    assert_eq!(shell.says(O, "a", "Ready"), "True NotSet");
}

/// Two manifests in any order have one result: never none, never two.
#[rstest]
#[case::both_ask("default: true", "default: true", "first")]
#[case::second_asks("", "default: true", "second")]
#[case::first_asks("default: true", "", "first")]
#[case::nobody_asks("", "", "first")]
fn the_default_after_two_manifests(#[case] first: &str, #[case] second: &str, #[case] default: &str) {
    let shell = given(&(organization("first", first) + &organization("second", second)));
    assert_eq!(shell.defaults(), [default]);
}

#[test]
fn without_an_incumbent_the_oldest_that_asks_is_the_default() {
    let mut shell = given(
        &(organization("incumbent", "default: true")
            + &organization("old", "")
            + &organization("asks", "default: true")
            + &organization("asks-too", "default: true")),
    );
    shell.delete(O, "", "incumbent");
    assert_eq!(shell.defaults(), ["asks"]);
    shell.delete(O, "", "asks");
    shell.delete(O, "", "asks-too");
    assert_eq!(shell.defaults(), ["old"]);
}

#[test]
fn the_default_is_taken_before_it_is_given() {
    let mut shell = given(&(organization("a", "default: true") + &organization("b", "")));
    for (name, spec) in [("a", "default: false"), ("b", "default: true")] {
        let object = crate::build::objects(&organization(name, spec)).remove(0);
        let events = shell.store.act(&Op::Put(Box::new(object)));
        shell.take_in(events);
    }
    let cache = &shell.cache;
    let says = |name: &str| claims::should_record_default(cache, cache.organizations.get(name).unwrap());
    assert_eq!((says("a"), says("b")), (false, false));
    assert!(claims::default_organization(cache).is_none());
}

#[test]
fn what_was_there_before_a_claim_is_the_former_organizations_whatever_the_clocks_say() {
    let mut shell = given(&organization("a", "namespace: n0"));
    shell.delete(O, "", "a");
    shell.apply("{kind: Group, metadata: {name: g0, namespace: n0}, spec: {members: [ada]}}");
    shell.act(&Op::Release("n0"));
    shell.act(&Op::Put(Box::new(crate::build::objects(&organization("b", "namespace: n0")).remove(0))));
    let created = shell.cache.local["n0"].newest().unwrap();
    // The operator's clock is a minute behind that of the API server.
    let behind = shell.store.time() - jiff::SignedDuration::from_mins(1);
    let claim = claims::claim(&shell.cache, "n0", behind, true).unwrap();
    assert!(claim.vacated_at.unwrap() > created, "{claim:?}, and the Group of {created}");
}

/// It counts once there is room, and must not be taken for one of the new organization then.
#[test]
fn what_is_beyond_a_limit_is_the_former_organizations_too() {
    let mut shell = given(&organization("a", "namespace: n0"));
    let names: Vec<String> = (0..8_000).map(|n| format!("'{n:04}{}'", "\u{1d54f}".repeat(120))).collect();
    let names = names.join(", ");
    for name in ["first", "second"] {
        shell.apply(&format!(
            "{{kind: Group, metadata: {{name: {name}, namespace: n0}}, spec: {{members: [{names}]}}}}"
        ));
    }
    let local = &shell.cache.local["n0"];
    assert_eq!(local.groups.excess().map(|meta| &*meta.name).collect::<Vec<_>>(), ["second"]);
    let created = |name: &str| local.groups.meta(name).unwrap().created.map(jiff::Timestamp::from).unwrap();
    let (first, second) = (created("first"), created("second"));
    assert!(first < second);
    shell.delete(O, "", "a");
    shell.act(&Op::Release("n0"));
    shell.act(&Op::Put(Box::new(crate::build::objects(&organization("b", "namespace: n0")).remove(0))));
    // The operator's clock is behind that of the API server.
    let claim = claims::claim(&shell.cache, "n0", first, true).unwrap();
    assert!(claim.vacated_at.unwrap() >= second, "{claim:?}, and the Group of {second}");
}

#[test]
fn a_namespace_that_nobody_asks_about_is_no_work_for_others() {
    let mut shell = given(&(organization("a", "namespace: n0") + &organization("b", "namespace: n1")));
    let slot = slot(Kind::Namespace, "", "elsewhere");
    for op in [Op::Put(Box::new(namespace("elsewhere"))), Op::Terminate("elsewhere"), Op::Delete(slot)] {
        for event in shell.store.act(&op) {
            let affected = event.feed(&mut shell.cache);
            assert_eq!(affected.namespaces.iter().map(|name| &**name).collect::<Vec<_>>(), ["elsewhere"]);
            assert!(!affected.site && !affected.all && affected.organizations.is_empty(), "{affected:?}");
        }
    }
}

#[test]
fn a_namespace_in_which_nothing_of_ours_is_left_is_forgotten() {
    let mut shell = given("{kind: Group, metadata: {name: g0, namespace: n2}, spec: {members: [ada]}}");
    assert!(shell.cache.local.contains_key("n2"));
    shell.delete(Kind::Group, "n2", "g0");
    assert!(shell.cache.local.is_empty());
}
