//! Labels, annotations and names that Bailiwick writes to or reads from Kubernetes objects. Each is defined here once.

/// The field manager of every server-side apply, and the value of [`MANAGED_BY`] on native objects.
pub const FIELD_MANAGER: &str = "bailiwick";
/// The standard label by which the operator recognizes (and watches) the native objects that it wrote.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The standard label of everything that belongs to an installation.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Annotation on every native object: the object that it is generated from, as `Kind/name` or `Kind/namespace/name`.
pub const SOURCE: &str = "bailiwick.dev/source";
/// Label on a Namespace: the name of the organization that holds it (the record of a claim).
pub const ORGANIZATION: &str = "bailiwick.dev/organization";
/// Annotation on a Namespace: the UID of the Organization that holds it.
pub const ORGANIZATION_UID: &str = "bailiwick.dev/organization-uid";
/// Annotation on a Namespace: the last organization that held it. It stays after a release (removal of
/// [`ORGANIZATION`]).
pub const LAST_ORGANIZATION: &str = "bailiwick.dev/last-organization";
/// Annotation on a Namespace that changed hands: Bailiwick objects that are not younger than this are withheld.
pub const CLAIMED_AT: &str = "bailiwick.dev/claimed-at";
/// Annotation on a released Namespace: when the last grants of its former organization ended. It becomes [`CLAIMED_AT`]
/// of the next organization.
pub const VACATED_AT: &str = "bailiwick.dev/vacated-at";
/// Annotation on a Group, set by an admission policy: `"true"` if the Group's author may `bind` it.
pub const VOUCHED: &str = "bailiwick.dev/vouched";
/// Annotation on objects of the catalog's kinds, set by an admission policy: the username of the owner.
pub const OWNER: &str = "bailiwick.dev/owner";
/// Label on a User, set by an admission policy: the User is suspended, and the operator has not seen it yet.
pub const SUSPENSION: &str = "bailiwick.dev/suspension";
/// The ConfigMap with the names of suspended users.
pub const SUSPENDED_CONFIG_MAP: &str = "bailiwick-suspended";
/// Its keys.
pub const SUSPENDED_KEYS: [&str; 2] = ["names-0", "names-1"];

/// The ConfigMap with the decisions that a restore must bring back.
pub const DECISIONS_CONFIG_MAP: &str = "bailiwick-decisions";
/// Its key.
pub const DECISIONS_KEY: &str = "decisions.json";

/// The ceiling in organization namespaces: the native ClusterRole that the operator holds there.
pub const CEILING: &str = "bailiwick-grantable";
/// The ceiling of an organization that holds the release namespace, next to the operator's own objects.
pub const CEILING_HOME: &str = "bailiwick-grantable-home";
/// The ceiling for cluster-scoped kinds.
pub const CEILING_CLUSTER: &str = "bailiwick-grantable-cluster";
/// The ceiling in the release namespace.
pub const CEILING_RELEASE: &str = "bailiwick-grantable-release";

/// ConfigMap with the limits that the platform team sets: whitelist, catalog, release namespace.
pub const BOUNDS_CONFIG_MAP: &str = "bailiwick-bounds";
/// Its key.
pub const BOUNDS_KEY: &str = "bounds.yaml";
/// ConfigMap with the settings that site managers may change.
pub const SETTINGS_CONFIG_MAP: &str = "bailiwick-config";
/// Its key.
pub const SETTINGS_KEY: &str = "config.yaml";

/// ConfigMap with the admission policies as the chart installs them.
pub const POLICIES_CONFIG_MAP: &str = "bailiwick-policies";
/// The SiteRole that every user who is not suspended holds.
pub const MEMBER_ROLE: &str = "member";
/// The SiteRole that members of an organization hold by default.
pub const ORGANIZATION_MEMBER_ROLE: &str = "organization-member";
/// The chart's ClusterRole for the operator, and its bindings.
pub const OPERATOR_ROLE: &str = "bailiwick-operator";
/// The chart's ClusterRole with which the operator writes RBAC in a namespace, and its bindings.
pub const PROJECTOR_ROLE: &str = "bailiwick-projector";
