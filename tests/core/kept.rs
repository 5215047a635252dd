//! Decisions that a backup restores: see `docs/operations.md`.

use bailiwick::core::kept::Kept;
use bailiwick::core::plan::Present;
use rstest::rstest;

use crate::build::{given, objects};
use crate::fake::{Kind, Op};
use crate::shell::{All, Shell};

/// Restores a backup of a site: specs, ordered by name, without UIDs, statuses or old times. `decisions`: whether the
/// record of decisions is restored, too.
fn restored(before: &Shell, yaml: &str, decisions: bool) -> Shell {
    let mut shell = Shell::new();
    shell.store.uids = before.store.uids;
    if decisions {
        shell.cache.kept = Kept::of(&before.cache);
        let again: Kept = serde_json::from_str(&shell.cache.kept.text()).unwrap();
        assert_eq!(again.text(), shell.cache.kept.text());
    }
    // No operator runs meanwhile.
    all_at_once(&mut shell, yaml);
    shell
}

fn all_at_once(shell: &mut Shell, yaml: &str) {
    for object in objects(yaml) {
        shell.store.now += 2;
        let events = shell.store.act(&Op::Put(Box::new(object)));
        shell.take_in(events);
    }
    shell.act(&Op::Wait(1));
    shell.settle();
}

/// The next start of the operator grants nothing to anybody who held nothing.
fn assert_the_same_after_a_restart(before: &Shell) {
    let mut cache = before.store.cache();
    cache.kept = serde_json::from_str(&Kept::of(&before.cache).text()).unwrap();
    let again = All::from_scratch(&mut cache, before.store.time(), &Present::new());
    assert_eq!(again.desired(), before.all.desired());
}

const ZED: &str = "{kind: User, metadata: {name: zed-hr}, spec: {username: zed, suspended: true}}
---
{kind: Organization, metadata: {name: o}, spec: {namespace: n0}}
---
{kind: SiteRole, metadata: {name: s}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: s}, subjects: [{kind: User, name: zed}]}}
";
const YOUNGER: &str = "{kind: User, metadata: {name: a-zed}, spec: {username: zed}}\n---\n";

#[rstest]
#[case::with_the_record(true, false)]
#[case::without_it_the_older_one_counts(false, true)]
fn of_two_users_with_one_username_the_same_one_counts(#[case] decisions: bool, #[case] can: bool) {
    let mut before = given(ZED);
    before.apply(YOUNGER);
    assert!(!before.can("zed", "n0", "get pods"));
    let after = restored(&before, &(YOUNGER.to_owned() + ZED), decisions);
    assert_eq!(after.can("zed", "n0", "get pods"), can);
}

#[test]
fn the_holder_of_a_role_and_the_default_organization_stay() {
    let role = "{kind: SiteRole, metadata: {name: s}, spec: {singleHolder: true, privileged: false, assignableTo: [Site], clusterRules: [{nonResourceURLs: [/healthz], verbs: [get]}]}}\n---\n";
    let user = |name: &str| format!("{{kind: User, metadata: {{name: {name}}}, spec: {{username: {name}}}}}\n---\n");
    let bind = |name: &str, user: &str| {
        format!(
            "{{kind: SiteRoleBinding, metadata: {{name: {name}}}, spec: {{roleRef: {{name: s}}, subjects: [{{kind: User, name: {user}}}]}}}}\n---\n"
        )
    };
    let organization = |name: &str| format!("{{kind: Organization, metadata: {{name: {name}}}}}\n---\n");
    let site = |first: &str, second: &str, bindings: [String; 2]| {
        organization(first) + &organization(second) + role + &user("ada") + &user("bob") + &bindings.concat()
    };
    let before = given(&site("zeta", "alpha", [bind("z", "ada"), bind("a", "bob")]));
    let restore = site("alpha", "zeta", [bind("a", "bob"), bind("z", "ada")]);
    let holds = |shell: &Shell| (shell.can("ada", "", "get /healthz"), shell.defaults());
    assert_eq!(holds(&before), (true, vec!["zeta".to_owned()]));
    assert_eq!(holds(&restored(&before, &restore, true)), (true, vec!["zeta".to_owned()]));
    assert_eq!(holds(&restored(&before, &restore, false)), (false, vec!["alpha".to_owned()]), "who is older now");
}

#[test]
fn a_namespace_stays_with_the_organization_that_held_it_until_it_is_released() {
    let organization =
        |name: &str| format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{namespace: n0}}}}\n---\n");
    let before = given(&(organization("zeta") + &organization("alpha")));
    assert_eq!(before.holds("zeta").as_deref(), Some("n0"));
    let mut after = restored(&before, &organization("alpha"), true);
    assert_eq!(after.says(Kind::Organization, "alpha", "NamespaceAssigned"), "False ReservedFor");
    after.apply(&organization("zeta"));
    assert_eq!(after.holds("zeta").as_deref(), Some("n0"));
    after.delete(Kind::Organization, "", "zeta");
    after.play(&[Op::Release("n0"), Op::Wait(4)]);
    assert_eq!(after.holds("alpha").as_deref(), Some("n0"));
    assert_eq!(Kept::of(&after.cache).claims["n0"], "alpha");
    assert_eq!(restored(&before, &organization("alpha"), false).holds("alpha").as_deref(), Some("n0"));
}

const READER: &str = "{kind: SiteRole, metadata: {name: s}, spec: {privileged: true, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: User, metadata: {name: ada}, spec: {username: ada}}
---
";

fn reads(name: &str, subject: &str) -> String {
    format!(
        "{{kind: RoleBinding, metadata: {{name: {name}, namespace: n0}}, spec: {{roleRef: {{kind: SiteRole, name: s}}, subjects: [{subject}]}}}}\n---\n"
    )
}

/// Restores twice, because the second start of the operator finds statuses, and the record of the first one.
#[rstest]
#[case::with_the_record(true, false)]
#[case::without_it_age_says_nothing_any_more(false, true)]
fn what_a_former_organization_left_stays_withheld(#[case] decisions: bool, #[case] can: bool) {
    let organization =
        |name: &str| format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{namespace: n0}}}}\n---\n");
    let left = reads("left", "{kind: User, name: ada}");
    let mut before = given(&(READER.to_owned() + &organization("old") + &left));
    assert!(before.can("ada", "n0", "get pods"));
    before.delete(Kind::Organization, "", "old");
    before.play(&[Op::Release("n0"), Op::Wait(4)]);
    before.apply(&organization("new"));
    assert_eq!(before.holds("new").as_deref(), Some("n0"));
    assert!(!before.can("ada", "n0", "get pods"));
    let new = reads("of-the-new-one", "{kind: ExternalGroup, name: crew}");
    let all = READER.to_owned() + &organization("new") + &left + &new;
    let after = restored(&before, &all, decisions);
    assert_eq!(after.can("ada", "n0", "get pods"), can);
    assert_eq!(after.says(Kind::RoleBinding, "of-the-new-one", "Ready"), "True Reconciled");
    let later = restored(&after, &all, true);
    assert_eq!(later.can("ada", "n0", "get pods"), can);
}

/// Groups are restored before bindings, and the restoring user may bind.
#[rstest]
#[case::with_the_record(true, false)]
#[case::without_it_age_says_nothing_any_more(false, true)]
fn a_group_that_a_binding_may_have_waited_for_gets_nothing(#[case] decisions: bool, #[case] can: bool) {
    let organization = "{kind: Organization, metadata: {name: o}, spec: {namespace: n0}}\n---\n";
    let group = "{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada]}}\n---\n";
    let waits = reads("waits", "{kind: Group, name: g}");
    let mut before = given(&(READER.to_owned() + organization + &waits));
    before.apply(group);
    assert!(!before.can("ada", "n0", "get pods"));
    let vouched = group.replace("namespace: n0}", "namespace: n0, annotations: {bailiwick.dev/vouched: 'true'}}");
    let all = READER.to_owned() + organization + &vouched + &waits;
    let after = restored(&before, &all, decisions);
    assert_eq!(after.can("ada", "n0", "get pods"), can);
    let later = restored(&after, &all, true);
    assert_eq!(later.can("ada", "n0", "get pods"), can);
}

/// One organization fills the record with doubts about its own objects; those of another one stay.
#[test]
fn nobody_crowds_out_what_is_recorded_of_others() {
    let organization = |name: &str, space: &str| {
        format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{namespace: {space}}}}}\n---\n")
    };
    let waits = reads("waits", "{kind: Group, name: g}").replace("n0", "n1");
    let crowd: String =
        (0..600).map(|n| reads(&format!("{n}-{}", "x".repeat(240)), "{kind: Group, name: g}")).collect();
    let mut before = given(&(READER.to_owned() + &organization("o", "n0") + &organization("p", "n1") + &waits));
    all_at_once(&mut before, &crowd);
    let group = "{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada]}}\n---\n";
    before.apply(&(group.to_owned() + &group.replace("n0", "n1")));
    let kept = Kept::of(&before.cache);
    assert!(kept.doubts.contains_key("n1/RoleBinding/waits Group/g"));
    assert!(kept.doubts.len() == 2 && kept.text().len() < 512 << 10, "{}", kept.doubts.len());
}

/// More than the record can name.
#[test]
fn nobody_gets_access_back_by_leaving_very_much_behind() {
    let organization =
        |name: &str| format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{namespace: n0}}}}\n---\n");
    let crew = "{kind: ExternalGroup, name: crew}";
    let crowd: String = (0..600).map(|n| reads(&format!("a-{n}"), crew)).collect();
    let left = crowd + &reads("left", "{kind: User, name: ada}");
    let mut before = Shell::new();
    all_at_once(&mut before, &(READER.to_owned() + &organization("old") + &left));
    assert!(before.can("ada", "n0", "get pods"));
    before.delete(Kind::Organization, "", "old");
    before.play(&[Op::Release("n0"), Op::Wait(4)]);
    before.apply(&(organization("new") + &reads("of-the-new-one", "{kind: ExternalGroup, name: new}")));
    assert!(!before.can("ada", "n0", "get pods"));
    assert_eq!(Kept::of(&before.cache).doubts, [("n0/*".to_owned(), String::new())].into());
    assert_the_same_after_a_restart(&before);

    let all = READER.to_owned() + &organization("new") + &left;
    let after = restored(&before, &(all + &reads("of-the-new-one", "{kind: ExternalGroup, name: new}")), true);
    assert!(!after.can("ada", "n0", "get pods"));
    assert_eq!(after.says(Kind::RoleBinding, "left", "Ready"), "False NotOnRecord");
    assert_eq!(
        after.says(Kind::RoleBinding, "of-the-new-one", "Ready"),
        "False NotOnRecord",
        "nothing tells them apart"
    );
    assert_the_same_after_a_restart(&after);

    // There are few now, and the record names them; their new UIDs, from after the restore, prove nothing.
    let few = READER.to_owned() + &organization("new") + &reads("left", "{kind: User, name: ada}");
    let few = restored(&before, &few, true);
    assert_eq!(Kept::of(&few.cache).doubts, [("n0/RoleBinding/left".to_owned(), String::new())].into());
    assert_the_same_after_a_restart(&few);
    assert!(!few.can("ada", "n0", "get pods"));
}

/// Twenty bindings wait for thirty Groups each; the Group of another one existed before.
#[test]
fn no_group_gets_access_because_many_were_waited_for() {
    let organization = "{kind: Organization, metadata: {name: o}, spec: {namespace: n0}}\n---\n";
    let group = |name: &str, members: &str| {
        format!("{{kind: Group, metadata: {{name: {name}, namespace: n0}}, spec: {{members: [{members}]}}}}\n---\n")
    };
    let groups: Vec<String> = (0..30).map(|n| format!("{{kind: Group, name: g{n}}}")).collect();
    let waits: String = (0..20).map(|n| reads(&format!("waits-{n}"), &groups.join(", "))).collect();
    let bob = "{kind: User, metadata: {name: bob}, spec: {username: bob}}\n---\n".to_owned() + &group("first", "bob");
    let fine = reads("fine", "{kind: Group, name: first}");
    let mut before = given(&(READER.to_owned() + organization + &bob + &fine));
    all_at_once(&mut before, &waits);
    let late: String = (0..30).map(|n| group(&format!("g{n}"), "ada")).collect();
    all_at_once(&mut before, &late);
    let held = |shell: &Shell| ["ada", "bob"].map(|user| shell.can(user, "n0", "get pods"));
    assert_eq!(held(&before), [false, true]);
    assert_eq!(Kept::of(&before.cache).doubts, [("n0/*".to_owned(), String::new())].into());
    assert_the_same_after_a_restart(&before);

    let vouched = late.replace("namespace: n0}", "namespace: n0, annotations: {bailiwick.dev/vouched: 'true'}}");
    let all = READER.to_owned() + organization + &vouched + &bob + &waits + &fine;
    assert_eq!(held(&restored(&before, &all, false)), [true, true]);
    let after = restored(&before, &all, true);
    assert_eq!(held(&after), [false, false]);
    assert_the_same_after_a_restart(&after);

    // In a cluster that was not restored, a sync that recreates the Organization revokes nothing.
    let mut later = before;
    later.cache.kept = Kept::of(&later.cache);
    later.delete(Kind::Organization, "", "o");
    later.apply(organization);
    assert_eq!(held(&later), [false, true]);
}

/// The next start must not revoke grants whose statuses are still incomplete.
#[test]
fn the_record_waits_for_the_statuses() {
    let organization = "{kind: Organization, metadata: {name: o}, spec: {namespace: n0}}\n---\n";
    let group = "{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada]}}\n---\n";
    let names = |n| format!("waits-{n}");
    let waits: String = (0..600).map(|n| reads(&names(n), "{kind: Group, name: g}")).collect();
    let mut shell = given(&(READER.to_owned() + organization + &reads("fine", "{kind: User, name: ada}")));
    all_at_once(&mut shell, &waits);
    for object in objects(group) {
        shell.act(&Op::Wait(2));
        shell.act(&Op::Put(Box::new(object)));
    }
    let early = Kept::of(&shell.cache);
    assert_eq!((early.doubts.len(), early.is_partial, early.full.len()), (500, true, 0));
    shell.settle();
    let settled = Kept::of(&shell.cache);
    assert_eq!((settled.doubts.len(), settled.is_partial, settled.full.len()), (1, false, 1));
    // From then on it stays, even while a new object waits for its status.
    shell.cache.kept = Kept { doubts: early.doubts.clone(), ..settled };
    for object in objects(&reads("new", "{kind: User, name: ada}")) {
        shell.act(&Op::Put(Box::new(object)));
    }
    assert!(Kept::of(&shell.cache).doubts.contains_key("n0/*"));
}
