//! What conditions say: the first few by name, what has to be mended before what is as it should be; and that a status
//! is written once.

use bailiwick::api::conditions::{ConditionType, Reason};
use bailiwick::core::conditions::about;
use bailiwick::core::withheld::{Item, Withheld};
use rstest::rstest;

use crate::build::given;
use crate::world::{Kind, Op};

fn say(reasons: &[Reason]) -> (Reason, String) {
    let mut all = Withheld::default();
    for (index, reason) in reasons.iter().enumerate() {
        all.add(*reason, || Item::Rule("rules", index));
    }
    let finding = about(ConditionType::SubjectsResolved, (Reason::Resolved, "Fine."), all);
    assert_eq!(finding.good, reasons.is_empty());
    (finding.reason, finding.message.to_string())
}

#[test]
fn nothing_withheld_is_good_news() {
    assert_eq!(say(&[]), (Reason::Resolved, "Fine.".to_owned()));
}

#[rstest]
#[case::one(1, "rules[0]: ")]
#[case::five(5, "rules[0], rules[1], rules[2], rules[3], rules[4]: ")]
#[case::six(6, "rules[0], rules[1], rules[2], rules[3], rules[4] and 1 more: ")]
#[case::many(1000, "rules[0], rules[1], rules[2], rules[3], rules[4] and 995 more: ")]
fn a_message_names_the_first_five_of_each_reason(#[case] n: usize, #[case] named: &str) {
    let (reason, message) = say(&vec![Reason::UserNotFound; n]);
    assert_eq!(reason, Reason::UserNotFound);
    assert_eq!(message, format!("Withheld: {named}There is no User with this username."));
}

#[test]
fn what_has_to_be_mended_is_named_first() {
    let mut reasons = vec![Reason::Suspended; 7];
    reasons.push(Reason::UserNotFound);
    let (reason, message) = say(&reasons);
    assert_eq!(reason, Reason::UserNotFound);
    let first = "Withheld: rules[7]: There is no User with this username. rules[0], ";
    assert!(message.starts_with(first) && message.contains("and 2 more: The user is suspended"), "{message}");
}

#[test]
fn every_word_has_a_meaning() {
    assert!(Reason::ALL.iter().all(|r| r.meaning().ends_with('.') && !r.as_str().is_empty()));
    assert!(ConditionType::ALL.iter().all(|c| c.meaning().ends_with('.')));
}

const START: &str = "
{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: ''}}
---
{kind: CustomRole, metadata: {name: c, namespace: n0}, spec: {rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: User, metadata: {name: ada}}
---
";

fn binding(subjects: &str, more: &str) -> String {
    format!(
        "{{kind: RoleBinding, metadata: {{name: b, namespace: n0}}, spec: {{roleRef: {{kind: CustomRole, name: c}}, subjects: [{subjects}] {more}}}}}"
    )
}

#[rstest]
#[case::all("{kind: User, name: ada}", "", "True Reconciled", "True Resolved")]
#[case::nobody("", "", "True Reconciled", "True Resolved")]
#[case::some("{kind: User, name: ada}, {kind: User, name: x}", "", "False PartlyWithheld", "False UserNotFound")]
#[case::none("{kind: Group, name: x}", "", "False NothingGranted", "False GroupNotFound")]
#[case::twice("{kind: User, name: ada}, {kind: User, name: ada}", "", "False PartlyWithheld", "False Duplicate")]
#[case::forbidden("{kind: ExternalGroup, name: 'system:masters'}", "", "False NothingGranted", "False Invalid")]
#[case::over("{kind: User, name: ada}", ", expiresAt: '2020-01-01T00:00:00Z'", "True Expired", "False Expired")]
fn a_binding_says(#[case] subjects: &str, #[case] more: &str, #[case] ready: &str, #[case] resolved: &str) {
    let shell = given(&(START.to_owned() + &binding(subjects, more)));
    assert_eq!(shell.says(Kind::RoleBinding, "b", "Ready"), ready);
    assert_eq!(shell.says(Kind::RoleBinding, "b", "SubjectsResolved"), resolved);
}

#[test]
fn a_binding_expires_at_its_time_and_not_before() {
    let mut shell =
        given(&(START.to_owned() + &binding("{kind: User, name: ada}", ", expiresAt: '2026-01-01T00:01:00Z'")));
    shell.play(&[Op::Wait(118 - shell.store.now)]);
    shell.check();
    assert!(shell.can("ada", "n0", "get pods"), "half a second before");
    assert_eq!(shell.all.units["n0"].decision.next_change, Some("2026-01-01T00:01:00Z".parse().unwrap()));
    shell.play(&[Op::Wait(0)]);
    shell.check();
    assert!(!shell.can("ada", "n0", "get pods"), "on the second");
    assert_eq!(shell.says(Kind::RoleBinding, "b", "Ready"), "True Expired");
}

/// The time of a condition is that of its last change of status, not of its last writing.
#[test]
fn a_transition_time_moves_with_the_status_only() {
    let mut shell = given(&(START.to_owned() + &binding("{kind: User, name: x}", "")));
    let time = |shell: &crate::shell::Shell| {
        let object = &shell.store.objects[&(Kind::RoleBinding, "n0".to_owned(), "b".to_owned())];
        let status = object.status().unwrap();
        let ready = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
        (ready["status"].as_str().unwrap().to_owned(), ready["lastTransitionTime"].as_str().unwrap().to_owned())
    };
    let (was, since) = time(&shell);
    shell.play(&[Op::Wait(20)]);
    shell.apply(&binding("{kind: User, name: ada}, {kind: User, name: x}", ""));
    assert_eq!(time(&shell), (was, since.clone()), "another reason, the same status");
    shell.apply(&binding("{kind: User, name: ada}", ""));
    assert_eq!(time(&shell).0, "True");
    assert!(time(&shell).1 > since);
}
