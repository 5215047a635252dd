//! One copy of what is said many times over: the same namespace in each of its objects, a username in every grant, the
//! rules of a role in every namespace. At 1,000 organizations that is most of what the operator keeps in memory.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::Name;
use super::rules::Rule;

/// Below this it is not worth looking for what nobody uses any more.
const SMALL: usize = 1024;

static NAMES: LazyLock<Pool<str>> = LazyLock::new(Pool::default);
static RULES: LazyLock<Pool<[Rule]>> = LazyLock::new(Pool::default);

/// A name that others are likely to say, too.
#[must_use]
pub fn name(text: &str) -> Name {
    NAMES.share(text)
}

/// The rules of a role.
#[must_use]
pub fn rules(rules: Vec<Rule>) -> Arc<[Rule]> {
    RULES.share(rules)
}

struct Pool<T: ?Sized>(Mutex<Known<T>>);

struct Known<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// At how many values to look for what nobody uses any more.
    full: usize,
}

impl<T: ?Sized + Eq + Hash> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Known { values: HashSet::new(), full: SMALL }))
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    fn share<V: AsRef<T> + Into<Arc<T>>>(&self, value: V) -> Arc<T>
    where
        Arc<T>: Borrow<T>,
    {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.values.get(value.as_ref()) {
            return value.clone();
        }
        if known.values.len() >= known.full {
            known.values.retain(|value| Arc::strong_count(value) > 1);
            known.full = (known.values.len() * 2).max(SMALL);
        }
        let value = value.into();
        known.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_what_nobody_uses_is_dropped() {
        let pool = Pool::<str>::default();
        let kept = pool.share("kept");
        assert!(Arc::ptr_eq(&kept, &pool.share("kept")));
        for n in 0..10 * SMALL {
            let _ = pool.share(format!("{n}").as_str());
        }
        assert!(pool.0.lock().unwrap().values.len() <= SMALL + 1);
        assert!(Arc::ptr_eq(&kept, &pool.share("kept")));
    }
}
