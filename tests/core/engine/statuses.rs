//! Statuses: written when they change, repaired when somebody edits them, and no more often than that.

use std::sync::atomic::{AtomicU16, Ordering};

use bailiwick::api::ApiKind;
use bailiwick::core::plan::Write;
use bailiwick::operator::writer::{Outcome, WriteRequest};

use super::words::{ACME, BOB, ada_and_bob, binding, organization};
use super::{Story, given};
use crate::fake::Kind;

/// The same happens when a status is written and the answer is lost.
#[test]
fn a_status_that_somebody_edits_is_written_again() {
    let site_binding = "{kind: SiteRoleBinding, metadata: {name: s}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: ada}]}}";
    let mut story = given(&[ACME, site_binding]);
    let all = [
        (Kind::Organization, "", "acme"),
        (Kind::User, "", "ada"),
        (Kind::SiteRole, "", "reader"),
        (Kind::SiteRoleBinding, "", "s"),
        (Kind::RoleBinding, "n0", "b"),
    ];
    for (kind, namespace, name) in all {
        let before = story.status(kind, namespace, name);
        story.edit_status(kind, namespace, name);
        story.settle();
        assert_eq!(story.status(kind, namespace, name), before, "{kind:?}");
        story.assert_converged();
    }
}

/// The same while our write is in flight, and the watch is faster than its answer.
#[test]
fn a_status_edited_before_our_write_is_answered_is_written_again() {
    let mut story = given(&[ACME]);
    story.apply(&binding("n0", "b", "reader", &["User eve"]));
    let writes_it = |request: &WriteRequest| matches!(request, WriteRequest::Status { target, .. } if target.kind == ApiKind::RoleBinding);
    let mut answer = None;
    for _ in 0..50 {
        story.deliver();
        answer = story.carry_out(writes_it);
        if answer.is_some() {
            break;
        }
        story.answer_all();
    }
    let answer = answer.expect("no status of the binding is written");
    let before = story.status(Kind::RoleBinding, "n0", "b");
    story.edit_status(Kind::RoleBinding, "n0", "b");
    story.deliver();
    story.answers.push(answer);
    story.work();
    story.settle();
    assert_eq!(story.status(Kind::RoleBinding, "n0", "b"), before);
    story.assert_converged();
}

#[test]
fn many_grants_write_one_status_of_a_user_and_a_new_leader_none() {
    let mut story = given(&[ACME, &organization("other", "n1")]);
    let grants = |story: &Story| story.status(Kind::User, "", "ada")["grants"].clone();
    assert_eq!(grants(&story), 1);

    story.server.user_statuses = 0;
    // Each is seen, decided and written while the previous ones are in flight.
    for n in 0..10 {
        let (namespace, role) = (["n0", "n1"][n % 2], ["reader", "viewer"][n / 2 % 2]);
        story.apply(&binding(namespace, &format!("b{n}"), role, &["User ada"]));
        story.deliver();
    }
    assert_eq!((story.server.user_statuses, grants(&story)), (0, 1.into()));
    story.converge();
    assert_eq!((story.server.user_statuses, grants(&story)), (1, 11.into()));

    story.lead_again();
    story.converge();
    assert_eq!(story.server.user_statuses, 1);
}

/// A webhook's error may contain the port from which it was called.
#[test]
fn an_error_that_reads_differently_each_time_is_written_once() {
    let mut story = given(&[ACME]);
    story.server.fault = |write| {
        static PORT: AtomicU16 = AtomicU16::new(40_000);
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        let message = format!("read udp 10.0.0.1:{port}: i/o timeout");
        matches!(write, Write::Create { .. }).then(|| Outcome::Failed { message, answered: true })
    };
    story.apply(BOB);
    story.apply(&ada_and_bob());
    story.wait(60);
    let first = story.status(Kind::RoleBinding, "n0", "both").to_string();
    assert!(first.contains("read udp 10.0.0.1:"), "{first}");
    story.wait(300);
    assert_eq!(story.status(Kind::RoleBinding, "n0", "both").to_string(), first);
}
