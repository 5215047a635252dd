//! `RoleBinding`: gives a role inside one organization.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time;

/// Who gets which role.
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
    doc = "Gives a role to users, groups and service accounts inside the organization whose namespace this is.",
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
    /// The role. It may be changed later: nobody who keeps access is without it for a moment.
    pub role_ref: RoleRef,
    /// Who gets it.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub subjects: Vec<Subject>,
    /// When the grants end by themselves, as in `2027-01-31T18:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "time::option")]
    // `with`: of a field with the format `date-time` the API server does not check the type, and a list would pass.
    #[schemars(with = "Option<String>", length(max = 40))]
    #[x_kube(validation = Rule::new(time::RULE).message("must be a time as in 2027-01-31T18:00:00Z"))]
    pub expires_at: Option<Time>,
}

/// A role by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub struct RoleRef {
    /// `CustomRole` (of this namespace) or `SiteRole` (the built-in ones too).
    pub kind: RoleKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The kinds of role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum RoleKind {
    #[allow(missing_docs)]
    CustomRole,
    #[allow(missing_docs)]
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

/// Someone, or something, that gets a role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!self.name.startsWith('system:')")
        .message("names that begin with system: are Kubernetes' own; for a service account use kind ServiceAccount"),
    validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("the name of a ServiceAccount has lower case letters, digits, '-' and '.' only")
)]
pub struct Subject {
    /// `User` (by username), `Group` (of this namespace), `ServiceAccount` (of this namespace) or `ExternalGroup` (as
    /// the identity provider asserts it).
    pub kind: SubjectKind,
    /// Its name; for a User the username.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\p{C}]+$"))]
    pub name: String,
}

/// The kinds of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum SubjectKind {
    #[allow(missing_docs)]
    User,
    #[allow(missing_docs)]
    Group,
    #[allow(missing_docs)]
    ServiceAccount,
    #[allow(missing_docs)]
    ExternalGroup,
}

/// What the operator found and did.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `RoleResolved`, `SubjectsResolved`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many subjects hold the role by this binding, those that a group brings included.
    #[serde(default)]
    pub grants: u32,
    /// How many subjects are withheld.
    #[serde(default)]
    pub withheld: u32,
    /// The organization to which the binding belongs, where its creation time leaves that open, or something in the namespace is
    /// withheld because of its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The UIDs of Groups that existed before the binding's spec was written, where times leave that open, or something in the
    /// namespace is withheld because of its age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub older_groups: Vec<String>,
}
