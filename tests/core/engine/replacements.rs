//! Replacements: another role replaces an old one, which is revoked once the new one exists.

use bailiwick::core::object_ref::NativeRef;
use bailiwick::operator::writer::WriteRequest;

use super::words::{ACME, binding, creations_fail, organization};
use super::{Story, given};
use crate::fake::Kind;

/// A broken webhook, for example: the replacement never arrives.
#[test]
fn a_grant_goes_even_if_its_replacement_cannot_be_created() {
    let mut story = given(&[ACME]);
    let before = story.grants();

    story.server.fault = creations_fail;
    story.apply(&binding("n0", "b", "viewer", &["User ada"]));
    story.wait(1);
    assert_eq!(story.grants(), before, "for a moment everybody keeps what they have");
    story.wait(30);
    assert_eq!(story.grants(), []);
    let status = story.status(Kind::RoleBinding, "n0", "b").to_string();
    assert!(status.contains("RefusedByApiServer") && status.contains("it failed"), "{status}");

    // It is retried with back-off, and nothing else waits for that.
    let busy = (0..90).filter(|_| {
        story.wait(1);
        story.metrics.units_busy.get() > 0
    });
    assert!(busy.count() < 5);
    story.recover();
    assert_ne!(story.grants(), []);
}

/// A replacement takes precedence over other grants, as a revocation does.
#[test]
fn a_replacement_waits_for_no_revocation_elsewhere() {
    let mut story = given(&[ACME, &organization("beta", "n1"), &binding("n1", "b", "reader", &["User ada"])]);
    let in_n0 = |story: &Story| -> Vec<NativeRef> {
        story.grants().into_iter().filter(|key| *key.namespace == *"n0").collect()
    };
    let before = in_n0(&story);

    story.delete(Kind::RoleBinding, "n1", "b");
    story.hold = |_| true;
    story.wait(1);
    assert!(matches!(&story.held[..], [(WriteRequest::Native(write), _), ..] if write.revokes()), "{:?}", story.held);

    story.hold = |_| false;
    story.apply(&binding("n0", "b", "viewer", &["User ada"]));
    story.settle_at_once();
    let after = in_n0(&story);
    assert!(!after.is_empty() && after.iter().all(|key| !before.contains(key)), "{before:?}, then {after:?}");
    story.release();
    story.converge();
}
