//! The cache by kind, for code that handles all kinds of our objects alike.

use super::{Affected, Cache};
use crate::api::ApiKind;
use crate::core::object_ref::{ApiRef, ObjectRef};
use crate::core::records::Meta;
use crate::core::uid::Uid;

impl Cache {
    /// The metadata of an object, if it has this UID.
    #[must_use]
    pub fn meta(&self, object: &ApiRef) -> Option<&Meta> {
        self.meta_of_name(object).filter(|meta| meta.uid == object.uid)
    }

    /// The metadata of the object of this name.
    #[must_use]
    pub fn meta_of_name<U>(&self, object: &ObjectRef<ApiKind, U>) -> Option<&Meta> {
        let (local, name) = (self.local.get(&object.namespace), &object.name);
        match object.kind {
            ApiKind::Organization => self.organizations.meta(name),
            ApiKind::User => self.users.meta(name),
            ApiKind::Group => local?.groups.meta(name),
            ApiKind::CustomRole => local?.roles.meta(name),
            ApiKind::RoleBinding => local?.bindings.meta(name),
            ApiKind::SiteRole => self.site_roles.meta(name),
            ApiKind::SiteRoleBinding => self.site_bindings.meta(name),
        }
    }

    /// All objects of a kind.
    #[must_use]
    pub fn metas(&self, kind: ApiKind) -> Box<dyn Iterator<Item = &Meta> + '_> {
        let local = self.local.values();
        match kind {
            ApiKind::Organization => Box::new(self.organizations.metas()),
            ApiKind::User => Box::new(self.users.metas()),
            ApiKind::Group => Box::new(local.flat_map(|local| local.groups.metas())),
            ApiKind::CustomRole => Box::new(local.flat_map(|local| local.roles.metas())),
            ApiKind::RoleBinding => Box::new(local.flat_map(|local| local.bindings.metas())),
            ApiKind::SiteRole => Box::new(self.site_roles.metas()),
            ApiKind::SiteRoleBinding => Box::new(self.site_bindings.metas()),
        }
    }

    /// Roughly how many bytes of memory the operator needs for an object.
    #[must_use]
    pub fn weight(&self, object: &ApiRef) -> usize {
        let (local, name) = (self.local.get(&object.namespace), &object.name);
        match object.kind {
            // These kinds have no lists.
            ApiKind::Organization | ApiKind::User => 0,
            ApiKind::Group => local.map_or(0, |local| local.groups.weight_of(name)),
            ApiKind::CustomRole => local.map_or(0, |local| local.roles.weight_of(name)),
            ApiKind::RoleBinding => local.map_or(0, |local| local.bindings.weight_of(name)),
            ApiKind::SiteRole => self.site_roles.weight_of(name),
            ApiKind::SiteRoleBinding => self.site_bindings.weight_of(name),
        }
    }

    /// Removes the object with this UID, and returns what that affects.
    pub fn delete(&mut self, object: &ObjectRef<ApiKind>, uid: &Uid) -> Affected {
        let (namespace, name, uid) = (&object.namespace, &object.name, Some(uid));
        match object.kind {
            ApiKind::Organization => self.organization(name, None, uid),
            ApiKind::User => self.user(name, None, uid),
            ApiKind::Group => self.group(namespace, name, None, uid),
            ApiKind::CustomRole => self.custom_role(namespace, name, None, uid),
            ApiKind::RoleBinding => self.binding(namespace, name, None, uid),
            ApiKind::SiteRole => self.site_role(name, None, uid),
            ApiKind::SiteRoleBinding => self.site_binding(name, None, uid),
        }
    }
}
