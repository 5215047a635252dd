//! The state that the cache converges to when every decision that has to be recorded is recorded.
//!
//! Used by `render` and tests. On a cluster each record is a write, and comes back through a watch.
//!
//! ```
//! use bailiwick::api;
//! use bailiwick::core::cache::Cache;
//! use bailiwick::core::catalog::Bounds;
//! use bailiwick::core::{claims, fixpoint, records};
//! use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
//!
//! let mut cache = Cache::default();
//! cache.set_bounds(Bounds {
//!     release_namespace: "bailiwick-system".to_owned(),
//!     namespace_whitelist: ["data-science".to_owned()].into(),
//!     ..Bounds::default()
//! });
//! let metadata = |name: &str| ObjectMeta {
//!     name: Some(name.to_owned()),
//!     uid: Some(format!("uid of {name}")),
//!     ..ObjectMeta::default()
//! };
//! cache.namespace(&"data-science".into(), Some((&metadata("data-science")).into()), None);
//! let mut organization = api::Organization::default();
//! organization.metadata = metadata("research");
//! organization.spec.namespace = Some("data-science".to_owned());
//! cache.organization(&"research".into(), Some(records::Organization::from(&organization)), None);
//!
//! let settled = fixpoint::settle(&mut cache, jiff::Timestamp::now());
//! let holder = claims::holder(&cache, "data-science").expect("the claim is recorded");
//! assert_eq!(holder.meta.name, "research");
//! assert_eq!(settled.statuses.len(), 1, "that of the Organization");
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Name;
use super::cache::{Cache, Contribution};
use super::conditions::{Status, StatusDraft};
use super::desired::DesiredState;
use super::plan::Present;
use super::rbac::DesiredSet;
use super::write_failures::WriteFailures;
use super::{claims, organization, organization_status, site, user};

/// Records settle in a few rounds: a claim, then the default, then the namespace that the default takes. More rounds
/// would mean a cycle.
const ROUNDS: usize = 16;

/// The converged state.
#[derive(Debug, Default)]
pub struct Settled {
    /// Every native object.
    pub desired: DesiredSet,
    /// The status of every object of ours.
    pub statuses: Vec<StatusDraft>,
}

/// Records every decision in the cache, and returns the converged state.
pub fn settle(cache: &mut Cache, now: Timestamp) -> Settled {
    let mut contributions: BTreeMap<Name, Contribution> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut news = record_claims(cache, now) | record_default(cache);
        for namespace in cache.units() {
            let decision = organization::decide(cache, &namespace, now, &Present::new());
            let before = contributions.insert(namespace, decision.contribution.clone()).unwrap_or_default();
            cache.set_contribution(&before, &decision.contribution);
            news |= before != decision.contribution;
        }
        news |= record_single_holders(cache, now);
        if !news {
            break;
        }
    }
    collect(cache, now)
}

fn collect(cache: &mut Cache, now: Timestamp) -> Settled {
    let mut settled = Settled::default();
    let mut take = |decision: DesiredState| {
        settled.desired.extend(decision.desired);
        settled.statuses.extend(decision.statuses);
    };
    let mut counts = BTreeMap::new();
    for namespace in cache.units() {
        let decision = organization::decide(cache, &namespace, now, &Present::new());
        counts.insert(namespace, decision.counts);
        take(decision);
    }
    let site = site::decide(cache, now, &Present::new());
    cache.set_contribution(&Contribution::default(), &site.contribution);
    take(site);
    for organization in cache.organizations.values() {
        let held = match claims::assignment(cache, organization) {
            claims::Assignment::Holds(namespace) => counts.get(&namespace).copied(),
            claims::Assignment::Not { .. } => None,
        };
        settled.statuses.push(organization_status::status(
            cache,
            &WriteFailures::new(),
            organization,
            held.unwrap_or_default(),
        ));
    }
    for user in cache.users.values() {
        settled.statuses.push(user::status(cache, user, cache.holds(user), now).0);
    }
    settled.statuses.extend(cache.organizations.excess().map(organization_status::beyond_limit));
    settled.statuses.extend(cache.users.excess().map(user::beyond_limit));
    settled
}

fn record_claims(cache: &mut Cache, now: Timestamp) -> bool {
    let mut news = false;
    for name in cache.units() {
        let Some(claim) = claims::claim(cache, &name, now, true) else { continue };
        let Some(mut namespace) = cache.namespaces.get(&name).cloned() else { continue };
        namespace.version += 1;
        namespace.organization = claim.organization;
        let (last_organization, uid) = claim.last_organization;
        namespace.last_organization = Some(last_organization);
        namespace.organization_uid = uid;
        namespace.claimed_at = claim.claimed_at;
        namespace.vacated_at = claim.vacated_at;
        cache.namespace(&name, Some(namespace), None);
        news = true;
    }
    news
}

fn record_default(cache: &mut Cache) -> bool {
    let wrong = cache.organizations.values().find(|o| o.is_default != claims::should_record_default(cache, o)).cloned();
    let Some(mut organization) = wrong else { return false };
    organization.is_default = !organization.is_default;
    organization.meta.version += 1;
    cache.organization(&organization.meta.name.clone(), Some(organization), None);
    true
}

fn record_single_holders(cache: &mut Cache, now: Timestamp) -> bool {
    let mut news = false;
    for draft in site::decide(cache, now, &Present::new()).statuses {
        let Status::SiteRole(status) = draft.status else { continue };
        let holder = status.holder.map(Name::from);
        let Some(mut role) = cache.site_roles.get(&draft.target.name).cloned() else { continue };
        if role.holder != holder {
            role.holder = holder;
            role.meta.version += 1;
            cache.site_role(&draft.target.name, Some(role), None);
            news = true;
        }
    }
    news
}
