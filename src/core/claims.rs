//! Which organization holds which namespace, and which one is the default.
//!
//! Both decisions are *recorded*: a claim on the Namespace (label and annotations), the default in `status.default`.
//! Grants follow from the record, never from the request alone, so a decision stays: first come, first served, even
//! across restarts. This module computes the next record to write.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Name;
use super::cache::{Cache, Local, Rank};
use super::order::{self, First};
use super::records::{Namespace, Organization};
use super::uid::Uid;
use crate::api::conditions::Reason;

/// The namespace that an organization holds, or why it holds none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// It holds this namespace by record.
    Holds(Name),
    /// It holds nothing. The namespace is the one that it requests, if any.
    Not {
        /// Why it holds nothing.
        reason: Reason,
        /// The namespace that it requests.
        namespace: Option<Name>,
        /// The organization for which the namespace is reserved, or the namespace reserved for this organization.
        other: Option<Name>,
    },
}

/// The record to write on a Namespace: its holder, or that all access of its last organization is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The namespace to claim.
    pub namespace: Name,
    /// The UID of the Namespace.
    pub namespace_uid: Uid,
    /// The organization that holds it.
    pub organization: Option<Name>,
    /// The organization that holds it or held it last, and its UID.
    pub last_organization: (Name, Option<Uid>),
    /// Set if the namespace was another organization's before.
    pub claimed_at: Option<Timestamp>,
    /// Set from the time when its last organization's access is revoked until another one holds it.
    pub vacated_at: Option<Timestamp>,
}

impl Claim {
    /// Whether another claim records the same, except for the time.
    #[must_use]
    pub fn is_same_step(&self, other: &Self) -> bool {
        self.organization == other.organization
            && self.last_organization == other.last_organization
            && self.vacated_at.is_some() == other.vacated_at.is_some()
    }
}

/// The whitelisted namespaces whose record names this organization. Records on other namespaces do not count: in many
/// clusters people may create namespaces of their own, with any label.
pub fn recorded_on<'a>(cache: &'a Cache, organization: &'a str) -> impl Iterator<Item = &'a Name> {
    cache.recorded.get(organization).into_iter().flatten().filter(|name| whitelisted(cache, name))
}

/// Whether a namespace's record names this organization in every part.
fn complete(namespace: &Namespace, organization: &Organization) -> bool {
    let name = Some(&organization.meta.name);
    namespace.organization.as_ref() == name
        && namespace.organization_uid.as_ref() == Some(&organization.meta.uid)
        && namespace.last_organization.as_ref() == name
}

/// The namespace that an organization requests: the one in its spec, or the one that it took as the default.
fn wanted(cache: &Cache, organization: &Organization) -> Option<Name> {
    if let Some(namespace) = &organization.namespace {
        return Some(namespace.clone());
    }
    // A namespace that the default organization took is as final as one in its spec.
    if let Some(taken) = recorded_on(cache, &organization.meta.name).next() {
        return Some(taken.clone());
    }
    let default = default_organization(cache).is_some_and(|d| d.meta.name == organization.meta.name);
    let release = Name::from(cache.bounds.release_namespace.as_str());
    // Nobody gets an error about a namespace that they did not request, so it must be free and available.
    (default && whitelisted(cache, &release) && free(cache, &release)).then_some(release)
}

fn free(cache: &Cache, namespace: &str) -> bool {
    let unrecorded = cache.namespaces.get(namespace).is_some_and(|n| n.organization.is_none());
    unrecorded && !cache.named.contains_key(namespace) && !cache.kept.claims.contains_key(namespace)
}

fn whitelisted(cache: &Cache, namespace: &str) -> bool {
    cache.bounds.namespace_whitelist.contains(namespace)
}

/// The claimant that may have a namespace: the one on record, otherwise the oldest.
fn winner<'a>(cache: &'a Cache, namespace: &'a Namespace) -> Option<&'a Organization> {
    match &namespace.organization {
        Some(name) => cache.organizations.get(name).filter(|o| wanted(cache, o).as_ref() == Some(&namespace.name)),
        None => first_claimant(cache, namespace).known(),
    }
}

fn first_claimant<'a>(cache: &'a Cache, namespace: &'a Namespace) -> First<&'a Organization> {
    let free = |o: &&Organization| recorded_on(cache, &o.meta.name).next().is_none();
    order::first(claimants(cache, &namespace.name).filter(free), |organization| &organization.meta)
}

/// The organizations that request a namespace.
pub fn claimants<'a>(cache: &'a Cache, namespace: &'a str) -> impl Iterator<Item = &'a Organization> {
    let named = cache.named.get(namespace).into_iter().flatten().filter_map(|name| cache.organizations.get(name));
    // Only these can request a namespace that their spec does not name.
    let recorded = cache.namespaces.get(namespace).and_then(|n| n.organization.as_ref());
    let unnamed =
        recorded.and_then(|name| cache.organizations.get(name)).into_iter().chain(default_organization(cache));
    let unnamed: BTreeMap<&Name, &Organization> = unnamed
        .filter(|o| o.namespace.is_none() && wanted(cache, o).as_deref() == Some(namespace))
        .map(|o| (&o.meta.name, o))
        .collect();
    named.chain(unnamed.into_values())
}

/// The namespace that an organization holds.
#[must_use]
pub fn assignment(cache: &Cache, organization: &Organization) -> Assignment {
    let not = |reason, namespace: Option<&Name>, other: Option<&Name>| Assignment::Not {
        reason,
        namespace: namespace.cloned(),
        other: other.cloned(),
    };
    let Some(name) = wanted(cache, organization) else { return not(Reason::NotSet, None, None) };
    if !whitelisted(cache, &name) {
        return not(Reason::NotWhitelisted, Some(&name), None);
    }
    let Some(namespace) = cache.namespaces.get(&name) else {
        return not(Reason::NamespaceNotFound, Some(&name), None);
    };
    if namespace.terminating {
        return not(Reason::NamespaceTerminating, Some(&name), None);
    }
    if complete(namespace, organization) {
        return Assignment::Holds(name);
    }
    if organization.meta.unreadable.is_some() {
        return not(Reason::Unreadable, Some(&name), None);
    }
    if let Some(elsewhere) = recorded_on(cache, &organization.meta.name).find(|n| **n != name) {
        return not(Reason::ReservedElsewhere, Some(&name), Some(elsewhere));
    }
    match &namespace.organization {
        Some(recorded) if *recorded != organization.meta.name => {
            let held = cache.organizations.get(recorded).is_some_and(|o| wanted(cache, o).as_ref() == Some(&name));
            let reason = if held { Reason::AlreadyClaimed } else { Reason::ReservedFor };
            not(reason, Some(&name), Some(recorded))
        }
        Some(_) => not(Reason::ClaimPending, Some(&name), None),
        None => match winner(cache, namespace) {
            Some(first) if first.meta.uid != organization.meta.uid => {
                not(Reason::AlreadyClaimed, Some(&name), Some(&first.meta.name))
            }
            None if matches!(first_claimant(cache, namespace), First::Open(_)) => {
                let other = claimants(cache, &name).find(|other| other.meta.uid != organization.meta.uid);
                not(Reason::Undecided, Some(&name), other.map(|other| &other.meta.name))
            }
            _ => not(Reason::ClaimPending, Some(&name), None),
        },
    }
}

/// The organization that holds a namespace by record.
#[must_use]
pub fn holder<'a>(cache: &'a Cache, namespace: &str) -> Option<&'a Organization> {
    let recorded = cache.namespaces.get(namespace)?.organization.as_ref()?;
    let organization = cache.organizations.get(recorded)?;
    match assignment(cache, organization) {
        Assignment::Holds(name) if &*name == namespace => Some(organization),
        _ => None,
    }
}

/// The record to write on a namespace next. `vacated`: it has no native objects of ours.
#[must_use]
pub fn claim(cache: &Cache, name: &str, now: Timestamp, vacated: bool) -> Option<Claim> {
    let namespace = cache.namespaces.get(name)?;
    if namespace.terminating || !whitelisted(cache, name) {
        return None;
    }
    if namespace.organization.is_none()
        && namespace.last_organization.is_none()
        && let Some(organization) = cache.kept.claims.get(name)
    {
        return Some(lost_record(namespace, organization.as_str().into()));
    }
    // An unreadable organization keeps its namespace, and reserves the one that it requests.
    let organization = winner(cache, namespace).filter(|o| o.meta.unreadable.is_none());
    let last = namespace.last_organization.as_ref();
    let another = last.is_some_and(|last| organization.is_none_or(|o| o.meta.name != *last));
    // Grants of the former organization are revoked before the new one gets in.
    if another && !vacated {
        return None;
    }
    if another && namespace.organization.as_ref() != last && namespace.vacated_at.is_none() {
        return vacancy(cache, namespace, now);
    }
    let organization = organization?;
    if complete(namespace, organization) || recorded_on(cache, &organization.meta.name).any(|n| **n != *name) {
        return None;
    }
    Some(Claim {
        namespace: namespace.name.clone(),
        namespace_uid: namespace.uid.clone(),
        organization: Some(organization.meta.name.clone()),
        last_organization: (organization.meta.name.clone(), Some(organization.meta.uid.clone())),
        claimed_at: if another { namespace.vacated_at } else { namespace.claimed_at },
        vacated_at: None,
    })
}

/// The record of a namespace that was restored without it.
fn lost_record(namespace: &Namespace, organization: Name) -> Claim {
    Claim {
        namespace: namespace.name.clone(),
        namespace_uid: namespace.uid.clone(),
        organization: Some(organization.clone()),
        last_organization: (organization, None),
        claimed_at: None,
        vacated_at: None,
    }
}

/// The record that all access of the last organization is revoked.
fn vacancy(cache: &Cache, namespace: &Namespace, now: Timestamp) -> Option<Claim> {
    // Creation times are whole seconds, so objects created until the end of this one may be the former organization's.
    // So may all existing objects, whatever the API server's clock says.
    let newest = cache.local.get(&namespace.name).and_then(Local::newest);
    let last = newest.map_or(now, |newest| now.max(newest));
    Some(Claim {
        namespace: namespace.name.clone(),
        namespace_uid: namespace.uid.clone(),
        organization: namespace.organization.clone(),
        last_organization: (namespace.last_organization.clone()?, namespace.organization_uid.clone()),
        claimed_at: namespace.claimed_at,
        vacated_at: Some(Timestamp::from_second(last.as_second() + 1).ok()?),
    })
}

/// The organization that should be the default one: the incumbent, while it requests that or nobody else does; without
/// an incumbent the one in a backup's record, otherwise the first that requests it, otherwise the first.
#[must_use]
pub fn desired_default(cache: &Cache) -> Option<&Organization> {
    let (not_asking, not_default, _, name, _) = cache.ranking.first()?;
    if !not_default {
        return cache.organizations.get(name);
    }
    let kept = cache.kept.default_organization.as_ref().filter(|_| cache.recorded_defaults.is_empty());
    // A restored organization has no status.
    let restored = |o: &&Organization| o.meta.status.digest == 0 && o.asks_default != *not_asking;
    let kept = kept.and_then(|name| cache.organizations.get(name)).filter(restored);
    kept.or_else(|| order::first(equal_candidates(cache), |organization| &organization.meta).known())
}

/// The organizations that tie for being the default one: the same request, record and creation time.
pub fn equal_candidates(cache: &Cache) -> impl Iterator<Item = &Organization> {
    let rank = |rank: &Rank| (rank.0, rank.1, rank.2);
    let first = cache.ranking.first().map(rank);
    let equal = cache.ranking.iter().take_while(move |other| Some(rank(other)) == first);
    equal.filter_map(|(.., name, _)| cache.organizations.get(name))
}

/// The organization that *is* the default one: on record, and still desired.
#[must_use]
pub fn default_organization(cache: &Cache) -> Option<&Organization> {
    desired_default(cache).filter(|o| o.is_default)
}

/// Whether `status.default` of an organization should be true now. It stays false while another organization has it:
/// the move takes two steps, and removing comes first.
#[must_use]
pub fn should_record_default(cache: &Cache, organization: &Organization) -> bool {
    desired_default(cache).is_some_and(|d| d.meta.uid == organization.meta.uid)
        && cache.recorded_defaults.iter().all(|name| *name == organization.meta.name)
}
