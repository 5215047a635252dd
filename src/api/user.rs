//! `User`: a person, by the username that the API server authenticates.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The desired state of a User.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "User",
    plural = "users",
    category = "bailiwick",
    status = "UserStatus",
    doc = "A person. Roles and groups refer to people by username, as native RBAC does. The name of this object is only a handle.",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Username", type_ = "string", json_path = ".status.username"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Organizations", type_ = "integer", priority = 1, json_path = ".status.organizations"),
    printcolumn(name = "Site Roles", type_ = "integer", priority = 1, json_path = ".status.siteRoles"),
    printcolumn(name = "Grants", type_ = "integer", priority = 1, json_path = ".status.grants"),
    printcolumn(name = "Last Seen", type_ = "date", priority = 1, json_path = ".status.lastSeenTime"),
    printcolumn(name = "Display Name", type_ = "string", priority = 1, json_path = ".spec.displayName"),
    printcolumn(name = "Email", type_ = "string", priority = 1, json_path = ".spec.email"),
    selectable = ".spec.suspended",
    selectable = ".spec.username",
    selectable = ".status.username",
    selectable = ".status.state",
    validation = Rule::new("has(self.spec.username) || self.metadata.name.size() <= 128")
        .message("a username has at most 128 characters: set spec.username"),
    validation = Rule::new("(has(self.spec.username) ? self.spec.username : self.metadata.name) == (has(oldSelf.spec.username) ? oldSelf.spec.username : oldSelf.metadata.name)")
        .message("username is immutable: delete this User and create a new one")
        .field_path(".spec.username")
        .reason(Reason::FieldValueForbidden)
)]
#[serde(rename_all = "camelCase")]
pub struct UserSpec {
    /// The username, exactly as the API server authenticates it. Defaults to `metadata.name`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\p{C}]+$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('system:')").message("names that begin with system: are Kubernetes' own"))]
    pub username: Option<String>,
    /// A name for people to read. Bailiwick does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// The user's email address. Bailiwick sends no mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub email: Option<String>,
    /// If `true`, the user loses every grant by username and cannot write anything in organizations. The user can still
    /// read what a group of the identity provider gives access to.
    #[serde(default)]
    pub suspended: bool,
}

/// `Active`, `Dormant` (not seen for a while, keeps all grants) or `Suspended` (holds nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum UserState {
    /// The user was seen within the last `config.users.dormantAfterDays` (a chart value), or nothing reports who is
    /// seen.
    Active,
    /// The user was not seen for that time, and keeps all grants.
    Dormant,
    /// The user holds nothing.
    Suspended,
}

/// The state that the operator observed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `UsernameAccepted`, `LastSeen`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The username: `spec.username`, or the name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `Active`, `Dormant` or `Suspended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UserState>,
    /// Whether a SiteRoleBinding grants the user a privileged role. If so, suspending the user requires the verb
    /// `update` on SiteRoleBindings.
    #[serde(default)]
    pub privileged: bool,
    /// Number of organizations that the user belongs to, including the default one. 0 if the user is suspended.
    #[serde(default)]
    pub organizations: u32,
    /// Number of SiteRoles that SiteRoleBindings grant to the user.
    #[serde(default)]
    pub site_roles: u32,
    /// Number of roles that the user holds by username: in each organization those from RoleBindings, Groups and
    /// membership, and each SiteRoleBinding once. Roles that come only from a group of the identity provider cannot be
    /// counted. The role `member`, which everybody holds in the site, is not counted.
    #[serde(default)]
    pub grants: u32,
    /// When the user was last seen. Empty, because nothing reports that yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_time: Option<Time>,
}
