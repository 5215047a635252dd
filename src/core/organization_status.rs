//! An Organization's own status, and its member role.

use super::Name;
use super::cache::{Cache, Local};
use super::claims::{self, Assignment};
use super::conditions::{Finding, Status, StatusDraft, bad, good};
use super::desired::Counts;
use super::findings;
use super::names;
use super::object_ref::{NativeKind, NativeRef};
use super::records::{Meta, Organization};
use super::roles;
use super::write_failures::WriteFailures;
use crate::api::ApiKind;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::vocabulary::MEMBER_ROLE;
use crate::api::{self, OrganizationStatus};

/// The SiteRole that members hold implicitly.
///
/// # Errors
/// The reason why the role that the organization names is not allowed.
pub(super) fn member_role(cache: &Cache, organization: &Organization) -> Result<Option<Name>, Reason> {
    if organization.meta.unreadable.is_some() {
        return Err(Reason::Unreadable);
    }
    let Some(name) = &organization.member_role else { return Ok(None) };
    let role = cache.site_roles.get(name).ok_or(Reason::RoleNotFound)?;
    if role.single_holder || !roles::assignable(role, api::Place::Organization) {
        return Err(Reason::RoleNotAssignableHere);
    }
    // Every Group would confer it, so anyone that may write Groups could hand it out.
    if cache.site_role_rights(name).is_none_or(|resolved| resolved.privileged) {
        return Err(Reason::PrivilegedMemberRole);
    }
    Ok(Some(name.clone()))
}

/// The status of an Organization.
#[must_use]
pub fn status(cache: &Cache, failures: &WriteFailures, organization: &Organization, counts: Counts) -> StatusDraft {
    let (assigned, namespace) = assigned(cache, failures, organization);
    let role = match (&organization.member_role, member_role(cache, organization)) {
        (Some(name), Ok(_)) => {
            good(C::MemberRoleResolved, Reason::Resolved, format!("Members hold SiteRole {name:?}."))
        }
        (Some(name), Err(reason)) => bad(
            C::MemberRoleResolved,
            reason,
            format!("memberRole {name:?}: {} Correct `spec.memberRole`, or set it to \"\".", reason.meaning()),
        ),
        (None, _) => good(
            C::MemberRoleResolved,
            Reason::NotConfigured,
            "`spec.memberRole` is empty, so membership alone grants no role.",
        ),
    };
    let is_default = claims::should_record_default(cache, organization);
    let is_candidate = || claims::equal_candidates(cache).any(|other| other.meta.uid == organization.meta.uid);
    let default = match claims::desired_default(cache) {
        Some(other) if other.meta.uid != organization.meta.uid && organization.asks_default => {
            let message = format!(
                "Organization {0} is the default, so users without an organization become members there, not here. To \
                 move the default here, set `spec.default: false` on {0}; to leave it there, set it on this \
                 Organization.",
                other.meta.name
            );
            bad(C::Default, Reason::AlreadyTaken, message)
        }
        None if organization.asks_default || is_candidate() => {
            bad(C::Default, Reason::Undecided, undecided_default(cache))
        }
        _ if is_default => good(C::Default, Reason::IsDefault, Reason::IsDefault.meaning()),
        _ => bad(C::Default, Reason::NotRequested, Reason::NotRequested.meaning()),
    };
    // An organization without a namespace is legal and has no effect, as its author intended.
    let inert = assigned.reason == Reason::NotSet;
    let write_failure = failures.first_of(&organization.meta.uid).or_else(|| {
        let roles = [organization.member_role.as_deref(), Some(MEMBER_ROLE)];
        roles.into_iter().flatten().find_map(|role| write_failure_of_role(failures, namespace.as_ref()?, role))
    });
    let ready = match write_failure {
        // The reason for holding no namespace also explains why the API server refuses writes there.
        _ if !assigned.good && !inert => bad(C::Ready, assigned.reason, assigned.message.clone()),
        Some((reason, message)) => bad(C::Ready, reason, message),
        None if inert => {
            good(C::Ready, Reason::NotSet, "`spec.namespace` is not set, so the Organization grants nothing.")
        }
        None if !role.good => bad(C::Ready, role.reason, role.message.clone()),
        None if organization.asks_default && matches!(default.reason, Reason::AlreadyTaken | Reason::Undecided) => {
            bad(C::Ready, default.reason, default.message.clone())
        }
        None => good(
            C::Ready,
            Reason::Reconciled,
            "The Organization holds its namespace, and its members hold their roles.",
        ),
    };
    let status = OrganizationStatus {
        namespace: namespace.map(|n| n.to_string()),
        default: is_default,
        members: counts.members,
        grants: counts.grants,
        withheld: counts.withheld,
        ..OrganizationStatus::default()
    };
    let limits = within_limits(cache, status.namespace.as_deref().map(Name::from).as_ref(), counts);
    let mut findings = vec![ready, assigned, default, role, limits];
    if is_default {
        findings.extend(policies(cache));
        findings.push(configuration(cache));
    }
    StatusDraft::new(ApiKind::Organization, &organization.meta, Status::Organization(status), findings)
}

/// The failure to write the native role that members hold in a namespace.
fn write_failure_of_role(failures: &WriteFailures, namespace: &Name, role: &str) -> Option<(Reason, String)> {
    let key = NativeRef::new(NativeKind::Role, namespace.clone(), names::role(api::RoleKind::SiteRole, role));
    failures.get(&key).map(|write_failure| (write_failure.reason, write_failure.message.clone()))
}

/// The message that names the candidates while the default organization is undecided.
fn undecided_default(cache: &Cache) -> String {
    let named: Vec<&str> = claims::equal_candidates(cache).map(|o| &*o.meta.name).take(5).collect();
    format!("Organizations {}: {}", named.join(", "), Reason::Undecided.meaning())
}

/// The status of an Organization that does not count, because there are too many.
#[must_use]
pub fn beyond_limit(meta: &Meta) -> StatusDraft {
    let status = Status::Organization(OrganizationStatus::default());
    StatusDraft::new(ApiKind::Organization, meta, status, findings::beyond_limit("Organizations"))
}

/// Whether everything in the organization's namespace counts.
fn within_limits(cache: &Cache, namespace: Option<&Name>, counts: Counts) -> Finding {
    if counts.beyond_limits == 0 {
        return good(C::WithinLimits, Reason::Within, "Every object of the organization counts.");
    }
    let excess = namespace.and_then(|name| cache.local.get(name)).into_iter().flat_map(Local::excess);
    let mut named: Vec<String> = excess.take(5).map(|(kind, meta)| format!("{kind} {}", meta.name)).collect();
    let others = usize::try_from(counts.beyond_limits).unwrap_or(usize::MAX).saturating_sub(named.len());
    if others > 0 {
        named.push(format!("{others} more (with the reason TooLarge in their Ready condition)"));
    }
    let message = format!(
        "Objects beyond a documented limit have no effect: {}. Delete or shrink some objects.",
        named.join(", ")
    );
    bad(C::WithinLimits, Reason::TooLarge, message)
}

/// The policies concern the whole site, so only the default organization reports them.
fn policies(cache: &Cache) -> Option<Finding> {
    let faults = cache.policy_faults.as_ref()?;
    let Some(first) = faults.iter().map(|(reason, _)| *reason).min() else {
        return Some(good(C::PoliciesInPlace, Reason::InPlace, Reason::InPlace.meaning()));
    };
    let what: Vec<String> = faults.iter().map(|(reason, what)| format!("{what} ({reason})")).collect();
    Some(bad(
        C::PoliciesInPlace,
        first,
        format!("Policies differ from the chart's: {}. Apply the chart again.", what.join(", ")),
    ))
}

fn configuration(cache: &Cache) -> Finding {
    if cache.unread.is_empty() {
        return good(C::ConfigurationRead, Reason::Readable, Reason::Readable.meaning());
    }
    let what: Vec<String> = cache.unread.iter().map(|(map, why)| format!("ConfigMap {map}: {why}")).collect();
    let message = format!("The last readable configuration stays in effect. {}", what.join(". "));
    bad(C::ConfigurationRead, Reason::Unreadable, message)
}

fn assigned(cache: &Cache, failures: &WriteFailures, organization: &Organization) -> (Finding, Option<Name>) {
    let kind = C::NamespaceAssigned;
    match claims::assignment(cache, organization) {
        Assignment::Holds(name) if failures.unauthorized.contains(&name) => {
            (bad(kind, Reason::OperatorNotAuthorized, Reason::OperatorNotAuthorized.meaning()), Some(name))
        }
        Assignment::Holds(name) => {
            (good(kind, Reason::Assigned, format!("The Organization holds namespace {name}.")), Some(name))
        }
        Assignment::Not { reason, namespace, other } => {
            let why = namespace.as_ref().and_then(|n| failures.refused_claims.get(n));
            let reason = if why.is_some() && reason == Reason::ClaimPending { Reason::ClaimRefused } else { reason };
            (bad(kind, reason, unassigned(cache, reason, namespace.as_deref(), other.as_deref(), why)), None)
        }
    }
}

/// Why an organization does not hold its namespace, and what to do about it.
fn unassigned(
    cache: &Cache,
    reason: Reason,
    namespace: Option<&str>,
    other: Option<&str>,
    why: Option<&String>,
) -> String {
    let Some(namespace) = namespace else { return reason.meaning().to_owned() };
    let release = |namespace: &str| format!("`kubectl label namespace {namespace} bailiwick.dev/organization-`");
    match (reason, other) {
        (Reason::NotWhitelisted, _) => format!(
            "Namespace {namespace} is not available.{} Add {namespace:?} to the Helm value `namespaceWhitelist` and \
             upgrade the release, or recreate this Organization with another `spec.namespace`.",
            similar(cache, namespace)
        ),
        (Reason::AlreadyClaimed, Some(other)) => format!(
            "Organization {other} already holds namespace {namespace}. `spec.namespace` cannot be changed: recreate \
             this Organization with another one."
        ),
        (Reason::ReservedFor, Some(other)) => format!(
            "Namespace {namespace} is reserved for Organization {other}, which held it before. An administrator with \
             the verb `override` on the Namespace can release it: {}",
            release(namespace)
        ),
        (Reason::ReservedElsewhere, Some(other)) => format!(
            "This Organization cannot take namespace {namespace} while it is recorded on namespace {other}. An \
             administrator with the verb `override` on that Namespace has to release it first: {}",
            release(other)
        ),
        (Reason::NamespaceNotFound, _) => format!(
            "Namespace {namespace} does not exist. Run `helm upgrade`, which creates whitelisted namespaces and gives \
             the operator its rights there. If `createNamespaces` leaves this one out, create it first."
        ),
        (Reason::Undecided, Some(other)) => {
            format!("Organization {other} requests namespace {namespace} as well: {}", reason.meaning())
        }
        _ => {
            let why = why.filter(|_| reason == Reason::ClaimRefused);
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            format!("Namespace {namespace}: {}{why}", reason.meaning())
        }
    }
}

/// A similar name on the whitelist, in case of a typing error.
fn similar(cache: &Cache, namespace: &str) -> String {
    let whitelist = cache.bounds.namespace_whitelist.iter();
    let similar = whitelist.map(|name| (strsim::osa_distance(name, namespace), name)).min();
    let similar = similar.filter(|(distance, _)| *distance <= 2);
    similar.map_or_else(String::new, |(_, name)| format!(" Did you mean {name}?"))
}
