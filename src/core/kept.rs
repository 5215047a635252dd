//! The decisions that a backup must keep: restored objects have lost their UIDs, statuses, owner references and creation
//! times, so without a record the same questions would be answered anew.
//!
//! The record is a ConfigMap of the release namespace. It is read when the operator starts, and counts only where the
//! usual record (a label of the Namespace, a status) is missing. See `docs/operations.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::claims;
use super::records::{Binding, Meta};

/// How many entries each list has at most: the ConfigMap must stay below 1 MiB, and a name has up to 256 characters.
const MOST: usize = 1500;
/// How many doubts there are for each namespace at most, and for all, in bytes.
const MOST_DOUBTS: usize = 500;
const MOST_DOUBT_BYTES: usize = 400 << 10;

/// Who holds what, by names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Kept {
    /// The default organization.
    pub default_organization: Option<String>,
    /// By namespace, the organization that holds it or held it last.
    pub claims: BTreeMap<String, String>,
    /// By SiteRole with `singleHolder`, the username of its holder.
    pub holders: BTreeMap<String, String>,
    /// By username that several Users have, the User that counts.
    pub usernames: BTreeMap<String, String>,
    /// What was withheld because of its age, which a restore makes younger ([`former`], [`waiting`]), and the UID that it had
    /// then. While the operator runs, these stay those of its start, because they are about what it has not seen written.
    pub doubts: BTreeMap<String, String>,
}

/// The doubt that an object of a namespace may be its former organization's.
#[must_use]
pub fn former(kind: &str, meta: &Meta) -> String {
    format!("{}/{kind}/{}", meta.namespace, meta.name)
}

/// The doubt that a binding may have waited for whoever creates a Group.
#[must_use]
pub fn waiting(binding: &Binding, group: &Meta) -> String {
    format!("{} Group/{}", former("RoleBinding", &binding.meta), group.name)
}

impl Kept {
    /// What is to be kept of a world. Where the usual record is missing, what was kept stays.
    #[must_use]
    pub fn of(cache: &Cache) -> Self {
        let kept = &cache.kept;
        let default = cache.recorded_defaults.first().map(ToString::to_string);
        let claims = cache.namespaces.values().filter_map(|namespace| {
            let (name, organization) = (namespace.name.to_string(), namespace.organization.as_ref());
            match (organization, &namespace.last_organization) {
                (Some(organization), _) => Some((name, organization.to_string())),
                // It was released.
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
        Self {
            default_organization: default.or_else(|| kept.default_organization.clone()),
            claims: claims.chain(absent).take(MOST).collect(),
            holders: holders.take(MOST).collect(),
            usernames: usernames.take(MOST).collect(),
            doubts: doubts(cache),
        }
    }

    /// Whether there was this doubt about an object that was restored, or recreated before the operator started. Whoever writes
    /// its spec ends it.
    pub(super) fn has_doubt(&self, meta: &Meta, doubt: impl FnOnce() -> String) -> bool {
        let may_be = !self.doubts.is_empty() && meta.written_version == 0;
        may_be && self.doubts.get(&doubt()).is_some_and(|uid| *uid != *meta.uid.to_string())
    }

    /// As the ConfigMap has it.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Every doubt that there is, and what was kept of namespaces that nobody holds for now.
fn doubts(cache: &Cache) -> BTreeMap<String, String> {
    let namespace = |doubt: &str| doubt.split('/').next().unwrap_or_default().to_owned();
    let now = cache.doubts.iter().map(|(doubt, uid)| (doubt.to_string(), uid.to_string()));
    let still = |doubt: &str| cache.doubts.contains_key(doubt) || claims::holder(cache, &namespace(doubt)).is_none();
    // With the UID of before, or it would count after the next start.
    let kept = cache.kept.doubts.clone().into_iter().filter(|(doubt, _)| still(doubt));
    let all: BTreeMap<String, String> = now.chain(kept).collect();
    let mut namespaces: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for doubt in all {
        namespaces.entry(namespace(&doubt.0)).or_default().push(doubt);
    }
    // Each has the same share, so that nobody takes the place of what is recorded of others.
    let share = MOST_DOUBT_BYTES / namespaces.len().max(1);
    let of_one = |doubts: Vec<(String, String)>| {
        let mut room = share;
        let fits = move |(doubt, uid): &(String, String)| {
            let size = doubt.len() + uid.len();
            let fits = size <= room;
            room -= if fits { size } else { 0 };
            fits
        };
        doubts.into_iter().filter(fits).take(MOST_DOUBTS)
    };
    namespaces.into_values().flat_map(of_one).collect()
}
