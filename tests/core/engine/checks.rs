//! Invariants of every story: nobody has access that they should not have, and in the end everything is as desired.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::core::Name;
use bailiwick::core::names::RELEASE_PREFIX;
use bailiwick::core::object_ref::NativeRef;
use bailiwick::core::plan::Write;
use bailiwick::core::rbac::{Desired, DesiredSet, RbacSpec, Subject};
use bailiwick::core::rules::RuleSet;
use bailiwick::operator::writer::WriteRequest;

use super::Story;
use super::story::key_of;
use crate::access::role_key;
use crate::shell::{All, meta};

/// The key that writes a native object: a namespace, or the site, which has an empty name.
fn unit_of(key: &NativeRef) -> Name {
    let is_site = key.namespace.is_empty() || key.name.starts_with(RELEASE_PREFIX);
    if is_site { Name::default() } else { key.namespace.clone() }
}

/// Whether a binding gives somebody this role, or any.
fn gives(content: &RbacSpec, role: Option<&Name>, subject: &Subject) -> bool {
    matches!(content, RbacSpec::Binding { role: r, subjects } if role.is_none_or(|role| role == r) && subjects.contains(subject))
}

impl Story {
    /// Decides everything from the current objects.
    fn all(&self) -> All {
        let mut cache = self.server.store.cache();
        cache.set_seed(&self.server.seed);
        All::from_scratch(&mut cache, self.server.store.time(), &self.server.rbac.present)
    }

    /// Everything is as desired, and every status reports it.
    pub fn assert_converged(&self) {
        let (all, present) = (self.all(), &self.server.rbac.present);
        let should: BTreeMap<_, _> =
            all.desired().into_iter().map(|(key, native)| (key, Some(native.content))).collect();
        let is: BTreeMap<_, _> = present.iter().map(|(key, o)| (key.clone(), o.content.clone())).collect();
        assert_eq!(is, should);
        assert!(present.values().all(|observed| observed.labelled));
        let cache = self.server.store.cache();
        for draft in all.statuses() {
            let Some(meta) = meta(&cache, draft) else { continue };
            let document = draft.document(&meta, self.server.store.time());
            assert_eq!(document, None, "the status of {} is out of date", draft.target.path());
        }
        assert_eq!(self.metrics.units_busy.get(), 0);
        let metrics = self.metrics.text();
        let corrected =
            metrics.lines().find(|line| line.contains("resync_corrections_total{") && !line.ends_with(" 0"));
        assert_eq!(corrected, None);
    }

    /// Nobody has access that they should not have. Exceptions: an object with a write in flight, and a grant whose
    /// replacement waits for such an object.
    pub fn assert_revoked(&self) {
        let all = self.all();
        let desired = all.desired();
        let held: BTreeSet<&NativeRef> = self.held.iter().filter_map(|(request, _)| key_of(request)).collect();
        for (key, observed) in &self.server.rbac.present {
            let unit = unit_of(key);
            if held.contains(key) || (!unit.is_empty() && self.is_being_claimed(&all, &unit)) {
                continue;
            }
            match observed.content.as_ref().unwrap() {
                RbacSpec::Rules(have) => {
                    let Some(Desired { content: RbacSpec::Rules(want), .. }) = desired.get(key) else { continue };
                    // Unbound, it grants nothing, or only through grants that are being revoked.
                    if self.is_bound(key, &held) {
                        let (have, want) = (RuleSet::from_rules(have.iter()), RuleSet::from_rules(want.iter()));
                        assert!(want.contains_all(&have), "{key} gives too much; held: {held:?}");
                    }
                }
                RbacSpec::Binding { role, subjects } => {
                    let wanted = desired.get(key).map(|native| &native.content);
                    for subject in subjects.iter().filter(|s| !wanted.is_some_and(|w| gives(w, Some(role), s))) {
                        let waits = self.waits_for_another(&desired, &held, &unit, subject);
                        assert!(waits, "{subject:?} has {key} for nothing; held: {held:?}");
                    }
                }
            }
        }
    }

    /// The claim on a namespace is recorded before anything else is written there.
    fn is_being_claimed(&self, all: &All, namespace: &str) -> bool {
        let claims = |request: &WriteRequest| matches!(request, WriteRequest::Claim(c) if *c.namespace == *namespace);
        self.held.iter().any(|(request, _)| claims(request))
            || all.units.get(namespace).is_some_and(|unit| unit.claim.is_some())
    }

    /// Whether a subject is bound to this role, or is about to be.
    fn is_bound(&self, role: &NativeRef, held: &BTreeSet<&NativeRef>) -> bool {
        let binds = |key: &NativeRef, content: &RbacSpec| matches!(content, RbacSpec::Binding { role: name, .. } if role_key(key, name) == *role);
        let there = self.server.rbac.present.iter().filter(|(key, _)| !held.contains(key));
        let mut there = there.filter_map(|(key, observed)| Some((key, observed.content.as_ref()?)));
        let mut coming = self.held.iter().filter_map(|(request, _)| match request {
            WriteRequest::Native(Write::Create { key, native } | Write::Apply { key, native, .. }) => {
                Some((key, &native.content))
            }
            _ => None,
        });
        there.any(|(key, content)| binds(key, content)) || coming.any(|(key, content)| binds(key, content))
    }

    /// Whether a subject should have a grant in this unit that it lacks, or may lack, because a write of the unit is
    /// held.
    fn waits_for_another(
        &self,
        desired: &DesiredSet,
        held: &BTreeSet<&NativeRef>,
        unit: &Name,
        subject: &Subject,
    ) -> bool {
        let present = &self.server.rbac.present;
        let is_writing = held.iter().any(|key| unit_of(key) == *unit);
        is_writing
            && desired.iter().filter(|(key, _)| unit_of(key) == *unit).any(|(key, native)| {
                let RbacSpec::Binding { role, .. } = &native.content else { return false };
                let content = present.get(key).and_then(|o| o.content.as_ref());
                let is_there = content.is_some_and(|content| gives(content, Some(role), subject));
                let role = role_key(key, role);
                let is_held = held.contains(key) || held.contains(&role) || !present.contains_key(&role);
                gives(&native.content, None, subject) && (!is_there || is_held)
            })
    }
}
