//! `SiteRole`: a role defined by the site. The built-in roles are SiteRoles that the chart ships.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterPolicyRule, Permission, PolicyRule, group::yes};

/// What the role may do, and where it may be assigned.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "SiteRole",
    plural = "siteroles",
    shortname = "srole",
    category = "bailiwick",
    status = "SiteRoleStatus",
    doc = "A role defined by the site. The built-in roles are SiteRoles: everything that they allow can be read here.",
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
        .message("a role with singleHolder is assignable to the Site only")
)]
#[serde(rename_all = "camelCase")]
pub struct SiteRoleSpec {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Where it may be assigned: `Site` (by SiteRoleBindings), `Organization` (by RoleBindings), or both. Empty: only
    /// implicitly.
    #[schemars(length(max = 2))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub assignable_to: Vec<Place>,
    /// Whether only one user who is not suspended can hold it. The one who does keeps it.
    #[serde(default)]
    pub single_holder: bool,
    /// What it may do, in words of the catalog. Words that mean cluster-scoped kinds, or objects of the release
    /// namespace, reach them wherever the role is assigned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub permissions: Vec<Permission>,
    /// What it may do beside that, as native rules in each namespace where it is assigned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<PolicyRule>,
    /// What it may do on cluster-scoped kinds and on paths that are no resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub cluster_rules: Vec<ClusterPolicyRule>,
    /// Names of SiteRoles, assignable in the same places, whose rights it includes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub inherits: Vec<String>,
    /// Whether handing it out is a matter of trust. Changing the members of a Group that holds it then takes the right to `bind`
    /// it. Say `false` for roles that people who only manage Groups may hand out too: those that open a few named objects, or
    /// give what an ordinary member of the team needs.
    #[serde(default = "yes")]
    pub privileged: bool,
    /// Whether holders of it in an organization also hold that organization's member role.
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

/// Where a SiteRole may be assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Place {
    #[allow(missing_docs)]
    Site,
    #[allow(missing_docs)]
    Organization,
}

/// What the operator found and did.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteRoleStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `PermissionsResolved`, `InheritsResolved`, `Ceiling`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The username of the one who holds a role with `singleHolder`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The SiteRoles that it inherits in effect. They stay so when an edit of another role closes a circle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inherits: Vec<String>,
    /// How many permissions and rules are withheld.
    #[serde(default)]
    pub withheld: u32,
}
