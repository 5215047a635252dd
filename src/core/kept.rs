//! The decisions that a backup must keep. Restored objects have new UIDs and creation times, and neither statuses nor
//! owner references, so without a record the same questions would be answered again.
//!
//! The record is a ConfigMap in the release namespace. The operator reads it when it starts, and uses it only where the
//! usual record (a label of the Namespace, a status) is missing. See `docs/operations.md`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::claims;
use super::order::{self, Handover};
use super::organization::named_groups;
use super::records::{Binding, Meta};
use super::uid::Uid;
use crate::api::ApiKind;

/// The most entries of each list: the ConfigMap must stay below 1 MiB, and a name has up to 256 characters.
const MOST: usize = 1500;
/// The most doubts for each namespace, and, in bytes, for all.
pub(super) const MOST_DOUBTS: usize = 500;
const MOST_DOUBT_BYTES: usize = 400 << 10;

/// The recorded decisions, by names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Kept {
    /// The default organization.
    pub default_organization: Option<String>,
    /// By namespace, its current or last organization.
    pub claims: BTreeMap<String, String>,
    /// By SiteRole with `singleHolder`, the username of its holder.
    pub holders: BTreeMap<String, String>,
    /// By username that several Users share, the User that counts.
    pub usernames: BTreeMap<String, String>,
    /// Objects withheld because of their age, which a restore would hide ([`former`], [`waiting`]), with their UIDs.
    /// While the operator runs, it keeps those that it read when it started, because they concern objects that it did
    /// not see written.
    ///
    /// A namespace with more of them than fit has [`anything`] instead: every object there is in doubt unless its
    /// status names the organization. An empty UID matches no object.
    pub doubts: BTreeMap<String, String>,
    /// The namespaces that have [`anything`] in the current record.
    #[serde(skip)]
    pub full: BTreeSet<String>,
    /// Whether doubts are missing for now, because statuses do not yet show what is not in doubt.
    #[serde(skip)]
    pub is_partial: bool,
}

/// The doubt that an object may be the former organization's.
#[must_use]
pub fn former(kind: ApiKind, meta: &Meta) -> String {
    format!("{}/{kind}/{}", meta.namespace, meta.name)
}

/// The doubt about everything in a namespace.
#[must_use]
pub fn anything(namespace: &str) -> String {
    format!("{namespace}/*")
}

/// The doubt that a binding may have waited for somebody to create a Group.
#[must_use]
pub fn waiting(binding: &Binding, group: &Meta) -> String {
    format!("{} Group/{}", former(ApiKind::RoleBinding, &binding.meta), group.name)
}

impl Kept {
    /// The decisions to keep. Where the usual record is missing, the kept one stays.
    #[must_use]
    pub fn of(cache: &Cache) -> Self {
        let kept = &cache.kept;
        let default = cache.recorded_defaults.first().map(ToString::to_string);
        let claims = cache.namespaces.values().filter_map(|namespace| {
            let (name, organization) = (namespace.name.to_string(), namespace.organization.as_ref());
            match (organization, &namespace.last_organization) {
                (Some(organization), _) => Some((name, organization.to_string())),
                // An administrator released it.
                (None, Some(_)) => None,
                (None, None) => kept.claims.get_key_value(&*namespace.name).map(|(n, o)| (n.clone(), o.clone())),
            }
        });
        let absent = kept.claims.iter().filter(|(namespace, organization)| {
            cache.namespaces.get(namespace).is_none() && cache.organizations.get(organization).is_some()
        });
        let absent = absent.map(|(namespace, organization)| (namespace.clone(), organization.clone()));
        let holders = cache.site_roles.values().filter(|role| role.single_holder).filter_map(|role| {
            let name = role.meta.name.to_string();
            let kept = || kept.holders.get(&name).filter(|_| role.meta.status.digest == 0).cloned();
            let holder = role.holder.as_ref().map(ToString::to_string).or_else(kept);
            holder.map(|holder| (name, holder))
        });
        let usernames = cache.contested_usernames().filter_map(|username| {
            let user = cache.canonical_user(username)?.meta.name.to_string();
            Some((username.to_string(), user))
        });
        let (doubts, is_partial) = doubts(cache);
        let full = doubts.keys().filter_map(|doubt| doubt.strip_suffix("/*")).map(str::to_owned).collect();
        Self {
            default_organization: default.or_else(|| kept.default_organization.clone()),
            claims: claims.chain(absent).take(MOST).collect(),
            holders: holders.take(MOST).collect(),
            usernames: usernames.take(MOST).collect(),
            doubts,
            full,
            is_partial,
        }
    }

    /// The UID on record if this doubt may apply to an object that was restored, or recreated before the operator
    /// started. Writing the object's spec ends the doubt.
    pub(super) fn doubt(&self, meta: &Meta, doubt: impl FnOnce() -> String) -> Option<&str> {
        if self.doubts.is_empty() || meta.written_version > 0 {
            return None;
        }
        let another = self.doubts.get(&doubt()).filter(|uid| **uid != *meta.uid.to_string());
        another.or_else(|| self.doubts.get(&anything(&meta.namespace))).map(String::as_str)
    }

    /// The text of the ConfigMap.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// All current doubts, with the kept ones of namespaces that nobody holds now; and whether some are missing.
fn doubts(cache: &Cache) -> (BTreeMap<String, String>, bool) {
    let namespace = |doubt: &str| doubt.split('/').next().unwrap_or_default().to_owned();
    let was_full = |name: &str| cache.kept.doubts.contains_key(&anything(name));
    // A doubt about an unknown object remains one about any object.
    let uid = |doubt: &str, uid: &Uid| if was_full(&namespace(doubt)) { String::new() } else { uid.to_string() };
    let now = cache.doubts.iter().map(|(doubt, of)| (doubt.to_string(), uid(doubt, of)));
    let still = |doubt: &str| cache.doubts.contains_key(doubt) || claims::holder(cache, &namespace(doubt)).is_none();
    // With the old UID, because otherwise it would count after the next start.
    let kept = cache.kept.doubts.clone().into_iter().filter(|(doubt, _)| still(doubt));
    let all: BTreeMap<String, String> = now.chain(kept).collect();
    let mut namespaces: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for doubt in all {
        namespaces.entry(namespace(&doubt.0)).or_default().push(doubt);
    }
    // All namespaces have equal shares, so that none can displace the records of others.
    let share = MOST_DOUBT_BYTES / namespaces.len().max(1);
    let mut is_partial = false;
    let of_one = |(name, mut doubts): (String, Vec<(String, String)>)| {
        let mut room = share;
        let mut fits = |(doubt, uid): &(String, String)| {
            let size = doubt.len() + uid.len();
            let fits = size <= room;
            room -= if fits { size } else { 0 };
            fits
        };
        let any = anything(&name);
        let fitting = doubts.iter().take(MOST_DOUBTS).take_while(|doubt| fits(doubt)).count();
        let is_full = fitting < doubts.len() || doubts.iter().any(|(doubt, _)| *doubt == any);
        // Once recorded it stays, even while a new object waits for its status.
        if is_full && (was_full(&name) || cache.kept.full.contains(&name) || is_told_apart(cache, &name)) {
            return vec![(any, String::new())];
        }
        is_partial |= is_full;
        doubts.truncate(fitting);
        doubts.retain(|(doubt, _)| *doubt != any);
        doubts
    };
    let doubts = namespaces.into_iter().flat_map(of_one).collect();
    (doubts, is_partial)
}

/// Whether the statuses in a namespace mark everything that is not in doubt. Otherwise a restart would revoke it.
fn is_told_apart(cache: &Cache, namespace: &str) -> bool {
    let Some(local) = cache.local.get(namespace) else { return true };
    let handover = Handover::of(cache, namespace);
    let metas = (local.groups.metas().map(|meta| (ApiKind::Group, meta)))
        .chain(local.bindings.metas().map(|meta| (ApiKind::RoleBinding, meta)))
        .chain(local.roles.metas().map(|meta| (ApiKind::CustomRole, meta)));
    let is_told = |(kind, meta): (ApiKind, &Meta)| {
        // An unreadable object grants nothing.
        meta.unreadable.is_some()
            || order::is_holders(cache, meta)
            || order::predates_claim(cache, kind, meta, handover.as_ref()).is_some()
    };
    let pairs = |binding: &Binding| {
        let mut groups = named_groups(local, binding);
        groups.all(|g| binding.older_groups.contains(&g.meta.uid) || order::may_have_waited(cache, binding, g))
    };
    metas.into_iter().all(is_told) && local.bindings.values().all(pairs)
}
