//! Conditions: they name the first few items, list faults before expected states, and each status is written once.

use bailiwick::api::ApiKind;
use bailiwick::api::conditions::{ConditionType, Reason};
use bailiwick::core::conditions::{Status, about};
use bailiwick::core::desired::DesiredState;
use bailiwick::core::object_ref::{NativeKind, NativeRef};
use bailiwick::core::observed_state::ObservedState;
use bailiwick::core::plan::Present;
use bailiwick::core::rbac::{Desired, Observed, RbacSpec, Subject};
use bailiwick::core::uid::Uid;
use bailiwick::core::withheld::{Item, Withheld};
use bailiwick::core::write_failures::{WriteFailure, WriteFailures};
use bailiwick::core::{Name, organization};
use rstest::rstest;

use crate::build::given;
use crate::fake::{Kind, Op, slot};

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
    assert_eq!(message, format!("Withheld: {named}{}", Reason::UserNotFound.meaning()));
}

#[test]
fn what_has_to_be_mended_is_named_first() {
    let mut reasons = vec![Reason::Suspended; 7];
    reasons.push(Reason::UserNotFound);
    let (reason, message) = say(&reasons);
    assert_eq!(reason, Reason::UserNotFound);
    let first = format!("Withheld: rules[7]: {} rules[0], ", Reason::UserNotFound.meaning());
    assert!(message.starts_with(&first) && message.contains("and 2 more: The user is suspended"), "{message}");
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

/// The transition time of a condition changes only with its status.
#[test]
fn a_transition_time_moves_with_the_status_only() {
    let mut shell = given(&(START.to_owned() + &binding("{kind: User, name: x}", "")));
    let time = |shell: &crate::shell::Shell| {
        let object = &shell.store.objects[&slot(Kind::RoleBinding, "n0", "b")];
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

/// The native objects of a namespace, and its decision, while some of them are refused.
struct Refused {
    shell: crate::shell::Shell,
    present: Present,
    failures: WriteFailures,
}

impl ObservedState for Refused {
    fn get(&self, key: &NativeRef) -> Option<&Observed> {
        ObservedState::get(&self.present, key)
    }

    fn bindings(&self, namespace: &Name) -> Vec<&Observed> {
        self.present.bindings(namespace)
    }

    fn write_failures(&self) -> &WriteFailures {
        &self.failures
    }
}

impl Refused {
    fn given(yaml: &str) -> Self {
        let shell = given(&(START.to_owned() + yaml));
        let desired = &shell.all.units["n0"].decision.desired;
        let present = |(n, (key, native)): (usize, (&NativeRef, &Desired))| {
            (key.clone(), Box::new(crate::fake::stored(native, Uid::from(format!("u{n}").as_str()), 1)))
        };
        let present = desired.iter().enumerate().map(present).collect();
        Self { shell, present, failures: WriteFailures::new() }
    }

    /// Refuses the native objects of this kind that an object of this name requests.
    fn refuse(&mut self, kind: NativeKind, source: &str) -> Vec<NativeRef> {
        let desired = self.shell.all.units["n0"].decision.desired.clone();
        let of = desired.iter().filter(|(key, native)| key.kind == kind && &*native.source.name == source);
        let of: Vec<_> = of.map(|(key, native)| (key.clone(), native.source.uid.clone())).collect();
        assert!(!of.is_empty());
        for (key, source) in &of {
            let message = "exceeded quota".to_owned();
            let write_failure = WriteFailure { source: source.clone(), reason: Reason::RefusedByApiServer, message };
            self.failures.insert(key.clone(), write_failure);
        }
        of.into_iter().map(|(key, _)| key).collect()
    }

    fn decide(&self) -> DesiredState {
        organization::decide(&self.shell.cache, &Name::from("n0"), self.shell.store.time(), self)
    }

    /// The grants of the binding, and `SubjectsResolved` as `True Reason: message`.
    fn of_the_binding(&self) -> (u32, String) {
        let decision = self.decide();
        let draft = decision.statuses.iter().find(|draft| draft.target.kind == ApiKind::RoleBinding).unwrap();
        let Status::Binding(status) = &draft.status else { panic!("{draft:?}") };
        let finding = draft.findings.iter().find(|f| f.kind == ConditionType::SubjectsResolved).unwrap();
        (status.grants, format!("{} {}: {}", finding.good, finding.reason, finding.message))
    }
}

const TWO: &str = "{kind: User, metadata: {name: bob}}\n---\n";

#[test]
fn a_binding_that_a_quota_refuses_grants_nothing_and_says_so() {
    let mut given =
        Refused::given(&(TWO.to_owned() + &binding("{kind: User, name: ada}, {kind: User, name: bob}", "")));
    let all = given.decide().counts.grants;
    assert_eq!(given.of_the_binding(), (2, "true Resolved: Every subject holds the role.".to_owned()));
    for key in given.refuse(NativeKind::RoleBinding, "b") {
        given.present.remove(&key);
    }
    let says =
        "false RefusedByApiServer: 2 of 2 subjects do not hold the role: User \"ada\", User \"bob\". exceeded quota";
    assert_eq!(given.of_the_binding(), (0, says.to_owned()));
    assert_eq!(given.decide().counts.grants, all - 2, "the organization's count");
}

#[test]
fn a_binding_that_cannot_grow_grants_what_is_there() {
    let mut given =
        Refused::given(&(TWO.to_owned() + &binding("{kind: User, name: ada}, {kind: User, name: bob}", "")));
    for key in given.refuse(NativeKind::RoleBinding, "b") {
        let Some(RbacSpec::Binding { subjects, .. }) = &mut given.present.get_mut(&key).unwrap().content else {
            panic!()
        };
        *subjects = [Subject::User("ada".into())].into();
    }
    let (grants, says) = given.of_the_binding();
    assert_eq!(grants, 1);
    assert!(
        says.starts_with("false RefusedByApiServer: 1 of 2 subjects do not hold the role: User \"bob\"."),
        "{says}"
    );
}

/// The subject is in an object of another name while its replacement is refused.
#[test]
fn who_still_holds_the_role_by_an_older_object_counts() {
    let mut given = Refused::given(&binding("{kind: User, name: ada}", ""));
    for key in given.refuse(NativeKind::RoleBinding, "b") {
        let old = given.present.remove(&key).unwrap();
        given.present.insert(NativeRef { name: "bailiwick-older".into(), ..key }, old);
    }
    assert_eq!(given.of_the_binding(), (1, "true Resolved: Every subject holds the role.".to_owned()));
}

#[test]
fn without_the_native_role_nobody_holds_it() {
    let mut given = Refused::given(&binding("{kind: User, name: ada}", ""));
    for key in given.refuse(NativeKind::Role, "c") {
        given.present.remove(&key);
    }
    let (grants, says) = given.of_the_binding();
    assert_eq!(grants, 0);
    assert!(says.starts_with("false RefusedByApiServer: 1 of 1 subjects do not hold the role"), "{says}");
}

/// A suspended user whose native binding cannot be removed still holds the role.
#[test]
fn who_should_not_hold_a_role_and_does_is_named() {
    let mut given =
        Refused::given(&(TWO.to_owned() + &binding("{kind: User, name: ada}, {kind: User, name: bob}", "")));
    given.refuse(NativeKind::RoleBinding, "b");
    for user in crate::build::objects("{kind: User, metadata: {name: bob}, spec: {suspended: true}}") {
        given.shell.act(&Op::Put(Box::new(user)));
    }
    let (grants, says) = given.of_the_binding();
    assert_eq!(grants, 2);
    assert!(says.contains("These subjects still hold the role but should not: User \"bob\"."), "{says}");
}

#[test]
fn who_does_not_become_the_default_organization_is_not_ready() {
    let shell = given(
        "{kind: Organization, metadata: {name: one}, spec: {namespace: n0, memberRole: '', default: true}}\n---\n\
         {kind: Organization, metadata: {name: two}, spec: {namespace: n1, memberRole: '', default: true}}",
    );
    assert_eq!(shell.says(Kind::Organization, "one", "Ready"), "True Reconciled");
    assert_eq!(shell.says(Kind::Organization, "two", "Ready"), "False AlreadyTaken");
    let message = shell.condition(Kind::Organization, "two", "Ready").message.to_string();
    assert!(message.contains("Organization one is the default,") && message.contains("`spec.default: false` on one"));
}

#[rstest]
#[case::the_name_of_a_user("ada-l", "the User of this name has the username \"ada@x\"")]
#[case::in_case("Ada@X", "differs from the username \"ada@x\" only in case or spaces")]
#[case::in_blanks(" ada@x", "differs from the username \"ada@x\" only in case or spaces")]
#[case::the_other_way_around("bob@x", "differs from the username \"Bob @X\" only in case or spaces")]
fn a_username_that_is_nearly_right_is_withheld_with_a_hint(#[case] typed: &str, #[case] hint: &str) {
    let users = "{kind: User, metadata: {name: ada-l}, spec: {username: ada@x}}\n---\n\
                 {kind: User, metadata: {name: bob-b}, spec: {username: 'Bob @X'}}";
    let subject = format!("{{kind: User, name: '{typed}'}}");
    let group = format!("{{kind: Group, metadata: {{name: g, namespace: n0}}, spec: {{members: ['{typed}']}}}}");
    let objects = format!("{START}{}\n---\n{group}\n---\n{users}", binding(&subject, ""));
    // The hint appears and disappears with the User that it names.
    let mut shell = given(&objects);
    for (kind, name, condition) in [(Kind::RoleBinding, "b", "SubjectsResolved"), (Kind::Group, "g", "MembersKnown")] {
        assert_eq!(shell.says(kind, name, condition), "False UserNotFound");
        let message = shell.condition(kind, name, condition).message.to_string();
        assert!(message.contains(hint), "{message}");
    }
    for user in ["ada-l", "bob-b"] {
        shell.delete(Kind::User, "", user);
    }
    let message = shell.condition(Kind::RoleBinding, "b", "SubjectsResolved").message.to_string();
    assert!(!message.contains(hint), "{message}");
}

#[test]
fn a_binding_says_that_its_role_is_partly_withheld() {
    let role = "{kind: CustomRole, metadata: {name: c, namespace: n0}, spec: {rules: [\
                {apiGroups: [''], resources: [pods], verbs: [get]}, {apiGroups: [''], resources: [secrets], verbs: [get, list]}]}}";
    let shell = given(&format!("{START}{role}\n---\n{}", binding("{kind: User, name: ada}", "")));
    let message = shell.condition(Kind::RoleBinding, "b", "RoleResolved").message.to_string();
    let says = "The role withholds 2 rights: `kubectl describe customroles.bailiwick.dev c --namespace n0`.";
    assert!(message.ends_with(says), "{message}");
}

#[test]
fn a_role_of_the_other_kind_is_named() {
    let site = "{kind: SiteRole, metadata: {name: s}, spec: {assignableTo: [Organization]}}";
    let wrong = binding("{kind: User, name: ada}", "").replace("name: c}", "name: s}");
    let shell = given(&format!("{START}{site}\n---\n{wrong}"));
    let message = shell.condition(Kind::RoleBinding, "b", "RoleResolved").message.to_string();
    assert!(message.starts_with("CustomRole \"s\" does not exist in namespace n0. Create it"), "{message}");
    assert!(message.ends_with("There is a SiteRole of this name: did you mean it?"), "{message}");
    // Ready says the same.
    assert_eq!(shell.condition(Kind::RoleBinding, "b", "Ready").message.to_string(), message);
}

#[test]
fn a_group_that_plain_apply_cannot_keep_says_which_does() {
    let group = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("{n:04}{}", "\u{1d504}".repeat(250))).collect();
        format!(
            "{{kind: Group, metadata: {{name: g, namespace: n0}}, spec: {{externalGroups: [{}]}}}}",
            names.join(", ")
        )
    };
    let mut shell = given(START);
    shell.apply(&group(258));
    assert_eq!(shell.condition(Kind::Group, "g", "Ready").message.to_string(), "The group is in effect.");
    shell.apply(&group(262));
    let message = shell.condition(Kind::Group, "g", "Ready").message.to_string();
    assert!(message.ends_with("use `kubectl apply --server-side`."), "{message}");
}

#[test]
fn a_service_account_may_not_exist() {
    let shell = given(&format!("{START}{}", binding("{kind: ServiceAccount, name: robot}", "")));
    let message = shell.condition(Kind::RoleBinding, "b", "SubjectsResolved").message.to_string();
    assert!(message.contains("Bailiwick does not check that ServiceAccounts exist"), "{message}");
}

#[test]
fn a_namespace_that_cannot_be_had_says_what_to_do() {
    let organization =
        |name: &str, spec: &str| format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{{spec}}}}}");
    let says = |shell: &crate::shell::Shell, name: &str| {
        shell.condition(Kind::Organization, name, "NamespaceAssigned").message.to_string()
    };
    let mut shell = given(&organization("one", "namespace: n0"));
    shell.apply(&organization("two", "namespace: n0"));
    assert!(says(&shell, "two").starts_with("Organization one already holds namespace n0."), "{}", says(&shell, "two"));
    shell.apply(&organization("far", "namespace: nowhere"));
    assert!(says(&shell, "far").contains("Add \"nowhere\" to the Helm value `namespaceWhitelist`"));
    shell.delete(Kind::Organization, "", "one");
    let release = "`kubectl label namespace n0 bailiwick.dev/organization-`";
    assert!(says(&shell, "two").contains("reserved for Organization one") && says(&shell, "two").ends_with(release));
    shell.apply(&organization("one", "namespace: n1"));
    assert!(says(&shell, "one").contains("recorded on namespace n0") && says(&shell, "one").ends_with(release));
}

#[test]
fn who_holds_a_role_with_one_holder_is_named() {
    let binding = |name: &str, user: &str| {
        format!(
            "{{kind: SiteRoleBinding, metadata: {{name: {name}}}, \
             spec: {{roleRef: {{kind: SiteRole, name: head}}, subjects: [{{kind: User, name: {user}}}]}}}}"
        )
    };
    let role = "{kind: SiteRole, metadata: {name: head}, spec: {assignableTo: [Site], singleHolder: true}}";
    let yaml = [START, TWO, role, &binding("first", "ada"), &binding("second", "bob")].join("\n---\n");
    let shell = given(&yaml);
    let message = shell.condition(Kind::SiteRoleBinding, "second", "SubjectsResolved").message.to_string();
    assert!(message.contains("subjects[0] (User \"bob\") [User \"ada\" holds it]"), "{message}");
}
