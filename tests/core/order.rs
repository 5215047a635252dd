//! The result depends only on the objects: not on the order of events, nor on which parts were decided again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bailiwick::core::cache::Cache;
use bailiwick::core::conditions::StatusDraft;
use bailiwick::core::fixpoint::settle;
use bailiwick::core::{Name, user};
use proptest::prelude::*;

use crate::access::Access;
use crate::build::objects;
use crate::cases;
use crate::fake::{Event, Op};
use crate::histories::{crowd, strange_history as history};
use crate::shell::{All, Shell, assert_same_all};

/// Shuffles the events of different streams, keeping the order within each. With `lossy`, a watch that was disconnected
/// omits superseded events, and repeats others.
fn shuffled(log: &[Event], seed: u64, lossy: bool) -> Vec<Event> {
    let mut random = Random(seed | 1);
    let mut streams: BTreeMap<String, VecDeque<Event>> = BTreeMap::new();
    for event in log {
        streams.entry(event.stream()).or_default().push_back(event.clone());
    }
    let mut dealt = Vec::new();
    let mut shown: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    while !streams.is_empty() {
        let stream = streams.keys().nth(random.below(streams.len())).unwrap().clone();
        let queue = streams.get_mut(&stream).unwrap();
        let event = queue.pop_front().unwrap();
        let last = queue.is_empty();
        if last {
            streams.remove(&stream);
        }
        let earlier = shown.entry(stream).or_default();
        if lossy && !last && random.below(3) == 0 {
            // Omitted now, but the answer to a write of ours may still arrive later.
            earlier.push(event);
            continue;
        }
        // A deleted object that is shown again looks like a new one: the operator must not do that.
        let gone = matches!(event, Event::Gone(..));
        if let (true, true, Event::Gone(slot, _)) = (lossy, last, &event) {
            // Its list does not show objects that were replaced while the watch was disconnected, either.
            let shown = earlier.iter().filter_map(|e| if let Event::Is(o) = e { Some(o.uid()) } else { None });
            dealt.extend(shown.map(|uid| Event::Gone(slot.clone(), uid)));
        }
        dealt.push(event.clone());
        earlier.push(event);
        if lossy && !gone && random.below(3) == 0 {
            let late = earlier[random.below(earlier.len())].clone();
            if matches!(late, Event::Is(_) | Event::Gone(..)) {
                dealt.push(late);
            }
        }
    }
    dealt
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

/// Subjects with less access in a namespace than before lost it because of an urgent change there.
fn is_urgent(
    op: &Op,
    before: &BTreeMap<Name, Access>,
    after: &BTreeMap<Name, Access>,
    urgent: &BTreeSet<Name>,
) -> Result<(), TestCaseError> {
    for (name, access) in before {
        let lost = after.get(name).map_or_else(|| access.beyond(&[]), |after| access.beyond(&[after]));
        prop_assert!(lost.is_empty() || urgent.contains(name), "{op:?} in {name:?}: {lost:?}");
    }
    Ok(())
}

fn follows(events: &[Event], shell: &Shell) -> All {
    let mut cache = Cache::default();
    for event in events {
        event.feed(&mut cache);
    }
    All::from_scratch(&mut cache, shell.store.time(), &bailiwick::core::plan::Present::new())
}

proptest! {
    #![proptest_config(cases(100))]

    /// Deciding again only what a change affects is enough: after every single event, the incremental result equals a
    /// decision from scratch.
    #[test]
    fn nothing_is_missed_by_deciding_only_what_is_affected(ops in history(40)) {
        let mut shell = Shell::new();
        shell.check();
        for op in &ops {
            shell.act(op);
            shell.check();
            shell.settle();
            shell.check();
        }
    }

    /// The same when the operator sees several changes at once.
    #[test]
    fn nothing_is_missed_when_several_things_change_at_once(ops in history(60)) {
        let mut shell = Shell::new();
        for few in ops.chunks(5) {
            for op in few {
                shell.store.now += 1;
                let events = shell.store.act(op);
                shell.take_in(events);
            }
            shell.act(&Op::Wait(1));
            shell.check();
            shell.settle();
        }
        shell.check();
    }

    /// Revocations take precedence, so every change that may revoke has to be recognized. The operator's own records
    /// may revoke, too: members leave the default organization when another namespace is claimed.
    #[test]
    fn whatever_takes_access_away_is_urgent(ops in history(40)) {
        let mut shell = Shell::new();
        for op in &ops {
            let before = shell.access();
            shell.urgent();
            shell.act(op);
            let meanwhile = shell.access();
            is_urgent(op, &before, &meanwhile, &shell.urgent())?;
            shell.settle();
            is_urgent(op, &meanwhile, &shell.access(), &shell.urgent())?;
        }
    }

    #[test]
    fn the_order_of_events_does_not_matter(ops in history(50), seed in any::<u64>(), lossy in any::<bool>()) {
        let mut shell = Shell::new();
        shell.play(&ops);
        let mut cache = shell.store.cache();
        let should = All::from_scratch(&mut cache, shell.store.time(), &bailiwick::core::plan::Present::new());
        assert_same_all(&follows(&shuffled(&shell.log, seed, lossy), &shell), &should);
    }

    /// Nothing changes by itself before the time that a decision names.
    #[test]
    fn nothing_changes_by_itself_before_its_time(ops in history(40), wait in 0i64..30) {
        let mut shell = Shell::new();
        shell.play(&ops);
        let mut cache_now = shell.store.cache();
        let now = All::from_scratch(&mut cache_now, shell.store.time(), &bailiwick::core::plan::Present::new());
        let later = crate::fake::tick(shell.store.now + wait);
        let mut cache = shell.store.cache();
        let then = All::from_scratch(&mut cache, later, &bailiwick::core::plan::Present::new());
        for (name, unit) in &now.units {
            if unit.decision.next_change.is_none_or(|at| at > later) {
                crate::shell::assert_same(&then.units[name].decision, &unit.decision, name);
            }
        }
        for (handle, (draft, next)) in &now.users {
            if next.is_none_or(|at| at > later) {
                // A user's holdings change with the decisions about units and the site, which have times of their own.
                let user = cache_now.users.get(handle).unwrap();
                prop_assert_eq!(&user::status(&cache_now, user, cache_now.holds(user), later).0, draft);
            }
        }
        let quiet = now.units.values().map(|u| &u.decision).chain([&now.site]);
        if quiet.into_iter().all(|d| d.next_change.is_none_or(|at| at > later)) {
            crate::shell::assert_same(&then.site, &now.site, "the site");
        }
    }

    /// `render` takes every recorded decision in memory, and reaches the same result as the operator, which writes each
    /// of them.
    #[test]
    fn render_comes_to_the_same_end_as_the_operator(ops in crowd()) {
        let mut shell = Shell::new();
        for op in &ops {
            shell.store.now += 1;
            let events = shell.store.act(op);
            shell.take_in(events);
        }
        let (mut rendered, now) = (shell.store.cache(), shell.store.time());
        let settled = settle(&mut rendered, now);
        shell.act(&Op::Wait(-1));
        shell.settle();
        prop_assert_eq!(shell.store.time(), now);
        prop_assert_eq!(settled.desired, shell.all.desired());
        let said = |all: Vec<&StatusDraft>| -> BTreeMap<_, _> { all.into_iter().map(|d| (d.target.clone(), d.clone())).collect() };
        prop_assert_eq!(said(settled.statuses.iter().collect()), said(shell.all.statuses().collect()));
    }
}

/// The record of a recreated organization differs only in its UID.
#[test]
fn who_leaves_the_default_organization_for_one_that_is_made_anew_is_urgent() {
    let mut shell = Shell::new();
    let home = "{kind: Organization, metadata: {name: home}, spec: {default: true}}";
    let acme = "{kind: Organization, metadata: {name: acme}, spec: {namespace: n0}}";
    let rest = "
{kind: User, metadata: {name: ada}, spec: {username: ada}}
---
{kind: SiteRole, metadata: {name: organization-member}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada]}}
";
    for yaml in [home, acme, rest] {
        for object in objects(yaml) {
            shell.act(&Op::Put(Box::new(object)));
        }
        shell.settle();
    }
    let anew = Op::Replace(Box::new(objects(acme).remove(0)));
    shell.act(&anew);
    let before = shell.access();
    shell.urgent();
    shell.settle();
    let (after, urgent) = (shell.access(), shell.urgent());
    let lost = |name: &Name| !before[name].beyond(&[&after[name]]).is_empty();
    assert!(before.keys().any(lost), "nobody was in the default organization meanwhile");
    is_urgent(&anew, &before, &after, &urgent).unwrap();
}
