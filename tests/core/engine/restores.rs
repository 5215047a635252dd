//! etcd is restored from an older copy: a list older than the known state proves it, and nothing else does. (Every
//! other story also checks after each turn that nothing else does.)

use bailiwick::core::plan::Write;
use bailiwick::operator::writer::WriteRequest;
use rstest::rstest;

use super::words::{ACME, ADA_SUSPENDED, BOB, binding};
use super::{Story, given};
use crate::build::objects;
use crate::fake::answers::error;
use crate::fake::{Kind, Op, Snapshot};

impl Story {
    /// The API server disappears, and returns with this snapshot. Nothing is listed yet.
    fn restore(&mut self, snapshot: Snapshot) {
        self.goes_back = true;
        self.server.restore(snapshot);
        for request in std::mem::take(&mut self.in_flight) {
            self.answers.push(error(&request, false));
        }
        self.work();
    }

    fn list(&mut self, kind: Kind) {
        self.server.relist(kind);
        self.deliver();
    }
}

fn ada_views() -> String {
    binding("n0", "b", "viewer", &["User ada"])
}

fn bob_reads_too() -> String {
    format!("{BOB}\n---\n{}", binding("n0", "b", "reader", &["User ada", "User bob"]))
}

#[rstest]
#[case::a_user(ADA_SUSPENDED, Kind::User, "User ada")]
#[case::the_list_of_suspended_users(ADA_SUSPENDED, Kind::Suspended, "Suspended is")]
#[case::a_binding(&ada_views(), Kind::RoleBinding, "RoleBinding n0 b")]
#[case::a_native_binding(&bob_reads_too(), Kind::NativeRoleBinding, "NativeRoleBinding n0 ")]
fn a_list_that_shows_an_object_as_it_was_before_proves_a_restore(
    #[case] lost: &str,
    #[case] kind: Kind,
    #[case] object: &str,
) {
    let mut story = given(&[ACME]);
    let snapshot = story.server.snapshot();
    story.apply(lost);
    story.settle();
    story.restore(snapshot);
    story.list(kind);
    let evidence = story.engine.gone_back().unwrap_or_default();
    assert!(evidence.contains(object) && evidence.contains("resource version"), "{evidence:?}");

    // Whatever arrives then, nothing begins any more: the operator replaces this engine.
    assert!(!story.engine.has_work());
    Kind::ALL.into_iter().for_each(|kind| story.list(kind));
    story.engine.lead(true);
    story.work();
    assert!(story.in_flight.is_empty(), "{:?}", story.in_flight);
}

#[test]
fn an_object_of_before_in_place_of_a_newer_one_proves_a_restore() {
    let mut story = given(&[ACME]);
    let snapshot = story.server.snapshot();
    let binding = objects(ACME).remove(4);
    story.server.act(&Op::Replace(Box::new(binding)));
    story.settle();
    story.restore(snapshot);
    story.list(Kind::RoleBinding);
    assert!(story.engine.gone_back().is_some());
}

/// The connection ends after the answer, and before the watch has shown the same.
#[test]
fn what_was_known_from_an_answer_alone_counts_too() {
    let mut story = given(&[ACME]);
    let snapshot = story.server.snapshot();
    story.apply(&bob_reads_too());
    story.deliver();
    let updates = |request: &WriteRequest| matches!(request, WriteRequest::Native(Write::Apply { .. }));
    let answer = story.carry_out(updates).unwrap();
    story.answers.push(answer);
    story.work();
    story.restore(snapshot);
    story.list(Kind::NativeRoleBinding);
    assert!(story.engine.gone_back().is_some());
}

/// A list is requested, then a write is carried out and answered, and then the list is read: it is older than the known
/// state.
#[test]
fn a_write_answered_before_an_older_list_is_read_proves_nothing() {
    let mut story = given(&[ACME]);
    story.apply(&bob_reads_too());
    story.deliver();
    story.server.relist(Kind::NativeRoleBinding);
    story.server.relist(Kind::Organization);
    story.answer_all();
    story.work();
    story.deliver();
    story.converge();
}

#[test]
fn what_is_lost_but_was_never_known_otherwise_proves_nothing() {
    let mut story = given(&[ACME]);
    let snapshot = story.server.snapshot();
    // One is deleted and one is new: neither has another version in the copy.
    story.delete(Kind::RoleBinding, "n0", "b");
    story.deliver();
    story.restore(snapshot);
    for kind in [Kind::RoleBinding, Kind::User, Kind::SiteRole] {
        story.list(kind);
    }
    assert_eq!(story.engine.gone_back(), None);
    // Once everything is listed, everything is right.
    story.converge();
}

#[test]
fn while_a_restore_is_in_doubt_nothing_begins_and_nothing_is_forgotten() {
    let mut story = given(&[ACME]);
    story.engine.hold(true);
    story.apply(ADA_SUSPENDED);
    story.deliver();
    assert!(story.in_flight.is_empty() && !story.engine.has_work(), "{:?}", story.in_flight);
    story.engine.hold(false);
    story.work();
    assert!(!story.in_flight.is_empty());
    story.converge();
}
