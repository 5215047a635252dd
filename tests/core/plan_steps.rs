//! The steps of a plan, one situation each.

use std::collections::BTreeSet;

use bailiwick::core::plan::{self, GivenUp, InFlight, Write};
use rstest::rstest;

use crate::build::given;
use crate::fake::Rbac;
use crate::shell::Shell;

const START: &str = "
{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: ''}}
---
{kind: CustomRole, metadata: {name: c, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [pods], verbs: [get, list]}]}}
---
{kind: CustomRole, metadata: {name: d, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: User, metadata: {name: ada}}
---
{kind: User, metadata: {name: bob}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c}, subjects: [{kind: User, name: ada}, {kind: User, name: bob}]}}
";

/// A write in words: action, kind and name, without the hash of the role.
fn said(write: &Write) -> String {
    let what = match write {
        Write::Create { .. } => "create",
        Write::Apply { revokes: true, .. } => "shrink",
        Write::Apply { .. } => "grow",
        Write::Delete { .. } => "delete",
    };
    let key = write.key().to_string();
    let parts: Vec<&str> = key.split([' ', ':']).collect();
    let kind = if parts[0] == "Role" { "role" } else { "binding" };
    format!("{what} {kind} {}", parts[3])
}

fn step(writes: &[Write]) -> String {
    writes.iter().map(said).collect::<Vec<_>>().join(", ")
}

/// Executes the plan and records its steps, one line each.
fn steps(cluster: &mut Rbac, shell: &Shell) -> Vec<String> {
    let desired = &shell.all.units["n0"].decision.desired;
    let mut steps = Vec::new();
    for _ in 0..12 {
        let writes = plan::next(desired, &cluster.present, &GivenUp::default()).writes;
        if writes.is_empty() {
            return steps;
        }
        steps.push(step(&writes));
        writes.iter().for_each(|write| cluster.execute(write));
    }
    panic!("no end");
}

#[rstest]
#[case::nothing_changes("{kind: User, metadata: {name: eve}}", &[])]
#[case::a_subject_goes("{kind: User, metadata: {name: bob}, spec: {suspended: true}}", &["shrink binding b"])]
#[case::the_role_changes_its_rules(
    "{kind: CustomRole, metadata: {name: c, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [pods], verbs: [get, update]}]}}",
    &["shrink role c", "grow role c"],
)]
#[case::a_subject_comes_and_one_goes(
    "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c}, subjects: [{kind: User, name: ada}, {kind: ServiceAccount, name: ci}]}}",
    &["shrink binding b", "grow binding b"],
)]
#[case::another_role_and_a_subject_goes(
    "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: d}, subjects: [{kind: User, name: ada}]}}",
    &["shrink binding b", "create role d", "create binding b", "delete binding b", "delete role c"],
)]
#[case::nobody_is_left(
    "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c}, subjects: []}}",
    &["delete binding b", "delete role c"],
)]
fn a_change_is_these_steps(#[case] change: &str, #[case] expected: &[&str]) {
    let mut shell = given(START);
    let mut cluster = Rbac::default();
    assert_eq!(steps(&mut cluster, &shell), ["create role c", "create binding b"]);
    shell.apply(change);
    assert_eq!(steps(&mut cluster, &shell), expected);
    assert_eq!(steps(&mut cluster, &shell), Vec::<String>::new(), "a second look finds nothing to do");
}

/// Changes of our object by an upgraded API server, or by a person.
#[rstest]
#[case::an_update_was_refused(true, &["delete binding b", "create binding b"])]
#[case::its_label_is_gone(false, &["grow binding b"])]
fn an_object_is_mended(#[case] must_recreate: bool, #[case] expected: &[&str]) {
    let shell = given(START);
    let mut cluster = Rbac::default();
    steps(&mut cluster, &shell);
    for (key, observed) in &mut cluster.present {
        if key.to_string().starts_with("RoleBinding") {
            (observed.must_recreate, observed.labelled) = (must_recreate, must_recreate);
        }
    }
    assert_eq!(steps(&mut cluster, &shell), expected);
}

#[test]
fn a_role_that_cannot_be_shrunk_keeps_nobody_in_a_binding() {
    let mut shell = given(START);
    let mut cluster = Rbac::default();
    steps(&mut cluster, &shell);
    shell.apply(
        "
{kind: CustomRole, metadata: {name: c, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [pods], verbs: [get, update]}]}}
---
{kind: User, metadata: {name: bob}, spec: {suspended: true}}
---
{kind: User, metadata: {name: eve}}
---
{kind: RoleBinding, metadata: {name: e, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c}, subjects: [{kind: User, name: eve}]}}
",
    );
    let desired = &shell.all.units["n0"].decision.desired;
    let next = |given_up: &GivenUp| step(&plan::next(desired, &cluster.present, given_up).writes);
    assert_eq!(next(&GivenUp::default()), "shrink role c, shrink binding b");
    // It is retried, and a role that grants too much is not bound.
    let role = cluster.present.keys().find(|key| key.to_string().starts_with("Role ")).unwrap();
    let objects = BTreeSet::from([role.clone()]);
    assert_eq!(next(&GivenUp { objects: objects.clone(), ..GivenUp::default() }), "shrink role c, shrink binding b");
    // Until it is, the others lose what they should.
    assert_eq!(next(&GivenUp { resisting: objects.clone(), objects }), "shrink binding b");
}

#[test]
fn an_obsolete_role_does_not_outlive_a_binding_that_is_being_written() {
    let mut shell = given(START);
    let mut cluster = Rbac::default();
    let create_all = plan::next(&shell.all.units["n0"].decision.desired, &cluster.present, &GivenUp::default()).writes;
    assert_eq!(step(&create_all), "create role c");
    create_all.iter().for_each(|write| cluster.execute(write));
    let bind = plan::next(&shell.all.units["n0"].decision.desired, &cluster.present, &GivenUp::default()).writes;
    assert_eq!(step(&bind), "create binding b");
    let mut in_flight = InFlight::default();
    in_flight.begin(&bind[0]);

    // The binding is written and unanswered; its source is gone.
    shell.apply(
        "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: d}, subjects: []}}",
    );
    let desired = &shell.all.units["n0"].decision.desired;
    let meanwhile = |in_flight: &InFlight, cluster: &Rbac| {
        step(&in_flight.concurrent_revocations(desired, &cluster.present, &GivenUp::default()))
    };
    assert_eq!(meanwhile(&in_flight, &cluster), "delete role c");
    assert_eq!(meanwhile(&InFlight::default(), &cluster), "", "nothing can refer to it, so it is no hurry");
    cluster.execute(&bind[0]);
    assert_eq!(meanwhile(&InFlight::default(), &cluster), "delete binding b", "the binding is known: it goes first");
}
