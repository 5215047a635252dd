//! Leadership, and the knowledge of a standby; unreadable ConfigMaps; objects that are read again.

use std::collections::BTreeSet;

use bailiwick::operator::watch_event::{Item, WatchEvent};
use bailiwick::operator::writer::WriteRequest;

use super::Story;
use super::words::{ACME, binding};
use crate::fake::Kind;

#[test]
fn a_standby_remembers_nothing_of_namespaces_that_are_gone() {
    let mut story = Story::new();
    story.engine.lead(false);
    story.apply(ACME);
    for n in 0..100 {
        let name = format!("branch-{n}");
        story.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
        story.delete(Kind::Namespace, "", &name);
    }
    story.deliver();
    assert_eq!(story.metrics.units_busy.get(), 0);
    story.engine.lead(true);
    story.work();
    story.converge();
}

/// The leader sends the Event, even if the text was written while another replica led.
#[test]
fn the_leader_reports_a_config_map_that_cannot_be_read() {
    let mut story = Story::new();
    story.deliver();
    story.settle();
    story.engine.lead(false);
    let reports_after = |story: &mut Story, fault: Option<&str>| {
        let (uid, fault) = ("map".into(), fault.map(str::to_owned));
        story.events.push(WatchEvent::Item(Box::new(Item::Configuration { map: "bailiwick-config", uid, fault })));
        story.work();
        story.in_flight.iter().filter(|request| matches!(request, WriteRequest::Unread { .. })).count()
    };
    assert_eq!(reports_after(&mut story, Some("no YAML")), 0);

    story.engine.lead(true);
    story.work();
    let reports = |request: &WriteRequest| matches!(request, WriteRequest::Unread { map: "bailiwick-config", why, .. } if why == "no YAML");
    assert!(story.in_flight.iter().any(reports), "{:?}", story.in_flight);
    assert_eq!(reports_after(&mut story, Some("still no YAML")), 2);
    story.settle();
    assert_eq!(reports_after(&mut story, None), 0);
    story.engine.lead(false);
    story.engine.lead(true);
    assert_eq!(reports_after(&mut story, None), 0);
}

/// The watch may be faster than the answer.
#[test]
fn an_object_that_is_deleted_while_it_is_read_again_stays_gone() {
    // There is room for only one of the two.
    let group = |name: &str, first: &str| {
        let others = (0..8_000).map(|n| format!(", '{n:04}{}'", "\u{1d54f}".repeat(120)));
        let members: String = others.collect();
        format!("{{kind: Group, metadata: {{name: {name}, namespace: n0}}, spec: {{members: [{first}{members}]}}}}")
    };
    let nobody = BTreeSet::new();
    let mut story = Story::new();
    story.apply(ACME);
    story.apply(&group("first", "somebody"));
    story.server.store.now += 4;
    story.apply(&group("second", "ada"));
    story.apply(&binding("n0", "late", "viewer", &["Group second"]));
    story.settle();
    assert_eq!(story.bound_by("RoleBinding", "late"), nobody, "there was room for both");

    story.delete(Kind::Group, "n0", "first");
    story.deliver();
    let reads =
        |request: &WriteRequest| matches!(request, WriteRequest::Read { target, .. } if &*target.name == "second");
    let answer = story.carry_out(reads).expect("it is not read again");
    story.delete(Kind::Group, "n0", "second");
    story.settle();
    story.answers.push(answer);
    story.settle();
    assert_eq!(story.bound_by("RoleBinding", "late"), nobody);
    story.assert_converged();
}
