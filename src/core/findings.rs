//! What to say about bindings and roles: the conditions that RoleBindings share with SiteRoleBindings, and CustomRoles with
//! SiteRoles.

use super::conditions::{Finding, about, bad, good, message};
use super::roles::{Resolved, Withheld};
use super::subjects::Subjects;
use super::uid::Uid;
use super::world::World;
use crate::api::conditions::{ConditionType as C, Reason};

/// A count for a status.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What the API server refuses of an object's native objects, if anything.
pub(super) fn trouble(world: &World, uid: &Uid) -> Option<(Reason, String)> {
    world.troubles.values().find(|t| t.source == *uid).map(|t| (t.reason, t.message.clone()))
}

/// The conditions of a binding, of either kind.
pub(super) fn binding_findings(
    role: Result<&Resolved, &Reason>,
    who: &Subjects,
    nothing: Option<Reason>,
    trouble: Option<(Reason, String)>,
    role_name: &str,
) -> Vec<Finding> {
    let resolved = match role {
        Err(reason) => bad(C::RoleResolved, *reason, format!("{role_name}: {}", reason.meaning())),
        Ok(role) if role.is_empty() => bad(
            C::RoleResolved,
            Reason::RoleGrantsNothing,
            format!("{role_name}: {}", Reason::RoleGrantsNothing.meaning()),
        ),
        Ok(_) => good(C::RoleResolved, Reason::Resolved, format!("{role_name} is assigned.")),
    };
    let withheld: Vec<&Withheld> = who.withheld.iter().collect();
    let subjects = about(C::SubjectsResolved, (Reason::Resolved, "Every subject holds the role."), &withheld);
    let faults = withheld.iter().filter(|w| !w.expected()).count();
    let pending = faults > 0 && withheld.iter().all(|w| w.expected() || w.reason == Reason::HolderPending);
    let ready = match (trouble, nothing) {
        (Some((reason, message)), _) => bad(C::Ready, reason, message),
        (None, Some(Reason::Expired)) => good(C::Ready, Reason::Expired, Reason::Expired.meaning()),
        (None, Some(reason)) => bad(C::Ready, reason, reason.meaning()),
        (None, None) if !resolved.good => bad(C::Ready, Reason::RoleGrantsNothing, Reason::RoleGrantsNothing.meaning()),
        (None, None) if pending => bad(C::Ready, Reason::HolderPending, subjects.message.clone()),
        (None, None) if faults > 0 && who.granted.is_empty() => {
            bad(C::Ready, Reason::NothingGranted, subjects.message.clone())
        }
        (None, None) if faults > 0 => bad(C::Ready, Reason::PartlyWithheld, subjects.message.clone()),
        (None, None) => good(C::Ready, Reason::Reconciled, "All grants are in effect."),
    };
    vec![ready, resolved, subjects]
}

/// The conditions of a role, of either kind.
pub(super) fn role_findings(resolved: &Resolved, trouble: Option<(Reason, String)>) -> Vec<Finding> {
    let of = |reasons: &[Reason]| -> Vec<&Withheld> {
        resolved.withheld.iter().filter(|w| reasons.contains(&w.reason)).collect()
    };
    let ceiling = [Reason::BeyondCeiling, Reason::CeilingUnknown];
    let inherits = [Reason::RoleNotFound, Reason::RoleNotAssignableHere, Reason::InheritanceCycle, Reason::Unreadable];
    let permissions: Vec<&Withheld> =
        resolved.withheld.iter().filter(|w| !ceiling.contains(&w.reason) && !inherits.contains(&w.reason)).collect();
    let faults: Vec<&Withheld> = resolved.withheld.iter().filter(|w| !w.expected()).collect();
    let ready = match (trouble, faults.is_empty()) {
        (Some((reason, message)), _) => bad(C::Ready, reason, message),
        (None, false) => bad(C::Ready, Reason::PartlyWithheld, message(&faults)),
        (None, true) => good(C::Ready, Reason::Reconciled, "The role can be assigned."),
    };
    vec![
        ready,
        about(C::PermissionsResolved, (Reason::Resolved, "Every permission is understood."), &permissions),
        about(C::InheritsResolved, (Reason::Resolved, "Every inherited role is included."), &of(&inherits)),
        about(C::Ceiling, (Reason::Within, Reason::Within.meaning()), &of(&ceiling)),
    ]
}
