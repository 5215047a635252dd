//! `CustomRole`: a role defined by and for one organization.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Permission, PolicyRule, RoleRef, group::yes};

/// What the role may do.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "CustomRole",
    plural = "customroles",
    namespaced,
    shortname = "crole",
    category = "bailiwick",
    status = "RoleStatus",
    doc = "A role defined by and for the organization whose namespace this is. It never reaches beyond that namespace.",
    derive = "PartialEq",
    printcolumn(name = "Withheld", type_ = "integer", json_path = ".status.withheld"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Privileged", type_ = "boolean", priority = 1, json_path = ".spec.privileged"),
    printcolumn(name = "Display Name", type_ = "string", priority = 1, json_path = ".spec.displayName"),
    selectable = ".spec.privileged"
)]
#[serde(rename_all = "camelCase")]
pub struct CustomRoleSpec {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// What it may do, in words of the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub permissions: Vec<Permission>,
    /// What it may do beside that, as native rules in the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<PolicyRule>,
    /// Roles whose rights it includes: CustomRoles of this namespace, or SiteRoles that can be assigned in an
    /// organization (of those the part in the namespace).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inherits: Vec<RoleRef>,
    /// Whether handing it out is a matter of trust. Changing the members of a Group that holds it then takes the right to `bind`
    /// it. Say `false` for roles that people who only manage Groups may hand out too: those that open a few named objects, or
    /// give what an ordinary member of the team needs.
    #[serde(default = "yes")]
    pub privileged: bool,
    /// Whether holders also hold the organization's member role. Say `false` for roles whose point is what they leave out.
    #[serde(default = "yes")]
    pub implies_membership: bool,
}

impl Default for CustomRoleSpec {
    fn default() -> Self {
        Self {
            display_name: None,
            description: None,
            permissions: Vec::new(),
            rules: Vec::new(),
            inherits: Vec::new(),
            privileged: true,
            implies_membership: true,
        }
    }
}

/// What the operator found.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `PermissionsResolved`, `InheritsResolved`, `Ceiling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The roles that it inherits in effect. They stay so when an edit of another role closes a circle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inherits: Vec<RoleRef>,
    /// How many permissions and rules are withheld.
    #[serde(default)]
    pub withheld: u32,
    /// The organization to which the role belongs, where its creation time leaves that open, or something in the namespace is
    /// withheld because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}
