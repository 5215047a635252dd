//! Resolves the subjects that a binding requests to the native subjects that get the role.
//!
//! Unknown, suspended, duplicate and invalid subjects are withheld, with the reason.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Name;
use super::cache::{Cache, Local, Standing};
use super::order::{self, Handover};
use super::rbac::Subject;
use super::records::{Binding, Group, SubjectRef};
use super::withheld::{Item, Withheld, short};
use crate::api::ApiKind;
use crate::api::conditions::Reason;

/// The longest username, as in the schema.
const LONGEST_NAME: usize = 256;

/// The subjects of a binding that get the role, and those that do not.
#[derive(Debug, Default)]
pub struct Subjects {
    /// Subjects that get it.
    pub granted: BTreeSet<Subject>,
    /// The Groups whose members are among them.
    pub groups: BTreeSet<Name>,
    /// Subjects that do not.
    pub withheld: Withheld,
}

/// Whether a name is neither reserved by Kubernetes nor unprintable. The schema refuses such names, but an older schema
/// may not have.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && !name.starts_with("system:")
        && !name.chars().any(char::is_control)
}

/// The API server refuses a whole binding if the name of one ServiceAccount is not valid.
fn valid_service_account(namespace: &str, name: &str) -> bool {
    let label = |l: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !l.is_empty() && l.bytes().all(inner) && !l.starts_with('-') && !l.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label) && namespace.len() <= 63 && label(namespace)
}

/// The native subject for a username.
///
/// # Errors
/// The reason why nothing may be granted.
pub fn user(cache: &Cache, username: &Name) -> Result<Subject, Reason> {
    if !valid_name(username) {
        return Err(Reason::Invalid);
    }
    match cache.standing(username) {
        Standing::Unknown => Err(Reason::UserNotFound),
        Standing::Suspended => Err(Reason::Suspended),
        Standing::Unreadable => Err(Reason::Unreadable),
        Standing::Good => Ok(Subject::User(username.clone())),
    }
}

/// The known members of a Group, and its external groups.
#[must_use]
pub fn members(cache: &Cache, group: &Group) -> Subjects {
    let mut subjects = Subjects::default();
    for (index, username) in group.members.iter().enumerate() {
        let member = if group.meta.unreadable.is_some() { Err(Reason::Unreadable) } else { user(cache, username) };
        match member {
            Ok(grantee) => drop(subjects.granted.insert(grantee)),
            Err(reason) => subjects.withheld.add(reason, || {
                let hint = hint(cache, username).filter(|_| reason == Reason::UserNotFound);
                Item::Member(index, username.clone()).with(hint)
            }),
        }
    }
    for (index, name) in group.external.iter().enumerate() {
        if group.meta.unreadable.is_some() {
            subjects.withheld.add(Reason::Unreadable, || Item::ExternalGroup(index, name.clone()));
        } else if valid_name(name) {
            subjects.granted.insert(Subject::Group(name.clone()));
        } else {
            subjects.withheld.add(Reason::Invalid, || Item::ExternalGroup(index, name.clone()));
        }
    }
    subjects
}

/// The most subjects that a binding can have with the members of its Groups, without expanding them.
#[must_use]
pub fn size(binding: &Binding, groups: &BTreeMap<Name, Subjects>) -> usize {
    let of = |subject: &SubjectRef| match subject {
        SubjectRef::Group(name) => groups.get(name).map_or(1, |members| members.granted.len()),
        _ => 1,
    };
    binding.subjects.iter().map(of).sum()
}

/// Resolves the subjects of a RoleBinding. `groups`: the members of each Group; `privileged`: whether the role is.
#[must_use]
pub fn of_binding(
    cache: &Cache,
    local: &Local,
    groups: &BTreeMap<Name, Subjects>,
    binding: &Binding,
    privileged: bool,
    handover: Option<&Handover>,
) -> Subjects {
    let group = |name: &Name| {
        counts(cache, local, binding, name, privileged, handover)?;
        Ok(groups.get(name).map(|members| members.granted.clone()).unwrap_or_default())
    };
    resolve(cache, binding, group, |_| None)
}

/// The Groups of a RoleBinding that count. Costs nothing for their members: [`of_binding`] is only for bindings within
/// the budget.
#[must_use]
pub fn groups_of_binding(
    cache: &Cache,
    local: &Local,
    binding: &Binding,
    privileged: bool,
    handover: Option<&Handover>,
) -> BTreeSet<Name> {
    let groups = binding.subjects.iter().filter_map(|subject| match subject {
        SubjectRef::Group(name) => Some(name),
        _ => None,
    });
    groups.filter(|name| counts(cache, local, binding, name, privileged, handover).is_ok()).cloned().collect()
}

/// Whether a Group counts as a subject of a RoleBinding.
fn counts(
    cache: &Cache,
    local: &Local,
    binding: &Binding,
    name: &Name,
    privileged: bool,
    handover: Option<&Handover>,
) -> Result<(), Reason> {
    let Some(group) = local.groups.get(name) else {
        return Err(if local.groups.is_excess(name) { Reason::TooLarge } else { Reason::GroupNotFound });
    };
    if let Some(reason) = order::predates_claim(cache, ApiKind::Group, &group.meta, handover) {
        return Err(reason);
    }
    // Nobody gets a role by creating a Group that somebody's binding was waiting for.
    if privileged && order::may_have_waited(cache, binding, group) {
        return Err(Reason::GroupNotVouched);
    }
    Ok(())
}

/// Whether a binding names this subject, and not by a Group. `named`: its subjects.
#[must_use]
pub fn named(cache: &Cache, named: &HashSet<&SubjectRef>, subject: &Subject) -> bool {
    match subject {
        Subject::User(name) => named.contains(&SubjectRef::User(name.clone())) && user(cache, name).is_ok(),
        Subject::Group(name) => named.contains(&SubjectRef::ExternalGroup(name.clone())),
        Subject::ServiceAccount { namespace, name } => {
            named.contains(&SubjectRef::ServiceAccount { namespace: namespace.clone(), name: name.clone() })
        }
    }
}

/// Whether a subject of a binding, other than a Group, is among these.
#[must_use]
pub fn is_one_of(subject: &SubjectRef, subjects: &BTreeSet<Subject>) -> bool {
    match subject {
        SubjectRef::User(name) => subjects.contains(&Subject::User(name.clone())),
        SubjectRef::ExternalGroup(name) => subjects.contains(&Subject::Group(name.clone())),
        SubjectRef::ServiceAccount { namespace, name } => {
            subjects.contains(&Subject::ServiceAccount { namespace: namespace.clone(), name: name.clone() })
        }
        SubjectRef::Group(_) => false,
    }
}

/// Resolves the subjects of a SiteRoleBinding, which never include Groups of organizations. `refused`: why an otherwise
/// valid subject may not have the role.
#[must_use]
pub fn of_site_binding(cache: &Cache, binding: &Binding, refused: impl Fn(&SubjectRef) -> Option<Reason>) -> Subjects {
    resolve(cache, binding, |_| Err(Reason::Invalid), refused)
}

fn resolve(
    cache: &Cache,
    binding: &Binding,
    group: impl Fn(&Name) -> Result<BTreeSet<Subject>, Reason>,
    refused: impl Fn(&SubjectRef) -> Option<Reason>,
) -> Subjects {
    let mut subjects = Subjects::default();
    let mut seen = BTreeSet::new();
    for (index, subject) in binding.subjects.iter().enumerate() {
        let outcome = if seen.insert(subject) {
            match subject {
                SubjectRef::User(name) => user(cache, name).map(|g| BTreeSet::from([g])),
                SubjectRef::Group(name) => group(name),
                SubjectRef::ExternalGroup(name) if valid_name(name) => Ok([Subject::Group(name.clone())].into()),
                SubjectRef::ServiceAccount { namespace, name } if valid_service_account(namespace, name) => {
                    Ok([Subject::ServiceAccount { namespace: namespace.clone(), name: name.clone() }].into())
                }
                SubjectRef::ExternalGroup(_) | SubjectRef::ServiceAccount { .. } => Err(Reason::Invalid),
            }
        } else {
            Err(Reason::Duplicate)
        };
        match outcome.and_then(|grantees| refused(subject).map_or(Ok(grantees), Err)) {
            Ok(grantees) => {
                subjects.granted.extend(grantees);
                if let SubjectRef::Group(name) = subject {
                    subjects.groups.insert(name.clone());
                }
            }
            Err(reason) => subjects.withheld.add(reason, || {
                let hint = match (reason, subject) {
                    (Reason::UserNotFound, SubjectRef::User(name)) => hint(cache, name),
                    (Reason::HeldByAnother, _) => holder(cache, &binding.role.1),
                    _ => None,
                };
                Item::Subject(index, subject.clone()).with(hint)
            }),
        }
    }
    subjects
}

/// A hint to the probably intended User for an unknown username. Every member of an organization may list Users, so the
/// hint reveals nothing to its readers.
fn hint(cache: &Cache, username: &Name) -> Option<String> {
    if let Some(user) = cache.users.get(username).filter(|user| !user.username.is_empty()) {
        return Some(format!("the User of this name has the username {:?}", short(&user.username)));
    }
    let alike = cache.alike(username)?;
    Some(format!("differs from the username {:?} only in case or spaces", short(alike)))
}

fn holder(cache: &Cache, role: &str) -> Option<String> {
    let holder = cache.site_roles.get(role)?.holder.as_ref()?;
    Some(format!("User {:?} holds it", short(holder)))
}

/// FNV-1a: stable across versions of Rust and of Bailiwick, which the standard hasher is not.
pub(super) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
