//! Users: states, and which object counts for a username.

use bailiwick::api::UserState::{self, Active, Dormant, Suspended};
use bailiwick::core::conditions::Status;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use crate::build::{given, objects};
use crate::fake::{Kind, Object, Op, slot};
use crate::shell::Shell;

fn state(shell: &Shell, handle: &str) -> UserState {
    let Status::User(status) = &shell.draft(Kind::User, handle).status else { panic!() };
    status.state.unwrap()
}

const DAY: i64 = 24 * 3600;

#[rstest]
#[case::never_seen(None, false, Active, None)]
#[case::seen_just_now(Some(0), false, Active, Some(90 * DAY))]
#[case::seen_long_ago(Some(89 * DAY), false, Active, Some(DAY))]
#[case::a_second_before_it_is_over(Some(90 * DAY - 1), false, Active, Some(1))]
#[case::seen_too_long_ago(Some(90 * DAY), false, Dormant, None)]
#[case::suspended(Some(0), true, Suspended, None)]
#[case::suspended_and_never_seen(None, true, Suspended, None)]
fn states(#[case] seen: Option<i64>, #[case] suspended: bool, #[case] expected: UserState, #[case] next: Option<i64>) {
    let mut shell = Shell::new();
    // Times in a status are whole seconds.
    shell.play(&[Op::Wait(0)]);
    let now = shell.store.time() + SignedDuration::from_millis(500);
    let mut user = objects("{kind: User, metadata: {name: ada}}").remove(0);
    let Object::User(u) = &mut user else { panic!() };
    u.spec.suspended = suspended;
    let last_seen_time = seen.map(|ago| Time(now - SignedDuration::from_secs(ago)));
    u.status = Some(bailiwick::api::UserStatus { last_seen_time, ..Default::default() });
    shell.play(&[Op::Put(Box::new(user))]);
    assert_eq!(shell.store.time(), now);
    assert_eq!(state(&shell, "ada"), expected);
    let changes: Option<Timestamp> = shell.all.users["ada"].1;
    assert_eq!(changes, next.map(|secs| now + SignedDuration::from_secs(secs)));
    if let Some(secs) = next {
        shell.play(&[Op::Wait(2 * secs)]);
        shell.check();
        assert_eq!(state(&shell, "ada"), Dormant);
    }
}

const START: &str = "
{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: ''}}
---
{kind: CustomRole, metadata: {name: c, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: CustomRole, name: c}, subjects: [{kind: User, name: ada}]}}
---
";

#[test]
fn a_dormant_user_keeps_grants_and_a_suspended_one_loses_them() {
    let mut shell = given(START);
    let mut ada = objects("{kind: User, metadata: {name: ada}}").remove(0);
    let Object::User(user) = &mut ada else { panic!() };
    let last_seen_time = Some(Time("2020-01-01T00:00:00Z".parse().unwrap()));
    user.status = Some(bailiwick::api::UserStatus { last_seen_time, ..Default::default() });
    shell.play(&[Op::Put(Box::new(ada))]);
    assert_eq!(state(&shell, "ada"), Dormant);
    assert_eq!(shell.says(Kind::User, "ada", "LastSeen"), "True Reported");
    assert!(shell.can("ada", "n0", "get pods"));
    shell.apply("{kind: User, metadata: {name: ada}, spec: {suspended: true}}");
    assert!(!shell.can("ada", "n0", "get pods"));
    assert_eq!(shell.says(Kind::User, "ada", "Ready"), "True Suspended");
    assert_eq!(shell.says(Kind::RoleBinding, "b", "SubjectsResolved"), "False Suspended");
    assert_eq!(shell.says(Kind::RoleBinding, "b", "Ready"), "True Reconciled", "it is as it should be");
}

#[test]
fn of_two_users_with_one_username_the_older_counts() {
    let mut shell = given(
        &(START.to_owned()
            + "{kind: User, metadata: {name: z}, spec: {username: ada}}
---
{kind: User, metadata: {name: a}, spec: {username: ada, suspended: true}}"),
    );
    assert!(shell.can("ada", "n0", "get pods"), "the younger suspends nobody");
    assert_eq!(shell.says(Kind::User, "a", "Ready"), "False UsernameTaken");
    assert!(shell.condition(Kind::User, "a", "Ready").message.to_string().contains("User z is older"));
    shell.delete(Kind::User, "", "z");
    assert!(!shell.can("ada", "n0", "get pods"), "now it is the one");
    assert_eq!(shell.says(Kind::User, "a", "Ready"), "True Suspended");
}

/// A disconnected watch shows only the new object of the name, which is younger.
#[test]
fn a_user_that_was_replaced_unseen_is_younger_than_the_others() {
    let mut shell = given(
        &(START.to_owned()
            + "{kind: User, metadata: {name: z}, spec: {username: ada}}
---
{kind: User, metadata: {name: a}, spec: {username: ada, suspended: true}}"),
    );
    shell.play(&[Op::Wait(4)]);
    let z = objects("{kind: User, metadata: {name: z}, spec: {username: ada}}").remove(0);
    shell.play(&[Op::Replace(Box::new(z))]);
    shell.check();
    assert!(!shell.can("ada", "n0", "get pods"));
}

/// The answer to a write of ours may come after the watch has shown the next object of that name.
#[test]
fn a_late_event_of_an_object_that_was_deleted_does_not_replace_the_new_one() {
    let mut shell = given(&(START.to_owned() + "{kind: User, metadata: {name: ada}}"));
    let late = shell.store.objects[&slot(Kind::User, "", "ada")].clone();
    shell.delete(Kind::User, "", "ada");
    shell.apply("{kind: User, metadata: {name: ada}, spec: {suspended: true}}");
    shell.take_in(vec![crate::fake::Event::Is(Box::new(late))]);
    shell.decide();
    shell.check();
    assert!(!shell.can("ada", "n0", "get pods"));
}

#[rstest]
#[case("system:masters")]
#[case("system:serviceaccount:n0:ci")]
#[case("tab\tname")]
fn a_username_that_is_not_valid_holds_nothing(#[case] username: &str) {
    let binding = format!(
        "{{kind: RoleBinding, metadata: {{name: x, namespace: n0}}, spec: {{roleRef: {{kind: CustomRole, name: c}}, subjects: [{{kind: User, name: {username:?}}}]}}}}\n---\n"
    );
    let user = format!("{{kind: User, metadata: {{name: x}}, spec: {{username: {username:?}}}}}\n");
    let shell = given(&(START.to_owned() + &binding + &user));
    assert_eq!(shell.says(Kind::User, "x", "Ready"), "False Invalid");
    assert_eq!(shell.says(Kind::RoleBinding, "x", "SubjectsResolved"), "False Invalid");
    assert!(shell.all.desired().is_empty());
}
