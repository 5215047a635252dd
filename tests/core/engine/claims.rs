//! Claims: an Organization holds its namespace through a record on it, which may be refused, removed, or unreachable.

use bailiwick::core::claims;
use bailiwick::core::rbac::Observed;
use bailiwick::operator::writer::WriteRequest;
use rstest::rstest;

use super::words::{ACME, organization};
use super::{Story, given};
use crate::fake::answers::Claims;
use crate::fake::{Kind, Op};

/// Native objects in n0, whatever their source.
fn natives(story: &Story) -> usize {
    story.server.native_keys("n0").len()
}

#[rstest]
#[case::refused(Claims::Refuses, "it failed")]
#[case::stripped(Claims::Strips, "removes the record")]
fn a_recreated_organization_loses_access_if_its_claim_fails(#[case] webhook: Claims, #[case] why: &str) {
    let mut story = given(&[ACME]);
    assert_ne!(natives(&story), 0, "nothing was granted");

    story.server.claims = webhook;
    story.recreate(ACME);
    story.wait(20);
    assert_eq!(natives(&story), 0);
    let assignment = story.assignment("acme");
    assert!(assignment.starts_with("ClaimRefused ") && assignment.contains(why), "{assignment}");

    // Retries go on, with back-off.
    story.server.claims_tried = 0;
    story.wait(600);
    assert!((20..100).contains(&story.server.claims_tried), "{}", story.server.claims_tried);

    story.server.claims = Claims::Records;
    story.wait(60);
    story.assert_converged();
    assert_ne!(natives(&story), 0, "nothing is granted again");
}

#[rstest]
#[case::one_refusal(Claims::Refuses, 0)]
#[case::an_outage(Claims::IsOutOfReach, 300)]
fn a_recreated_organization_keeps_access_while_its_claim_is_pending(#[case] answer: Claims, #[case] seconds: i64) {
    let mut story = given(&[ACME]);
    let before = story.grants();
    assert!(!before.is_empty());

    story.server.claims = answer;
    story.recreate(ACME);
    story.wait(seconds);
    assert!(story.server.claims_tried > 1);
    assert_eq!(story.grants(), before);
    assert!(story.assignment("acme").starts_with("ClaimPending "));
    story.recover();
}

/// Another replica may have recorded the claim, and granted everything again.
#[test]
fn a_new_leader_does_not_count_earlier_refusals_of_a_claim() {
    let mut story = given(&[ACME]);
    let before = story.server.rbac.present.clone();
    story.server.claims = Claims::Refuses;
    story.recreate(ACME);
    story.wait(30);
    assert_eq!(story.grants(), []);

    // While the other replica leads, it records the claim and grants; then the Organization is recreated once more.
    story.engine.lead(false);
    let server = &mut story.server;
    server.claims = Claims::Records;
    let claim = claims::claim(&server.store.cache(), "n0", server.store.time(), true).unwrap();
    let events = server.store.record_claim(&claim);
    server.show(events);
    for (key, observed) in before.into_iter().filter(|(key, _)| *key.namespace == *"n0") {
        server.rbac.version += 1;
        let version = server.rbac.version;
        let uid = format!("of-another-{version}").as_str().into();
        server.rbac.present.insert(key.clone(), Box::new(Observed { uid, version, ..*observed }));
        server.show_native(&key);
    }
    story.recreate(ACME);
    story.deliver();

    story.engine.lead(true);
    story.work();
    let claims = |request: &WriteRequest| matches!(request, WriteRequest::Claim(_));
    assert!(story.in_flight.iter().any(claims), "{:?}", story.in_flight);
    let revokes = |request: &WriteRequest| matches!(request, WriteRequest::Native(write) if *write.key().namespace == *"n0" && write.revokes());
    assert!(!story.in_flight.iter().any(revokes), "{:?}", story.in_flight);

    // A refusal to this leader is the first one again.
    story.server.claims = Claims::Refuses;
    story.wait(5);
    assert_ne!(story.grants(), []);
    story.recover();
}

/// Nothing was ever granted in it, so only the record is left to check.
#[test]
fn an_empty_released_namespace_goes_to_the_organization_that_waits() {
    let organization = |name| organization(name, "n0, memberRole: ''");
    let mut story = given(&[&organization("acme")]);
    story.apply(&organization("heir"));
    story.delete(Kind::Organization, "", "acme");
    story.settle();
    assert!(story.assignment("heir").starts_with("ReservedFor"));

    story.server.act(&Op::Release("n0"));
    story.wait(5);
    assert!(story.assignment("heir").starts_with("Assigned"), "{}", story.assignment("heir"));
}
