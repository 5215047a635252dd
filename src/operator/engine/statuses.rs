//! Statuses: said when what they say is true, and only when it differs from what is there.
//!
//! A decision's statuses wait until the writes that they speak of are done: those of the unit itself, and for what
//! reaches beyond it those of the site, or of all units. They are not kept meanwhile, which for all objects of a large
//! site would be a lot, but decided once more when there is a place for them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::intake::kind_of_ours;
use super::unit::Units;
use super::{Engine, LONGEST_TURN, Timer, UNITS_A_TURN, Unit};
use crate::api::conditions::{ConditionType, Reason};
use crate::core::cache::Cache;
use crate::core::conditions::{Status, StatusDraft};
use crate::core::rbac::Source;
use crate::core::records::Meta;
use crate::core::{Name, claims, organization, organization_status, user};
use crate::operator::metrics::ReasonLabels;
use crate::operator::retry;
use crate::operator::watch::{Id, Item};
use crate::operator::writer::{Failure, News, WriteRequest};

/// How long the counts of users wait for everything to converge.
const LONGEST_UNCOUNTED: Duration = Duration::from_secs(10);

/// How long somebody who writes all the time may keep a unit from being told.
const LONG: Duration = Duration::from_secs(1);

/// A unit of which nothing was said since it was decided.
#[derive(Debug)]
struct Waiting {
    /// At which revision it was decided last.
    decided_at: u64,
    /// Since when nothing was said.
    since: Instant,
    what: Deferred,
}

/// What is to be said of a unit, later.
#[derive(Debug)]
enum Deferred {
    /// Of the site: these. It has few, and is decided slowly.
    Site(Vec<StatusDraft>),
    /// Of a namespace: what follows from the world at the time for which it was decided.
    Namespace(Timestamp),
}

/// Statuses that are to be written.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    /// Users whose status is to be computed.
    pub users: BTreeSet<Name>,
    /// Users who hold more or less than before: said when everything has converged.
    counted: BTreeSet<Name>,
    /// Since when the first of them waits.
    counted_since: Option<Instant>,
    /// Organizations whose status is to be computed.
    pub organizations: BTreeSet<Name>,
    /// What waits for nothing.
    due: Vec<StatusDraft>,
    /// Units of which nothing was said since they were decided.
    deferred: BTreeMap<Unit, Waiting>,
    /// The same, by the revision at which they were decided last.
    by_revision: BTreeSet<(u64, Unit)>,
    /// Some of them could be told now, and there is a place.
    pub more: bool,
    /// By target: the newest draft that waits for the one that is under way, and is said, or made anew, after it.
    in_flight: HashMap<Source, Option<StatusDraft>>,
    /// What waits for a place, in order.
    queue: VecDeque<Source>,
    queued: HashMap<Source, StatusDraft>,
    /// By kind, namespace and name: why not.
    not_ready: HashMap<(&'static str, Name, Name), &'static str>,
}

impl Statuses {
    /// Keeps statuses until what they speak of is done.
    pub fn defer(&mut self, unit: &Unit, decided_at: (u64, Timestamp), drafts: Vec<StatusDraft>, now: Instant) {
        let (decided_at, time) = decided_at;
        // A newer decision says it all anew.
        let since = self.take(unit).map_or(now, |waiting| waiting.since);
        if now.saturating_duration_since(since) > LONG {
            // What it is about itself is written; what else is, is said as soon as there is a moment of rest.
            self.due.extend(drafts);
            return;
        }
        let what = match unit {
            Unit::Site => Deferred::Site(drafts),
            Unit::Namespace(_) => Deferred::Namespace(time),
        };
        self.deferred.insert(unit.clone(), Waiting { decided_at, since, what });
        self.by_revision.insert((decided_at, unit.clone()));
    }

    fn take(&mut self, unit: &Unit) -> Option<Waiting> {
        let waiting = self.deferred.remove(unit)?;
        self.by_revision.remove(&(waiting.decided_at, unit.clone()));
        Some(waiting)
    }

    /// Whether this object's status is being written.
    pub fn is_writing(&self, target: &Source) -> bool {
        self.in_flight.contains_key(target)
    }

    /// These users hold more or less than before.
    pub fn count_again(&mut self, handles: impl IntoIterator<Item = Name>, now: Instant) {
        self.counted.extend(handles);
        if !self.counted.is_empty() {
            self.counted_since.get_or_insert(now);
        }
    }

    /// Says these at the end of this turn.
    pub fn say_now(&mut self, drafts: Vec<StatusDraft>) {
        self.due.extend(drafts);
    }

    /// A replica that does not lead says nothing.
    pub fn forget_pending(&mut self) {
        self.deferred.clear();
        self.by_revision.clear();
        self.due.clear();
        self.queue.clear();
        self.queued.clear();
        self.users.clear();
        self.counted.clear();
        self.counted_since = None;
        self.organizations.clear();
    }
}

impl Engine {
    /// Writes the statuses that are true by now, as far as there are places.
    pub(super) fn settle_statuses(&mut self, began: Instant) {
        for draft in std::mem::take(&mut self.statuses.due) {
            self.say(draft);
        }
        while self.place_for_status()
            && let Some(target) = self.statuses.queue.pop_front()
        {
            if let Some(draft) = self.statuses.queued.remove(&target) {
                self.say(draft);
            }
        }
        self.tell_counted();
        while self.place_for_status()
            && let Some(name) = self.statuses.organizations.pop_first()
        {
            self.organization_status(&name);
        }
        while self.place_for_status()
            && let Some(handle) = self.statuses.users.pop_first()
        {
            self.user_status(&handle);
        }
        let ready = if self.place_for_status() { self.ready_units() } else { Vec::new() };
        let mut left = ready.len();
        for unit in ready.into_iter().take(UNITS_A_TURN) {
            if !self.place_for_status() {
                break;
            }
            left -= 1;
            self.unit_statuses(&unit);
            if began.elapsed() > LONGEST_TURN {
                break;
            }
        }
        self.statuses.more = left > 0 && self.place_for_status();
    }

    /// Has users told what they hold, once for all that changes while anything is written: a status for each grant would be as
    /// many writes again. Who changes something all the time keeps nobody's counts for long.
    fn tell_counted(&mut self) {
        let Some(since) = self.statuses.counted_since else { return };
        let is_late = self.now.clock.saturating_duration_since(since) > LONGEST_UNCOUNTED;
        if self.undecided.is_empty() && (is_late || self.oldest_busy().is_none()) {
            self.statuses.counted_since = None;
            self.statuses.users.append(&mut self.statuses.counted);
        }
    }

    /// Since which revision a unit has work to do that waits for nothing.
    fn oldest_busy(&self) -> Option<u64> {
        let waits = |unit: &Unit| self.units.get(unit).is_some_and(|state| state.wait_until.is_some() || state.rests());
        self.busy.iter().find(|(_, unit)| !waits(unit)).map(|(revision, _)| *revision)
    }

    /// Units of which can be told what was decided about them: as many as are told in a turn, and one more.
    fn ready_units(&self) -> Vec<Unit> {
        let busy_since = |unit: &Unit| self.units.get(unit).and_then(|state| state.busy_since);
        // What is decided anew is said anew, when that is done.
        let is_due =
            |unit: &&Unit| busy_since(unit).is_none() && !self.units.get(*unit).is_some_and(|state| state.rests());
        // What is said of the site is about every namespace. One that waits for a better time must not keep it from being said.
        let oldest = self.oldest_busy();
        let is_told = |waiting: &&Waiting| oldest.is_none_or(|since| since > waiting.decided_at);
        let site = self.statuses.deferred.get(&Unit::Site).filter(is_told).map(|_| &Unit::Site);
        // What is said of a namespace is about the site's part of it, too.
        let before = (busy_since(&Unit::Site).unwrap_or(u64::MAX), Unit::Site);
        let namespaces = self.statuses.by_revision.range(..before).map(|(_, unit)| unit).filter(|u| **u != Unit::Site);
        site.into_iter().chain(namespaces).filter(is_due).take(UNITS_A_TURN + 1).cloned().collect()
    }

    fn unit_statuses(&mut self, unit: &Unit) {
        let began = Instant::now();
        let drafts = match (unit, self.statuses.take(unit).map(|waiting| waiting.what)) {
            (_, Some(Deferred::Site(drafts))) => drafts,
            (Unit::Namespace(name), Some(Deferred::Namespace(time))) => {
                organization::decide(&self.cache, name, time, &Units(&self.units, &self.write_failures)).statuses
            }
            _ => return,
        };
        drafts.into_iter().for_each(|draft| self.say(draft));
        self.charge(unit, began.elapsed());
    }

    fn place_for_status(&self) -> bool {
        let places = self.writing.places_for_statuses(!self.queue.is_empty(), self.now.clock);
        self.statuses.in_flight.len() < places
    }

    fn user_status(&mut self, handle: &Name) {
        let Some(user) = self.cache.users.get(handle) else {
            if self.cache.users.is_excess(handle)
                && let Some(meta) = self.cache.users.meta(handle)
            {
                self.say(user::beyond_limit(meta));
            }
            return;
        };
        let is_counted = self.statuses.counted.contains(handle);
        let counts = if is_counted { user.told } else { self.cache.holds(user) };
        let (draft, next) = user::status(&self.cache, user, counts, self.now.time);
        self.set_timer(Timer::User(handle.clone()), next);
        self.say(draft);
    }

    fn organization_status(&mut self, name: &Name) {
        let Some(organization) = self.cache.organizations.get(name) else {
            if self.cache.organizations.is_excess(name)
                && let Some(meta) = self.cache.organizations.meta(name)
            {
                self.say(organization_status::beyond_limit(meta));
            }
            return;
        };
        let held = match claims::assignment(&self.cache, organization) {
            claims::Assignment::Holds(namespace) => Some(Unit::Namespace(namespace)),
            claims::Assignment::Not { .. } => None,
        };
        let state = held.as_ref().and_then(|unit| self.units.get(unit));
        if state.is_some_and(|s| s.busy_since.is_some()) {
            // It is said when the namespace has converged.
            return;
        }
        let draft = organization_status::status(
            &self.cache,
            &self.write_failures,
            organization,
            state.map(super::UnitState::counts).unwrap_or_default(),
        );
        self.say(draft);
    }

    fn say(&mut self, draft: StatusDraft) {
        if let Some(next) = self.statuses.in_flight.get_mut(&draft.target) {
            *next = Some(draft);
            return;
        }
        let at_once = self.makes_privileged(&draft);
        if at_once {
            self.statuses.queued.remove(&draft.target);
        } else if let Some(queued) = self.statuses.queued.get_mut(&draft.target) {
            *queued = draft;
            return;
        }
        let Some(meta) = meta(&self.cache, &draft.target) else { return };
        let document = draft.document(meta, self.now.time);
        let was = meta.status.transitions.iter().find(|t| t.kind == ConditionType::Ready).map(|t| t.good);
        self.count_not_ready(&draft);
        let Some(document) = document else { return };
        if !self.place_for_status() && !at_once {
            // Decisions wait for what these record: the default organization, and the one holder of a role.
            if matches!(draft.target.kind, "Organization" | "SiteRole") {
                self.statuses.queue.push_front(draft.target.clone());
            } else {
                self.statuses.queue.push_back(draft.target.clone());
            }
            self.statuses.queued.insert(draft.target.clone(), draft);
            return;
        }
        // What is on its way is said in the status, but is nobody's to mend.
        let pending = |reason| matches!(reason, Reason::ClaimPending | Reason::HolderPending);
        let news = draft.ready().and_then(|ready| {
            // What is seen for the first time and is well is no news.
            let faulty = !ready.good && !pending(ready.reason);
            let changes = was.map_or(faulty, |was| was != ready.good);
            let event = if ready.good { changes } else { faulty };
            (event || changes).then(|| News {
                good: ready.good,
                reason: ready.reason.as_str(),
                message: ready.message.to_string(),
                changes,
                event,
            })
        });
        self.statuses.in_flight.insert(draft.target.clone(), None);
        let weight = weight(&self.cache, &draft.target);
        let _ = self.jobs.send(WriteRequest::Status { target: draft.target, document, news, weight });
    }

    /// Whether policies will refuse something from when this is written: whoever takes access away all the time, so that there
    /// is no place for statuses, must not keep it from being said.
    pub(super) fn makes_privileged(&self, draft: &StatusDraft) -> bool {
        let Status::Group(status) = &draft.status else { return false };
        let Some(local) = self.cache.local.get(&draft.target.namespace) else { return false };
        let known = local.groups.get(&draft.target.name);
        // Where bindings are left out every Group becomes privileged, which may be thousands.
        status.privileged && known.is_some_and(|group| !group.privileged) && !local.bindings.is_over()
    }

    fn count_not_ready(&mut self, draft: &StatusDraft) {
        let reason = draft.ready().filter(|f| !f.good).map(|f| f.reason.as_str());
        let before = match reason {
            Some(reason) => self.statuses.not_ready.insert(slot(&draft.target), reason),
            None => self.statuses.not_ready.remove(&slot(&draft.target)),
        };
        let gauge = |reason| self.metrics.not_ready.get_or_create(&ReasonLabels { reason }).clone();
        if let Some(before) = before {
            gauge(before).dec();
        }
        if let Some(reason) = reason {
            gauge(reason).inc();
        }
    }

    /// An object is gone, so nothing is to be said about it.
    pub(super) fn forget_status(&mut self, id: &Id) {
        let Some(kind) = kind_of_ours(id.kind) else { return };
        let target = Source { kind, namespace: id.namespace.clone(), name: id.name.clone(), uid: id.uid.clone() };
        self.reading.remove(&target);
        // Another one may be there by now.
        if meta(&self.cache, &target).is_some()
            && let Some(reason) = self.statuses.not_ready.remove(&slot(&target))
        {
            self.metrics.not_ready.get_or_create(&ReasonLabels { reason }).dec();
        }
    }

    pub(super) fn status_done(&mut self, target: &Source, result: Result<Box<Item>, Failure>) {
        let next = self.statuses.in_flight.remove(target).flatten();
        match result {
            // The watch may have shown by now that the object is gone: an answer brings nothing back.
            Ok(item) if meta(&self.cache, target).is_some() => {
                let edited = self.edited_since(&item);
                self.item(*item);
                if edited {
                    self.requeue_status(target);
                }
            }
            Ok(_) | Err(Failure::Gone) => {}
            Err(failure) => {
                let error = match failure {
                    Failure::Failed(error) | Failure::Refused(error) | Failure::Conflict(error) => error,
                    Failure::NotLeading | Failure::Gone => "not leading".to_owned(),
                };
                tracing::warn!(object = target.path(), error, "a status was not written");
                self.requeue_status(target);
            }
        }
        let Some(draft) = next else { return };
        // What some say rests on what their status recorded before: an answer that has just come in.
        match target.kind {
            "User" | "Organization" | "SiteRole" | "CustomRole" => self.on_timer(timer_for(target)),
            _ => self.say(draft),
        }
    }

    /// Has it decided once more, after a pause, what is to be said of this object.
    pub(super) fn requeue_status(&mut self, target: &Source) {
        self.arm(timer_for(target), self.now.time + retry_soon());
    }
}

/// By what it is decided what is to be said of this object.
fn timer_for(target: &Source) -> Timer {
    match target.kind {
        "User" => Timer::User(target.name.clone()),
        "Organization" => Timer::Organization(target.name.clone()),
        "SiteRole" | "SiteRoleBinding" => Timer::Unit(Unit::Site),
        _ => Timer::Unit(Unit::Namespace(target.namespace.clone())),
    }
}

/// A status is no access: it can wait longer than a grant.
fn retry_soon() -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(retry::delay(5)).unwrap_or(jiff::SignedDuration::from_secs(2))
}

fn slot(target: &Source) -> (&'static str, Name, Name) {
    (target.kind, target.namespace.clone(), target.name.clone())
}

/// What an object of ours weighs.
pub(super) fn weight(cache: &Cache, target: &Source) -> usize {
    let local = cache.local.get(&target.namespace);
    let name = &target.name;
    match target.kind {
        "Group" => local.map_or(0, |local| local.groups.weight_of(name)),
        "RoleBinding" => local.map_or(0, |local| local.bindings.weight_of(name)),
        "CustomRole" => local.map_or(0, |local| local.roles.weight_of(name)),
        "SiteRole" => cache.site_roles.weight_of(name),
        "SiteRoleBinding" => cache.site_bindings.weight_of(name),
        // A User or an Organization lists nothing.
        _ => 0,
    }
}

/// What is known of an object of ours.
pub(super) fn meta<'a>(cache: &'a Cache, target: &Source) -> Option<&'a Meta> {
    meta_of_name(cache, target).filter(|meta| meta.uid == target.uid)
}

/// What is known of the object of this kind and name, whatever its UID.
pub(super) fn meta_of_name<'a>(cache: &'a Cache, target: &Source) -> Option<&'a Meta> {
    let local = cache.local.get(&target.namespace);
    let name = &target.name;
    match target.kind {
        "Organization" => cache.organizations.meta(name),
        "User" => cache.users.meta(name),
        "Group" => local?.groups.meta(name),
        "RoleBinding" => local?.bindings.meta(name),
        "CustomRole" => local?.roles.meta(name),
        "SiteRole" => cache.site_roles.meta(name),
        _ => cache.site_bindings.meta(name),
    }
}
