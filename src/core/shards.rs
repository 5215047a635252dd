//! Splits the subjects of a grant over native bindings, so that a change of one subject rewrites one of them.
//!
//! Organizations share the bindings of a SiteRole's cluster-scoped part, and may name subjects that do not exist. So a
//! secret seed decides the shard of each subject: nobody can invent names that all fall into somebody else's binding
//! and make it too large to write.

use std::cell::OnceCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::sync::Arc;

use siphasher::sip::SipHasher24;

use super::names::{Seed, Shard};
use super::rbac::Subject;

/// The most subjects of one native binding before it is split.
pub const SHARD_SIZE: usize = 128;

/// The nonempty shards of a grant, each with its subjects; sorted.
pub type Lists = Vec<(Shard, Arc<[Subject]>)>;

impl Seed {
    /// The shard of a subject, out of so many.
    fn index(self, grantee: &Subject, count: usize) -> usize {
        let parts: [&str; 3] = match grantee {
            Subject::User(name) => ["u", "", name],
            Subject::Group(name) => ["g", "", name],
            Subject::ServiceAccount { namespace, name } => ["s", namespace, name],
        };
        // Not the standard hasher, which may differ between versions of Rust.
        let mut hasher = SipHasher24::new_with_key(self.bytes());
        for part in parts {
            hasher.write(part.as_bytes());
            hasher.write(&[0]);
        }
        usize::try_from(hasher.finish() % count as u64).unwrap_or(0)
    }
}

/// Splits subjects into so many shards. A subject's shard depends only on itself, their number and the seed.
#[must_use]
pub fn split(subjects: &BTreeSet<Subject>, count: usize, seed: Seed) -> Lists {
    let mut lists = vec![Vec::new(); count];
    for grantee in subjects {
        lists[seed.index(grantee, count)].push(grantee.clone());
    }
    numbered(lists.into_iter().map(Into::into), seed)
}

/// Subjects requested by several sources, kept in shards: for grants to everybody, where a change must not cost as much
/// as the whole list.
#[derive(Debug, Default)]
pub struct Shards {
    parts: Vec<Part>,
    len: usize,
    seed: Seed,
}

#[derive(Debug, Default)]
struct Part {
    /// How often each subject is requested.
    counts: BTreeMap<Subject, u32>,
    /// The subjects as a list, built on first use.
    list: OnceCell<Arc<[Subject]>>,
}

impl Shards {
    /// Without subjects.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Splits them again with another seed.
    pub fn reseed(&mut self, seed: Seed) {
        self.seed = seed;
        self.distribute(self.parts.len());
    }

    /// Counts one more request for a subject.
    pub fn add(&mut self, grantee: &Subject) {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
        }
        let index = self.seed.index(grantee, self.parts.len());
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

    /// Counts one request fewer for a subject; returns whether none is left.
    pub fn remove(&mut self, grantee: &Subject) -> bool {
        let index = self.seed.index(grantee, self.parts.len().max(1));
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

    /// Splits these subjects and `more` with the result of [`split`]. `into`: into how many shards to split a number of
    /// subjects.
    #[must_use]
    pub fn with(&self, more: &BTreeSet<Subject>, into: impl Fn(usize) -> usize) -> Lists {
        let (parts, seed) = (self.parts.len(), self.seed);
        let index = |grantee: &Subject, count| seed.index(grantee, count);
        let is_new = |grantee: &&Subject| {
            self.parts.get(index(grantee, parts.max(1))).is_none_or(|part| !part.counts.contains_key(*grantee))
        };
        let new: Vec<&Subject> = more.iter().filter(is_new).collect();
        let count = into(self.len + new.len());
        if count != parts {
            let all = self.parts.iter().flat_map(|part| part.counts.keys()).chain(new);
            return split(&all.cloned().collect(), count, seed);
        }
        let lists = self.parts.iter().enumerate().map(|(n, part)| {
            let mut here = new.iter().filter(|grantee| index(grantee, parts) == n).peekable();
            if here.peek().is_none() {
                return part.list.get_or_init(|| part.counts.keys().cloned().collect()).clone();
            }
            let all: BTreeSet<&Subject> = part.counts.keys().chain(here.copied()).collect();
            all.into_iter().cloned().collect()
        });
        numbered(lists, seed)
    }

    /// Splits again if the number of shards is too small or too large.
    fn resize(&mut self) {
        let count = needed(self.len);
        if count != self.parts.len() {
            self.distribute(count);
        }
    }

    fn distribute(&mut self, count: usize) {
        let before = std::mem::take(&mut self.parts);
        self.parts.resize_with(count, Part::default);
        for (grantee, times) in before.into_iter().flat_map(|part| part.counts) {
            self.parts[self.seed.index(&grantee, count)].counts.insert(grantee, times);
        }
    }
}

fn numbered(lists: impl ExactSizeIterator<Item = Arc<[Subject]>>, seed: Seed) -> Lists {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let count = number(lists.len());
    let numbered = lists.enumerate().map(|(index, list)| (Shard { index: number(index), count, seed }, list));
    numbered.filter(|(_, list)| !list.is_empty()).collect()
}

/// How many shards so many subjects need.
#[must_use]
pub fn needed(subjects: usize) -> usize {
    subjects.div_ceil(SHARD_SIZE).next_power_of_two()
}

/// Whether so many subjects fill more than three quarters of the shards that they need.
#[must_use]
pub fn nearly_need_more(subjects: usize) -> bool {
    subjects * 4 > needed(subjects) * SHARD_SIZE * 3
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::core::uid::Uid;

    fn user(n: u16) -> Subject {
        Subject::User(format!("user-{n}@example.com").into())
    }

    fn seed(secret: &str) -> Seed {
        Seed::from(&Uid::from(secret))
    }

    /// Another result would give every binding of a site other subjects under the same name.
    #[test]
    fn a_subject_is_in_the_same_shard_in_every_version() {
        let indexes = |seed: Seed| {
            let account = |namespace: &str, name: &str| Subject::ServiceAccount {
                namespace: namespace.into(),
                name: name.into(),
            };
            let grantees =
                [user(0), user(1), Subject::Group("user-0@example.com".into()), account("a", "b"), account("b", "a")];
            grantees.map(|grantee| seed.index(&grantee, 1 << 16))
        };
        assert_eq!(indexes(Seed::default()), [54030, 52701, 41602, 39857, 61481]);
        assert_eq!(indexes(seed("7b1a6cbb-9d0c-4c07-8f6e-0d4b6f5a2c11")), [38104, 1848, 64880, 10380, 16407]);
    }

    /// A security review found this: tens of thousands of external groups that all belonged in the binding of one user
    /// of another organization made it too large.
    #[test]
    fn nobody_can_crowd_a_shard_whose_seed_they_do_not_know() {
        let (known, victim) = (Seed::default(), user(0));
        let beside = |grantee: &Subject| known.index(grantee, 64) == known.index(&victim, 64);
        let names = (0..).map(|n| Subject::Group(format!("crowd-{n}").into())).filter(beside);
        let all: BTreeSet<Subject> = names.take(4000).chain([victim.clone()]).collect();
        let largest = |seed| split(&all, needed(all.len()), seed).iter().map(|(_, list)| list.len()).max();
        assert_eq!(largest(known), Some(all.len()));
        assert!(largest(seed("a secret")).is_some_and(|len| len < 2 * SHARD_SIZE));
    }

    #[test]
    fn a_seed_does_not_show() {
        let text = format!("{:?} {:?}", seed("a secret"), seed("another"));
        assert_eq!(text, "Seed Seed");
        assert_ne!(seed("a secret"), seed("another"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Around the sizes at which the number of shards changes, with some subjects requested twice.
        #[test]
        fn kept_shards_are_those_of_splitting_again(
            begin in 0..1100_u16,
            changes in proptest::collection::vec((any::<bool>(), 0..1200_u16), 0..200),
            more in proptest::collection::vec(0..2400_u16, 0..40),
            reseeded in 0..200_usize,
        ) {
            let (mut kept, mut expected) = (Shards::default(), BTreeMap::<Subject, u32>::new());
            for n in 0..begin {
                kept.add(&user(n));
                expected.insert(user(n), 1);
            }
            let more: BTreeSet<Subject> = more.into_iter().map(user).collect();
            let mut by = Seed::default();
            for (step, (add, n)) in changes.into_iter().enumerate() {
                if step == reseeded {
                    by = seed("a secret");
                    kept.reseed(by);
                }
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
                let all: BTreeSet<Subject> = expected.keys().chain(some).cloned().collect();
                prop_assert_eq!(kept.with(some, needed), split(&all, needed(all.len()), by));
                let twice = |n| 2 * needed(n);
                prop_assert_eq!(kept.with(some, twice), split(&all, twice(all.len()), by));
            }
        }
    }
}
