//! The engine against an API server that answers late, not at all, with an error before or after it wrote, or that somebody
//! else has written meanwhile. However that goes: it comes to rest with what follows from everything, and what takes access
//! away waits for no write but one of its own object.

mod restores;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bailiwick::core::names::RELEASE_PREFIX;
use bailiwick::core::plan::{Present, Write};
use bailiwick::core::rbac::{Desired, DesiredSet, Key, NativeKind, Observed, RbacSpec, Subject};
use bailiwick::core::records::digest;
use bailiwick::core::rules::{Rule, RuleSet, words};
use bailiwick::core::uid::Uid;
use bailiwick::core::{Name, claims};
use bailiwick::operator::engine::{Engine, Now};
use bailiwick::operator::metrics::Metrics;
use bailiwick::operator::watch::{Id, Item, Kind, OwnConfigMap, WatchEvent};
use bailiwick::operator::writer::{Failure, Outcome, WriteRequest, WriteResult};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::Config;
use rstest::rstest;
use tokio::sync::mpsc;

use crate::access::role_key;
use crate::build::objects;
use crate::cases;
use crate::histories::{self, Event, Object, Op, RELEASE, Store, Which, base, crowd, op};
use crate::plan::stored;
use crate::shell::{All, meta, record, slot_of};

/// How many writes at once: few, so that there are too many of them.
const AT_ONCE: usize = 3;
/// So many writes are not answered until the end.
const HELD: usize = AT_ONCE - 1;

/// How a write ends.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Well,
    /// An error, and nothing is written.
    Fails,
    /// An error, and it is written all the same.
    IsLost,
    /// A refusal.
    Refused,
    /// Not before the end of the test; written at once, or then.
    Never {
        written: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claims {
    Records,
    Refuses,
    /// The API server is not there.
    IsOutOfReach,
    /// Lets them be written, without what they say.
    Strips,
}

/// What somebody does to a native object of ours.
#[derive(Clone, Copy, Debug)]
enum Drift {
    Delete,
    /// More people, or more rights.
    Widen,
    Unlabel,
}

#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    /// Watches show so many things.
    Show(usize, Index),
    Answer(Index, Answer),
    Drift(Index, Drift),
    /// A watch is made anew.
    Relist(Index),
    /// Leadership is lost and found again.
    Replace,
}

/// `troubled`: whether anything is answered with an error.
fn step(troubled: bool) -> impl Strategy<Value = Step> {
    let error = if troubled {
        select(vec![Answer::Fails, Answer::IsLost, Answer::Refused])
    } else {
        select(vec![Answer::Well])
    };
    let answer = prop_oneof![
        8 => Just(Answer::Well),
        3 => error,
        2 => any::<bool>().prop_map(|written| Answer::Never { written }),
    ];
    let drift = prop_oneof![Just(Drift::Delete), Just(Drift::Widen), Just(Drift::Unlabel)];
    prop_oneof![
        4 => op().prop_map(Step::Do),
        4 => (1..6_usize, any::<Index>()).prop_map(|(n, which)| Step::Show(n, which)),
        8 => (any::<Index>(), answer).prop_map(|(which, answer)| Step::Answer(which, answer)),
        1 => (any::<Index>(), drift).prop_map(|(which, drift)| Step::Drift(which, drift)),
        1 => any::<Index>().prop_map(Step::Relist),
        1 => Just(Step::Replace),
    ]
}

struct Model {
    store: Store,
    present: Present,
    version: u64,
    /// By which shards are split.
    secret: Uid,
    list: OwnConfigMap,
    engine: Engine,
    metrics: Arc<Metrics>,
    sent: mpsc::UnboundedReceiver<WriteRequest>,
    /// What the watches will show, each in order.
    to_show: BTreeMap<Kind, VecDeque<WatchEvent>>,
    in_flight: Vec<WriteRequest>,
    /// What will not be answered before the end, and the answer if it is written.
    held: Vec<(WriteRequest, Option<WriteResult>)>,
    /// How a webhook of the cluster treats records of claims.
    claims: Claims,
    claims_tried: usize,
    /// Writes that are not carried out, and what is answered.
    fault: fn(&Write) -> Option<Outcome>,
    /// Writes that are not answered before [`Model::release`].
    hold: fn(&Write) -> bool,
    began: Instant,
    seen: Vec<WatchEvent>,
    answers: Vec<WriteResult>,
    /// The highest versions that there were: of what the store has, of native objects, and of the list.
    highest: [u64; 3],
    /// Whether it goes back in time.
    goes_back: bool,
    /// How many statuses of Users were written.
    users_told: usize,
}

fn kind_of(kind: histories::Kind) -> Kind {
    match kind {
        histories::Kind::Organization => Kind::Organization,
        histories::Kind::User => Kind::User,
        histories::Kind::Namespace => Kind::Namespace,
        histories::Kind::Group => Kind::Group,
        histories::Kind::RoleBinding => Kind::RoleBinding,
        histories::Kind::CustomRole => Kind::CustomRole,
        histories::Kind::SiteRole => Kind::SiteRole,
        histories::Kind::SiteRoleBinding => Kind::SiteRoleBinding,
    }
}

fn item_of(object: &Object) -> Item {
    match object {
        Object::Organization(o) => Item::Organization(o.into()),
        Object::User(o) => Item::User(o.into()),
        Object::Namespace(o) => Item::Namespace(o.into()),
        Object::Group(o) => Item::Group(o.into()),
        Object::RoleBinding(o) => Item::RoleBinding(o.into()),
        Object::CustomRole(o) => Item::CustomRole(o.into()),
        Object::SiteRole(o) => Item::SiteRole(o.into()),
        Object::SiteRoleBinding(o) => Item::SiteRoleBinding(o.into()),
    }
}

fn ceiling_of(which: Which) -> Kind {
    match which {
        Which::Organization => Kind::Ceiling,
        Which::Home => Kind::CeilingHome,
        Which::Cluster => Kind::CeilingCluster,
        Which::Release => Kind::CeilingRelease,
    }
}

/// What a watch says of it, and which.
fn seen(event: Event) -> (Kind, WatchEvent) {
    let is = |kind, item| (kind, WatchEvent::Item(Box::new(item)));
    match event {
        Event::Is(object) => is(kind_of(object.kind()), item_of(&object)),
        Event::Gone((kind, namespace, name), uid) => {
            let id = Id { kind: kind_of(kind), namespace: namespace.into(), name: name.into(), uid };
            (id.kind, WatchEvent::Gone(id))
        }
        Event::Bounds(bounds) => is(Kind::Bounds, Item::Bounds(bounds)),
        Event::Settings(settings) => is(Kind::Settings, Item::Settings(settings)),
        Event::Ceiling(which, Some(ceiling)) => {
            is(ceiling_of(which), Item::Ceiling(ceiling_of(which), ceiling, Uid::default()))
        }
        Event::Ceiling(which, None) => {
            let kind = ceiling_of(which);
            let id = Id { kind, namespace: Name::default(), name: Name::default(), uid: "".into() };
            (kind, WatchEvent::Gone(id))
        }
    }
}

/// The unit of a native object: the site has no name.
fn unit_of(key: &Key) -> Name {
    let is_site = key.namespace.is_empty() || key.name.starts_with(RELEASE_PREFIX);
    if is_site { Name::default() } else { key.namespace.clone() }
}

fn key_of(job: &WriteRequest) -> Option<&Key> {
    if let WriteRequest::Native(write) = job { Some(write.key()) } else { None }
}

impl Model {
    fn new() -> Self {
        let (jobs, sent) = mpsc::unbounded_channel();
        let metrics = Arc::new(Metrics::default());
        let began = Instant::now();
        let at_first = Now { time: base(), clock: began };
        let mut model = Self {
            store: Store::new().0,
            present: Present::new(),
            version: 0,
            secret: Uid::default(),
            list: OwnConfigMap { uid: "list".into(), version: 1, digest: 0 },
            engine: Engine::new(metrics.clone(), jobs, AT_ONCE, at_first),
            metrics,
            sent,
            to_show: BTreeMap::new(),
            in_flight: Vec::new(),
            held: Vec::new(),
            claims: Claims::Records,
            claims_tried: 0,
            fault: |_| None,
            hold: |_| false,
            began,
            seen: Vec::new(),
            answers: Vec::new(),
            highest: [0; 3],
            goes_back: false,
            users_told: 0,
        };
        model.engine.lead(true);
        Kind::ALL.into_iter().for_each(|kind| model.relist(kind));
        model
    }

    fn time(&self) -> Timestamp {
        self.store.time()
    }

    fn moment(&self) -> Now {
        let elapsed = self.time().duration_since(base());
        Now { time: self.time(), clock: self.began + Duration::try_from(elapsed).unwrap() }
    }

    fn show(&mut self, events: Vec<Event>) {
        for event in events {
            let (kind, seen) = seen(event);
            self.to_show.entry(kind).or_default().push_back(seen);
        }
    }

    /// What a list has to show at least that is asked for now, after everything that there is was received.
    fn floor(&mut self, kind: Kind) -> u64 {
        let now = [self.store.version(), self.version, self.list.version];
        self.highest = std::array::from_fn(|n| self.highest[n].max(now[n]));
        match kind {
            Kind::NativeRole | Kind::NativeRoleBinding | Kind::NativeClusterRole | Kind::NativeClusterRoleBinding => {
                self.highest[1]
            }
            Kind::Suspended => self.highest[2],
            _ => self.highest[0],
        }
    }

    /// A watch begins anew: what it had not shown yet is lost, and a list shows what is there.
    fn relist(&mut self, kind: Kind) {
        let mut list = VecDeque::from([WatchEvent::Restarted(kind, self.floor(kind))]);
        let is = |item| WatchEvent::Item(Box::new(item));
        list.extend(self.store.list().into_iter().map(seen).filter(|(of, _)| *of == kind).map(|(_, seen)| seen));
        let native = self.present.iter().filter(|(key, _)| Kind::from(key.kind) == kind);
        list.extend(native.map(|(key, observed)| is(Item::Native(key.clone(), (**observed).clone()))));
        match kind {
            Kind::Suspended => list.push_back(is(Item::Suspended(self.list.clone()))),
            Kind::Policies => list.push_back(is(Item::PolicyFaults(None))),
            _ => {}
        }
        list.push_back(WatchEvent::Synced(kind));
        self.to_show.insert(kind, list);
    }

    fn show_native(&mut self, key: &Key) {
        let observed = self.present[key].clone();
        let seen = WatchEvent::Item(Box::new(Item::Native(key.clone(), *observed)));
        self.to_show.entry(Kind::from(key.kind)).or_default().push_back(seen);
    }

    fn remove(&mut self, key: &Key) {
        let Some(observed) = self.present.remove(key) else { return };
        let kind = Kind::from(key.kind);
        let id = Id { kind, namespace: key.namespace.clone(), name: key.name.clone(), uid: observed.uid };
        self.to_show.entry(kind).or_default().push_back(WatchEvent::Gone(id));
    }

    fn act(&mut self, op: &Op) {
        self.store.now += 1;
        let gone = match op {
            Op::Delete((histories::Kind::Namespace, _, name)) => Some(name.clone()),
            Op::Replace(object) if object.kind() == histories::Kind::Namespace => Some(object.slot().2),
            _ => None,
        };
        if gone.as_deref() == Some(RELEASE) || matches!(op, Op::Terminate(RELEASE)) {
            // The operator would go, too.
            return;
        }
        if let Some(name) = gone {
            let keys: Vec<Key> = self.present.keys().filter(|key| *key.namespace == *name).cloned().collect();
            keys.iter().for_each(|key| self.remove(key));
        }
        let events = self.store.act(op);
        self.show(events);
    }

    fn drift(&mut self, which: Index, drift: Drift) {
        let Some(key) = (!self.present.is_empty()).then(|| which.get(&self.keys()).clone()) else { return };
        self.version += 1;
        let version = self.version;
        let Some(observed) = self.present.get_mut(&key) else { return };
        observed.version = version;
        match (drift, &observed.content) {
            (Drift::Delete, _) => return self.remove(&key),
            (Drift::Unlabel, _) => observed.labelled = false,
            (Drift::Widen, Some(RbacSpec::Binding { role, subjects })) => {
                let mut subjects = subjects.to_vec();
                subjects.push(Subject::User("mallory".into()));
                subjects.sort();
                subjects.dedup();
                observed.content = Some(RbacSpec::Binding { role: role.clone(), subjects: subjects.into() });
            }
            (Drift::Widen, Some(RbacSpec::Rules(rules))) => {
                let mut rules = rules.to_vec();
                rules.push(Rule {
                    groups: words(&[""]),
                    resources: words(&["secrets"]),
                    verbs: words(&["list"]),
                    ..Rule::default()
                });
                observed.content = Some(RbacSpec::Rules(rules.into()));
            }
            (Drift::Widen, None) => {}
        }
        self.show_native(&key);
    }

    fn keys(&self) -> Vec<Key> {
        self.present.keys().cloned().collect()
    }

    fn goes(&self, namespace: &str) -> bool {
        let slot = (histories::Kind::Namespace, String::new(), namespace.to_owned());
        self.store.objects.get(&slot).is_none_or(|object| object.meta().deletion_timestamp.is_some())
    }

    fn put(&mut self, key: &Key, native: &Desired, uid: Uid) -> Outcome {
        let is_missing = |key: Key| !self.present.contains_key(&key);
        if matches!(&native.content, RbacSpec::Binding { role, .. } if is_missing(role_key(key, role))) {
            return refused();
        }
        self.version += 1;
        let observed = stored(native, uid, self.version);
        self.present.insert(key.clone(), Box::new(observed.clone()));
        self.show_native(key);
        Outcome::Is(observed)
    }

    fn write(&mut self, write: &Write) -> Outcome {
        let there = self.present.get(write.key()).map(|observed| (**observed).clone());
        if let Some(outcome) = (self.fault)(write) {
            return outcome;
        }
        match (write, there) {
            (Write::Create { .. }, Some(there)) => Outcome::Found(there),
            (Write::Create { key, .. }, None) if !key.namespace.is_empty() && self.goes(&key.namespace) => refused(),
            (Write::Create { key, native }, None) => {
                let uid = format!("native-{}", self.version + 1);
                self.put(key, native, uid.as_str().into())
            }
            (Write::Apply { uid, .. } | Write::Delete { uid, .. }, None) => Outcome::Gone(Some(uid.clone())),
            (Write::Apply { uid, .. } | Write::Delete { uid, .. }, Some(there)) if there.uid != *uid => {
                Outcome::Found(there)
            }
            (Write::Apply { key, native, uid, .. }, Some(there)) => match (&there.content, &native.content) {
                (Some(RbacSpec::Binding { role: old, .. }), RbacSpec::Binding { role, .. }) if old != role => refused(),
                _ => self.put(key, native, uid.clone()),
            },
            (Write::Delete { key, uid, .. }, Some(_)) => {
                self.remove(key);
                Outcome::Gone(Some(uid.clone()))
            }
        }
    }

    /// Does what was asked, and says what comes of it.
    fn carry_out(&mut self, job: &WriteRequest) -> WriteResult {
        match job {
            WriteRequest::Native(write) => WriteResult::Native(write.key().clone(), self.write(write)),
            WriteRequest::Claim(claim) => {
                let slot = (histories::Kind::Namespace, String::new(), claim.namespace.to_string());
                if self.store.objects.get(&slot).is_none_or(|object| object.uid() != claim.namespace_uid) {
                    return undone(job, true);
                }
                self.claims_tried += 1;
                match self.claims {
                    Claims::Records => {}
                    Claims::Refuses => return undone(job, true),
                    Claims::IsOutOfReach => return undone(job, false),
                    Claims::Strips => {
                        return WriteResult::Claim(
                            claim.namespace.clone(),
                            Ok(self.store.objects[&slot].meta().into()),
                        );
                    }
                }
                let events = record(&mut self.store, claim);
                self.show(events);
                WriteResult::Claim(claim.namespace.clone(), Ok(self.store.objects[&slot].meta().into()))
            }
            WriteRequest::Unread { .. } => WriteResult::Unread,
            WriteRequest::Suspended { uid, texts } => {
                let (uid, version) = (uid.clone(), self.list.version + 1);
                self.list = OwnConfigMap { uid, version, digest: digest(texts) };
                let seen = WatchEvent::Item(Box::new(Item::Suspended(self.list.clone())));
                self.to_show.entry(Kind::Suspended).or_default().push_back(seen);
                WriteResult::Suspended(Ok(self.list.clone()))
            }
            WriteRequest::Keep { uid, text } => {
                let map = OwnConfigMap { uid: uid.clone(), version: self.version, digest: digest(&[text]) };
                WriteResult::Kept(Ok(map))
            }
            WriteRequest::Unlabel { handle, .. } => WriteResult::Unlabelled(handle.clone(), Ok(())),
            WriteRequest::Read { target, .. } => {
                let object = self.store.objects.get(&slot_of(target));
                WriteResult::Read(target.clone(), object.map(|object| Box::new(item_of(object))).ok_or(Failure::Gone))
            }
            WriteRequest::Status { target, document, .. } => {
                self.users_told += usize::from(target.kind == "User");
                let slot = slot_of(target);
                let events = self.store.write_status(&slot, &target.uid, &document["status"]);
                if events.is_empty() {
                    return WriteResult::Status(target.clone(), Err(Failure::Gone));
                }
                self.show(events);
                WriteResult::Status(target.clone(), Ok(Box::new(item_of(&self.store.objects[&slot]))))
            }
        }
    }

    fn answer(&mut self, which: Index, answer: Answer) {
        if self.in_flight.is_empty() {
            return;
        }
        let job = self.in_flight.remove(which.index(self.in_flight.len()));
        let done = match (answer, &job) {
            (Answer::Never { written }, WriteRequest::Native(_) | WriteRequest::Claim(_)) if self.held.len() < HELD => {
                let done = written.then(|| self.carry_out(&job));
                self.held.push((job, done));
                return;
            }
            (Answer::Well | Answer::Never { .. }, _) => self.carry_out(&job),
            (Answer::Refused, WriteRequest::Native(write @ (Write::Create { .. } | Write::Apply { .. }))) => {
                WriteResult::Native(write.key().clone(), refused())
            }
            (Answer::Fails | Answer::Refused, _) => undone(&job, true),
            (Answer::IsLost, _) => {
                self.carry_out(&job);
                undone(&job, false)
            }
        };
        self.answers.push(done);
    }

    fn take_step(&mut self, step: &Step) {
        match step {
            Step::Do(op) => self.act(op),
            Step::Show(times, which) => {
                for _ in 0..*times {
                    let mut some: Vec<_> = self.to_show.values_mut().filter(|queue| !queue.is_empty()).collect();
                    if !some.is_empty() {
                        let which = which.index(some.len());
                        self.seen.extend(some[which].pop_front());
                    }
                }
            }
            Step::Answer(which, answer) => self.answer(*which, *answer),
            Step::Drift(which, drift) => self.drift(*which, *drift),
            Step::Relist(which) => self.relist(*which.get(&Kind::ALL)),
            Step::Replace => {
                self.engine.lead(false);
                self.turns();
                self.engine.lead(true);
            }
        }
        self.turns();
    }

    /// Shows everything.
    fn see(&mut self) {
        self.seen.extend(self.to_show.values_mut().flat_map(std::mem::take));
        self.turns();
    }

    /// Lets the engine work until it waits for something.
    fn turns(&mut self) {
        for _ in 0..1000 {
            let (answers, seen) = (std::mem::take(&mut self.answers), std::mem::take(&mut self.seen));
            self.engine.turn(self.moment(), answers.into_iter(), seen.into_iter());
            assert!(self.goes_back || self.engine.gone_back().is_none(), "{:?}", self.engine.gone_back());
            while let Ok(job) = self.sent.try_recv() {
                let others = || self.in_flight.iter().chain(self.held.iter().map(|(job, _)| job));
                let natives = others().filter_map(key_of).count();
                if let Some(key) = key_of(&job) {
                    assert!(others().all(|other| key_of(other) != Some(key)), "{key} is written twice at once");
                    assert!(natives < 8 * AT_ONCE, "{natives} writes are under way");
                }
                self.in_flight.push(job);
            }
            if !self.engine.has_work() {
                return;
            }
        }
        panic!("it is busy with nothing");
    }

    /// Shows and answers everything that is not held; and lets time go by, until nobody waits for it.
    fn rest(&mut self, passes: bool) {
        self.rest_until(if passes { i64::MAX } else { self.store.now });
    }

    /// The same, for so long.
    fn wait(&mut self, seconds: i64) {
        let end = self.store.now + 2 * seconds;
        self.rest_until(end);
        self.store.now = end;
        self.turns();
    }

    fn rest_until(&mut self, end: i64) {
        for _ in 0..400 {
            self.seen.extend(self.to_show.values_mut().flat_map(std::mem::take));
            for job in std::mem::take(&mut self.in_flight) {
                if matches!(&job, WriteRequest::Native(write) if (self.hold)(write)) {
                    self.held.push((job, None));
                    continue;
                }
                let done = self.carry_out(&job);
                self.answers.push(done);
            }
            if self.seen.is_empty() && self.answers.is_empty() {
                let (time, clock) = self.engine.wakes_at();
                let elapsed = |clock: Instant| SignedDuration::try_from(clock.duration_since(self.began)).unwrap();
                let all = [time.map(|at| at.duration_since(base())), clock.map(elapsed)];
                let Some(next) = all.into_iter().flatten().min() else { return };
                let halves = i64::try_from(next.as_millis()).unwrap() / 500 + 1;
                let next = halves.max(self.store.now + 1);
                if next > end {
                    return;
                }
                self.store.now = next;
            }
            self.turns();
        }
        panic!("it does not come to rest: {:?} {:?}", self.in_flight, self.engine.wakes_at());
    }

    /// All that was held is answered.
    fn release(&mut self) {
        self.hold = |_| false;
        for (job, done) in std::mem::take(&mut self.held) {
            let done = done.unwrap_or_else(|| self.carry_out(&job));
            self.answers.push(done);
        }
        self.turns();
    }

    /// What follows from everything.
    fn all(&self) -> All {
        let mut cache = self.store.cache();
        cache.set_seed(&self.secret);
        All::from_scratch(&mut cache, self.time(), &self.present)
    }

    /// Nobody has what they should not have, but by an object that is being written, or because their new grant waits for one.
    fn check_taken_away(&self) {
        let all = self.all();
        let desired = all.desired();
        let held: BTreeSet<&Key> = self.held.iter().filter_map(|(job, _)| key_of(job)).collect();
        let claimed = |namespace: &str| {
            self.held.iter().any(|(job, _)| matches!(job, WriteRequest::Claim(claim) if *claim.namespace == *namespace))
                // It is recorded first, and alone.
                || all.units.get(namespace).is_some_and(|unit| unit.claim.is_some())
        };
        for (key, observed) in &self.present {
            let unit = unit_of(key);
            if held.contains(key) || (!unit.is_empty() && claimed(&unit)) {
                continue;
            }
            match observed.content.as_ref().unwrap() {
                RbacSpec::Rules(have) => {
                    let Some(Desired { content: RbacSpec::Rules(want), .. }) = desired.get(key) else { continue };
                    if !self.is_bound(key, &held) {
                        // It gives nobody anything, or only by what is being taken away.
                        continue;
                    }
                    let (have, want) = (RuleSet::from_rules(have.iter()), RuleSet::from_rules(want.iter()));
                    assert!(want.contains_all(&have), "{key} gives too much; held: {held:?}");
                }
                RbacSpec::Binding { role, subjects } => {
                    let wanted = desired.get(key).map(|native| &native.content);
                    for grantee in subjects.iter().filter(|g| !wanted.is_some_and(|w| gives(w, Some(role), g))) {
                        let waits = self.waits_for_another(&desired, &held, &unit, grantee);
                        assert!(waits, "{grantee:?} has {key} for nothing; held: {held:?}");
                    }
                }
            }
        }
    }

    /// Whether somebody is bound to this role, or is about to be.
    fn is_bound(&self, role: &Key, held: &BTreeSet<&Key>) -> bool {
        let binds = |key: &Key, content: &RbacSpec| matches!(content, RbacSpec::Binding { role: name, .. } if role_key(key, name) == *role);
        let there = self.present.iter().filter(|(key, _)| !held.contains(key));
        let mut there = there.filter_map(|(key, observed)| Some((key, observed.content.as_ref()?)));
        let mut coming = self.held.iter().filter_map(|(job, _)| match job {
            WriteRequest::Native(Write::Create { key, native } | Write::Apply { key, native, .. }) => {
                Some((key, &native.content))
            }
            _ => None,
        });
        there.any(|(key, content)| binds(key, content)) || coming.any(|(key, content)| binds(key, content))
    }

    /// Whether somebody shall have something in this unit that they do not have yet, or not for sure, because a write of the
    /// unit is not answered.
    fn waits_for_another(&self, desired: &DesiredSet, held: &BTreeSet<&Key>, unit: &Name, grantee: &Subject) -> bool {
        let is_writing = held.iter().any(|key| unit_of(key) == *unit);
        is_writing
            && desired.iter().filter(|(key, _)| unit_of(key) == *unit).any(|(key, native)| {
                let RbacSpec::Binding { role, .. } = &native.content else { return false };
                let is_there = self
                    .present
                    .get(key)
                    .and_then(|o| o.content.as_ref())
                    .is_some_and(|c| gives(c, Some(role), grantee));
                let role = role_key(key, role);
                let is_held = held.contains(key) || held.contains(&role) || !self.present.contains_key(&role);
                gives(&native.content, None, grantee) && (!is_there || is_held)
            })
    }

    /// Everything is as it should be, and said.
    fn check_converged(&self) {
        let all = self.all();
        let should: BTreeMap<_, _> =
            all.desired().into_iter().map(|(key, native)| (key, Some(native.content))).collect();
        let is: BTreeMap<_, _> = self.present.iter().map(|(key, o)| (key.clone(), o.content.clone())).collect();
        assert_eq!(is, should);
        assert!(self.present.values().all(|observed| observed.labelled));
        let cache = self.store.cache();
        for draft in all.statuses() {
            let Some(meta) = meta(&cache, draft) else { continue };
            assert_eq!(draft.document(&meta, self.time()), None, "{} is not told", draft.target.path());
        }
        assert_eq!(self.metrics.units_busy.get(), 0);
    }
}

fn gives(content: &RbacSpec, role: Option<&Name>, grantee: &Subject) -> bool {
    matches!(content, RbacSpec::Binding { role: r, subjects } if role.is_none_or(|role| role == r) && subjects.contains(grantee))
}

fn failed() -> Outcome {
    Outcome::Failed { message: "it failed".to_owned(), answered: true }
}

fn refused() -> Outcome {
    Outcome::Refused { message: "no".to_owned(), authorized: true }
}

/// It ended in an error: the API server said so, or not.
fn undone(job: &WriteRequest, answered: bool) -> WriteResult {
    let error = || "it failed".to_owned();
    match job {
        WriteRequest::Native(write) => {
            WriteResult::Native(write.key().clone(), Outcome::Failed { message: error(), answered })
        }
        WriteRequest::Claim(claim) if answered => {
            WriteResult::Claim(claim.namespace.clone(), Err(Failure::Refused(error())))
        }
        WriteRequest::Claim(claim) => WriteResult::Claim(claim.namespace.clone(), Err(Failure::Failed(error()))),
        WriteRequest::Suspended { .. } => WriteResult::Suspended(Err(Failure::Failed(error()))),
        WriteRequest::Keep { .. } => WriteResult::Kept(Err(Failure::Failed(error()))),
        WriteRequest::Unlabel { handle, .. } => WriteResult::Unlabelled(handle.clone(), Err(Failure::Failed(error()))),
        WriteRequest::Status { target, .. } => WriteResult::Status(target.clone(), Err(Failure::Failed(error()))),
        WriteRequest::Unread { .. } => WriteResult::Unread,
        WriteRequest::Read { target, .. } => WriteResult::Read(target.clone(), Err(Failure::Failed(error()))),
    }
}

proptest! {
    #![proptest_config(Config { max_shrink_iters: 500, ..cases(60) })]

    #[test]
    fn whatever_the_api_server_answers_access_is_taken_away_and_all_comes_to_rest(
        start in crowd(),
        (troubled, steps) in any::<bool>().prop_flat_map(|t| (Just(t), prop::collection::vec(step(t), 1..80))),
    ) {
        let mut model = Model::new();
        start.iter().for_each(|op| model.act(op));
        model.rest(true);
        model.check_converged();
        for step in &steps {
            model.take_step(step);
        }
        if !troubled {
            model.rest(false);
            model.check_taken_away();
        }
        model.rest(true);
        model.check_taken_away();
        model.release();
        model.rest(true);
        model.check_converged();
    }
}

fn apply(model: &mut Model, yaml: &str) {
    for object in objects(yaml) {
        model.act(&Op::Put(Box::new(object)));
    }
}

const ONE_ORGANIZATION: &str = "
{kind: Organization, metadata: {name: acme}, spec: {namespace: n0}}
---
{kind: User, metadata: {name: ada}, spec: {username: ada}}
---
{kind: SiteRole, metadata: {name: reader}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: SiteRole, metadata: {name: viewer}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [list]}]}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: ada}]}}
";

/// What an Organization says of its namespace.
fn assigned(model: &Model, name: &str) -> String {
    let slot = (histories::Kind::Organization, String::new(), name.to_owned());
    let status = model.store.objects[&slot].status().expect("it has no status");
    let conditions = status["conditions"].as_array().unwrap();
    let assigned = conditions.iter().find(|c| c["type"] == "NamespaceAssigned").unwrap();
    format!("{} {}", assigned["reason"].as_str().unwrap(), assigned["message"].as_str().unwrap())
}

#[rstest]
#[case::refused(Claims::Refuses, "it failed")]
#[case::stripped(Claims::Strips, "takes the record off")]
fn where_the_claim_of_an_organization_that_was_made_anew_cannot_be_recorded_nobody_keeps_access(
    #[case] webhook: Claims,
    #[case] why: &str,
) {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    model.check_converged();
    assert!(model.keys().iter().any(|key| *key.namespace == *"n0"), "nothing was granted");
    model.claims = webhook;
    let anew = objects(ONE_ORGANIZATION).remove(0);
    model.act(&Op::Replace(Box::new(anew)));
    model.wait(20);
    assert_eq!(model.keys().iter().filter(|key| *key.namespace == *"n0").count(), 0);
    let says = assigned(&model, "acme");
    assert!(says.starts_with("ClaimRefused ") && says.contains(why), "{says}");
    // It goes on, but not all the time.
    model.claims_tried = 0;
    model.wait(600);
    assert!((20..100).contains(&model.claims_tried), "{}", model.claims_tried);
    model.claims = Claims::Records;
    model.wait(60);
    model.check_converged();
    assert!(model.keys().iter().any(|key| *key.namespace == *"n0"), "nothing is granted again");
}

#[rstest]
#[case::one_refusal(Claims::Refuses, 0)]
#[case::an_outage(Claims::IsOutOfReach, 300)]
fn what_there_is_stays_while_the_claim_of_an_organization_that_was_made_anew_is_on_its_way(
    #[case] write_failure: Claims,
    #[case] seconds: i64,
) {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    let before = granted_by_bindings(&model);
    assert!(!before.is_empty());
    model.claims = write_failure;
    let anew = objects(ONE_ORGANIZATION).remove(0);
    model.act(&Op::Replace(Box::new(anew)));
    model.wait(seconds);
    assert!(model.claims_tried > 1);
    assert_eq!(granted_by_bindings(&model), before);
    assert!(assigned(&model, "acme").starts_with("ClaimPending "));
    model.claims = Claims::Records;
    model.rest(true);
    model.check_converged();
}

fn granted_by_bindings(model: &Model) -> Vec<Key> {
    let by_binding = |o: &Observed| o.source().is_some_and(|source| source.kind == "RoleBinding");
    model.present.iter().filter(|(_, o)| by_binding(o)).map(|(key, _)| key.clone()).collect()
}

/// A webhook that does not work, say: what takes the place of something else never comes.
#[test]
fn what_cannot_be_granted_keeps_nobody_in_what_they_shall_lose() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    let before = granted_by_bindings(&model);
    model.fault = |write| matches!(write, Write::Create { .. }).then(failed);
    apply(
        &mut model,
        "
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: viewer}, subjects: [{kind: User, name: ada}]}}
",
    );
    // For a moment they keep what they have.
    model.wait(1);
    assert_eq!(granted_by_bindings(&model), before);
    model.wait(30);
    assert!(granted_by_bindings(&model).is_empty(), "{:?}", granted_by_bindings(&model));
    let slot = (histories::Kind::RoleBinding, "n0".to_owned(), "b".to_owned());
    let status = model.store.objects[&slot].status().unwrap().to_string();
    assert!(status.contains("RefusedByApiServer") && status.contains("it failed"), "{status}");
    // It is tried again, and the rest does not wait for that.
    let busy = (0..90).filter(|_| {
        model.wait(1);
        model.metrics.units_busy.get() > 0
    });
    assert!(busy.count() < 5);
    model.fault = |_| None;
    model.rest(true);
    model.check_converged();
    assert!(!granted_by_bindings(&model).is_empty());
}

/// Kubernetes leaves RBAC there for as long as there are Pods.
#[test]
fn in_a_namespace_that_terminates_access_is_taken_away() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    assert!(!granted_by_bindings(&model).is_empty());
    model.act(&Op::Terminate("n0"));
    model.rest(true);
    assert_eq!(model.keys().iter().filter(|key| *key.namespace == *"n0").count(), 0);
    model.check_converged();
}

/// The old role goes when the new one is there: that one goes ahead like a revocation, and so does what follows.
#[test]
fn an_exchange_of_roles_waits_for_no_revocation_elsewhere() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(
        &mut model,
        "
{kind: Organization, metadata: {name: beta}, spec: {namespace: n1}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n1}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: ada}]}}
",
    );
    model.rest(true);
    let in_n0 = |model: &Model| -> Vec<Key> {
        granted_by_bindings(model).into_iter().filter(|key| *key.namespace == *"n0").collect()
    };
    let before = in_n0(&model);
    model.act(&Op::Delete((histories::Kind::RoleBinding, "n1".to_owned(), "b".to_owned())));
    model.hold = |_| true;
    model.wait(1);
    assert!(matches!(&model.held[..], [(WriteRequest::Native(write), _), ..] if write.revokes()), "{:?}", model.held);
    model.hold = |_| false;
    apply(
        &mut model,
        "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: viewer}, subjects: [{kind: User, name: ada}]}}",
    );
    model.rest(false);
    let after = in_n0(&model);
    assert!(!after.is_empty() && after.iter().all(|key| !before.contains(key)), "{before:?}, then {after:?}");
    model.release();
    model.rest(true);
    model.check_converged();
}

/// A binding of so many ServiceAccounts, from this one on.
fn robots(first: usize, count: usize) -> String {
    let one = |n: usize| format!("{{kind: ServiceAccount, name: robot-{n:03}}}");
    let subjects: Vec<String> = (first..first + count).map(one).collect();
    format!(
        "{{kind: RoleBinding, metadata: {{name: robots, namespace: n0}}, spec: {{roleRef: {{kind: SiteRole, name: reader}}, subjects: [{}]}}}}",
        subjects.join(", ")
    )
}

/// Who is bound in a namespace because of this object.
fn bound_by(model: &Model, kind: &str, name: &str) -> BTreeSet<String> {
    let of_it = |o: &&Observed| o.source().is_some_and(|source| source.kind == kind && *source.name == *name);
    let subjects = model.present.values().map(|o| &**o).filter(of_it).filter_map(|o| match &o.content {
        Some(RbacSpec::Binding { subjects, .. }) => Some(subjects.iter().map(|s| format!("{s:?}"))),
        _ => None,
    });
    subjects.flatten().collect()
}

/// One subject more, or a third less, gives all shards of a binding new names.
#[rstest]
#[case::one_more(128, 129)]
#[case::a_third_less(129, 90)]
fn who_keeps_a_role_has_it_while_the_shard_that_takes_over_cannot_be_created(
    #[case] before: usize,
    #[case] after: usize,
) {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(&mut model, &robots(0, before));
    model.rest(true);
    let all = bound_by(&model, "RoleBinding", "robots");
    assert_eq!(all.len(), before);
    let shards: Vec<Key> = granted_by_bindings(&model);
    model.fault = |write| matches!(write, Write::Create { .. }).then(failed);
    // One goes, too.
    apply(&mut model, &robots(1, after));
    model.wait(60);
    let left = bound_by(&model, "RoleBinding", "robots");
    let stay = after.min(before - 1);
    assert_eq!(left.len(), stay, "{left:?}");
    assert!(left.is_subset(&all) && !left.iter().any(|robot| robot.contains("robot-000")));
    // They have what the role gives by now.
    apply(
        &mut model,
        "{kind: SiteRole, metadata: {name: reader}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get, watch]}]}}",
    );
    model.wait(60);
    let gives_more = |observed: &Observed| matches!(&observed.content, Some(RbacSpec::Rules(rules)) if rules.iter().any(|rule| rule.verbs.len() == 2));
    assert!(model.present.values().any(|observed| gives_more(observed)), "the role has not grown");
    model.fault = |_| None;
    model.rest(true);
    model.check_converged();
    assert_eq!(bound_by(&model, "RoleBinding", "robots").len(), after);
    assert_ne!(granted_by_bindings(&model), shards, "no shard has another name");
}

/// The ceiling was made anew, or the operator is the first that knows a seed.
#[test]
fn another_seed_gives_all_shards_other_names_and_takes_nothing_from_anybody() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(
        &mut model,
        "{kind: SiteRole, metadata: {name: reader}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}], clusterRules: [{nonResourceURLs: [/healthz], verbs: [get]}]}}",
    );
    apply(&mut model, &robots(0, 129));
    model.rest(true);
    let shards = |model: &Model| -> BTreeMap<NativeKind, BTreeSet<Name>> {
        let mut shards = BTreeMap::<_, BTreeSet<Name>>::new();
        for (key, observed) in &model.present {
            if matches!(&observed.content, Some(RbacSpec::Binding { subjects, .. }) if subjects.len() > 1) {
                shards.entry(key.kind).or_default().insert(key.name.clone());
            }
        }
        shards
    };
    let held = |model: &Model| {
        [("RoleBinding", "robots"), ("SiteRole", "reader")].map(|(kind, name)| bound_by(model, kind, name))
    };
    let (before, all) = (shards(&model), held(&model));
    let of = |kind| before.get(&kind).map(BTreeSet::len);
    assert_eq!((of(NativeKind::RoleBinding), of(NativeKind::ClusterRoleBinding)), (Some(2), Some(2)));
    assert_eq!(all.each_ref().map(BTreeSet::len), [129, 130]);

    model.fault = |write| matches!(write, Write::Create { .. }).then(failed);
    model.secret = "7b1a6cbb-9d0c-4c07-8f6e-0d4b6f5a2c11".into();
    let ceiling = model.store.ceilings[&Which::Cluster].clone();
    let item = Item::Ceiling(Kind::CeilingCluster, ceiling, model.secret.clone());
    model.seen.push(WatchEvent::Item(Box::new(item)));
    model.wait(60);
    assert_eq!(held(&model), all, "the old shards stay until the new ones are there");
    model.fault = |_| None;
    model.rest(true);
    model.check_converged();
    assert_eq!(held(&model), all);
    let after = shards(&model);
    assert!(before.iter().all(|(kind, names)| after[kind].is_disjoint(names) && after[kind].len() == 2));
}

/// Found by a security review: around 8,192 holders of a SiteRole, one more or less rewrote some 200 objects, time after time.
#[test]
fn one_subject_more_or_less_rewrites_one_shard_and_not_all_of_them() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(&mut model, &robots(0, 129));
    model.rest(true);
    let shards = granted_by_bindings(&model);
    for subjects in [128, 129, 127, 130] {
        apply(&mut model, &robots(0, subjects));
        model.rest(true);
        model.check_converged();
        assert_eq!(granted_by_bindings(&model), shards);
    }
    apply(&mut model, &robots(0, 96));
    model.rest(true);
    assert_ne!(granted_by_bindings(&model), shards, "they are needed no more");
}

const ADA_AND_BOB: &str = "
{kind: User, metadata: {name: bob}, spec: {username: bob}}
---
{kind: RoleBinding, metadata: {name: both, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: viewer}, subjects: [{kind: User, name: ada}, {kind: User, name: bob}]}}
";
const ADA_SUSPENDED: &str = "{kind: User, metadata: {name: ada}, spec: {username: ada, suspended: true}}";
const ANOTHER: &str = "{kind: RoleBinding, metadata: {name: another, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: bob}]}}";

/// A webhook on updates that does not work, say.
#[test]
fn what_cannot_be_taken_out_of_a_binding_is_deleted_with_it() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(&mut model, ADA_AND_BOB);
    model.rest(true);
    assert_eq!(bound_by(&model, "RoleBinding", "both").len(), 2);
    model.fault = |write| matches!(write, Write::Apply { .. }).then(failed);
    apply(&mut model, ADA_SUSPENDED);
    apply(&mut model, ANOTHER);
    model.wait(30);
    assert_eq!(bound_by(&model, "RoleBinding", "both").len(), 1, "Ada has it, or Bob does not");
    assert_eq!(bound_by(&model, "RoleBinding", "another").len(), 1);
    model.fault = |_| None;
    model.rest(true);
    model.check_converged();
}

#[test]
fn what_cannot_be_taken_away_is_said_and_holds_up_nothing_else() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(&mut model, ADA_AND_BOB);
    model.rest(true);
    model.fault = |write| write.revokes().then(failed);
    apply(&mut model, ADA_SUSPENDED);
    apply(&mut model, ANOTHER);
    model.wait(60);
    assert_eq!(bound_by(&model, "RoleBinding", "both").len(), 2);
    assert_eq!(bound_by(&model, "RoleBinding", "another").len(), 1);
    let slot = (histories::Kind::RoleBinding, "n0".to_owned(), "both".to_owned());
    let status = model.store.objects[&slot].status().unwrap().to_string();
    assert!(status.contains("RefusedByApiServer"), "{status}");
    // What gives is not answered any more. What takes away is tried beside it, after five seconds at most, though nothing of the
    // kind was under way when that began.
    let soon = |model: &Model| model.moment().clock + Duration::from_secs(1);
    while !model.in_flight.is_empty() || model.engine.wakes_at().1.is_some_and(|at| at < soon(&model)) {
        model.wait(1);
    }
    apply(&mut model, &ANOTHER.replace("another", "one-more"));
    model.hold = |write| !write.revokes();
    model.wait(0);
    assert!(!model.held.is_empty(), "nothing is given");
    model.fault = |_| None;
    model.wait(6);
    model.check_taken_away();
    assert!(!bound_by(&model, "RoleBinding", "both").iter().any(|who| who.contains("ada")));
    model.release();
    model.rest(true);
    model.check_converged();
}

/// Another replica may have recorded it.
#[test]
fn who_leads_again_knows_of_no_claim_that_is_refused() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    let before = model.present.clone();
    let anew = || objects(ONE_ORGANIZATION).remove(0);
    model.claims = Claims::Refuses;
    model.act(&Op::Replace(Box::new(anew())));
    model.wait(30);
    assert_eq!(granted_by_bindings(&model), []);
    model.engine.lead(false);
    model.claims = Claims::Records;
    let claim = claims::claim(&model.store.cache(), "n0", model.time(), true).unwrap();
    let events = record(&mut model.store, &claim);
    model.show(events);
    for (key, observed) in before.iter().filter(|(key, _)| *key.namespace == *"n0") {
        model.version += 1;
        let version = model.version;
        let uid = format!("of-another-{version}").as_str().into();
        model.present.insert(key.clone(), Box::new(Observed { uid, version, ..(**observed).clone() }));
        model.show_native(key);
    }
    model.act(&Op::Replace(Box::new(anew())));
    model.see();
    model.engine.lead(true);
    model.turns();
    let is_claim = |job: &WriteRequest| matches!(job, WriteRequest::Claim(_));
    assert!(model.in_flight.iter().any(is_claim), "{:?}", model.in_flight);
    let takes = |job: &WriteRequest| matches!(job, WriteRequest::Native(write) if *write.key().namespace == *"n0" && write.revokes());
    assert!(!model.in_flight.iter().any(takes), "{:?}", model.in_flight);
    // What was refused to whoever led before does not count, either.
    model.claims = Claims::Refuses;
    model.wait(5);
    assert_ne!(granted_by_bindings(&model), []);
    model.claims = Claims::Records;
    model.rest(true);
    model.check_converged();
}

#[test]
fn who_stands_by_remembers_nothing_of_namespaces_that_are_gone() {
    let mut model = Model::new();
    model.engine.lead(false);
    apply(&mut model, ONE_ORGANIZATION);
    for n in 0..100 {
        let name = format!("branch-{n}");
        apply(&mut model, &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
        model.act(&Op::Delete((histories::Kind::Namespace, String::new(), name)));
    }
    model.see();
    assert_eq!(model.metrics.units_busy.get(), 0);
    model.engine.lead(true);
    model.turns();
    model.rest(true);
    model.check_converged();
}

/// Nothing was ever granted in it, so nothing is left to look at but the record.
#[test]
fn an_empty_namespace_that_is_released_goes_to_the_organization_that_waits_for_it() {
    let mut model = Model::new();
    let organization = |name: &str| {
        format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{namespace: n0, memberRole: ''}}}}")
    };
    apply(&mut model, &organization("acme"));
    model.rest(true);
    apply(&mut model, &organization("heir"));
    model.act(&Op::Delete((histories::Kind::Organization, String::new(), "acme".to_owned())));
    model.rest(true);
    assert!(assigned(&model, "heir").starts_with("ReservedFor"));
    model.act(&Op::Release("n0"));
    model.wait(5);
    assert!(assigned(&model, "heir").starts_with("Assigned"), "{}", assigned(&model, "heir"));
}

/// Or its write was carried out, and the answer was lost.
#[test]
fn a_status_that_somebody_edits_is_written_again() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(
        &mut model,
        "{kind: SiteRoleBinding, metadata: {name: s}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: ada}]}}",
    );
    model.rest(true);
    model.check_converged();
    let slots = [
        (histories::Kind::Organization, "", "acme"),
        (histories::Kind::User, "", "ada"),
        (histories::Kind::SiteRole, "", "reader"),
        (histories::Kind::SiteRoleBinding, "", "s"),
        (histories::Kind::RoleBinding, "n0", "b"),
    ];
    for (kind, namespace, name) in slots {
        let slot = (kind, namespace.to_owned(), name.to_owned());
        let mut status = model.store.objects[&slot].status().expect("it has no status");
        let uid = model.store.objects[&slot].uid();
        let before = status.clone();
        status["conditions"][0]["message"] = "All is well.".into();
        let events = model.store.write_status(&slot, &uid, &status);
        assert_ne!(events.len(), 0);
        model.show(events);
        model.rest(true);
        assert_eq!(model.store.objects[&slot].status(), Some(before), "{kind:?}");
        model.check_converged();
    }
}

#[test]
fn a_user_is_told_once_for_many_grants_and_not_again_by_the_next_leader() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(&mut model, "{kind: Organization, metadata: {name: other}, spec: {namespace: n1}}");
    model.rest(true);
    model.check_converged();
    let holds = |model: &Model| {
        let slot = (histories::Kind::User, String::new(), "ada".to_owned());
        model.store.objects[&slot].status().unwrap()["grants"].clone()
    };
    assert_eq!(holds(&model), 1);
    model.users_told = 0;
    // Each is seen, decided and written while those before are on their way.
    for n in 0..10 {
        let (namespace, role) = (["n0", "n1"][n % 2], ["reader", "viewer"][n / 2 % 2]);
        let binding = format!(
            "{{kind: RoleBinding, metadata: {{name: b{n}, namespace: {namespace}}}, \
             spec: {{roleRef: {{kind: SiteRole, name: {role}}}, subjects: [{{kind: User, name: ada}}]}}}}"
        );
        apply(&mut model, &binding);
        model.see();
    }
    assert_eq!((model.users_told, holds(&model)), (0, 1.into()));
    model.rest(true);
    model.check_converged();
    assert_eq!((model.users_told, holds(&model)), (1, 11.into()));

    model.take_step(&Step::Replace);
    model.rest(true);
    model.check_converged();
    assert_eq!(model.users_told, 1);
}

/// The same while a write of ours is under way, when the watch is faster than its answer.
#[test]
fn a_status_that_somebody_edits_before_our_write_of_it_is_answered_is_written_again() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    apply(
        &mut model,
        "{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: eve}]}}",
    );
    let is_said =
        |job: &WriteRequest| matches!(job, WriteRequest::Status { target, .. } if target.kind == "RoleBinding");
    let mut done = None;
    for _ in 0..50 {
        model.see();
        if let Some(at) = model.in_flight.iter().position(is_said) {
            let job = model.in_flight.remove(at);
            done = Some(model.carry_out(&job));
            break;
        }
        for job in std::mem::take(&mut model.in_flight) {
            let done = model.carry_out(&job);
            model.answers.push(done);
        }
    }
    let done = done.expect("nothing is said of the binding");
    let slot = (histories::Kind::RoleBinding, "n0".to_owned(), "b".to_owned());
    let mut status = model.store.objects[&slot].status().unwrap();
    let before = status.clone();
    status["conditions"][0]["message"] = "All is well.".into();
    let uid = model.store.objects[&slot].uid();
    let events = model.store.write_status(&slot, &uid, &status);
    model.show(events);
    model.see();
    model.answers.push(done);
    model.turns();
    model.rest(true);
    assert_eq!(model.store.objects[&slot].status(), Some(before));
    model.check_converged();
}

/// What cannot be added to a binding says nothing about what cannot be taken out of it.
#[test]
fn who_keeps_a_role_does_not_lose_it_with_the_first_revocation_that_fails() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    apply(&mut model, ADA_AND_BOB);
    model.rest(true);
    model.fault = |write| matches!(write, Write::Apply { .. }).then(failed);
    apply(
        &mut model,
        "{kind: RoleBinding, metadata: {name: both, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: viewer}, subjects: [{kind: User, name: ada}, {kind: User, name: bob}, {kind: ServiceAccount, name: ci}]}}",
    );
    model.wait(30);
    let before = bound_by(&model, "RoleBinding", "both");
    assert_eq!(before.len(), 2, "{before:?}");
    apply(&mut model, ADA_SUSPENDED);
    model.wait(5);
    assert_eq!(bound_by(&model, "RoleBinding", "both"), before);
    model.wait(15);
    let after = bound_by(&model, "RoleBinding", "both");
    assert!(!after.iter().any(|who| who.contains("ada")), "{after:?}");
    model.fault = |_| None;
    model.rest(true);
    model.check_converged();
}

/// A webhook's error may have the port in it from which it was asked.
#[test]
fn an_error_that_reads_otherwise_each_time_is_said_once() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    model.fault = |write| {
        static PORT: AtomicU16 = AtomicU16::new(40_000);
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        let message = format!("read udp 10.0.0.1:{port}: i/o timeout");
        matches!(write, Write::Create { .. }).then(|| Outcome::Failed { message, answered: true })
    };
    apply(&mut model, ADA_AND_BOB);
    model.wait(60);
    let slot = (histories::Kind::RoleBinding, "n0".to_owned(), "both".to_owned());
    let said = |model: &Model| model.store.objects[&slot].status().unwrap().to_string();
    let first = said(&model);
    assert!(first.contains("read udp 10.0.0.1:"), "{first}");
    model.wait(300);
    assert_eq!(said(&model), first);
}

/// The Event is the leader's to write, also when another replica led when somebody wrote the text.
#[test]
fn who_leads_reports_a_config_map_that_cannot_be_read() {
    let mut model = Model::new();
    model.see();
    model.rest(true);
    model.engine.lead(false);
    let says = |model: &mut Model, fault: Option<&str>| {
        let (uid, fault) = ("map".into(), fault.map(str::to_owned));
        model.seen.push(WatchEvent::Item(Box::new(Item::Configuration { map: "bailiwick-config", uid, fault })));
        model.turns();
        model.in_flight.iter().filter(|job| matches!(job, WriteRequest::Unread { .. })).count()
    };
    assert_eq!(says(&mut model, Some("no YAML")), 0);
    model.engine.lead(true);
    model.turns();
    let reports = |job: &WriteRequest| matches!(job, WriteRequest::Unread { map: "bailiwick-config", why, .. } if why == "no YAML");
    assert!(model.in_flight.iter().any(reports), "{:?}", model.in_flight);
    assert_eq!(says(&mut model, Some("still no YAML")), 2);
    model.rest(true);
    assert_eq!(says(&mut model, None), 0);
    model.engine.lead(false);
    model.engine.lead(true);
    assert_eq!(says(&mut model, None), 0);
}

/// The watch may be faster than the answer.
#[test]
fn an_object_that_is_deleted_while_it_is_read_again_stays_gone() {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    // Two that have no room beside each other.
    let group = |name: &str, first: &str| {
        let others = (0..8_000).map(|n| format!(", '{n:04}{}'", "\u{1d54f}".repeat(120)));
        let members: String = others.collect();
        format!("{{kind: Group, metadata: {{name: {name}, namespace: n0}}, spec: {{members: [{first}{members}]}}}}")
    };
    apply(&mut model, &group("first", "somebody"));
    model.store.now += 4;
    apply(&mut model, &group("second", "ada"));
    apply(
        &mut model,
        "{kind: RoleBinding, metadata: {name: late, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: viewer}, subjects: [{kind: Group, name: second}]}}",
    );
    model.rest(true);
    let nobody = BTreeSet::new();
    assert_eq!(bound_by(&model, "RoleBinding", "late"), nobody, "there was room for both");
    let delete = |model: &mut Model, name: &str| {
        model.act(&Op::Delete((histories::Kind::Group, "n0".to_owned(), name.to_owned())));
    };
    delete(&mut model, "first");
    model.see();
    let is_read = |job: &WriteRequest| matches!(job, WriteRequest::Read { target, .. } if &*target.name == "second");
    let at = model.in_flight.iter().position(is_read).expect("it is not read again");
    let job = model.in_flight.remove(at);
    let done = model.carry_out(&job);
    delete(&mut model, "second");
    model.rest(true);
    model.answers.push(done);
    model.rest(true);
    assert_eq!(bound_by(&model, "RoleBinding", "late"), nobody);
    model.check_converged();
}
