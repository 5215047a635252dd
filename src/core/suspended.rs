//! The names of all suspended users, as an admission policy reads them: what an identity-provider group gives them RBAC
//! cannot deny, so the API server refuses what they write.
//!
//! They are split over a fixed number of ConfigMaps, by a hash of the name, to stay below the size limit of an object.

use std::collections::BTreeSet;

use super::Name;
use super::subjects::{fnv, valid_name};

/// How many ConfigMaps there are. The chart creates as many (`templates/policies/suspended-users.yaml`).
pub const SHARDS: u8 = 4;
/// How many bytes one may hold: an object in etcd has at most 1.5 MiB, a ConfigMap 1 MiB. That is room for about 30,000
/// names of usual length, or 7,000 of the longest.
const LARGEST: usize = 950_000;

/// One list: each name on a line of its own, between line breaks, so that the policy finds whole names only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Empty when nobody is suspended.
    pub text: String,
    /// How many names there was no room for.
    pub left_out: usize,
}

/// Which list a name is in.
#[must_use]
pub fn shard(username: &str) -> u8 {
    u8::try_from(fnv(username.bytes()) % u64::from(SHARDS)).unwrap_or(0)
}

/// One of the lists. Which names have room depends on nothing but the names.
#[must_use]
pub fn list(suspended: &BTreeSet<Name>, shard: u8) -> List {
    let mut list = List::default();
    // A name with a line break in it could end another one's line.
    for name in suspended.iter().filter(|name| self::shard(name) == shard && valid_name(name)) {
        if list.text.len() + name.len() + 2 > LARGEST {
            list.left_out += 1;
            continue;
        }
        if list.text.is_empty() {
            list.text.push('\n');
        }
        list.text.push_str(name);
        list.text.push('\n');
    }
    list
}
