//! Fields that an update cannot change: the status, and those that the chart's admission policies protect.

use super::Object;
use super::object::ODD;

/// Copies these fields from the old object to the new one. `false`: nothing changes.
pub fn keep(old: &Object, new: &mut Object) -> bool {
    match (old, &mut *new) {
        (Object::Organization(old), Object::Organization(new)) => {
            new.status = old.status.clone();
            if old.spec.namespace.is_some() {
                new.spec.namespace = old.spec.namespace.clone();
            }
        }
        (Object::User(old), Object::User(new)) => {
            // `lastSeenTime` comes from the generator: somebody was seen.
            let seen = new.status.as_ref().and_then(|s| s.last_seen_time.clone());
            new.status = old.status.clone().or(new.status.take());
            if let Some(status) = &mut new.status {
                status.last_seen_time = seen;
            }
            new.spec.username = old.spec.username.clone();
        }
        (Object::Namespace(_), Object::Namespace(_)) => return false,
        (Object::Group(old), Object::Group(new)) => {
            new.status = old.status.clone();
            let odd = new.metadata.annotations.take().and_then(|mut all| all.remove_entry(ODD));
            let mut annotations = old.metadata.annotations.clone().unwrap_or_default();
            annotations.remove(ODD);
            annotations.extend(odd);
            new.metadata.annotations = Some(annotations);
        }
        (Object::RoleBinding(old), Object::RoleBinding(new)) => new.status = old.status.clone(),
        (Object::CustomRole(old), Object::CustomRole(new)) => new.status = old.status.clone(),
        (Object::SiteRole(old), Object::SiteRole(new)) => new.status = old.status.clone(),
        (Object::SiteRoleBinding(old), Object::SiteRoleBinding(new)) => new.status = old.status.clone(),
        _ => panic!("one slot, two kinds"),
    }
    true
}
