//! The decisions that a backup must keep: restored objects have lost their UIDs, statuses, owner references and creation
//! times, so without a record the same questions would be answered anew.
//!
//! The record is a ConfigMap of the release namespace. It is read when the operator starts, and counts only where the
//! usual record (a label of the Namespace, a status) is missing. See `docs/operations.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cache::Cache;

/// How many entries each list has at most: the ConfigMap must stay below 1 MiB, and a name has up to 256 characters.
const MOST: usize = 1500;

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
        }
    }

    /// As the ConfigMap has it.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}
