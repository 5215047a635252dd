//! Rights on own objects by name depend on watches that the engine asks for.

use super::Story;
use super::words::given;
use crate::fake::{Kind, Op};

/// Ada may enter her own Pods in namespace n0.
const ADA_ENTERS: &str = "
{kind: Organization, metadata: {name: acme}, spec: {namespace: n0}}
---
{kind: User, metadata: {name: ada}, spec: {username: ada}}
---
{kind: SiteRole, metadata: {name: enter}, spec: {privileged: false, assignableTo: [Organization], permissions: [{resource: workspaces, actions: [use], scope: Own}]}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: enter}, subjects: [{kind: User, name: ada}]}}
";

impl Story {
    /// The Pods that somebody may enter by name.
    fn entered(&self) -> Vec<String> {
        let rules = self.server.rbac.present.iter().filter(|(key, _)| key.name.starts_with("bailiwick:own:"));
        let rules = rules.filter_map(|(_, observed)| match observed.content.as_ref() {
            Some(bailiwick::core::rbac::RbacSpec::Rules(rules)) => Some(rules.clone()),
            _ => None,
        });
        rules
            .flat_map(|rules| rules.iter().flat_map(|rule| rule.names.clone()).collect::<Vec<_>>())
            .map(|name| name.to_string())
            .collect()
    }
}

#[test]
fn rights_by_name_follow_the_owners() {
    let mut story = given(&[ADA_ENTERS]);
    story.server.act(&Op::Own("n0", "p0", Some("ada")));
    story.server.act(&Op::Own("n0", "p1", Some("ada")));
    story.converge();
    assert_eq!(story.entered(), ["p0", "p1"]);
    story.server.act(&Op::Own("n0", "p0", None));
    story.server.act(&Op::Own("n0", "p1", Some("bob")));
    story.converge();
    assert!(story.entered().is_empty());
}

/// A write per object would be too many, and no object needs one for what admission limits.
#[test]
fn nothing_is_written_for_objects_that_nobody_needs_by_name() {
    let mut story = given(&[ADA_ENTERS]);
    let before = story.server.rbac.version;
    story.server.act(&Op::Own("n0", "p0", Some("bob")));
    story.server.act(&Op::Own("n1", "p0", Some("ada")));
    story.converge();
    assert_eq!(story.server.rbac.version, before);
}

/// An operator that starts does not know the owners at once.
#[test]
fn nobody_loses_rights_by_name_while_an_operator_starts() {
    let mut story = given(&[ADA_ENTERS]);
    story.server.act(&Op::Own("n0", "p0", Some("ada")));
    story.converge();
    let mut story = story.start_again();
    let before = story.server.rbac.version;
    story.deliver();
    for _ in 0..10 {
        story.answer_all();
        story.work();
    }
    assert_eq!((story.entered(), story.server.rbac.version), (vec!["p0".to_owned()], before));
    story.converge();
    assert_eq!((story.entered(), story.server.rbac.version), (vec!["p0".to_owned()], before));

    // A role that ended meanwhile ends these rights, known owners or not.
    story.delete(Kind::RoleBinding, "n0", "b");
    let mut story = story.start_again();
    story.deliver();
    for _ in 0..10 {
        story.answer_all();
        story.work();
    }
    assert!(story.entered().is_empty());
}

/// What was listed for an earlier request says nothing about now.
#[test]
fn a_late_list_of_owners_gives_nothing() {
    let mut story = given(&[ADA_ENTERS]);
    story.delete(Kind::RoleBinding, "n0", "b");
    story.server.act(&Op::Own("n0", "p0", Some("ada")));
    let late = story.server.watches.deliver_all();
    story.events.extend(late);
    story.work();
    story.converge();
    story.apply("{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: enter}, subjects: [{kind: User, name: ada}]}}");
    story.converge();
    assert_eq!(story.entered(), ["p0"]);
}
