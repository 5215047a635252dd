//! Core's decisions for the objects on the API server, without anything that the operator remembers; and the existing
//! RBAC, whatever its labels.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::api::{self, vocabulary as v};
use bailiwick::core::Name;
use bailiwick::core::cache::Cache;
use bailiwick::core::catalog::{Bounds, Settings};
use bailiwick::core::fixpoint::settle;
use bailiwick::core::own_objects::Ownership;
use bailiwick::core::policies::Report;
use bailiwick::core::rbac::{self, Object};
use bailiwick::core::records;
use bailiwick::core::rules::Ceiling;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Cluster, RELEASE};

/// Native objects by kind, namespace and name, with their relevant fields.
pub type RbacSpec = BTreeMap<String, Value>;

/// The recorded decisions of namespaces, organizations and SiteRoles.
type Records = (Vec<Option<Name>>, Vec<bool>, Vec<Option<Name>>);

fn records(cache: &Cache) -> Records {
    (
        cache.namespaces.values().map(|n| n.organization.clone()).collect(),
        cache.organizations.values().map(|o| o.is_default).collect(),
        cache.site_roles.values().map(|r| r.holder.clone()).collect(),
    )
}

/// A native object without what the API server adds. Lists of subjects and rules are sets.
pub fn plain(object: Value) -> (String, Value) {
    let metadata = &object["metadata"];
    let place = metadata["namespace"].as_str().unwrap_or_default();
    let name = format!("{} {place}/{}", object["kind"].as_str().unwrap(), metadata["name"].as_str().unwrap());
    let set = |value: &Value| {
        let mut list = value.as_array().cloned().unwrap_or_default();
        list.sort_by_key(Value::to_string);
        list
    };
    let value = json!({
        "rules": set(&object["rules"]), "roleRef": object["roleRef"], "subjects": set(&object["subjects"]),
        "owners": metadata["ownerReferences"],
        "labels": metadata["labels"], "annotations": metadata["annotations"],
    });
    (name, value)
}

impl Cluster {
    fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        self.runtime.block_on(api.list(&Default::default())).unwrap().items
    }

    /// Every User.
    pub fn users(&self) -> Vec<api::User> {
        self.list()
    }

    /// Every RoleBinding of ours.
    pub fn bindings(&self) -> Vec<api::RoleBinding> {
        self.list()
    }

    /// Every SiteRoleBinding.
    pub fn site_bindings(&self) -> Vec<api::SiteRoleBinding> {
        self.list()
    }

    fn live_world(&self) -> Cache {
        let mut cache = Cache::default();
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), RELEASE);
        let text = |map: &str, key: &str| {
            self.runtime.block_on(maps.get(map)).unwrap().data.unwrap_or_default().remove(key).unwrap()
        };
        cache.set_bounds(Bounds::parse(&text(v::BOUNDS_CONFIG_MAP, v::BOUNDS_KEY)).unwrap());
        if self.has_mutating_policies() {
            let ownership = Ownership::Enforced(cache.bounds.own_kinds());
            cache.set_policies(Some(Report { faults: Vec::new(), ownership }));
        }
        cache.set_settings(Settings::parse(&text(v::SETTINGS_CONFIG_MAP, v::SETTINGS_KEY)).unwrap());
        for role in self.list::<v1::ClusterRole>() {
            let ceiling = Some(Ceiling::new(rbac::from_rules(role.rules.as_deref().unwrap_or_default())));
            match role.metadata.name.as_deref().unwrap() {
                v::CEILING => cache.ceilings.organization = ceiling,
                v::CEILING_HOME => cache.ceilings.home = ceiling,
                v::CEILING_CLUSTER => cache.ceilings.cluster = ceiling,
                v::CEILING_RELEASE => cache.ceilings.release = ceiling,
                _ => {}
            }
        }
        for namespace in self.list::<Namespace>() {
            let record = records::Namespace::from(&namespace.metadata);
            cache.namespace(&record.name.clone(), Some(record), None);
        }
        for organization in &self.list::<api::Organization>() {
            let record = records::Organization::from(organization);
            cache.organization(&record.meta.name.clone(), Some(record), None);
        }
        for user in &self.list::<api::User>() {
            let record = records::User::from(user);
            cache.user(&record.meta.name.clone(), Some(record), None);
        }
        for group in &self.list::<api::Group>() {
            let record = records::Group::from(group);
            cache.group(&record.meta.namespace.clone(), &record.meta.name.clone(), Some(record), None);
        }
        for role in &self.list::<api::CustomRole>() {
            let record = records::Role::from(role);
            cache.custom_role(&record.meta.namespace.clone(), &record.meta.name.clone(), Some(record), None);
        }
        for binding in &self.list::<api::RoleBinding>() {
            let record = records::Binding::from(binding);
            cache.binding(&record.meta.namespace.clone(), &record.meta.name.clone(), Some(record), None);
        }
        for role in &self.list::<api::SiteRole>() {
            let record = records::Role::from(role);
            cache.site_role(&record.meta.name.clone(), Some(record), None);
        }
        for binding in &self.list::<api::SiteRoleBinding>() {
            let record = records::Binding::from(binding);
            cache.site_binding(&record.meta.name.clone(), Some(record), None);
        }
        cache
    }

    /// The native objects that follow from the API server's objects. Fails if a record is missing.
    #[track_caller]
    pub fn desired(&self) -> RbacSpec {
        let mut cache = self.live_world();
        let before = records(&cache);
        let settled = settle(&mut cache, Timestamp::now());
        assert_eq!(before, records(&cache), "claims, default and single holders are recorded\n{}", self.operator_log());
        let object = |(key, native)| match rbac::to_object(key, native, None) {
            Object::Role(o) => as_stored("Role", &o),
            Object::RoleBinding(o) => as_stored("RoleBinding", &o),
            Object::ClusterRole(o) => as_stored("ClusterRole", &o),
            Object::ClusterRoleBinding(o) => as_stored("ClusterRoleBinding", &o),
        };
        settled.desired.iter().map(object).collect()
    }

    /// All existing RBAC, even without (or no longer with) our label.
    pub fn rbac(&self) -> RbacSpec {
        let roles = self.list::<v1::Role>().into_iter().map(|o| as_stored("Role", &o));
        let bindings = self.list::<v1::RoleBinding>().into_iter().map(|o| as_stored("RoleBinding", &o));
        let cluster_roles = self.list::<v1::ClusterRole>().into_iter().map(|o| as_stored("ClusterRole", &o));
        let cluster_bindings =
            self.list::<v1::ClusterRoleBinding>().into_iter().map(|o| as_stored("ClusterRoleBinding", &o));
        roles.chain(bindings).chain(cluster_roles).chain(cluster_bindings).collect()
    }

    /// Waits until nobody writes. Then RBAC has exactly the objects from before the first operator, and those that
    /// follow from our objects.
    #[track_caller]
    pub fn is_as_desired(&self, before: &BTreeSet<String>) {
        self.quiet();
        let restores = self.operator.as_ref().map_or(0, |operator| operator.metric("cluster_restores_total"));
        assert_eq!(restores, 0, "nobody restored anything\n{}", self.operator_log());
        let desired = self.desired();
        let mut there = self.rbac();
        there.retain(|name, _| !before.contains(name));
        let over: Vec<&String> = there.keys().filter(|name| !desired.contains_key(*name)).collect();
        let missing: Vec<&String> = desired.keys().filter(|name| !there.contains_key(*name)).collect();
        let other: Vec<_> = there.iter().filter(|(name, is)| desired.get(*name).is_some_and(|d| d != *is)).collect();
        assert!(
            over.is_empty() && missing.is_empty() && other.is_empty(),
            "left over: {over:#?}\nmissing: {missing:#?}\nnot as desired: {other:#?}\n{}",
            self.operator_log()
        );
    }

    /// Applies one object of any kind as the administrator, faster than kubectl would.
    pub fn put(&self, yaml: &str) -> kube::Result<()> {
        let object: Value = serde_yaml::from_str(yaml).unwrap();
        let (kind, metadata) = (object["kind"].as_str().unwrap(), &object["metadata"]);
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let parameters = PatchParams::apply("test").force();
        let api = self.dynamic(kind, namespace);
        let patch = Patch::Apply(&object);
        self.runtime.block_on(api.patch(metadata["name"].as_str().unwrap(), &parameters, &patch)).map(drop)
    }

    /// Patches one object as the administrator. The kind is one of ours, or native RBAC's with the prefix `native`.
    pub fn merge(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> kube::Result<()> {
        let api = self.dynamic(kind, namespace);
        self.runtime.block_on(api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).map(drop)
    }

    /// Deletes one object as the administrator.
    pub fn remove(&self, kind: &str, namespace: &str, name: &str) -> kube::Result<()> {
        let api = self.dynamic(kind, namespace);
        self.runtime.block_on(api.delete(name, &DeleteParams::default())).map(drop)
    }

    fn dynamic(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let gvk = match kind.strip_prefix("native") {
            Some(kind) => GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind),
            None => GroupVersionKind::gvk("bailiwick.dev", "v1alpha1", kind),
        };
        let resource = ApiResource::from_gvk(&gvk);
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }
}

/// Objects in a list lack their kind.
fn as_stored(kind: &str, object: &impl serde::Serialize) -> (String, Value) {
    let mut value = serde_json::to_value(object).unwrap();
    value["kind"] = kind.into();
    plain(value)
}
