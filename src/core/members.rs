//! Membership: who belongs to an organization, and who holds its member role.
//!
//! To *belong* is to be named in one of its Groups or RoleBindings; it counts for lists, and whoever belongs nowhere is
//! in the default organization. To be a *member* is to hold the implicit roles: everyone in a Group, or with a role
//! there, unless that Group or role says `impliesMembership: false`. Membership only ever adds: nothing that
//! expires or is withheld makes anyone a member. (Deleting the last mention of somebody does: they then belong nowhere, so
//! to the default organization.)

use std::collections::BTreeSet;

use super::native::Grantee;
use super::records::User;
use super::subjects;
use super::world::World;
use super::{Name, claims};

/// The members of one organization.
#[derive(Debug, Default)]
pub struct Members {
    /// Who holds the implicit roles.
    pub hold: BTreeSet<Grantee>,
    /// Users who belong to it.
    pub belong: BTreeSet<Name>,
}

impl Members {
    /// Those who are in a group or hold a role. Service accounts hold no implicit role.
    pub fn add(&mut self, grantees: &BTreeSet<Grantee>, implied: bool) {
        for grantee in grantees {
            match grantee {
                Grantee::ServiceAccount { .. } => continue,
                Grantee::User(name) => drop(self.belong.insert(name.clone())),
                Grantee::Group(_) => {}
            }
            if implied {
                self.hold.insert(grantee.clone());
            }
        }
    }

    /// In the default organization: the users who belong to no other.
    pub fn add_those_who_belong_nowhere(&mut self, world: &World, namespace: &str) {
        let default = claims::default_organization(world)
            .is_some_and(|o| claims::holder(world, namespace).is_some_and(|h| h.meta.uid == o.meta.uid));
        if !default || !world.settings.users.join_default_organization {
            return;
        }
        for user in active(world) {
            if !world.belongs_somewhere(&user.username) {
                self.belong.insert(user.username.clone());
                self.hold.insert(Grantee::User(user.username.clone()));
            }
        }
    }
}

/// Every user who may hold grants, each username once.
pub fn active(world: &World) -> impl Iterator<Item = &User> {
    let may_hold = |user: &&User| !user.suspended && user.meta.unreadable.is_none();
    world.speakers().filter(may_hold).filter(|user| subjects::valid_name(&user.username))
}
