//! Membership: who belongs to an organization, and who holds its member role.
//!
//! A user *belongs* to an organization who has a role there that grants something, or is in a Group that implies membership.
//! Users who belong to no organization are members of the default one. A mention that takes no effect does not count, so one
//! organization cannot take people out of another by naming them: see `docs/decisions/2026-11-30-belonging.md`.
//!
//! Two things do not end belonging, so that they make nobody a member of the default organization: a suspension, and the end
//! of a binding by `expiresAt`.
//!
//! A *member* holds the implicit roles: everyone who is in a Group or has a role there, unless that Group or role sets
//! `impliesMembership: false`.

use std::collections::BTreeSet;

use super::cache::{Cache, Local};
use super::rbac::Subject;
use super::records::{Binding, SubjectRef, User};
use super::subjects::{self, Subjects};
use super::{Name, claims};

/// The members of one organization.
#[derive(Debug, Default)]
pub struct Members<'a> {
    holders: BTreeSet<Subject>,
    belong: Vec<&'a Name>,
    /// Groups whose members belong.
    groups: BTreeSet<&'a Name>,
}

impl<'a> Members<'a> {
    /// Takes in holders of a role, or members of a Group. Service accounts hold no implicit role.
    pub fn hold(&mut self, grantees: &BTreeSet<Subject>, implied: bool) {
        if implied {
            let people = grantees.iter().filter(|grantee| !matches!(grantee, Subject::ServiceAccount { .. }));
            self.holders.extend(people.cloned());
        }
    }

    /// Takes in who belongs by a binding, whether they are suspended or not. `who`: the Groups that count are in it.
    pub fn belong_by(&mut self, binding: &'a Binding, who: &Subjects) {
        for subject in &binding.subjects {
            match subject {
                SubjectRef::User(name) => self.belong.push(name),
                SubjectRef::Group(name) if who.groups.contains(name) => drop(self.groups.insert(name)),
                _ => {}
            }
        }
    }

    /// Takes in that the members of a Group belong.
    pub fn belong_by_group(&mut self, name: &'a Name) {
        self.groups.insert(name);
    }

    /// In the default organization: the users who belong to none. Returns who they are.
    pub fn add_those_who_belong_nowhere(&mut self, cache: &Cache, namespace: &str) -> Vec<Name> {
        let default = claims::default_organization(cache)
            .is_some_and(|o| claims::holder(cache, namespace).is_some_and(|h| h.meta.uid == o.meta.uid));
        if !default || !cache.settings.users.join_default_organization {
            return Vec::new();
        }
        let nowhere = active(cache).map(|user| &user.username).filter(|username| !cache.belongs_somewhere(username));
        let nowhere: Vec<Name> = nowhere.cloned().collect();
        self.holders.extend(nowhere.iter().cloned().map(Subject::User));
        nowhere
    }

    /// Who holds the implicit roles.
    #[must_use]
    pub fn holders(&self) -> BTreeSet<Subject> {
        self.holders.clone()
    }

    /// The usernames that belong, sorted.
    #[must_use]
    pub fn belong(self, local: &Local) -> Box<[Name]> {
        let members =
            self.groups.into_iter().filter_map(|name| local.groups.get(name)).flat_map(|group| &group.members);
        let mut belong: Vec<Name> = self.belong.into_iter().chain(members).cloned().collect();
        belong.sort_unstable();
        belong.dedup();
        belong.into()
    }
}

/// Every user who may hold grants, each username once.
pub fn active(cache: &Cache) -> impl Iterator<Item = &User> {
    let may_hold = |user: &&User| !user.suspended && user.meta.unreadable.is_none();
    cache.speakers().filter(may_hold).filter(|user| subjects::valid_name(&user.username))
}
