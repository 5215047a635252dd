//! Decides which of two things came first when their creation times, which are whole seconds, do not tell.
//!
//! Within a second the order of resource versions decides, if the operator saw the changes themselves. The result is
//! kept in the status of the object, because a restart loses the versions. Whatever remains undecided is withheld. See
//! `docs/decisions/2026-11-30-same-second.md`.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::Name;
use super::cache::Cache;
use super::claims;
use super::kept;
use super::records::{Binding, Group, Meta};
use super::uid::Uid;
use crate::api::ApiKind;
use crate::api::conditions::Reason;

/// The first of several objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<T> {
    /// This one, or none at all.
    Known(Option<T>),
    /// Several have the same second, and their order is unknown. This one has the first name.
    Open(T),
}

impl<T> First<T> {
    /// The first one, if it is known.
    pub fn known(self) -> Option<T> {
        match self {
            First::Known(first) => first,
            First::Open(_) => None,
        }
    }
}

/// The first of several objects of one kind. Manifests that no API server has seen are ordered by name.
pub fn first<'a, T>(objects: impl Iterator<Item = &'a T>, meta: impl Fn(&T) -> &Meta) -> First<&'a T> {
    let mut first: Option<&T> = None;
    let mut is_open = false;
    for object in objects {
        let Some(other) = first.map(&meta) else {
            first = Some(object);
            continue;
        };
        let new = meta(object);
        let by_name = (&new.name, &new.uid) < (&other.name, &other.uid);
        let comes_first = match new.created.cmp(&other.created) {
            Ordering::Equal if new.created.is_none() => by_name,
            Ordering::Equal => {
                let seen = new.written_version > 0 && other.written_version > 0;
                is_open |= !seen;
                if seen { new.written_version < other.written_version } else { by_name }
            }
            ordering => {
                is_open &= ordering.is_gt();
                ordering.is_lt()
            }
        };
        if comes_first {
            first = Some(object);
        }
    }
    match first {
        Some(object) if is_open => First::Open(object),
        first => First::Known(first),
    }
}

/// A namespace that changed hands: its earlier objects belong to the former organization.
#[derive(Clone, Debug)]
pub struct Handover {
    /// Objects created until this time may be the former organization's.
    at: Timestamp,
    /// Objects written after this resource version are not; zero if unknown.
    version: u64,
    /// The organization that holds the namespace now.
    organization: Name,
}

impl Handover {
    /// The last handover of a namespace, if it ever changed hands.
    #[must_use]
    pub fn of(cache: &Cache, namespace: &str) -> Option<Self> {
        let record = cache.namespaces.get(namespace)?;
        let organization = claims::holder(cache, namespace)?.meta.name.clone();
        Some(Self { at: record.claimed_at?, version: record.vacated_version, organization })
    }

    fn is_open_by_time(&self, meta: &Meta) -> bool {
        meta.created.is_some_and(|created| Timestamp::from(created) <= self.at)
    }

    fn is_later(&self, meta: &Meta) -> bool {
        let seen = self.version > 0 && meta.written_version > self.version;
        seen || meta.belongs_to.as_ref() == Some(&self.organization)
    }
}

/// Why an object that may predate a handover does not count: because of its time, or because it did before a backup was
/// restored.
#[must_use]
pub fn predates_claim(cache: &Cache, kind: ApiKind, meta: &Meta, handover: Option<&Handover>) -> Option<Reason> {
    if handover.is_some_and(|handover| handover.is_open_by_time(meta) && !handover.is_later(meta)) {
        return Some(Reason::FromFormerOrganization);
    }
    let recorded = cache.kept.doubt(meta, || kept::former(kind, meta)).filter(|_| !is_holders(cache, meta))?;
    Some(if recorded.is_empty() { Reason::NotOnRecord } else { Reason::FromFormerOrganization })
}

/// Whether an object's status names the organization that now holds its namespace. Restored objects have no status.
#[must_use]
pub fn is_holders(cache: &Cache, meta: &Meta) -> bool {
    meta.belongs_to.is_some()
        && meta.belongs_to.as_ref() == claims::holder(cache, &meta.namespace).map(|o| &o.meta.name)
}

/// The organization to record in the object's status, so that a restart does not bring the doubt back.
#[must_use]
pub fn belongs_to(meta: &Meta, handover: Option<&Handover>) -> Option<Name> {
    let open = handover.filter(|handover| handover.is_open_by_time(meta) && handover.is_later(meta));
    open.map(|handover| handover.organization.clone())
}

/// Whether a binding may have been written before a Group that it names was created. The Group's creator would then get
/// the role that the binding was waiting to grant.
#[must_use]
pub fn may_have_waited(cache: &Cache, binding: &Binding, group: &Group) -> bool {
    let vouched = group.vouched && cache.bounds.groups_are_vouched;
    // In a restored cluster, the note concerns the person who restored it.
    let before_a_restore = || {
        let is_known = binding.older_groups.contains(&group.meta.uid);
        !is_known && cache.kept.doubt(&binding.meta, || kept::waiting(binding, &group.meta)).is_some()
    };
    (!vouched && is_open(binding, group) && !is_older(group, binding)) || before_a_restore()
}

/// The UID of a Group to record as older than the binding, so that a restart does not bring the doubt back.
#[must_use]
pub fn older_group<'a>(binding: &Binding, group: &'a Group) -> Option<&'a Uid> {
    (is_open(binding, group) && is_older(group, binding)).then_some(&group.meta.uid)
}

fn is_open(binding: &Binding, group: &Group) -> bool {
    matches!((binding.written, group.meta.created), (Some(written), Some(created)) if written <= created)
}

fn is_older(group: &Group, binding: &Binding) -> bool {
    group.first_version < binding.meta.written_version || binding.older_groups.contains(&group.meta.uid)
}
