//! The effect of a decision while the API server refuses writes: which subjects lack a role that they should hold, and
//! which still hold one that they should not.
//!
//! Statuses come after all other writes, so only native objects that failed need a comparison with the observed state.

use std::collections::BTreeSet;

use super::Name;
use super::object_ref::{NativeKind, NativeRef};
use super::observed_state::ObservedState;
use super::rbac::{DesiredSet, Observed, Owner, RbacSpec, Subject};
use super::uid::Uid;
use crate::api::conditions::Reason;

/// Where a role is granted, and by which object.
pub(super) struct Grant<'a> {
    /// Empty for the cluster.
    pub namespace: &'a Name,
    /// The native role.
    pub role: &'a Name,
    /// The object that requests the grant.
    pub source: &'a Uid,
}

/// The difference between the observed and the desired state of one grant.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// Subjects that should hold the role but do not.
    pub missing: BTreeSet<Subject>,
    /// Subjects that hold the role but should not.
    pub still: BTreeSet<Subject>,
    /// The reason for any difference, or for a failure of the role itself.
    pub because: Option<(Reason, String)>,
}

impl Effect {
    /// `desired` has every native object of the grant; `granted` are all subjects that should hold the role through it.
    pub fn of(
        observed: &dyn ObservedState,
        grant: &Grant<'_>,
        desired: &DesiredSet,
        granted: &BTreeSet<Subject>,
    ) -> Self {
        let failures = observed.write_failures();
        if failures.is_empty() {
            return Self::default();
        }
        let kind = if grant.namespace.is_empty() { NativeKind::ClusterRole } else { NativeKind::Role };
        let role = NativeRef::new(kind, grant.namespace.clone(), grant.role.clone());
        let of_role = failures.get(&role).filter(|_| !granted.is_empty());
        let is_binding = |key: &NativeRef| matches!(key.kind, NativeKind::RoleBinding | NativeKind::ClusterRoleBinding);
        let write_failures = failures.of(grant.source);
        let write_failures: Vec<_> =
            write_failures.filter(|(key, _)| is_binding(key) && key.namespace == *grant.namespace).collect();
        if write_failures.is_empty() && of_role.is_none() {
            return Self::default();
        }
        let mut effect = Self::default();
        let gives = |observed: &&Observed| subjects(observed.content.as_ref(), grant.role).is_some();
        let at_keys = || write_failures.iter().filter_map(|(key, _)| observed.get(key)).filter(gives);
        let of = |observed: &Observed| subjects(observed.content.as_ref(), grant.role).unwrap_or_default().to_vec();
        if of_role.is_some() && observed.get(&role).is_none() {
            effect.missing.clone_from(granted);
        } else {
            let wanted = write_failures.iter().filter_map(|(key, _)| desired.get(key));
            let wanted = wanted.filter_map(|native| subjects(Some(&native.content), grant.role));
            effect.missing = wanted.flatten().cloned().collect();
            if !effect.missing.is_empty() {
                // A binding of another name counts too: it stays until its replacement exists.
                let all = observed.bindings(grant.namespace).into_iter();
                let all = all.filter(|observed| observed.owner == Owner::One(grant.source.clone()));
                for grantee in all.filter(gives).chain(at_keys()).flat_map(of) {
                    effect.missing.remove(&grantee);
                }
            }
            effect.still = at_keys().flat_map(of).filter(|grantee| !granted.contains(grantee)).collect();
        }
        let write_failure = of_role.or_else(|| write_failures.first().map(|(_, write_failure)| *write_failure));
        let differs = of_role.is_some() || !effect.missing.is_empty() || !effect.still.is_empty();
        effect.because = write_failure
            .filter(|_| differs)
            .map(|write_failure| (write_failure.reason, write_failure.message.clone()));
        effect
    }

    /// Adds the effect of another part of the same grant.
    pub fn and(&mut self, other: Self) {
        self.missing.extend(other.missing);
        self.still.extend(other.still);
        self.because = self.because.take().or(other.because);
    }

    /// The usernames that should hold the role and do.
    pub fn usernames<'a>(&'a self, granted: impl Iterator<Item = &'a Subject>) -> impl Iterator<Item = &'a Name> {
        let hold = granted.filter(|grantee| !self.missing.contains(*grantee)).chain(&self.still);
        hold.filter_map(|grantee| if let Subject::User(name) = grantee { Some(name) } else { None })
    }

    /// How many of the subjects that should hold the role do.
    pub fn count(&self, granted: usize) -> usize {
        granted.saturating_sub(self.missing.len()) + self.still.len()
    }
}

fn subjects<'a>(content: Option<&'a RbacSpec>, of_role: &Name) -> Option<&'a [Subject]> {
    match content {
        Some(RbacSpec::Binding { role, subjects }) if role == of_role => Some(subjects),
        _ => None,
    }
}
