//! `CustomRole`: a role defined by and for one organization.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Permission, PolicyRule, RoleRef, group::yes};

/// What a CustomRole allows.
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
    doc = "A role that one organization defines in its own namespace. It grants nothing outside that namespace.",
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
    /// A name for people to read. Bailiwick does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// The purpose of the role, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// What the role allows, in words of the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub permissions: Vec<Permission>,
    /// What the role allows in addition, as native RBAC rules in the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<PolicyRule>,
    /// Roles whose rights this role includes: CustomRoles in this namespace, or SiteRoles that can be assigned in an
    /// organization. Of a SiteRole, only the rights in the namespace are included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inherits: Vec<RoleRef>,
    /// If `true`, changing the members of a Group that holds this role requires the verb `bind` on that Group. Set it
    /// to `false` only for roles that everyone who manages Groups may assign: roles that open a few named objects, or
    /// that grant what every member of the team needs.
    #[serde(default = "yes")]
    pub privileged: bool,
    /// Whether holders also hold the organization's member role. Set it to `false` for roles that must not include the
    /// rights of a member.
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

/// The state that the operator observed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `PermissionsResolved`, `InheritsResolved`, `Ceiling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The roles that this role currently inherits. They stay in effect if a change to another role closes a cycle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inherits: Vec<RoleRef>,
    /// Number of permissions and rights that are withheld. Those that this version or this cluster does not have
    /// (`OwnScopeNotEnabled`, `EmptyResource`, `UnsupportedAction`) are not counted.
    #[serde(default)]
    pub withheld: u32,
    /// The organization that the role belongs to. Recorded only if the creation time does not tell, or if something in
    /// the namespace is withheld because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}
