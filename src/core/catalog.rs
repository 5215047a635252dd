//! The catalog: the meaning of each product word (`workspaces`, `templates`, …) in this cluster, and the native verbs
//! of each action. It comes from the chart's values through the ConfigMap `bailiwick-bounds`.
//!
//! ```
//! use bailiwick::core::catalog::{Bounds, Target};
//!
//! let bounds = Bounds::parse(
//!     "
//!     releaseNamespace: bailiwick-system
//!     namespaceWhitelist: [data-science]
//!     catalog:
//!       workspaces: {rules: {pods: {apiGroups: [''], resources: [pods]}}}
//!     ",
//! )?;
//! let permission = serde_yaml::from_str("{resource: workspaces, actions: [read]}")?;
//!
//! let (target, rules) = bounds.rules(&permission).expect("the catalog has this word");
//! assert_eq!((target, &*rules[0].resources), (Target::Organization, &["pods".into()][..]));
//! assert_eq!(rules[0].verbs, ["get", "list", "watch"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::rules::Rule;
use super::{Name, text};
use crate::api::{Action, Permission};

/// The longest text of [`Bounds`], in bytes. The chart's catalog takes 10,000, a whitelisted namespace at most 70, and
/// a ConfigMap holds a million.
const LONGEST_BOUNDS: usize = 512 * 1024;
/// The longest text of [`Settings`], in bytes.
const LONGEST_SETTINGS: usize = 16 * 1024;

/// The bounds that the platform team sets.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bounds {
    /// Where the chart is installed; also the default namespace.
    #[serde(deserialize_with = "some_name")]
    pub release_namespace: String,
    /// The namespaces that organizations may hold.
    pub namespace_whitelist: BTreeSet<String>,
    /// Whether the admission policy is installed that notes on a Group whether its author may bind it. Without the
    /// policy anybody could write that note, so the operator ignores it.
    #[serde(default)]
    pub groups_are_vouched: bool,
    /// Each word and its meaning.
    pub catalog: BTreeMap<String, Word>,
}

/// Settings that site managers may tune.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Settings for users.
    pub users: UserSettings,
}

/// Settings for users.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UserSettings {
    /// The number of days without activity after which a user is dormant.
    pub dormant_after_days: u32,
    /// Whether users who belong to no organization are members of the default one.
    pub join_default_organization: bool,
}

impl Default for UserSettings {
    fn default() -> Self {
        Self { dormant_after_days: 90, join_default_organization: true }
    }
}

/// Where the objects of a word live.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// In each organization's namespace.
    #[default]
    Organization,
    /// Cluster-scoped.
    Cluster,
    /// In the release namespace.
    Release,
}

/// One word of the catalog.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Word {
    /// Where its objects live.
    #[serde(default)]
    pub target: Target,
    /// Whether an organization that holds the release namespace may get it there, beside the operator.
    #[serde(default = "yes")]
    pub in_release_namespace: bool,
    /// The meaning, by a key that only serves to change or remove one entry in the chart's values.
    #[serde(default)]
    pub rules: BTreeMap<String, Entry>,
}

/// One kind, or a few similar ones, that a word stands for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// API groups.
    pub api_groups: Vec<String>,
    /// Resources.
    pub resources: Vec<String>,
    /// Only these objects.
    #[serde(default)]
    pub resource_names: Vec<String>,
    /// Where these kinds have templates of other objects. Only the chart's admission policies use it.
    #[serde(default)]
    pub templates: Vec<String>,
    /// The actions that may be granted at all.
    #[serde(default = "everything_but_use")]
    pub actions: BTreeSet<Action>,
}

/// An empty release namespace would turn grants there into cluster-wide ones.
fn some_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() { Err(D::Error::custom("releaseNamespace is empty")) } else { Ok(name) }
}

fn yes() -> bool {
    true
}

fn everything_but_use() -> BTreeSet<Action> {
    [Action::Create, Action::Read, Action::Update, Action::Delete].into()
}

impl Bounds {
    /// Parses the ConfigMap's text.
    ///
    /// # Errors
    /// When it is too long, too deep, or not YAML of this shape; the message names line and field.
    pub fn parse(text: &str) -> Result<Self, text::Error> {
        text::read(text, LONGEST_BOUNDS)
    }

    /// The catalog's part of a ceiling: everything that permissions on the selected words could mean.
    pub fn ceiling(&self, is_part: impl Fn(&Word) -> bool) -> Vec<Rule> {
        let words = self.catalog.values().filter(|word| is_part(word));
        words.flat_map(|word| word.rules.values()).map(Entry::everything).collect()
    }

    /// The meaning of a permission, and where it applies. `None` if the catalog lacks the word. Empty rules are left
    /// out.
    #[must_use]
    pub fn rules(&self, permission: &Permission) -> Option<(Target, Vec<Rule>)> {
        let word = self.catalog.get(&permission.resource)?;
        let rules = word.rules.values().map(|entry| entry.rule(permission)).filter(|rule| rule.size() > 0).collect();
        Some((word.target, rules))
    }
}

impl Word {
    /// Whether any of its entries supports an action.
    #[must_use]
    pub fn allows(&self, action: Action) -> bool {
        self.rules.values().any(|entry| entry.allows(action))
    }
}

impl Settings {
    /// Parses the ConfigMap's text.
    ///
    /// # Errors
    /// When it is too long, too deep, or not YAML of this shape; the message names line and field.
    pub fn parse(text: &str) -> Result<Self, text::Error> {
        text::read(text, LONGEST_SETTINGS)
    }
}

impl Entry {
    /// Its kinds, by API group and resource.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        self.api_groups.iter().flat_map(|group| self.resources.iter().map(|kind| (group.as_str(), kind.as_str())))
    }

    /// The objects that a permission covers; empty is every object. `None` if it covers none.
    pub(super) fn names(&self, permission: &Permission) -> Option<Vec<Name>> {
        let asked = permission.names.as_deref().unwrap_or_default();
        let names: Vec<&String> = match (asked, self.resource_names.as_slice()) {
            ([], names) | (names, []) => names.iter().collect(),
            (asked, bound) => asked.iter().filter(|name| bound.contains(name)).collect(),
        };
        let named = !asked.is_empty() || !self.resource_names.is_empty();
        (!named || !names.is_empty()).then(|| names.into_iter().map(|name| Name::from(name.as_str())).collect())
    }

    fn rule(&self, permission: &Permission) -> Rule {
        let Some(names) = self.names(permission) else { return Rule::default() };
        let named = !names.is_empty();
        let verbs: BTreeSet<&str> =
            permission.actions.iter().filter(|a| self.allows(**a)).flat_map(|a| verbs(*a, named)).copied().collect();
        let list = |strings: &[String]| strings.iter().map(|s| Name::from(s.as_str())).collect();
        Rule {
            groups: list(&self.api_groups),
            resources: list(&self.resources),
            names,
            paths: Vec::new(),
            verbs: verbs.into_iter().map(Name::from).collect(),
        }
    }

    fn everything(&self) -> Rule {
        let list = |strings: &[String]| strings.iter().map(|s| Name::from(s.as_str())).collect();
        let verbs: BTreeSet<&str> = self.actions.iter().flat_map(|a| verbs(*a, false)).copied().collect();
        Rule {
            groups: list(&self.api_groups),
            resources: list(&self.resources),
            names: list(&self.resource_names),
            paths: Vec::new(),
            verbs: verbs.into_iter().map(Name::from).collect(),
        }
    }

    pub(super) fn allows(&self, action: Action) -> bool {
        self.actions.contains(&action) || (action == Action::List && self.actions.contains(&Action::Read))
    }
}

/// The native verbs of an action. With a name there is no create (the object has no name yet) and no deletecollection
/// (a name would not limit it).
pub(super) fn verbs(action: Action, named: bool) -> &'static [&'static str] {
    match (action, named) {
        (Action::Create, true) => &[],
        (Action::Create, false) => &["create"],
        (Action::Read, _) => &["get", "list", "watch"],
        (Action::List, _) => &["list", "watch"],
        (Action::Update, _) => &["update", "patch"],
        (Action::Delete, true) => &["delete"],
        (Action::Delete, false) => &["delete", "deletecollection"],
        // The client and its protocol decide whether a connect request needs `get` or `create`.
        (Action::Use, _) => &["get", "create"],
    }
}
