//! The resync finds events that a watch has lost.

use bailiwick::core::object_ref::ObjectRef;
use bailiwick::operator::watch_event::{Comparison, Versions, WatchEvent};
use tokio::sync::oneshot;

use super::Story;
use super::words::{ACME, BOB, given};
use crate::fake::Kind;

impl Story {
    /// Lists the Users, and lets the engine compare. Returns the differences.
    fn compare_users(&mut self, before: Option<Versions>) -> Versions {
        let users = self.server.store.objects.values().filter(|object| object.kind() == Kind::User);
        let listed = users.map(|user| {
            let id = ObjectRef::new(Kind::User, "", user.meta().name.clone().unwrap()).with_uid(user.uid());
            (id, user.meta().resource_version.as_ref().unwrap().parse().unwrap())
        });
        let (answer, mut differs) = oneshot::channel();
        let comparison = Comparison { kind: Kind::User, listed: listed.collect(), before, answer };
        self.events.push(WatchEvent::Compared(comparison));
        self.work();
        differs.try_recv().unwrap()
    }

    fn corrections(&self) -> bool {
        self.metrics.text().contains(r#"bailiwick_resync_corrections_total{kind="User"} 1"#)
    }
}

#[test]
fn a_lost_event_is_found_by_two_lists_that_agree() {
    for lose in [|story: &mut Story| story.apply(BOB), |story: &mut Story| story.delete(Kind::User, "", "ada")] {
        let mut story = given(&[ACME]);
        assert_eq!(story.compare_users(None).len(), 0);
        lose(&mut story);
        story.server.watches.lose_all();
        let differs = story.compare_users(None);
        assert_eq!((differs.len(), story.corrections()), (1, false), "the watch may be late");
        assert_eq!(story.compare_users(Some(differs.clone())), differs);
        assert!(story.corrections());
    }
}

#[test]
fn an_event_that_is_late_is_no_fault() {
    let mut story = given(&[ACME]);
    story.apply(BOB);
    let differs = story.compare_users(None);
    assert_eq!(differs.len(), 1);
    story.deliver();
    assert_eq!(story.compare_users(Some(differs)).len(), 0);
    story.converge();
}
