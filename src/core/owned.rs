//! The owners of objects in a namespace, for rights on own objects that have to be granted by name: entering Pods, scaling,
//! and reading where reading is limited to own objects. Admission cannot see the owner then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Name;
use super::own_objects::Kind;

/// The most objects of one namespace that count. The others are nobody's.
pub const MOST: usize = 50_000;

/// A change of the objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// All objects that have an owner, with it.
    List(Vec<(Name, Name)>),
    /// One object: its owner, or `None` if it has none, or is gone or going.
    One(Name, Option<Name>),
}

/// The objects of one namespace, by kind. A kind that was not listed yet is missing.
#[derive(Debug, Default)]
pub struct Owned {
    kinds: BTreeMap<Kind, Objects>,
    count: usize,
}

/// The objects of one kind.
#[derive(Debug, Default)]
struct Objects {
    owners: HashMap<Name, Name>,
    by_owner: BTreeMap<Name, BTreeSet<Name>>,
}

impl Owned {
    /// Takes in a change. Returns whether anybody lost an object, or `None` if nothing changed.
    pub fn set(&mut self, kind: &Kind, change: Change) -> Option<bool> {
        match change {
            Change::List(list) => self.list(kind, list),
            Change::One(name, owner) => {
                let objects = self.kinds.get_mut(kind)?;
                if objects.owners.get(&name) == owner.as_ref() {
                    return None;
                }
                let lost = objects.remove(&name);
                self.count -= usize::from(lost);
                if let Some(owner) = owner.filter(|_| self.count < MOST) {
                    objects.insert(name, owner);
                    self.count += 1;
                }
                Some(lost)
            }
        }
    }

    /// Objects that counted before go first.
    fn list(&mut self, kind: &Kind, list: Vec<(Name, Name)>) -> Option<bool> {
        let was_listed = self.is_listed(kind);
        let before = self.kinds.remove(kind).unwrap_or_default();
        self.count -= before.owners.len();
        let (old, new): (Vec<_>, Vec<_>) = list.into_iter().partition(|(name, _)| before.owners.contains_key(name));
        let mut now = Objects::default();
        for (name, owner) in old.into_iter().chain(new).take(MOST - self.count) {
            now.insert(name, owner);
        }
        let lost = before.owners.iter().any(|(name, owner)| now.owners.get(name) != Some(owner));
        let is_same = was_listed && !lost && before.owners.len() == now.owners.len();
        self.count += now.owners.len();
        self.kinds.insert(kind.clone(), now);
        (!is_same).then_some(lost)
    }

    /// Whether all objects of this kind are known.
    #[must_use]
    pub fn is_listed(&self, kind: &Kind) -> bool {
        self.kinds.contains_key(kind)
    }

    /// Everybody who owns something.
    pub fn owners(&self) -> impl Iterator<Item = &Name> {
        self.kinds.values().flat_map(|objects| objects.by_owner.keys())
    }

    /// The objects of a kind that somebody owns.
    pub fn of<'a>(&'a self, owner: &Name, kind: &Kind) -> impl Iterator<Item = &'a Name> {
        self.kinds.get(kind).and_then(|objects| objects.by_owner.get(owner)).into_iter().flatten()
    }
}

impl Objects {
    fn insert(&mut self, name: Name, owner: Name) {
        self.by_owner.entry(owner.clone()).or_default().insert(name.clone());
        self.owners.insert(name, owner);
    }

    fn remove(&mut self, name: &Name) -> bool {
        let Some(owner) = self.owners.remove(name) else { return false };
        if let Some(names) = self.by_owner.get_mut(&owner) {
            names.remove(name);
            if names.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Kind {
        (Name::from(""), Name::from("pods"))
    }

    fn one(name: &str, owner: Option<&str>) -> Change {
        Change::One(name.into(), owner.map(Name::from))
    }

    fn of(owned: &Owned, owner: &str) -> Vec<String> {
        owned.of(&owner.into(), &pods()).map(ToString::to_string).collect()
    }

    #[test]
    fn objects_come_go_and_change_hands() {
        let mut owned = Owned::default();
        assert_eq!(owned.set(&pods(), one("a", Some("ada"))), None, "nothing counts before the list");
        assert_eq!(owned.set(&pods(), Change::List(vec![("a".into(), "ada".into())])), Some(false));
        assert_eq!(owned.set(&pods(), one("b", Some("ada"))), Some(false));
        assert_eq!(owned.set(&pods(), one("b", Some("ada"))), None);
        assert_eq!(of(&owned, "ada"), ["a", "b"]);
        assert_eq!(owned.set(&pods(), one("a", Some("ben"))), Some(true));
        assert_eq!((of(&owned, "ada"), of(&owned, "ben")), (vec!["b".to_owned()], vec!["a".to_owned()]));
        assert_eq!(owned.set(&pods(), one("b", None)), Some(true));
        assert_eq!(owned.set(&pods(), one("b", None)), None);
        assert_eq!(owned.set(&pods(), Change::List(Vec::new())), Some(true));
        assert!(of(&owned, "ben").is_empty() && owned.is_listed(&pods()));
    }

    #[test]
    fn too_many_objects_do_not_displace_those_that_count() {
        let mut owned = Owned::default();
        let many = |prefix: &str, count: usize| -> Vec<(Name, Name)> {
            (0..count).map(|n| (format!("{prefix}{n}").into(), "ada".into())).collect()
        };
        owned.set(&pods(), Change::List(many("z", MOST)));
        owned.set(&pods(), one("a", Some("ben")));
        assert!(of(&owned, "ben").is_empty());
        let all = many("a", 10).into_iter().chain(many("z", MOST)).collect();
        assert_eq!(owned.set(&pods(), Change::List(all)), None);
        owned.set(&pods(), one("z0", None));
        owned.set(&pods(), one("a", Some("ben")));
        assert_eq!(of(&owned, "ben"), ["a"]);
    }
}
