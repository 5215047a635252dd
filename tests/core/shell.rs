//! Simulates the operator without I/O: takes in events, decides only what [`Affected`] names, records claims, defaults
//! and holders, writes statuses. [`Shell::check`] compares with a decision from scratch.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::api::ApiKind;
use bailiwick::core::cache::{Affected, Cache, Change, Contribution};
use bailiwick::core::claims::{self, Assignment, Claim};
use bailiwick::core::conditions::{Status, StatusDraft};
use bailiwick::core::desired::DesiredState;
use bailiwick::core::observed_state::ObservedState;
use bailiwick::core::rbac::DesiredSet;
use bailiwick::core::write_failures::WriteFailures;
use bailiwick::core::{Name, organization, organization_status, site, user};
use jiff::Timestamp;

use crate::access::Access;
use crate::fake::{Event, Kind, Op, SPACES, Store, slot_of};

/// A decision, and the claim that was due.
#[derive(Debug, Default)]
pub struct Unit {
    pub decision: DesiredState,
    /// The record of the namespace that is due, without its time.
    pub claim: Option<Claim>,
}

/// All decisions for a site.
#[derive(Debug, Default)]
pub struct All {
    pub units: BTreeMap<Name, Unit>,
    pub site: DesiredState,
    pub organizations: BTreeMap<Name, StatusDraft>,
    pub users: BTreeMap<Name, (StatusDraft, Option<Timestamp>)>,
}

fn unit(cache: &Cache, name: &Name, now: Timestamp, existing: &dyn ObservedState) -> Unit {
    let claim = claims::claim(cache, name, now, true);
    let claim = claim.map(|claim| Claim { vacated_at: claim.vacated_at.map(|_| Timestamp::MAX), ..claim });
    Unit { decision: organization::decide(cache, name, now, existing), claim }
}

fn organization_status(all: &BTreeMap<Name, Unit>, cache: &Cache, name: &Name) -> Option<StatusDraft> {
    let organization = cache.organizations.get(name)?;
    let counts = match claims::assignment(cache, organization) {
        Assignment::Holds(namespace) => all.get(&namespace).map(|u| u.decision.counts),
        Assignment::Not { .. } => None,
    };
    Some(organization_status::status(cache, &WriteFailures::new(), organization, counts.unwrap_or_default()))
}

impl All {
    /// Decides everything from scratch. Fills in the holders that the site needs.
    pub fn from_scratch(cache: &mut Cache, now: Timestamp, existing: &dyn ObservedState) -> Self {
        let mut all = Self::default();
        let spaces: BTreeSet<Name> = cache.units().into_iter().chain(SPACES.map(Name::from)).collect();
        for name in &spaces {
            let unit = unit(cache, name, now, existing);
            cache.set_contribution(&Contribution::default(), &unit.decision.contribution);
            all.units.insert(name.clone(), unit);
        }
        // Its members are the users that belong to no other.
        for name in cache.default_namespaces().collect::<Vec<_>>() {
            let unit = unit(cache, &name, now, existing);
            cache.set_contribution(&all.units[&name].decision.contribution, &unit.decision.contribution);
            all.units.insert(name, unit);
        }
        all.site = site::decide(cache, now, existing);
        cache.set_contribution(&Contribution::default(), &all.site.contribution);
        for name in cache.organizations.keys() {
            all.organizations.extend(organization_status(&all.units, cache, name).map(|s| (name.clone(), s)));
        }
        for (handle, u) in cache.users.iter() {
            all.users.insert(handle.clone(), user::status(cache, u, cache.holds(u), now));
        }
        all
    }

    /// Every native object of every unit. No two units may request the same one.
    pub fn desired(&self) -> DesiredSet {
        let mut desired = DesiredSet::new();
        for decision in self.decisions() {
            for (key, native) in &decision.desired {
                let other = desired.insert(key.clone(), native.clone());
                assert!(other.is_none(), "two units want {key}");
            }
        }
        desired
    }

    pub fn decisions(&self) -> impl Iterator<Item = &DesiredState> {
        self.units.values().map(|u| &u.decision).chain([&self.site])
    }

    pub fn statuses(&self) -> impl Iterator<Item = &StatusDraft> {
        let users = self.users.values().map(|(draft, _)| draft);
        self.decisions().flat_map(|d| &d.statuses).chain(self.organizations.values()).chain(users)
    }
}

pub fn assert_same(is: &DesiredState, should: &DesiredState, what: &str) {
    assert_eq!(is.desired, should.desired, "desired of {what}");
    assert_eq!(is.statuses, should.statuses, "statuses of {what}");
    assert_eq!(is.contribution, should.contribution, "contribution of {what}");
    assert_eq!(is.counts, should.counts, "counts of {what}");
    assert_eq!(is.next_change, should.next_change, "next change of {what}");
}

pub fn assert_same_all(is: &All, should: &All) {
    let nothing = Unit::default();
    for name in is.units.keys().chain(should.units.keys()) {
        // A unit that was never marked has no objects.
        let (is, should) = (is.units.get(name).unwrap_or(&nothing), should.units.get(name).unwrap_or(&nothing));
        assert_same(&is.decision, &should.decision, name);
        assert_eq!(is.claim, should.claim, "claim on {name}");
    }
    assert_same(&is.site, &should.site, "the site");
    assert_eq!(is.organizations, should.organizations, "statuses of organizations");
    assert_eq!(is.users, should.users, "statuses of users");
}

/// The simulated operator.
#[derive(Debug, Default)]
pub struct Shell {
    pub store: Store,
    pub cache: Cache,
    pub all: All,
    spaces: BTreeSet<Name>,
    site: bool,
    organizations: BTreeSet<Name>,
    users: BTreeSet<Name>,
    /// Namespaces marked as possibly revoking since the last call; the site has an empty name.
    urgent: BTreeSet<Name>,
    /// Every event so far.
    pub log: Vec<Event>,
}

impl Shell {
    pub fn new() -> Self {
        let (store, events) = Store::new();
        let mut shell = Self { store, ..Self::default() };
        shell.take_in(events);
        shell.decide();
        shell
    }

    /// Performs an action, half a second after the previous one, and takes in its events.
    pub fn act(&mut self, op: &Op) {
        self.store.now += 1;
        let events = self.store.act(op);
        self.take_in(events);
        self.ring();
        self.decide();
    }

    /// The desired access in every unit.
    pub fn access(&self) -> BTreeMap<Name, Access> {
        let units = self.all.units.iter().map(|(name, unit)| (name.clone(), &unit.decision));
        let all = units.chain([(Name::default(), &self.all.site)]);
        all.map(|(name, decision)| (name, Access::desired(&decision.desired))).collect()
    }

    /// The namespaces marked as possibly revoking since the last call.
    pub fn urgent(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.urgent)
    }

    /// Performs all actions, then continues until nothing is left to do.
    pub fn play(&mut self, ops: &[Op]) {
        for op in ops {
            self.act(op);
        }
        self.settle();
    }

    pub fn take_in(&mut self, events: Vec<Event>) {
        for event in events {
            let affected = event.feed(&mut self.cache);
            if let Event::Gone((kind, _, name), _) = &event {
                match kind {
                    Kind::Organization => drop(self.all.organizations.remove(name.as_str())),
                    Kind::User => drop(self.all.users.remove(name.as_str())),
                    _ => {}
                }
            }
            self.log.push(event);
            self.affected(affected);
        }
    }

    fn affected(&mut self, affected: Affected) {
        let mut spaces = affected.namespaces;
        if affected.all {
            spaces.extend(self.cache.units());
            spaces.extend(self.all.units.keys().cloned());
        }
        if affected.urgent {
            self.urgent.extend(spaces.iter().cloned());
            self.urgent.extend(affected.site.then(Name::default));
        }
        self.spaces.extend(spaces);
        self.site |= affected.site;
        self.users.extend(affected.users);
        self.organizations.extend(affected.organizations);
    }

    /// Fires timers.
    fn ring(&mut self) {
        let now = self.store.time();
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let spaces = self.all.units.iter().filter(|(_, u)| due(u.decision.next_change)).map(|(n, _)| n.clone());
        let spaces: Vec<Name> = spaces.collect();
        self.urgent.extend(spaces.iter().cloned());
        self.spaces.extend(spaces);
        let site = due(self.all.site.next_change);
        self.urgent.extend(site.then(Name::default));
        self.site |= site;
        self.users.extend(self.all.users.iter().filter(|(_, (_, next))| due(*next)).map(|(n, _)| n.clone()));
    }

    /// Marks users whose counts changed.
    fn counted(&mut self, usernames: &[Name]) {
        self.users.extend(usernames.iter().flat_map(|username| self.cache.handles_of(username)).cloned());
    }

    /// Decides only what is marked.
    pub fn decide(&mut self) {
        let now = self.store.time();
        while let Some(name) = self.spaces.pop_first() {
            let unit = unit(&self.cache, &name, now, &bailiwick::core::plan::Present::new());
            let nothing = Contribution::default();
            let before = self.all.units.get(&name).map_or(&nothing, |u| &u.decision.contribution);
            let change = self.cache.set_contribution(before, &unit.decision.contribution);
            self.counted(&change.counted);
            self.urgent.extend((change.holders == Change::Loses).then(Name::default));
            self.site |= change.holders != Change::None;
            let defaults: Vec<Name> = self.cache.default_namespaces().collect();
            if change.default_members == Change::Loses {
                self.urgent.extend(defaults.iter().cloned());
            }
            if change.default_members != Change::None {
                self.spaces.extend(defaults);
            }
            // As `Engine::converged` does.
            let holder = claims::holder(&self.cache, &name).map(|o| o.meta.name.clone());
            self.organizations.extend(holder);
            self.all.units.insert(name, unit);
        }
        if std::mem::take(&mut self.site) {
            let site = site::decide(&self.cache, now, &bailiwick::core::plan::Present::new());
            let change = self.cache.set_contribution(&self.all.site.contribution, &site.contribution);
            self.counted(&change.counted);
            self.all.site = site;
        }
        for name in std::mem::take(&mut self.organizations) {
            if let Some(draft) = organization_status(&self.all.units, &self.cache, &name) {
                self.all.organizations.insert(name, draft);
            }
        }
        for handle in std::mem::take(&mut self.users) {
            if let Some(u) = self.cache.users.get(&handle) {
                self.all.users.insert(handle, user::status(&self.cache, u, self.cache.holds(u), now));
            }
        }
    }

    /// Writes a claim, or else the statuses, that were decided and are not recorded yet. Returns whether there were
    /// any.
    fn record(&mut self) -> bool {
        let now = self.store.time();
        // A converged namespace that is about to change hands has no objects of ours left.
        let due = self.all.units.iter().find(|(_, u)| u.claim.is_some() && u.decision.desired.is_empty());
        if let Some((name, _)) = due {
            let name = name.clone();
            let claim = claims::claim(&self.cache, &name, now, true).expect("the claim is still due");
            let events = self.store.record_claim(&claim);
            self.take_in(events);
            return true;
        }
        let drafts: Vec<StatusDraft> = self.all.statuses().cloned().collect();
        let mut any = false;
        for draft in drafts {
            let slot = slot_of(&draft.target);
            let Some(meta) = meta(&self.cache, &draft) else { continue };
            if let Some(document) = draft.document(&meta, now) {
                let events = self.store.write_status(&slot, &draft.target.uid, &document["status"]);
                assert!(!events.is_empty(), "a status of what is not there: {draft:?}");
                self.take_in(events);
                any = true;
            }
        }
        any
    }

    /// Records and writes until nothing changes.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            if !self.record() {
                return;
            }
            self.decide();
        }
        panic!("it does not come to rest");
    }

    /// The incremental decisions equal those from scratch.
    pub fn check(&self) {
        let mut cache = self.store.cache();
        cache.kept = self.cache.kept.clone();
        let should = All::from_scratch(&mut cache, self.store.time(), &bailiwick::core::plan::Present::new());
        assert_same_all(&self.all, &should);
    }
}

/// The metadata of a status's object, if it exists.
pub fn meta(cache: &Cache, draft: &StatusDraft) -> Option<bailiwick::core::records::Meta> {
    let (name, local) = (&draft.target.name, cache.local.get(&draft.target.namespace));
    let meta = match &draft.status {
        Status::Organization(_) => &cache.organizations.get(name)?.meta,
        Status::User(_) => &cache.users.get(name)?.meta,
        Status::Group(_) => &local?.groups.get(name)?.meta,
        Status::Binding(_) if draft.target.kind == ApiKind::RoleBinding => &local?.bindings.get(name)?.meta,
        Status::Binding(_) => &cache.site_bindings.get(name)?.meta,
        Status::Role(_) => &local?.roles.get(name)?.meta,
        Status::SiteRole(_) => &cache.site_roles.get(name)?.meta,
    };
    (meta.uid == draft.target.uid).then(|| meta.clone())
}
