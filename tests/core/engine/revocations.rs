//! Revocations: only their own object can hold them up. If an update fails, the object is deleted; if that fails too,
//! it is reported.

use std::time::Duration;

use super::words::{ACME, ADA_SUSPENDED, BOB, ada_and_bob, binding, revocations_fail, updates_fail};
use super::{Story, given};
use crate::fake::{Kind, Op};

fn both(story: &Story) -> Vec<String> {
    story.bound_by("RoleBinding", "both").into_iter().collect()
}

fn bob_reads(name: &str) -> String {
    binding("n0", name, "reader", &["User bob"])
}

/// Kubernetes keeps RBAC in the namespace while it has Pods.
#[test]
fn a_terminating_namespace_loses_its_access() {
    let mut story = given(&[ACME]);
    assert_ne!(story.grants(), []);
    story.server.act(&Op::Terminate("n0"));
    story.settle();
    assert_eq!(story.server.native_keys("n0"), []);
    story.assert_converged();
}

/// A broken webhook on updates, for example.
#[test]
fn a_binding_that_cannot_shrink_is_deleted() {
    let mut story = given(&[ACME, BOB, &ada_and_bob()]);
    assert_eq!(both(&story).len(), 2);

    story.server.fault = updates_fail;
    story.apply(ADA_SUSPENDED);
    story.apply(&bob_reads("another"));
    story.wait(30);
    assert_eq!(both(&story).len(), 1, "Ada has it, or Bob does not");
    assert_eq!(story.bound_by("RoleBinding", "another").len(), 1);
    story.recover();
}

#[test]
fn a_revocation_that_fails_is_reported_and_holds_up_nothing_else() {
    let mut story = given(&[ACME, BOB, &ada_and_bob()]);
    story.server.fault = revocations_fail;
    story.apply(ADA_SUSPENDED);
    story.apply(&bob_reads("another"));
    story.wait(60);
    assert_eq!(both(&story).len(), 2);
    assert_eq!(story.bound_by("RoleBinding", "another").len(), 1);
    let status = story.status(Kind::RoleBinding, "n0", "both").to_string();
    assert!(status.contains("RefusedByApiServer"), "{status}");

    // Grants are no longer answered. The revocation is retried beside them after at most five seconds, although none
    // was in flight when that began.
    let soon = |story: &Story| story.server.now().clock + Duration::from_secs(1);
    while !story.in_flight.is_empty() || story.engine.wakes_at().1.is_some_and(|at| at < soon(&story)) {
        story.wait(1);
    }
    story.apply(&bob_reads("one-more"));
    story.hold = |write| !write.revokes();
    story.wait(0);
    assert!(!story.held.is_empty(), "nothing is granted");
    story.server.fault = |_| None;
    story.wait(6);
    story.assert_revoked();
    assert!(!both(&story).iter().any(|who| who.contains("ada")));
    story.release();
    story.converge();
}

/// A subject that cannot be added proves nothing about one that has to be removed.
#[test]
fn those_who_keep_a_role_survive_the_first_failed_revocation() {
    let mut story = given(&[ACME, BOB, &ada_and_bob()]);
    story.server.fault = updates_fail;
    story.apply(&binding("n0", "both", "viewer", &["User ada", "User bob", "ServiceAccount ci"]));
    story.wait(30);
    let before = both(&story);
    assert_eq!(before.len(), 2, "{before:?}");

    story.apply(ADA_SUSPENDED);
    story.wait(5);
    assert_eq!(both(&story), before);
    story.wait(15);
    let after = both(&story);
    assert!(!after.iter().any(|who| who.contains("ada")), "{after:?}");
    story.recover();
}
