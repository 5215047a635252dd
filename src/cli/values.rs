//! The chart's values that affect access: this binary's built-in defaults, with values files merged over them as in
//! Helm.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::core::cache::Ceilings;
use crate::core::catalog::{Bounds, Settings, Target, Word};
use crate::core::own_objects::Ownership;
use crate::core::rbac::from_rules;
use crate::core::rules::Ceiling;
use k8s_openapi::api::rbac::v1::PolicyRule;

const DEFAULTS: &str = include_str!("../../charts/bailiwick/values.yaml");
const FIXED_RIGHTS: &str = include_str!("../../charts/bailiwick/files/fixed-rights.yaml");
/// The built-in roles, as the chart installs them.
pub const SITE_ROLES: &str = include_str!("../../charts/bailiwick/files/site-roles.yaml");

/// The effective values.
#[derive(Debug)]
pub struct Values {
    /// Whitelist, catalog, release namespace.
    pub bounds: Bounds,
    /// Settings that site managers may tune.
    pub settings: Settings,
    /// Whether the chart would install the policies about own objects. Old clusters, which lack them, are left out.
    pub ownership: Ownership,
    /// The manifest of the default organization that the chart creates.
    pub default_organization: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    namespace_whitelist: std::collections::BTreeSet<String>,
    default_organization: DefaultOrganization,
    config: Settings,
    catalog: std::collections::BTreeMap<String, Word>,
    admission_policies: AdmissionPolicies,
}

/// The policies on which access depends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionPolicies {
    own_objects: Policy,
    namespace_claims: Policy,
}

#[derive(Deserialize)]
struct Policy {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefaultOrganization {
    create: bool,
    name: String,
    display_name: String,
    namespace: String,
}

#[derive(Deserialize)]
struct FixedRights {
    organization: Vec<PolicyRule>,
    cluster: Vec<PolicyRule>,
}

/// A values file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}", path = path.display())]
pub struct Error {
    path: PathBuf,
    message: String,
}

impl Values {
    /// Reads the defaults and merges these files over them, in order.
    ///
    /// # Errors
    /// When a file cannot be read, is not YAML, or has a value that the chart does not know.
    pub fn read(files: &[PathBuf], release_namespace: &str) -> Result<Self, Error> {
        let chart = PathBuf::from("charts/bailiwick/values.yaml");
        let yaml = |path: &PathBuf, text: &str| {
            serde_yaml::from_str::<Value>(text).map_err(|e| Error { path: path.clone(), message: e.to_string() })
        };
        let mut values = yaml(&chart, DEFAULTS)?;
        let mut last = chart;
        for path in files {
            let text =
                std::fs::read_to_string(path).map_err(|e| Error { path: path.clone(), message: e.to_string() })?;
            let over = yaml(path, &text)?;
            if let Some(unknown) = over.as_object().into_iter().flatten().find(|(key, _)| values.get(key).is_none()) {
                let message = format!("the chart has no value {:?}", unknown.0);
                return Err(Error { path: path.clone(), message });
            }
            merge(&mut values, over);
            last.clone_from(path);
        }
        let shape: Shape = serde_json::from_value(values).map_err(|e| Error { path: last, message: e.to_string() })?;
        Ok(Self::of(shape, release_namespace))
    }

    fn of(shape: Shape, release_namespace: &str) -> Self {
        let mut namespace_whitelist = shape.namespace_whitelist;
        if namespace_whitelist.is_empty() {
            namespace_whitelist.insert(release_namespace.to_owned());
        }
        let default = shape.default_organization;
        let manifest = default.create.then(|| {
            let mut spec = serde_json::json!({"displayName": default.display_name, "default": true});
            if !default.namespace.is_empty() {
                spec["namespace"] = Value::from(default.namespace);
            }
            serde_json::json!({
                "apiVersion": "bailiwick.dev/v1alpha1",
                "kind": "Organization",
                "metadata": {"name": default.name},
                "spec": spec,
            })
        });
        let bounds = Bounds {
            release_namespace: release_namespace.to_owned(),
            namespace_whitelist,
            // Files cannot contain forged notes: nobody but their author wrote them.
            groups_are_vouched: true,
            catalog: shape.catalog,
        };
        let policies = shape.admission_policies;
        let are_installed = policies.own_objects.enabled && policies.namespace_claims.enabled;
        let ownership = if are_installed { Ownership::Enforced(bounds.own_kinds()) } else { Ownership::NotInstalled };
        Self { bounds, settings: shape.config, ownership, default_organization: manifest }
    }

    /// The ceilings that the chart would create from these values.
    ///
    /// # Errors
    /// When the file with the fixed rights is not valid, which would be a bug.
    pub fn ceilings(&self) -> Result<Ceilings, serde_yaml::Error> {
        let fixed: FixedRights = serde_yaml::from_str(FIXED_RIGHTS)?;
        let ceiling = |is_part: fn(&Word) -> bool, fixed: &[PolicyRule]| {
            let mut rules = self.bounds.ceiling(is_part);
            rules.extend(from_rules(fixed));
            Some(Ceiling::new(rules))
        };
        Ok(Ceilings {
            organization: ceiling(|word| word.target == Target::Organization, &fixed.organization),
            home: ceiling(|word| word.target == Target::Organization && word.in_release_namespace, &fixed.organization),
            cluster: ceiling(|word| word.target == Target::Cluster, &fixed.cluster),
            release: ceiling(|word| word.target == Target::Release, &[]),
        })
    }
}

/// Merges values as Helm does: maps are merged, everything else is replaced, and null removes.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over,
    }
}
