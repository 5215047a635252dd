//! The API server's native RBAC objects: Kubernetes' own behavior when one is created, applied or deleted.

use std::collections::BTreeSet;

use bailiwick::core::object_ref::{NativeRef, ObjectRef};
use bailiwick::core::plan::{Present, Write};
use bailiwick::core::rbac::{Desired, Observed, Owner, RbacSpec, Subject};
use bailiwick::core::rules::{Rule, words};
use bailiwick::core::uid::Uid;
use bailiwick::operator::writer::Outcome;

use super::answers::refused;

/// The native objects, and their newest resource version.
#[derive(Clone, Debug, Default)]
pub struct Rbac {
    pub present: Present,
    pub version: u64,
    /// Owners from others: an apply adds ours and cannot remove them.
    pub foreign: BTreeSet<Uid>,
}

/// An object exactly as it was written.
pub fn stored(native: &Desired, uid: Uid, version: u64) -> Observed {
    Observed {
        uid,
        version,
        content: Some(native.content.clone()),
        owner: Owner::One(native.source.uid.clone()),
        origin: ObjectRef::parse(&native.source.path()),
        labelled: true,
        must_recreate: false,
        terminating: false,
    }
}

impl Rbac {
    /// Carries out a write, unless its content is not `admitted`.
    pub fn write(&mut self, write: &Write, admitted: bool) -> Outcome {
        let there = self.present.get(write.key()).map(|observed| (**observed).clone());
        match (write, there) {
            (Write::Create { .. }, Some(there)) => Outcome::Found(there),
            (Write::Apply { uid, .. } | Write::Delete { uid, .. }, None) => Outcome::Gone(Some(uid.clone())),
            (Write::Apply { uid, .. } | Write::Delete { uid, .. }, Some(there)) if there.uid != *uid => {
                Outcome::Found(there)
            }
            (Write::Delete { key, uid, .. }, Some(_)) => {
                self.present.remove(key);
                Outcome::Gone(Some(uid.clone()))
            }
            (Write::Create { .. } | Write::Apply { .. }, _) if !admitted => refused(),
            (Write::Create { key, native }, None) => {
                let observed = self.next(native, format!("native-{}", self.version + 1).as_str().into());
                self.put(key, observed)
            }
            (Write::Apply { key, native, .. }, Some(there)) => match (&there.content, &native.content) {
                // A roleRef cannot be changed.
                (Some(RbacSpec::Binding { role: old, .. }), RbacSpec::Binding { role, .. }) if old != role => refused(),
                _ => self.apply(key, native, &there),
            },
        }
    }

    /// The next version of an object.
    pub fn next(&mut self, native: &Desired, uid: Uid) -> Observed {
        self.version += 1;
        stored(native, uid, self.version)
    }

    fn apply(&mut self, key: &NativeRef, native: &Desired, there: &Observed) -> Outcome {
        let mut observed = self.next(native, there.uid.clone());
        (observed.must_recreate, observed.terminating) = (there.must_recreate, there.terminating);
        let has_others = match &there.owner {
            Owner::One(uid) => *uid != native.source.uid && self.foreign.contains(uid),
            Owner::None => false,
            Owner::Several => true,
        };
        if has_others {
            observed.owner = Owner::Several;
        }
        self.put(key, observed)
    }

    fn put(&mut self, key: &NativeRef, observed: Observed) -> Outcome {
        self.present.insert(key.clone(), Box::new(observed.clone()));
        Outcome::Is(observed)
    }

    /// Somebody edits an object behind the operator's back.
    pub fn edit(&mut self, key: &NativeRef, edit: impl FnOnce(&mut Observed)) {
        self.version += 1;
        let observed = self.present.get_mut(key).expect("it is there");
        observed.version = self.version;
        edit(observed);
    }
}

/// Gives access to one more person, or one more right.
pub fn widen(observed: &mut Observed) {
    match &mut observed.content {
        Some(RbacSpec::Binding { subjects, .. }) => {
            let all: BTreeSet<Subject> = subjects.iter().cloned().chain([Subject::User("mallory".into())]).collect();
            *subjects = all.into_iter().collect();
        }
        Some(RbacSpec::Rules(rules)) => {
            let [groups, resources, verbs] = ["", "secrets", "list"].map(|word| words(&[word]));
            let more = Rule { groups, resources, verbs, ..Rule::default() };
            *rules = rules.iter().cloned().chain([more]).collect();
        }
        None => {}
    }
}
