//! How many subjects the RoleBindings of one organization may have together, and which bindings come first.
//!
//! Native RBAC pays for every subject, and so does everyone who waits for a decision on the organization.

use std::collections::HashMap;

use super::Name;
use super::records::{Binding, Counts, Rank};
use crate::api::RoleKind;

/// How many subjects the RoleBindings of one organization may have together, with the members of the Groups that they name.
pub const MOST_SUBJECTS: usize = 100_000;
/// How many of them may be given to one role: the right to assign a single role must not be enough to use up all of it.
pub const MOST_OF_ONE_ROLE: usize = MOST_SUBJECTS / 2;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    left: usize,
    of_role: HashMap<&'a (RoleKind, Name), usize>,
}

impl<'a> Budget<'a> {
    pub fn new() -> Self {
        Self { left: MOST_SUBJECTS, of_role: HashMap::new() }
    }

    /// Takes the subjects of a binding, if all of them fit.
    pub fn take(&mut self, binding: &'a Binding, subjects: usize) -> bool {
        let of_role = self.of_role.entry(&binding.role).or_default();
        let fits = subjects <= self.left && *of_role + subjects <= MOST_OF_ONE_ROLE;
        if fits {
            self.left -= subjects;
            *of_role += subjects;
        }
        fits
    }
}

/// The order in which bindings spend the budget: less is earlier. A binding that counts as it is comes before one that asks for
/// more than its status says, and that before one that grants nothing yet, so that no grant ends because somebody asks for more.
/// Then privileged roles come first, then older bindings.
pub(super) fn precedence(binding: &Binding, privileged: bool, subjects: usize) -> (Counts, bool, Rank) {
    let counts = match binding.meta.status.counts {
        _ if binding.granted == 0 => Counts::NotYet,
        Counts::Now if subjects > binding.granted as usize => Counts::Before,
        counts => counts,
    };
    (counts, !privileged, binding.meta.rank())
}
