//! The names of all suspended users, for an admission policy. RBAC cannot deny what an identity-provider group grants,
//! so the API server refuses their writes instead.
//!
//! They are in one ConfigMap, because the policy runs once for each parameter object, at every write in every
//! organization. A hash of the name splits them over several texts, and an expression of its own searches each.

use std::collections::BTreeSet;

use super::Name;
use super::cache::Cache;
use super::records::by_age;
use super::subjects::{fnv, valid_name};

/// The number of texts (`templates/policies/suspended-users.yaml` has an expression for each). Together they stay below
/// 1 MiB, the size limit of an object.
pub const TEXTS: usize = 2;
/// The most bytes of one text: the API server multiplies the length of the text by that of the name it looks for, and
/// refuses an expression that costs too much. The limit has room for about 16,000 names of usual length, or 3,800 of
/// the longest.
const LARGEST: usize = 500_000;

/// The list of suspended users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The names, each between line breaks, so that the policy finds only whole names; empty if there is none.
    pub texts: [String; TEXTS],
    /// The names that do not fit.
    pub left_out: BTreeSet<Name>,
}

/// The usernames of all suspended users in order of precedence: holders of privileged site roles first, because not
/// everyone that may suspend others may activate them, then the oldest User. So creating suspended Users removes nobody
/// else's name from the list.
#[must_use]
pub fn in_order(cache: &Cache) -> Vec<&Name> {
    let mut names: Vec<&Name> = cache.suspended.iter().collect();
    names.sort_by_cached_key(|name| {
        let age = cache.canonical_user(name).map(|user| by_age(&user.meta));
        (!cache.holds_privileged_site_role(name), age)
    });
    names
}

/// The list of these names. The first ones take precedence.
#[must_use]
pub fn list<'a>(suspended: impl IntoIterator<Item = &'a Name>) -> List {
    let mut list = List::default();
    // A line break in a name could end another name's line.
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
