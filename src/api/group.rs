//! `Group`: users of one organization.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is in a group.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "Group",
    plural = "groups",
    namespaced,
    shortname = "grp",
    category = "bailiwick",
    status = "GroupStatus",
    doc = "Users of the organization whose namespace this is.",
    derive = "PartialEq",
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.members"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Privileged", type_ = "boolean", priority = 1, json_path = ".status.privileged"),
    selectable = ".status.privileged"
)]
#[serde(rename_all = "camelCase")]
pub struct GroupSpec {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// Usernames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10000), inner(length(min = 1, max = 128), regex(pattern = r"^[^\p{C}]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(m, !m.startsWith('system:'))").message("names that begin with system: are Kubernetes' own"))]
    pub members: Vec<String>,
    /// Groups as the identity provider asserts them. Whoever is in one of them is in this group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256), regex(pattern = r"^[^\p{C}]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(g, !g.startsWith('system:'))").message("groups that begin with system: are Kubernetes' own"))]
    pub external_groups: Vec<String>,
    /// Whether being in this group makes someone a member who holds the organization's member role. Say `false` for
    /// groups of people who shall hold nothing beyond the roles that they are given.
    #[serde(default = "yes")]
    pub implies_membership: bool,
}

impl Default for GroupSpec {
    fn default() -> Self {
        Self { display_name: None, members: Vec::new(), external_groups: Vec::new(), implies_membership: true }
    }
}

pub(super) fn yes() -> bool {
    true
}

/// What the operator found.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `MembersKnown`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many known users are members by name.
    #[serde(default)]
    pub members: u32,
    /// The roles that bindings give to this group, as `Kind/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub roles: Vec<String>,
    /// Whether one of those roles is privileged: then changing the members is handing out roles.
    #[serde(default)]
    pub privileged: bool,
    /// How many members are withheld.
    #[serde(default)]
    pub withheld: u32,
    /// The organization to which the group belongs, where its creation time leaves that open, or something in the namespace is
    /// withheld because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}
