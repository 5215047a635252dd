//! `SiteRoleBinding`: assigns a SiteRole in the whole site.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BindingStatus, time};

/// Who gets which SiteRole in the whole site.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "SiteRoleBinding",
    plural = "siterolebindings",
    shortname = "srb",
    category = "bailiwick",
    status = "BindingStatus",
    doc = "Assigns a SiteRole in every organization's namespace and on cluster-scoped objects.",
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
pub struct SiteRoleBindingSpec {
    /// The role. You can change it later. Subjects who keep access have no gap.
    pub role_ref: SiteRoleRef,
    /// Who gets the role. Groups of organizations are not allowed, because organization managers must not assign site
    /// roles.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub subjects: Vec<SiteSubject>,
    /// When the grants end, for example `2027-01-31T18:00:00Z`. If no operator runs then, they end when one starts.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "time::option")]
    // `with`: of a field with the format `date-time` the API server does not check the type, and a list would pass.
    #[schemars(with = "Option<String>", length(max = 40))]
    #[x_kube(validation = Rule::new(time::RULE).message("must be a time as in 2027-01-31T18:00:00Z"))]
    pub expires_at: Option<Time>,
}

/// A SiteRole by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SiteRoleRef {
    /// Always `SiteRole`.
    #[serde(default)]
    pub kind: SiteRoleKind,
    /// The name of the SiteRole.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The one kind of role that a SiteRoleBinding can assign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum SiteRoleKind {
    /// A role that the site defines.
    #[default]
    SiteRole,
}

/// A subject that gets a SiteRole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!self.name.startsWith('system:')")
        .message("names that begin with system: are Kubernetes' own; for a service account use kind ServiceAccount"),
    // A word of CEL is written so; kube-cel knows it by no other name.
    validation = Rule::new("(self.kind == 'ServiceAccount') == has(self.__namespace__)")
        .message("namespace goes with kind ServiceAccount, and only with that kind"),
    validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("the name of a ServiceAccount has only lowercase letters, digits, '-' and '.'")
)]
pub struct SiteSubject {
    /// `User` (by username), `ExternalGroup` (a group as the identity provider asserts it) or `ServiceAccount`.
    pub kind: SiteSubjectKind,
    /// The name of the subject. For a User, this is the username.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\p{C}]+$"))]
    pub name: String,
    /// The namespace of a ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// The kinds of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum SiteSubjectKind {
    /// A user, by username.
    User,
    /// A group as the identity provider asserts it.
    ExternalGroup,
    /// A ServiceAccount in any namespace.
    ServiceAccount,
}
