//! The names of all suspended users, as an admission policy reads them: what an identity-provider group gives them RBAC
//! cannot deny, so the API server refuses what they write.
//!
//! They are split over a fixed number of ConfigMaps, by a hash of the name, to stay below the size limit of an object.

use std::collections::BTreeSet;

use super::Name;
use super::subjects::{fnv, valid_name};

/// How many ConfigMaps there are. The chart creates as many (`templates/policies/suspended-users.yaml`).
pub const SHARDS: u8 = 4;
/// How many bytes one may hold. Not the size of an object is the limit (1 MiB), but what a policy may cost: the API server
/// counts the length of the text times that of the name that is looked for, and refuses what costs too much. That is room for
/// about 16,000 names of usual length, or 3,800 of the longest.
const LARGEST: usize = 500_000;

/// One list: each name on a line of its own, between line breaks, so that the policy finds whole names only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Empty when nobody is suspended.
    pub text: String,
    /// The names that there was no room for.
    pub left_out: Vec<Name>,
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
            list.left_out.push(name.clone());
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
