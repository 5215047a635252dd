//! What to say about bindings and roles: the conditions that RoleBindings share with SiteRoleBindings, and CustomRoles with
//! SiteRoles.

use super::conditions::{Finding, Message, about, bad, good};
use super::effect::Effect;
use super::roles::Resolved;
use super::subjects::Subjects;
use super::withheld::{expected, short};
use super::native::Grantee;
use std::collections::BTreeSet;
use crate::api::conditions::{ConditionType as C, Reason};

/// A count for a status.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The conditions of an object that does not count, because there are too many of its kind.
pub(super) fn beyond_limit(kinds: &str) -> Vec<Finding> {
    let message = format!(
        "The {kinds} here exceed a documented limit, and this one does not count. Delete or shrink others; the ones that \
         counted before, and then the oldest, come first."
    );
    vec![bad(C::Ready, Reason::TooLarge, message)]
}

/// The condition of an object that has grown beyond a limit.
pub(super) fn only_a_part() -> Finding {
    let message = "The object has grown beyond a documented limit of its organization. What it had before, and still asks for, \
                   counts; what it asks for in addition does not. Delete or shrink other objects.";
    bad(C::Ready, Reason::PartlyWithheld, message)
}

/// The conditions of a binding, of either kind.
pub(super) fn binding_findings(
    role: Result<&Resolved, &Reason>,
    who: &Subjects,
    effect: &Effect,
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
    let fine = (Reason::Resolved, "Every subject holds the role.");
    let subjects = match &effect.because {
        Some((reason, message)) => bad(C::SubjectsResolved, *reason, not_in_effect(effect, who, message)),
        None => about(C::SubjectsResolved, fine, who.withheld.clone()),
    };
    let faults = who.withheld.faults();
    let pending = faults > 0 && faults == who.withheld.only(|reason| reason == Reason::HolderPending).len();
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

/// How many grantees such a message names.
const NAMED: usize = 5;

/// What is said where what is there is not what was decided.
fn not_in_effect(effect: &Effect, who: &Subjects, why: &str) -> String {
    let list = |grantees: &BTreeSet<Grantee>| {
        let named: Vec<String> = grantees.iter().take(NAMED).map(|grantee| short(&grantee.to_string())).collect();
        match grantees.len().saturating_sub(NAMED) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    };
    let mut message = String::new();
    if !effect.missing.is_empty() {
        let (missing, all) = (effect.missing.len(), who.granted.len());
        message += &format!("{missing} of {all} subjects do not hold the role: {}. ", list(&effect.missing));
    }
    if !effect.still.is_empty() {
        message += &format!("Subjects still hold the role and should not: {}. ", list(&effect.still));
    }
    message += why;
    if !who.withheld.is_empty() {
        message += &format!(" {}", who.withheld);
    }
    message
}

/// The conditions of a role, of either kind.
pub(super) fn role_findings(resolved: &Resolved, trouble: Option<(Reason, String)>) -> Vec<Finding> {
    let withheld = &resolved.withheld;
    let ceiling = |reason| matches!(reason, Reason::BeyondCeiling | Reason::CeilingUnknown);
    let inherits = |reason| {
        use Reason as R;
        matches!(reason, R::RoleNotFound | R::RoleNotAssignableHere | R::InheritanceCycle | R::Unreadable)
    };
    let permissions = withheld.only(|reason| !ceiling(reason) && !inherits(reason));
    let ready = match (trouble, withheld.faults()) {
        (Some((reason, message)), _) => bad(C::Ready, reason, message),
        (None, 0) => good(C::Ready, Reason::Reconciled, "The role can be assigned."),
        (None, _) => bad(C::Ready, Reason::PartlyWithheld, Message::Withheld(withheld.only(|r| !expected(r)))),
    };
    vec![
        ready,
        about(C::PermissionsResolved, (Reason::Resolved, "Every permission is understood."), permissions),
        about(C::InheritsResolved, (Reason::Resolved, "Every inherited role is included."), withheld.only(inherits)),
        about(C::Ceiling, (Reason::Within, Reason::Within.meaning()), withheld.only(ceiling)),
    ]
}
