//! Revocations never grant anything. The exact rule, from which everything else follows:
//!
//! Deleting or expiring a RoleBinding or SiteRoleBinding adds access to nobody, except that
//! 1. a user that had a role through a *deleted* RoleBinding (with an expired one they still belong) and belongs
//!    nowhere else joins the default organization: its implicit roles there, and their parts beyond it;
//! 2. when a role with `singleHolder` loses its holder, the next candidate gets it.
//!
//! Suspending a user adds access to nobody, except for 2.

use bailiwick::core::rbac::Subject;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use crate::access::{Access, Right};
use crate::cases;
use crate::fake::{Kind, Object, Op, RELEASE};
use crate::histories::crowd;
use crate::shell::Shell;

/// The rights that a change added, except those of a new holder of a role with `singleHolder`.
fn gained(shell: &mut Shell, op: &Op) -> Vec<Right> {
    let holders = |shell: &Shell| -> Vec<(String, Option<String>)> {
        let holder = |o: &Object| match o {
            Object::SiteRole(r) => {
                Some((r.metadata.name.clone().unwrap(), r.status.as_ref().and_then(|s| s.holder.clone())))
            }
            _ => None,
        };
        shell.store.objects.values().filter_map(holder).collect()
    };
    let (before, held_before) = (Access::desired(&shell.all.desired()), holders(shell));
    if matches!(op, Op::Wait(_)) {
        shell.act(op);
    } else {
        // Time stands still: nothing else expires.
        let events = shell.store.act(op);
        shell.take_in(events);
        shell.decide();
    }
    // At once …
    let at_once = Access::desired(&shell.all.desired()).beyond(&[&before]);
    shell.settle();
    let new: Vec<String> =
        holders(shell).into_iter().filter(|h| !held_before.contains(h)).filter_map(|(_, h)| h).collect();
    // … and after everything has settled.
    let mut all = Access::desired(&shell.all.desired()).beyond(&[&before]);
    all.extend(at_once);
    all.retain(|(_, grantee, _)| !matches!(grantee, Subject::User(name) if new.iter().any(|n| **n == **name)));
    all
}

/// Those that the first exception does not explain.
fn unexplained(shell: &Shell, gained: Vec<Right>) -> Vec<Right> {
    let Some(default) = shell.defaults().first().cloned() else { return gained };
    let held = shell.holds(&default);
    let joined = |grantee: &Subject| matches!(grantee, Subject::User(name) if !shell.cache.belongs_somewhere(name));
    let beyond = |place: &str| place.is_empty() || place == RELEASE;
    gained
        .into_iter()
        .filter(|(place, grantee, _)| !(joined(grantee) && (held.as_deref() == Some(&**place) || beyond(place))))
        .collect()
}

proptest! {
    #![proptest_config(cases(50))]

    #[test]
    fn deleting_a_binding_gives_nobody_anything(start in crowd(), which in any::<prop::sample::Index>()) {
        let mut shell = Shell::new();
        shell.play(&start);
        let bindings: Vec<_> =
            shell.store.objects.keys().filter(|s| matches!(s.0, Kind::RoleBinding | Kind::SiteRoleBinding)).cloned().collect();
        prop_assume!(!bindings.is_empty());
        let gained = gained(&mut shell, &Op::Delete(which.get(&bindings).clone()));
        let unexplained = unexplained(&shell, gained);
        prop_assert!(unexplained.is_empty(), "{:?}", unexplained);
    }

    /// Not even membership of the default organization.
    #[test]
    fn expiring_a_binding_gives_nobody_anything(start in crowd(), which in any::<prop::sample::Index>()) {
        let mut shell = Shell::new();
        shell.play(&start);
        let bindings: Vec<_> =
            shell.store.objects.values().filter(|o| matches!(o, Object::RoleBinding(_) | Object::SiteRoleBinding(_))).cloned().collect();
        prop_assume!(!bindings.is_empty());
        let mut binding = which.get(&bindings).clone();
        let over = Some(Time(shell.store.time() + SignedDuration::from_secs(3)));
        match &mut binding {
            Object::RoleBinding(b) => b.spec.expires_at = over,
            Object::SiteRoleBinding(b) => b.spec.expires_at = over,
            _ => unreachable!(),
        }
        // Writing a binding vouches for the groups that it names, so compare with one that was written just now.
        shell.play(&[Op::Put(Box::new(binding))]);
        let gained = gained(&mut shell, &Op::Wait(10));
        prop_assert!(gained.is_empty(), "{:?}", gained);
    }

    #[test]
    fn suspending_a_user_gives_nobody_anything_and_leaves_them_nothing(start in crowd(), which in any::<prop::sample::Index>()) {
        let mut shell = Shell::new();
        shell.play(&start);
        let users: Vec<_> = shell.store.objects.values().filter(|o| matches!(o, Object::User(_))).cloned().collect();
        prop_assume!(!users.is_empty());
        let mut user = which.get(&users).clone();
        let Object::User(u) = &mut user else { unreachable!() };
        u.spec.suspended = true;
        let username = u.spec.username.clone().or(u.metadata.name.clone()).unwrap();
        let gained = gained(&mut shell, &Op::Put(Box::new(user.clone())));
        prop_assert!(gained.is_empty(), "{:?}", gained);
        let speaks = shell.cache.canonical_user(&username.as_str().into()).is_some_and(|s| s.meta.uid == user.uid());
        let left = Access::desired(&shell.all.desired()).rights();
        let left = left.iter().filter(|(_, g, _)| *g == Subject::User(username.as_str().into())).count();
        prop_assert!(!speaks || left == 0);
    }
}
