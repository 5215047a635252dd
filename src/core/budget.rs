//! The limit on all subjects of an organization's RoleBindings, and which bindings take precedence.
//!
//! Every subject costs native RBAC time and delays the organization's decisions.

use std::collections::HashMap;

use super::Name;
use super::records::{Binding, Counts, Rank};
use super::uid::Uid;
use crate::api::RoleKind;

/// The most subjects of one organization's RoleBindings, counting the members of the Groups that they name.
pub const MOST_SUBJECTS: usize = 100_000;
/// The most of them for one role, so that the right to assign a single role cannot use up the whole budget.
pub const MOST_OF_ONE_ROLE: usize = MOST_SUBJECTS / 2;

/// The remaining budget.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    left: usize,
    of_role: HashMap<&'a (RoleKind, Name), usize>,
    /// What is reserved for each binding, by the UID of the binding.
    reserved: HashMap<&'a Uid, usize>,
}

/// How many of a binding's subjects fit into the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// All.
    All,
    /// As many as it grants already.
    Holders,
    /// None.
    None,
}

impl<'a> Budget<'a> {
    pub fn new() -> Self {
        Self { left: MOST_SUBJECTS, of_role: HashMap::new(), reserved: HashMap::new() }
    }

    /// Reserves what a binding grants already, before any binding gets more.
    pub fn reserve(&mut self, binding: &'a Binding, subjects: usize) {
        let granted = usize::try_from(binding.granted).unwrap_or(usize::MAX).min(subjects);
        if granted > 0 && self.spend(binding, granted) {
            self.reserved.insert(&binding.meta.uid, granted);
        }
    }

    /// Takes a binding's subjects from the budget, as far as they fit.
    pub fn take(&mut self, binding: &'a Binding, subjects: usize) -> Room {
        let reserved = self.reserved.get(&binding.meta.uid).copied().unwrap_or_default();
        match self.spend(binding, subjects.saturating_sub(reserved)) {
            true => Room::All,
            false if reserved > 0 => Room::Holders,
            false => Room::None,
        }
    }

    fn spend(&mut self, binding: &'a Binding, subjects: usize) -> bool {
        let of_role = self.of_role.entry(&binding.role).or_default();
        let fits = subjects <= self.left && *of_role + subjects <= MOST_OF_ONE_ROLE;
        if fits {
            self.left -= subjects;
            *of_role += subjects;
        }
        fits
    }
}

/// The order in which bindings spend the budget, lowest first. Bindings that count as they are come first, then those
/// that request more than their status records, then those that grant nothing yet, so that no request for more ends an
/// existing grant. Ties go to privileged roles, then to older bindings.
pub(super) fn precedence(binding: &Binding, privileged: bool, subjects: usize) -> (Counts, bool, Rank) {
    let counts = match binding.meta.status.counts {
        _ if binding.granted == 0 => Counts::NotYet,
        Counts::Now if subjects > binding.granted as usize => Counts::Before,
        counts => counts,
    };
    (counts, !privileged, binding.meta.rank())
}
