//! Decisions that a backup brings back: see `docs/operations.md`.

use bailiwick::core::kept::Kept;
use rstest::rstest;

use crate::build::{given, objects};
use crate::fake::{Kind, Op};
use crate::shell::Shell;

/// Restores what a backup keeps of a site: specs, in the order of their names, without UIDs, statuses or times of before.
/// `decisions`: whether the record of decisions is restored, too.
fn restored(before: &Shell, yaml: &str, decisions: bool) -> Shell {
    let mut shell = Shell::new();
    shell.store.uids = before.store.uids;
    if decisions {
        shell.cache.kept = Kept::of(&before.cache);
        let again: Kept = serde_json::from_str(&shell.cache.kept.text()).unwrap();
        assert_eq!(again, shell.cache.kept);
    }
    // No operator runs meanwhile.
    for object in objects(yaml) {
        shell.store.now += 2;
        let events = shell.store.act(&Op::Put(Box::new(object)));
        shell.take_in(events);
    }
    shell.act(&Op::Wait(1));
    shell.settle();
    shell
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

/// Restores twice, as the second start of the operator finds statuses, and the record that the first one wrote.
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

/// Groups are restored before bindings, and whoever restores may bind.
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

/// One organization fills the record with doubts about its own objects; another one's stays.
#[test]
fn nobody_crowds_out_what_is_recorded_of_others() {
    let organization = |name: &str, space: &str| {
        format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{namespace: {space}}}}}\n---\n")
    };
    let waits = reads("waits", "{kind: Group, name: g}").replace("n0", "n1");
    let crowd: String =
        (0..600).map(|n| reads(&format!("{n}-{}", "x".repeat(240)), "{kind: Group, name: g}")).collect();
    let mut before =
        given(&(READER.to_owned() + &organization("o", "n0") + &organization("p", "n1") + &waits + &crowd));
    let group = "{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada]}}\n---\n";
    before.apply(&(group.to_owned() + &group.replace("n0", "n1")));
    let kept = Kept::of(&before.cache);
    assert!(kept.doubts.contains_key("n1/RoleBinding/waits Group/g"));
    assert!(kept.doubts.len() <= 501 && kept.text().len() < 512 << 10, "{}", kept.doubts.len());
}
