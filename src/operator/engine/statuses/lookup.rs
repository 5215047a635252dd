//! What the cache knows of an object of ours, whatever its kind.

use crate::core::cache::Cache;
use crate::core::rbac::Source;
use crate::core::records::Meta;

/// What an object of ours weighs.
pub fn weight(cache: &Cache, target: &Source) -> usize {
    let local = cache.local.get(&target.namespace);
    let name = &target.name;
    match target.kind {
        "Group" => local.map_or(0, |local| local.groups.weight_of(name)),
        "RoleBinding" => local.map_or(0, |local| local.bindings.weight_of(name)),
        "CustomRole" => local.map_or(0, |local| local.roles.weight_of(name)),
        "SiteRole" => cache.site_roles.weight_of(name),
        "SiteRoleBinding" => cache.site_bindings.weight_of(name),
        // A User or an Organization lists nothing.
        _ => 0,
    }
}

/// What is known of an object of ours.
pub fn meta<'a>(cache: &'a Cache, target: &Source) -> Option<&'a Meta> {
    meta_of_name(cache, target).filter(|meta| meta.uid == target.uid)
}

/// What is known of the object of this kind and name, whatever its UID.
pub fn meta_of_name<'a>(cache: &'a Cache, target: &Source) -> Option<&'a Meta> {
    let local = cache.local.get(&target.namespace);
    let name = &target.name;
    match target.kind {
        "Organization" => cache.organizations.meta(name),
        "User" => cache.users.meta(name),
        "Group" => local?.groups.meta(name),
        "RoleBinding" => local?.bindings.meta(name),
        "CustomRole" => local?.roles.meta(name),
        "SiteRole" => cache.site_roles.meta(name),
        _ => cache.site_bindings.meta(name),
    }
}
