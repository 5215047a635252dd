//! Membership: which users belong to an organization, and which hold its member role.
//!
//! A user *belongs* to an organization if a role there grants them something, or if they are in a Group that implies
//! membership. Users that belong to no organization are members of the default one. A mention without effect does not
//! count, so naming people cannot take them out of another organization: see `docs/decisions/2026-11-30-belonging.md`.
//!
//! Two things do not end belonging, so that they make nobody a member of the default organization: a suspension, and
//! the end of a binding by `expiresAt`.
//!
//! A *member* holds the implicit roles: everyone in a Group or with a role there, unless that Group or role sets
//! `impliesMembership: false`.

use std::collections::BTreeSet;

use super::cache::{Cache, Local};
use super::rbac::Subject;
use super::records::{Binding, SubjectRef, User};
use super::subjects;
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
    /// Adds holders of a role, or members of a Group. ServiceAccounts hold no implicit role.
    pub fn hold(&mut self, grantees: &BTreeSet<Subject>, implied: bool) {
        if implied {
            let people = grantees.iter().filter(|grantee| !matches!(grantee, Subject::ServiceAccount { .. }));
            self.holders.extend(people.cloned());
        }
    }

    /// Adds the users that belong through a binding, suspended or not. `groups`: those of its Groups that count.
    pub fn belong_by(&mut self, binding: &'a Binding, groups: &BTreeSet<Name>) {
        for subject in &binding.subjects {
            match subject {
                SubjectRef::User(name) => self.belong.push(name),
                SubjectRef::Group(name) if groups.contains(name) => drop(self.groups.insert(name)),
                _ => {}
            }
        }
    }

    /// Adds the members of a Group to those that belong.
    pub fn belong_by_group(&mut self, name: &'a Name) {
        self.groups.insert(name);
    }

    /// In the default organization: adds the users that belong to none, and returns them.
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

    /// The subjects that hold the implicit roles.
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
