//! `Group`: users of one organization.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The members of a Group.
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
    doc = "A group of users of the organization that holds this namespace.",
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
    /// A name for people to read. Bailiwick does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// Usernames of the members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10000), inner(length(min = 1, max = 128), regex(pattern = r"^[^\p{C}]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(m, !m.startsWith('system:'))").message("names that begin with system: are Kubernetes' own"))]
    pub members: Vec<String>,
    /// Group names as the identity provider asserts them. Everyone in one of these groups is a member of this Group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 256), regex(pattern = r"^[^\p{C}]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(g, !g.startsWith('system:'))").message("groups that begin with system: are Kubernetes' own"))]
    pub external_groups: Vec<String>,
    /// Whether members of this Group also hold the organization's member role. Set it to `false` for people who must
    /// hold only the roles that bindings grant them.
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

/// The state that the operator observed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `MembersKnown`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Number of known users who are members by name.
    #[serde(default)]
    pub members: u32,
    /// The roles that bindings grant to this Group, as `Kind/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub roles: Vec<String>,
    /// Whether one of those roles is privileged. If so, changing the members requires the verb `bind` on this Group.
    #[serde(default)]
    pub privileged: bool,
    /// Number of members who are withheld.
    #[serde(default)]
    pub withheld: u32,
    /// The organization that the group belongs to. Recorded only if the creation time does not tell, or if something in
    /// the namespace is withheld because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}
