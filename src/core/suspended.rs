//! The names of all suspended users, as an admission policy reads them: what an identity-provider group gives them RBAC
//! cannot deny, so the API server refuses what they write.
//!
//! They are in one ConfigMap, because a policy is evaluated once for each object that it takes as parameter, at every write in
//! every organization. There they are split by a hash of the name: the policy searches each text in an expression of its own.

use std::collections::BTreeSet;

use super::Name;
use super::cache::Cache;
use super::records::by_age;
use super::subjects::{fnv, valid_name};

/// How many texts there are (`templates/policies/suspended-users.yaml` has an expression for each). Together they stay below
/// the size limit of an object, 1 MiB.
pub const TEXTS: usize = 2;
/// How many bytes one may hold: the API server counts the length of the text times that of the name that is looked for, and
/// refuses what costs too much. That is room for about 16,000 names of usual length, or 3,800 of the longest.
const LARGEST: usize = 500_000;

/// Who is suspended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Each name on a line of its own, between line breaks, so that the policy finds whole names only; empty when there is
    /// none.
    pub texts: [String; TEXTS],
    /// The names that there was no room for.
    pub left_out: BTreeSet<Name>,
}

/// The usernames of everybody who is suspended, in the order in which they get room on the list: holders of privileged site
/// roles first, because not everyone who may suspend others may activate them, then the oldest User. So nobody who creates
/// suspended Users takes another name off the list.
#[must_use]
pub fn in_order(cache: &Cache) -> Vec<&Name> {
    let mut names: Vec<&Name> = cache.suspended.iter().collect();
    names.sort_by_cached_key(|name| {
        let age = cache.canonical_user(name).map(|user| by_age(&user.meta));
        (!cache.holds_privileged_site_role(name), age)
    });
    names
}

/// The list of these names. The first ones get room.
#[must_use]
pub fn list<'a>(suspended: impl IntoIterator<Item = &'a Name>) -> List {
    let mut list = List::default();
    // A name with a line break in it could end another one's line.
    for name in suspended.into_iter().filter(|name| valid_name(name)) {
        let text = &mut list.texts[usize::try_from(fnv(name.bytes()) % TEXTS as u64).unwrap_or(0)];
        if text.len() + name.len() + 2 > LARGEST {
            list.left_out.insert(name.clone());
            continue;
        }
        if text.is_empty() {
            text.push('\n');
        }
        text.push_str(name);
        text.push('\n');
    }
    list
}
