//! The end to which a world comes by itself: every decision that has to be recorded is taken for recorded.
//!
//! For `render`, and for tests: on a cluster the recording is a write, and the record comes back by the watch.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Name;
use super::conditions::{Status, StatusDraft};
use super::decision::Decision;
use super::native::Desired;
use super::plan::Present;
use super::world::{Contribution, World};
use super::{claims, organization, organization_status, site, user};

/// Records settle in a few rounds: a claim, then the default, then what the default takes. More would be a circle.
const ROUNDS: usize = 16;

/// Everything that follows from a world in the end.
#[derive(Debug, Default)]
pub struct Settled {
    /// Every native object.
    pub desired: Desired,
    /// What to say about every object of ours.
    pub statuses: Vec<StatusDraft>,
}

/// Takes every recorded decision and returns what follows.
pub fn settle(world: &mut World, now: Timestamp) -> Settled {
    let mut contributions: BTreeMap<Name, Contribution> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut news = record_claims(world, now) | record_default(world);
        for namespace in world.units() {
            let decision = organization::decide(world, &namespace, now, &Present::new());
            let before = contributions.insert(namespace, decision.contribution.clone()).unwrap_or_default();
            world.set_contribution(&before, &decision.contribution);
            news |= before != decision.contribution;
        }
        news |= record_single_holders(world, now);
        if !news {
            break;
        }
    }
    collect(world, now)
}

fn collect(world: &mut World, now: Timestamp) -> Settled {
    let mut settled = Settled::default();
    let mut take = |decision: Decision| {
        settled.desired.extend(decision.desired);
        settled.statuses.extend(decision.statuses);
    };
    let mut counts = BTreeMap::new();
    for namespace in world.units() {
        let decision = organization::decide(world, &namespace, now, &Present::new());
        counts.insert(namespace, decision.counts);
        take(decision);
    }
    let site = site::decide(world, now, &Present::new());
    world.set_contribution(&Contribution::default(), &site.contribution);
    take(site);
    for organization in world.organizations.values() {
        let held = match claims::assignment(world, organization) {
            claims::Assignment::Holds(namespace) => counts.get(&namespace).copied(),
            claims::Assignment::Not { .. } => None,
        };
        settled.statuses.push(organization_status::status(world, organization, held.unwrap_or_default()));
    }
    for user in world.users.values() {
        settled.statuses.push(user::status(world, user, world.holds(user), now).0);
    }
    settled.statuses.extend(world.organizations.excess().map(organization_status::beyond_limit));
    settled.statuses.extend(world.users.excess().map(user::beyond_limit));
    settled
}

fn record_claims(world: &mut World, now: Timestamp) -> bool {
    let mut news = false;
    for name in world.units() {
        let Some(claim) = claims::claim(world, &name, now, true) else { continue };
        let Some(mut namespace) = world.namespaces.get(&name).cloned() else { continue };
        namespace.version += 1;
        namespace.organization = claim.organization;
        let (last_organization, uid) = claim.last_organization;
        namespace.last_organization = Some(last_organization);
        namespace.organization_uid = uid;
        namespace.claimed_at = claim.claimed_at;
        namespace.vacated_at = claim.vacated_at;
        world.namespace(&name, Some(namespace), None);
        news = true;
    }
    news
}

fn record_default(world: &mut World) -> bool {
    let wrong = world.organizations.values().find(|o| o.is_default != claims::should_record_default(world, o)).cloned();
    let Some(mut organization) = wrong else { return false };
    organization.is_default = !organization.is_default;
    organization.meta.version += 1;
    world.organization(&organization.meta.name.clone(), Some(organization), None);
    true
}

fn record_single_holders(world: &mut World, now: Timestamp) -> bool {
    let mut news = false;
    for draft in site::decide(world, now, &Present::new()).statuses {
        let Status::SiteRole(status) = draft.status else { continue };
        let holder = status.holder.map(Name::from);
        let Some(mut role) = world.site_roles.get(&draft.target.name).cloned() else { continue };
        if role.holder != holder {
            role.holder = holder;
            role.meta.version += 1;
            world.site_role(&draft.target.name, Some(role), None);
            news = true;
        }
    }
    news
}
