//! Decides one User: its state, and whether it counts for its username.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::cache::Cache;
use super::conditions::{Finding, Status, StatusDraft, bad, good};
use super::findings;
use super::records::{Meta, User, UserCounts};
use super::subjects::valid_name;
use super::withheld::short;
use crate::api::ApiKind;
use crate::api::conditions::{ConditionType as C, Reason};
use crate::api::{UserState, UserStatus};

/// The status of a User, and when it changes by itself. `counts`: the user's grants.
#[must_use]
pub fn status(cache: &Cache, user: &User, counts: UserCounts, now: Timestamp) -> (StatusDraft, Option<Timestamp>) {
    let (state, next) = state(cache, user, now);
    let canonical_user = cache.canonical_user(&user.username);
    let accepted = match canonical_user {
        _ if !valid_name(&user.username) => {
            let (name, why) = (short(&user.username), Reason::Invalid.meaning());
            bad(C::UsernameAccepted, Reason::Invalid, format!("username {name:?}: {why}"))
        }
        _ if user.meta.unreadable.is_some() => {
            bad(C::UsernameAccepted, Reason::Unreadable, Reason::Unreadable.meaning())
        }
        Some(other) if other.meta.uid != user.meta.uid => bad(
            C::UsernameAccepted,
            Reason::UsernameTaken,
            format!(
                "User {0} is older and has the same username, so this User has no effect: it neither grants nor \
                 suspends. Delete one of the two (`kubectl delete users.bailiwick.dev {1}`). A username is immutable: \
                 to correct it, delete {1} and create it again.",
                other.meta.name, user.meta.name
            ),
        ),
        _ => good(C::UsernameAccepted, Reason::Accepted, Reason::Accepted.meaning()),
    };
    let ready = match (accepted.good, user.suspended) {
        (false, _) => bad(C::Ready, accepted.reason, accepted.message.clone()),
        (true, true) => good(C::Ready, Reason::Suspended, Reason::Suspended.meaning()),
        (true, false) => good(C::Ready, Reason::Reconciled, "The user may hold grants."),
    };
    let speaks = canonical_user.is_some_and(|canonical_user| canonical_user.meta.uid == user.meta.uid)
        && valid_name(&user.username);
    let status = UserStatus {
        username: (!user.username.is_empty()).then(|| user.username.to_string()),
        state: Some(state),
        privileged: speaks && cache.holds_privileged_site_role(&user.username),
        organizations: counts.organizations,
        site_roles: counts.site_roles,
        grants: counts.grants,
        last_seen_time: user.last_seen.map(Time),
        ..UserStatus::default()
    };
    (StatusDraft::new(ApiKind::User, &user.meta, Status::User(status), vec![ready, accepted, seen(user)]), next)
}

/// The status of a User that does not count, because there are too many.
#[must_use]
pub fn beyond_limit(meta: &Meta) -> StatusDraft {
    StatusDraft::new(ApiKind::User, meta, Status::User(UserStatus::default()), findings::beyond_limit("Users"))
}

fn seen(user: &User) -> Finding {
    match user.last_seen {
        Some(_) => good(C::LastSeen, Reason::Reported, Reason::Reported.meaning()),
        None => bad(C::LastSeen, Reason::NotReported, Reason::NotReported.meaning()),
    }
}

fn state(cache: &Cache, user: &User, now: Timestamp) -> (UserState, Option<Timestamp>) {
    if user.suspended {
        return (UserState::Suspended, None);
    }
    // Without reports of activity, nothing is known about dormancy.
    let Some(seen) = user.last_seen else { return (UserState::Active, None) };
    // Not a `Span`, which panics on more hours than it can hold: the ConfigMap may set any number of days.
    let days = SignedDuration::from_secs(i64::from(cache.settings.users.dormant_after_days) * 24 * 3600);
    match seen.checked_add(days) {
        Ok(at) if at > now => (UserState::Active, Some(at)),
        Ok(_) => (UserState::Dormant, None),
        // Beyond the largest time: never.
        Err(_) => (UserState::Active, None),
    }
}
