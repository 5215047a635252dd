//! How the subjects of a grant are split over native bindings, so that a change of one subject rewrites one of them.

use std::cell::OnceCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::names::Shard;
use super::native::Grantee;
use super::subjects::fnv;

/// How many subjects one native binding holds before it is split.
pub const SHARD_SIZE: usize = 128;

/// The shards of a grant that are not empty, and who is in each; sorted.
pub type Lists = Vec<(Shard, Arc<[Grantee]>)>;

/// Splits subjects into so many shards. Which shard a subject is in depends on nothing but itself and their number.
#[must_use]
pub fn split(subjects: &BTreeSet<Grantee>, count: usize) -> Lists {
    let mut lists = vec![Vec::new(); count];
    for grantee in subjects {
        lists[index(grantee, count)].push(grantee.clone());
    }
    numbered(lists.into_iter().map(Into::into))
}

/// Subjects who are asked for by several, kept split: for a grant to everybody, of which a change must not cost as much as
/// everybody.
#[derive(Debug, Default)]
pub struct Shards {
    parts: Vec<Part>,
    len: usize,
}

#[derive(Debug, Default)]
struct Part {
    /// How often each is asked for.
    counts: BTreeMap<Grantee, u32>,
    /// Who that is, made when it is looked at.
    list: OnceCell<Arc<[Grantee]>>,
}

impl Shards {
    /// Asks for a subject once more.
    pub fn add(&mut self, grantee: &Grantee) {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
        }
        let index = index(grantee, self.parts.len());
        let part = &mut self.parts[index];
        if let Some(count) = part.counts.get_mut(grantee) {
            *count += 1;
            return;
        }
        part.counts.insert(grantee.clone(), 1);
        part.list.take();
        self.len += 1;
        self.resize();
    }

    /// Asks for a subject once less; says whether nobody does any more.
    pub fn remove(&mut self, grantee: &Grantee) -> bool {
        let index = index(grantee, self.parts.len().max(1));
        let Some(part) = self.parts.get_mut(index) else { return false };
        let Entry::Occupied(mut count) = part.counts.entry(grantee.clone()) else { return false };
        *count.get_mut() -= 1;
        if *count.get() > 0 {
            return false;
        }
        count.remove();
        part.list.take();
        self.len -= 1;
        self.resize();
        true
    }

    /// These subjects and some more: what [`split`] makes of them all. `into`: into how many shards to split a number of
    /// subjects.
    #[must_use]
    pub fn with(&self, more: &BTreeSet<Grantee>, into: impl Fn(usize) -> usize) -> Lists {
        let parts = self.parts.len();
        let is_new = |grantee: &&Grantee| {
            self.parts.get(index(grantee, parts.max(1))).is_none_or(|part| !part.counts.contains_key(*grantee))
        };
        let new: Vec<&Grantee> = more.iter().filter(is_new).collect();
        let count = into(self.len + new.len());
        if count != parts {
            let all = self.parts.iter().flat_map(|part| part.counts.keys()).chain(new);
            return split(&all.cloned().collect(), count);
        }
        let lists = self.parts.iter().enumerate().map(|(n, part)| {
            let mut here = new.iter().filter(|grantee| index(grantee, parts) == n).peekable();
            if here.peek().is_none() {
                return part.list.get_or_init(|| part.counts.keys().cloned().collect()).clone();
            }
            let all: BTreeSet<&Grantee> = part.counts.keys().chain(here.copied()).collect();
            all.into_iter().cloned().collect()
        });
        numbered(lists)
    }

    /// Splits anew when there are too many for the number of shards, or too few.
    fn resize(&mut self) {
        let count = needed(self.len);
        if count == self.parts.len() {
            return;
        }
        let before = std::mem::take(&mut self.parts);
        self.parts.resize_with(count, Part::default);
        for (grantee, times) in before.into_iter().flat_map(|part| part.counts) {
            self.parts[index(&grantee, count)].counts.insert(grantee, times);
        }
    }
}

fn numbered(lists: impl ExactSizeIterator<Item = Arc<[Grantee]>>) -> Lists {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let count = number(lists.len());
    let numbered = lists.enumerate().map(|(index, list)| (Shard { index: number(index), count }, list));
    numbered.filter(|(_, list)| !list.is_empty()).collect()
}

/// How many shards so many subjects need.
#[must_use]
pub fn needed(subjects: usize) -> usize {
    subjects.div_ceil(SHARD_SIZE).next_power_of_two()
}

/// Whether so many subjects more than three quarters fill the shards that they need.
#[must_use]
pub fn nearly_need_more(subjects: usize) -> bool {
    subjects * 4 > needed(subjects) * SHARD_SIZE * 3
}

/// Which of so many shards a subject is in.
fn index(grantee: &Grantee, count: usize) -> usize {
    usize::try_from(hash(grantee) % count as u64).unwrap_or(0)
}

fn hash(grantee: &Grantee) -> u64 {
    let parts: [&str; 3] = match grantee {
        Grantee::User(name) => ["u", "", name],
        Grantee::Group(name) => ["g", "", name],
        Grantee::ServiceAccount { namespace, name } => ["s", namespace, name],
    };
    fnv(parts.iter().flat_map(|p| p.bytes().chain([0])))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn user(n: u16) -> Grantee {
        Grantee::User(format!("user-{n}@example.com").into())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Around the numbers at which there are more shards, or fewer, with some asked for twice.
        #[test]
        fn kept_shards_are_those_of_splitting_anew(
            begin in 0..1100_u16,
            changes in proptest::collection::vec((any::<bool>(), 0..1200_u16), 0..200),
            more in proptest::collection::vec(0..2400_u16, 0..40),
        ) {
            let (mut kept, mut expected) = (Shards::default(), BTreeMap::<Grantee, u32>::new());
            for n in 0..begin {
                kept.add(&user(n));
                expected.insert(user(n), 1);
            }
            let more: BTreeSet<Grantee> = more.into_iter().map(user).collect();
            for (step, (add, n)) in changes.into_iter().enumerate() {
                let count = expected.entry(user(n)).or_default();
                if add {
                    kept.add(&user(n));
                    *count += 1;
                } else {
                    prop_assert_eq!(kept.remove(&user(n)), *count == 1);
                    *count = count.saturating_sub(1);
                }
                expected.retain(|_, count| *count > 0);
                let some = if step % 2 == 0 { &more } else { &BTreeSet::new() };
                let all: BTreeSet<Grantee> = expected.keys().chain(some).cloned().collect();
                prop_assert_eq!(kept.with(some, needed), split(&all, needed(all.len())));
                let twice = |n| 2 * needed(n);
                prop_assert_eq!(kept.with(some, twice), split(&all, twice(all.len())));
            }
        }
    }
}
