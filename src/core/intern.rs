//! Shares one copy of values that repeat: a namespace's name in each of its objects, a username in every grant, the
//! rules of a role in every namespace. At 1,000 organizations the copies would be most of the operator's memory.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::Name;
use super::rules::Rule;

/// Below this size, a sweep for unused values is not worth its time.
const SMALL: usize = 1024;

static NAMES: LazyLock<Interner<Name>> = LazyLock::new(Interner::default);
static RULES: LazyLock<Interner<Arc<[Rule]>>> = LazyLock::new(Interner::default);

/// A name that is likely to repeat.
#[must_use]
pub fn name(text: &str) -> Name {
    NAMES.share(text, || text.into())
}

/// The rules of a role.
#[must_use]
pub fn rules(rules: &[Rule]) -> Arc<[Rule]> {
    RULES.share(rules, || rules.into())
}

/// A value that its equal copies can share.
trait Shared: Clone + Eq + Hash {
    /// Whether anyone but the pool has a copy.
    fn is_used(&self) -> bool;
}

impl Shared for Name {
    fn is_used(&self) -> bool {
        // Static strings have no count, and cost nothing to keep.
        Self::strong_count(self).is_none_or(|count| count > 1)
    }
}

impl<T: Eq + Hash> Shared for Arc<[T]> {
    fn is_used(&self) -> bool {
        Self::strong_count(self) > 1
    }
}

struct Interner<V>(Mutex<Known<V>>);

struct Known<V> {
    values: HashSet<V>,
    /// The number of values at which to sweep for unused ones.
    full: usize,
}

impl<V> Default for Interner<V> {
    fn default() -> Self {
        Self(Mutex::new(Known { values: HashSet::new(), full: SMALL }))
    }
}

impl<V: Shared> Interner<V> {
    fn share<T: ?Sized + Eq + Hash>(&self, content: &T, make: impl FnOnce() -> V) -> V
    where
        V: Borrow<T>,
    {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.values.get(content) {
            return value.clone();
        }
        if known.values.len() >= known.full {
            known.values.retain(Shared::is_used);
            known.full = (known.values.len() * 2).max(SMALL);
        }
        let value = make();
        known.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_what_nobody_uses_is_dropped() {
        let pool = Interner::<Name>::default();
        let share = |text: &str| pool.share(text, || text.into());
        let kept = share("kept");
        assert!(Name::ptr_eq(&kept, &share("kept")));
        for n in 0..10 * SMALL {
            let _ = share(&n.to_string());
        }
        assert!(pool.0.lock().unwrap().values.len() <= SMALL + 1);
        assert!(Name::ptr_eq(&kept, &share("kept")));
    }
}
