//! The parts of a role: permissions in words of the catalog, and native RBAC rules.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A permission: actions on one resource of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.names) || !self.actions.exists(a, a == 'create')")
        .message("names cannot go with create: the API server does not know the name of a new object"),
    validation = Rule::new("!has(self.scope) || self.scope != 'Own' || !self.actions.exists(a, a == 'create' || a == 'list')")
        .message("scope Own goes with read, update, delete and use only: create cannot be limited to own objects, and list shows all")
)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// A word of the catalog, for example `workspaces`. The ConfigMap `bailiwick-catalog` in the release namespace
    /// lists all words.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub resource: String,
    /// The allowed actions. `read` means get, list and watch. `list` means list and watch only. `update` means update
    /// and patch. `delete` means delete and deletecollection. `use` means exec, attach and port-forward, which `read`
    /// never includes.
    #[schemars(length(min = 1, max = 6))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub actions: Vec<Action>,
    /// `All` objects (the default), or only those that the holder owns (`Own`). See docs/tasks/own-objects.md.
    #[serde(default)]
    pub scope: Scope,
    /// Limits the permission to objects with these names. Not allowed with `create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253), regex(pattern = r"^[!-~]+$")))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub names: Option<Vec<String>>,
}

/// An action of a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Action {
    /// `create`.
    Create,
    /// `get`, `list` and `watch`.
    Read,
    /// `list` and `watch`.
    List,
    /// `update` and `patch`.
    Update,
    /// `delete` and `deletecollection`.
    Delete,
    /// `get` and `create` on exec, attach and port-forward.
    Use,
}

impl Action {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 6] = [Self::Create, Self::Read, Self::List, Self::Update, Self::Delete, Self::Use];

    /// As it stands in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::List => "list",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Use => "use",
        }
    }
}

/// Which objects a permission covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Scope {
    /// Every object.
    #[default]
    All,
    /// Only objects that the holder owns.
    Own,
}

/// A native RBAC rule on namespaced kinds, for anything that the catalog does not name. Wildcards are not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("self.apiGroups.size() * self.resources.size() * (has(self.resourceNames) ? self.resourceNames.size() : 1) * self.verbs.size() <= 2000")
        .message("a rule has at most 2,000 combinations (groups × resources × names × verbs): split it")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// API groups. `""` is the core group.
    #[schemars(length(min = 1, max = 20), inner(length(max = 253), regex(pattern = r"^[a-z0-9.-]*$")))]
    pub api_groups: Vec<String>,
    /// Resources, for example `deployments`, or `deployments/scale` for a subresource.
    #[schemars(
        length(min = 1, max = 50),
        inner(length(min = 1, max = 127), regex(pattern = r"^[a-zA-Z0-9][-_.:/a-zA-Z0-9]*$"))
    )]
    pub resources: Vec<String>,
    /// Limits the rule to objects with these names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253), regex(pattern = r"^[!-~]+$")))]
    pub resource_names: Option<Vec<String>>,
    /// Verbs, for example `get`, `list`, `bind`.
    #[schemars(
        length(min = 1, max = 20),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z0-9][-_.:a-zA-Z0-9]*$"))
    )]
    pub verbs: Vec<String>,
}

/// A native RBAC rule on cluster-scoped kinds or on non-resource URLs. The only wildcard allowed is a trailing `*` in a
/// URL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.nonResourceURLs) ? !has(self.apiGroups) && !has(self.resources) && !has(self.resourceNames) : has(self.apiGroups) && has(self.resources)")
        .message("a rule names either nonResourceURLs, or apiGroups and resources"),
    validation = Rule::new("(has(self.apiGroups) ? self.apiGroups.size() : 1) * (has(self.resources) ? self.resources.size() : 1) * (has(self.resourceNames) ? self.resourceNames.size() : 1) * self.verbs.size() <= 2000")
        .message("a rule has at most 2,000 combinations (groups × resources × names × verbs): split it")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPolicyRule {
    /// API groups. `""` is the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), inner(length(max = 253), regex(pattern = r"^[a-z0-9.-]*$")))]
    pub api_groups: Option<Vec<String>>,
    /// Resources, for example `deployments`, or `deployments/scale` for a subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 50),
        inner(length(min = 1, max = 127), regex(pattern = r"^[a-zA-Z0-9][-_.:/a-zA-Z0-9]*$"))
    )]
    pub resources: Option<Vec<String>>,
    /// Limits the rule to objects with these names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253), regex(pattern = r"^[!-~]+$")))]
    pub resource_names: Option<Vec<String>>,
    /// URL paths that are not resources, for example `/healthz`.
    #[serde(default, rename = "nonResourceURLs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 253), regex(pattern = r"^(/[!-~]*|[*])$")))]
    pub non_resource_urls: Option<Vec<String>>,
    /// Verbs, for example `get`, `list`, `bind`.
    #[schemars(
        length(min = 1, max = 20),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z0-9][-_.:a-zA-Z0-9]*$"))
    )]
    pub verbs: Vec<String>,
}
