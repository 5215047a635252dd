//! What a role may say: permissions in words of the catalog, and native policy rules.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One sentence of a role: these actions on this resource of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.names) || !self.actions.exists(a, a == 'create')")
        .message("names cannot go with create: an object has no name before it exists"),
    validation = Rule::new("!has(self.scope) || self.scope != 'Own' || !self.actions.exists(a, a == 'create' || a == 'list')")
        .message("scope Own goes with read, update, delete and use: create is never limited to own objects, and list shows all")
)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// A word of the catalog, for example `workspaces`. `kubectl get configmap bailiwick-bounds` in the release namespace shows the catalog.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub resource: String,
    /// What may be done. `read` is get, list and watch; `list` is list and watch only; `update` is update and patch;
    /// `delete` includes deletecollection; `use` is exec, attach and port-forward. `read` never reaches those.
    #[schemars(length(min = 1, max = 6))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub actions: Vec<Action>,
    /// `All` objects (which is the default), or only the holder's `Own` ones. `Own` is not enabled yet: such a permission is withheld.
    #[serde(default)]
    pub scope: Scope,
    /// Only the objects of these names. Not with `create`.
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
    #[allow(missing_docs)]
    Create,
    #[allow(missing_docs)]
    Read,
    #[allow(missing_docs)]
    List,
    #[allow(missing_docs)]
    Update,
    #[allow(missing_docs)]
    Delete,
    #[allow(missing_docs)]
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

/// Whose objects a permission is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Scope {
    #[allow(missing_docs)]
    #[default]
    All,
    #[allow(missing_docs)]
    Own,
}

/// A native rule on namespaced kinds, for what the catalog does not name. No wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("self.apiGroups.size() * self.resources.size() * (has(self.resourceNames) ? self.resourceNames.size() : 1) * self.verbs.size() <= 2000")
        .message("a rule says at most 2,000 things (groups × resources × names × verbs): split it")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// API groups; `""` is the core group.
    #[schemars(length(min = 1, max = 20), inner(length(max = 253), regex(pattern = r"^[a-z0-9.-]*$")))]
    pub api_groups: Vec<String>,
    /// Resources, with `/subresource` where one is meant.
    #[schemars(
        length(min = 1, max = 50),
        inner(length(min = 1, max = 127), regex(pattern = r"^[a-zA-Z0-9][-_.:/a-zA-Z0-9]*$"))
    )]
    pub resources: Vec<String>,
    /// Only the objects of these names.
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

/// A native rule on cluster-scoped kinds, or on paths that are no resources. No wildcards but a trailing `*` of a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.nonResourceURLs) ? !has(self.apiGroups) && !has(self.resources) && !has(self.resourceNames) : has(self.apiGroups) && has(self.resources)")
        .message("a rule names either nonResourceURLs, or apiGroups and resources"),
    validation = Rule::new("(has(self.apiGroups) ? self.apiGroups.size() : 1) * (has(self.resources) ? self.resources.size() : 1) * (has(self.resourceNames) ? self.resourceNames.size() : 1) * self.verbs.size() <= 2000")
        .message("a rule says at most 2,000 things (groups × resources × names × verbs): split it")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPolicyRule {
    /// API groups; `""` is the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), inner(length(max = 253), regex(pattern = r"^[a-z0-9.-]*$")))]
    pub api_groups: Option<Vec<String>>,
    /// Resources, with `/subresource` where one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 50),
        inner(length(min = 1, max = 127), regex(pattern = r"^[a-zA-Z0-9][-_.:/a-zA-Z0-9]*$"))
    )]
    pub resources: Option<Vec<String>>,
    /// Only the objects of these names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 253), regex(pattern = r"^[!-~]+$")))]
    pub resource_names: Option<Vec<String>>,
    /// Paths, for example `/healthz`.
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
