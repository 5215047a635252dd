//! `SiteRole`: a role defined by the site. The built-in roles are SiteRoles that the chart ships.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterPolicyRule, Permission, PolicyRule, group::yes};

/// What a SiteRole allows, and where it can be assigned.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "SiteRole",
    plural = "siteroles",
    shortname = "srole",
    category = "bailiwick",
    status = "SiteRoleStatus",
    doc = "A role that the site defines. The built-in roles are SiteRoles, so you can read here what they allow.",
    derive = "PartialEq",
    printcolumn(name = "Withheld", type_ = "integer", json_path = ".status.withheld"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Privileged", type_ = "boolean", priority = 1, json_path = ".spec.privileged"),
    printcolumn(name = "Site", type_ = "string", priority = 1, json_path = ".spec.assignableTo[?(@==\"Site\")]"),
    printcolumn(
        name = "Organization",
        type_ = "string",
        priority = 1,
        json_path = ".spec.assignableTo[?(@==\"Organization\")]"
    ),
    printcolumn(name = "Holder", type_ = "string", priority = 1, json_path = ".status.holder"),
    printcolumn(name = "Display Name", type_ = "string", priority = 1, json_path = ".spec.displayName"),
    selectable = ".spec.privileged"
)]
#[x_kube(
    validation = Rule::new("!self.singleHolder || self.assignableTo.all(p, p == 'Site')")
        .message("a role with singleHolder can be assignable to the Site only")
)]
#[serde(rename_all = "camelCase")]
pub struct SiteRoleSpec {
    /// A name for people to read. Bailiwick does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// The purpose of the role, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Where the role can be assigned: `Site` (by SiteRoleBindings), `Organization` (by RoleBindings), or both. If
    /// empty, nobody can assign it; users can only hold it implicitly.
    #[schemars(length(max = 2))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub assignable_to: Vec<Place>,
    /// If `true`, only one user can hold the role at a time, and that user must not be suspended. The current holder
    /// keeps it.
    #[serde(default)]
    pub single_holder: bool,
    /// What the role allows, in words of the catalog. Words for cluster-scoped kinds, or for objects in the release
    /// namespace, apply there wherever the role is assigned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub permissions: Vec<Permission>,
    /// What the role allows in addition, as native RBAC rules in each namespace where it is assigned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<PolicyRule>,
    /// What the role allows on cluster-scoped kinds and on non-resource URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub cluster_rules: Vec<ClusterPolicyRule>,
    /// SiteRoles whose rights this role includes. They must be assignable in the same places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub inherits: Vec<String>,
    /// If `true`, changing the members of a Group that holds this role requires the verb `bind` on that Group. Set it
    /// to `false` only for roles that everyone who manages Groups may assign: roles that open a few named objects, or
    /// that grant what every member of the team needs.
    #[serde(default = "yes")]
    pub privileged: bool,
    /// Whether holders in an organization also hold that organization's member role.
    #[serde(default = "yes")]
    pub implies_membership: bool,
}

impl Default for SiteRoleSpec {
    fn default() -> Self {
        Self {
            display_name: None,
            description: None,
            assignable_to: Vec::new(),
            single_holder: false,
            permissions: Vec::new(),
            rules: Vec::new(),
            cluster_rules: Vec::new(),
            inherits: Vec::new(),
            privileged: true,
            implies_membership: true,
        }
    }
}

/// Where a SiteRole can be assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Place {
    /// In every organization and on cluster-scoped objects, by a SiteRoleBinding.
    Site,
    /// In one organization, by a RoleBinding.
    Organization,
}

/// The state that the operator observed and wrote.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteRoleStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `PermissionsResolved`, `InheritsResolved`, `Ceiling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The username of the current holder, if the role has `singleHolder`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The SiteRoles that this role currently inherits. They stay in effect if a change to another role closes a cycle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inherits: Vec<String>,
    /// Number of permissions and rights that are withheld. Those that this version or this cluster does not have
    /// (`OwnScopeNotEnabled`, `EmptyResource`, `UnsupportedAction`) are not counted.
    #[serde(default)]
    pub withheld: u32,
}
