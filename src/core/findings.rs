//! The conditions that RoleBindings share with SiteRoleBindings, and CustomRoles with SiteRoles.

use super::cache::Cache;
use super::conditions::{Finding, Message, about, bad, good};
use super::effect::Effect;
use super::rbac::Subject;
use super::records::{Binding, SubjectRef};
use super::roles::Resolved;
use super::subjects::Subjects;
use super::withheld::{expected, short};
use crate::api::RoleKind;
use crate::api::conditions::{ConditionType as C, Reason};
use std::collections::BTreeSet;
use std::fmt;

/// A count for a status.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The conditions of an object that does not count, because there are too many of its kind.
pub(super) fn beyond_limit(kinds: &str) -> Vec<Finding> {
    let message = format!(
        "The {kinds} here exceed a documented limit, so this one has no effect. Delete or shrink others. Objects that \
         already had an effect take precedence, then the oldest."
    );
    vec![bad(C::Ready, Reason::TooLarge, message)]
}

/// The condition of an object that has grown beyond a limit.
pub(super) fn only_a_part() -> Finding {
    let message = "The object has grown beyond a documented limit of its organization. Its earlier content stays in \
                   effect; its additions have none. Delete or shrink other objects.";
    bad(C::Ready, Reason::PartlyWithheld, message)
}

/// The conditions of a binding, of either kind.
pub(super) fn binding_findings(
    role: Result<&Resolved, (Reason, String)>,
    who: &Subjects,
    effect: &Effect,
    nothing: Option<Reason>,
    write_failure: Option<(Reason, String)>,
    binding: &Binding,
) -> Vec<Finding> {
    let name = RoleName(binding);
    let grants_nothing = role.as_ref().is_ok_and(|role| role.is_empty());
    let resolved = match role {
        Err((reason, message)) => bad(C::RoleResolved, reason, message),
        Ok(role) if role.is_empty() => bad(C::RoleResolved, Reason::RoleGrantsNothing, name.grants_nothing()),
        Ok(role) if role.withheld.faults() > 0 => good(
            C::RoleResolved,
            Reason::Resolved,
            format!("{name} is assigned. The role withholds {}: {}.", rights(role.withheld.faults()), name.describe()),
        ),
        Ok(_) => good(C::RoleResolved, Reason::Resolved, format!("{name} is assigned.")),
    };
    let named = |subject: &SubjectRef| matches!(subject, SubjectRef::ServiceAccount { .. });
    let fine = if grants_nothing {
        "Every subject may hold the role."
    } else if binding.subjects.iter().any(named) {
        "Every subject holds the role. Bailiwick does not check that ServiceAccounts exist: run \
         `kubectl get serviceaccounts`."
    } else {
        "Every subject holds the role."
    };
    let fine = (Reason::Resolved, fine);
    let subjects = match &effect.because {
        Some((reason, message)) => bad(C::SubjectsResolved, *reason, not_in_effect(effect, who, message)),
        None => about(C::SubjectsResolved, fine, who.withheld.clone()),
    };
    let faults = who.withheld.faults();
    let pending = faults > 0 && faults == who.withheld.only(|reason| reason == Reason::HolderPending).len();
    let ready = match (write_failure, nothing) {
        (Some((reason, message)), _) => bad(C::Ready, reason, message),
        (None, Some(Reason::Expired)) => good(C::Ready, Reason::Expired, Reason::Expired.meaning()),
        (None, Some(reason)) if reason == resolved.reason => bad(C::Ready, reason, resolved.message.clone()),
        (None, Some(reason)) => bad(C::Ready, reason, reason.meaning()),
        (None, None) if !resolved.good => bad(C::Ready, Reason::RoleGrantsNothing, resolved.message.clone()),
        (None, None) if pending => bad(C::Ready, Reason::HolderPending, subjects.message.clone()),
        (None, None) if faults > 0 && who.granted.is_empty() => {
            bad(C::Ready, Reason::NothingGranted, subjects.message.clone())
        }
        (None, None) if faults > 0 => bad(C::Ready, Reason::PartlyWithheld, subjects.message.clone()),
        (None, None) => good(C::Ready, Reason::Reconciled, "All grants are in effect."),
    };
    vec![ready, resolved, subjects]
}

fn rights(count: usize) -> String {
    if count == 1 { "1 right".to_owned() } else { format!("{count} rights") }
}

/// The role of a binding, in messages.
struct RoleName<'a>(&'a Binding);

impl fmt::Display for RoleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = &self.0.role;
        write!(f, "{} {:?}", kind.as_str(), short(name))
    }
}

impl RoleName<'_> {
    /// The command that shows what is wrong with it.
    fn describe(&self) -> String {
        let name = short(&self.0.role.1);
        match self.0.role.0 {
            RoleKind::SiteRole => format!("`kubectl describe siteroles.bailiwick.dev {name}`"),
            RoleKind::CustomRole => {
                format!("`kubectl describe customroles.bailiwick.dev {name} --namespace {}`", self.0.meta.namespace)
            }
        }
    }

    fn grants_nothing(&self) -> String {
        format!("{self} grants nothing at present. Its conditions explain why: {}.", self.describe())
    }
}

/// What is wrong with the role of a binding, and what to do about it.
pub(super) fn role_problem(cache: &Cache, binding: &Binding, reason: Reason) -> String {
    let (name, (kind, role), namespace) = (RoleName(binding), &binding.role, &binding.meta.namespace);
    match (reason, kind) {
        (Reason::RoleNotFound, RoleKind::CustomRole) => {
            let site =
                cache.site_roles.meta(role).map_or("", |_| " There is a SiteRole of this name: did you mean it?");
            format!(
                "{name} does not exist in namespace {namespace}. Create it, or name another role in \
                 `roleRef`: `kubectl get customroles.bailiwick.dev --namespace {namespace}` lists them.{site}"
            )
        }
        (Reason::RoleNotFound, RoleKind::SiteRole) => {
            let local = cache.local.get(namespace).and_then(|local| local.roles.meta(role));
            let custom = local.map_or("", |_| " There is a CustomRole of this name here: did you mean it?");
            format!(
                "{name} does not exist. Name another role in `roleRef`: `kubectl get siteroles.bailiwick.dev` \
                 lists them.{custom}"
            )
        }
        (Reason::RoleNotAssignableHere, _) => {
            let known = cache.site_roles.get(role);
            let fix = match (namespace.is_empty(), known.is_some_and(|role| role.single_holder)) {
                (false, true) => "it has `singleHolder`, so only a SiteRoleBinding can assign it.",
                (false, false) => {
                    "its `assignableTo` does not include Organization. Use a SiteRoleBinding, or another role."
                }
                (true, _) => {
                    "its `assignableTo` does not include Site. Use RoleBindings in namespaces, or another role."
                }
            };
            format!("{name} cannot be assigned here: {fix}")
        }
        (Reason::RoleGrantsNothing, _) => name.grants_nothing(),
        _ => format!("{name}: {}", reason.meaning()),
    }
}

/// How many subjects such a message names.
const NAMED: usize = 5;

/// The message when the observed state differs from the desired one.
fn not_in_effect(effect: &Effect, who: &Subjects, why: &str) -> String {
    let list = |grantees: &BTreeSet<Subject>| {
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
        message += &format!("These subjects still hold the role but should not: {}. ", list(&effect.still));
    }
    message += why;
    if !who.withheld.is_empty() {
        message += &format!(" {}", who.withheld);
    }
    message
}

/// The conditions of a role, of either kind.
pub(super) fn role_findings(resolved: &Resolved, write_failure: Option<(Reason, String)>) -> Vec<Finding> {
    let withheld = &resolved.withheld;
    let ceiling = |reason| matches!(reason, Reason::BeyondCeiling | Reason::CeilingUnknown);
    let inherits = |reason| {
        use Reason as R;
        matches!(reason, R::RoleNotFound | R::RoleNotAssignableHere | R::InheritanceCycle | R::Unreadable)
    };
    let permissions = withheld.only(|reason| !ceiling(reason) && !inherits(reason));
    let ready = match (write_failure, withheld.faults()) {
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
