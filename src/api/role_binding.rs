//! `RoleBinding`: assigns a role inside one organization.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time;

/// Who gets which role in the organization.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "RoleBinding",
    plural = "rolebindings",
    namespaced,
    shortname = "brb",
    category = "bailiwick",
    status = "BindingStatus",
    doc = "Assigns a role to users, groups and service accounts in the organization that holds this namespace.",
    derive = "PartialEq",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.roleRef.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Grants", type_ = "integer", priority = 1, json_path = ".status.grants"),
    printcolumn(name = "Withheld", type_ = "integer", priority = 1, json_path = ".status.withheld"),
    printcolumn(name = "Expires", type_ = "string", priority = 1, json_path = ".spec.expiresAt"),
    selectable = ".spec.roleRef.kind",
    selectable = ".spec.roleRef.name"
)]
#[serde(rename_all = "camelCase")]
pub struct RoleBindingSpec {
    /// The role. You can change it later. Subjects who keep access have no gap.
    pub role_ref: RoleRef,
    /// Who gets the role.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub subjects: Vec<Subject>,
    /// When the grants end, for example `2027-01-31T18:00:00Z`. If no operator runs then, they end when one starts.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "time::option")]
    // `with`: of a field with the format `date-time` the API server does not check the type, and a list would pass.
    #[schemars(with = "Option<String>", length(max = 40))]
    #[x_kube(validation = Rule::new(time::RULE).message("must be a time as in 2027-01-31T18:00:00Z"))]
    pub expires_at: Option<Time>,
}

/// A role by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub struct RoleRef {
    /// `CustomRole` (in this namespace) or `SiteRole` (including the built-in roles).
    pub kind: RoleKind,
    /// The name of the role.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The kinds of role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum RoleKind {
    /// A role that the organization defines.
    CustomRole,
    /// A role that the site defines.
    SiteRole,
}

impl RoleKind {
    /// The kind's name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RoleKind::CustomRole => "CustomRole",
            RoleKind::SiteRole => "SiteRole",
        }
    }
}

/// A subject that gets a role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!self.name.startsWith('system:')")
        .message("names that begin with system: are Kubernetes' own; for a service account use kind ServiceAccount"),
    validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("the name of a ServiceAccount has only lowercase letters, digits, '-' and '.'")
)]
pub struct Subject {
    /// `User` (by username), `Group` (in this namespace), `ServiceAccount` (in this namespace) or `ExternalGroup` (a
    /// group as the identity provider asserts it).
    pub kind: SubjectKind,
    /// The name of the subject. For a User, this is the username.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\p{C}]+$"))]
    pub name: String,
}

/// The kinds of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum SubjectKind {
    /// A user, by username.
    User,
    /// A Group in the namespace of the binding.
    Group,
    /// A ServiceAccount in the namespace of the binding.
    ServiceAccount,
    /// A group as the identity provider asserts it.
    ExternalGroup,
}

/// The state that the operator observed and wrote.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `RoleResolved`, `SubjectsResolved`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Number of subjects that hold the role through this binding, including the members of its Groups.
    #[serde(default)]
    pub grants: u32,
    /// Number of subjects that are withheld.
    #[serde(default)]
    pub withheld: u32,
    /// The organization that the binding belongs to. Recorded only if the creation time does not tell, or if something
    /// in the namespace is withheld because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// UIDs of Groups that existed before the binding's spec was written. Recorded only if the times do not tell, or if
    /// something in the namespace is withheld because of its age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub older_groups: Vec<String>,
}
