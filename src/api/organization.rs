//! `Organization`: a team with its own namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The desired state of an Organization.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "bailiwick.dev",
    version = "v1alpha1",
    kind = "Organization",
    plural = "organizations",
    shortname = "org",
    category = "bailiwick",
    status = "OrganizationStatus",
    doc = "A team with its own namespace. The Groups, RoleBindings and CustomRoles in that namespace belong to the organization.",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".status.namespace"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Members", type_ = "integer", priority = 1, json_path = ".status.members"),
    printcolumn(name = "Default", type_ = "boolean", priority = 1, json_path = ".status.default"),
    printcolumn(name = "Display Name", type_ = "string", priority = 1, json_path = ".spec.displayName"),
    selectable = ".spec.namespace",
    selectable = ".spec.default",
    selectable = ".status.namespace",
    selectable = ".status.default",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name of an Organization has at most 63 characters (it becomes a label on its namespace)")
)]
#[x_kube(
    // Without optionalOldSelf the rule would not see a namespace that is removed and set again in two steps. Unlike
    // `self`, the value of the optional has a null field.
    validation = Rule::new("!oldSelf.hasValue() || !has(oldSelf.value().namespace) || dyn(oldSelf.value().namespace) == null || (has(self.namespace) && self.namespace == oldSelf.value().namespace)")
        .message("namespace is set once: you can never change or remove it")
        .field_path(".namespace")
        .reason(Reason::FieldValueForbidden)
        .optional_old_self(true)
)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationSpec {
    /// A name for people to read. Bailiwick does not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// The namespace of the organization. It must be in the chart's `namespaceWhitelist`. Once set it can never be
    /// changed or removed. An organization without a namespace has no effect, except that the default organization
    /// takes the release namespace if that is whitelisted and no other organization asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Asks to be the default organization. Users who belong to no organization are members of the default one.
    /// `status.default` shows which organization it is.
    #[serde(default)]
    pub default: bool,
    /// The SiteRole that every member of the organization holds in the namespace. Members are everyone in one of its
    /// Groups or with a role there, unless the Group or role sets `impliesMembership: false`. `""` means no role.
    #[serde(default = "member_role")]
    #[schemars(length(max = 253))]
    pub member_role: String,
}

fn member_role() -> String {
    super::vocabulary::ORGANIZATION_MEMBER_ROLE.to_owned()
}

/// The state that the operator observed and wrote.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `NamespaceAssigned`, `Default`, `MemberRoleResolved`, `WithinLimits`; on the default organization also
    /// `PoliciesInPlace` and `ConfigurationRead`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The namespace that the organization holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Whether this is the default organization.
    #[serde(default)]
    pub default: bool,
    /// Number of users who belong to the organization. People who belong only through an identity provider's group
    /// cannot be counted.
    #[serde(default)]
    pub members: u32,
    /// Number of grants in its namespace. One subject with one native role is one grant.
    #[serde(default)]
    pub grants: u32,
    /// Number of requested items in the organization that are withheld.
    #[serde(default)]
    pub withheld: u32,
}
