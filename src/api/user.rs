//! `User`: a person, by the username that the API server authenticates.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who a user is.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "User",
    plural = "users",
    category = "bailiwick",
    status = "UserStatus",
    doc = "A person. Everything refers to people by username, as native RBAC does; the name of this object is only a handle.",
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
        .message("username is immutable: delete this User and create another one")
        .field_path(".spec.username")
        .reason(Reason::FieldValueForbidden)
)]
#[serde(rename_all = "camelCase")]
pub struct UserSpec {
    /// The username, exactly as the API server authenticates it. Immutable. Default: `metadata.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\p{C}]+$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('system:')").message("names that begin with system: are Kubernetes' own"))]
    pub username: Option<String>,
    /// What people call them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// Where they get mail. Bailiwick sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub email: Option<String>,
    /// A suspended user loses every grant by name, and writes nothing in organizations. What a group of the identity provider lets them
    /// read goes on.
    #[serde(default)]
    pub suspended: bool,
}

/// The state of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum UserState {
    /// Seen within the time that the chart's `config.users.dormantAfterDays` sets, or nothing reports who is seen.
    Active,
    /// Not seen for that time. Keeps its grants.
    Dormant,
    /// Holds nothing.
    Suspended,
}

/// What the operator found.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `UsernameAccepted`, `LastSeen`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// `spec.username`, or the name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// `Active`, `Dormant` or `Suspended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UserState>,
    /// Whether a SiteRoleBinding gives the user a privileged role: then suspending takes the right to change who holds it.
    #[serde(default)]
    pub privileged: bool,
    /// Of how many organizations the user is a member, the default one included. A suspended user is one of none.
    #[serde(default)]
    pub organizations: u32,
    /// How many SiteRoles SiteRoleBindings give to the user.
    #[serde(default)]
    pub site_roles: u32,
    /// How many roles the user holds by name: in each organization those that RoleBindings, Groups and membership give,
    /// and each SiteRoleBinding once. What comes by a group of the identity provider alone cannot be counted, and `member`,
    /// which everybody holds at the site, is not.
    #[serde(default)]
    pub grants: u32,
    /// When the user was last seen. Empty: nothing reports that yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_time: Option<Time>,
}
