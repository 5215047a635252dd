//! Native RBAC objects as values: desired ones ([`Desired`]), observed ones ([`Observed`]), and the conversion to and
//! from the types of the Kubernetes API.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::Name;
use super::intern;
use super::names::PREFIX;
use super::object_ref::{ApiRef, NativeKind, NativeRef, ObjectRef};
use super::rules::Rule;
use super::uid::Uid;
use crate::api::ApiKind;
use crate::api::vocabulary::{FIELD_MANAGER, MANAGED_BY, SOURCE};
use crate::api::{GROUP, VERSION};

const RBAC: &str = "rbac.authorization.k8s.io";

/// One native subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A username.
    User(Name),
    /// A group as the identity provider asserts it.
    Group(Name),
    /// A native service account.
    ServiceAccount {
        /// Its namespace.
        namespace: Name,
        /// Its name.
        name: Name,
    },
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::User(name) => write!(f, "User {name:?}"),
            Subject::Group(name) => write!(f, "ExternalGroup {name:?}"),
            Subject::ServiceAccount { namespace, name } => write!(f, "ServiceAccount {namespace}/{name}"),
        }
    }
}

/// The content of a native object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RbacSpec {
    /// The rules of a Role or ClusterRole.
    Rules(Arc<[Rule]>),
    /// The content of a RoleBinding or ClusterRoleBinding.
    Binding {
        /// The Role of the same namespace, or the ClusterRole for a ClusterRoleBinding. We refer to no other kind.
        role: Name,
        /// Sorted.
        subjects: Arc<[Subject]>,
    },
}

/// A native object that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Its content.
    pub content: RbacSpec,
    /// The one object of ours that requests and owns it.
    pub source: ApiRef,
}

/// The native objects that one key should have.
pub type DesiredSet = BTreeMap<NativeRef, Desired>;

/// A native object that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its UID. Every write to it carries the UID, so that a late write cannot bring a deleted grant back.
    pub uid: Uid,
    /// Its resource version. Kubernetes guarantees the order since 1.35.
    pub version: u64,
    /// Its content; `None` if we would never write it (a foreign kind of role, for example).
    pub content: Option<RbacSpec>,
    /// Its owner.
    pub owner: Owner,
    /// The source in its annotation, if that is valid.
    pub origin: Option<ObjectRef<ApiKind>>,
    /// Whether it carries our label.
    pub labelled: bool,
    /// It has to be deleted and recreated: an update was refused.
    pub must_recreate: bool,
    /// It is being deleted, but still has somebody's finalizer: it grants until it is gone.
    pub terminating: bool,
}

/// The object whose deletion deletes a native object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// None.
    None,
    /// The object with this UID.
    One(Uid),
    /// Several: it would outlive the one that requested it.
    Several,
}

impl Observed {
    /// The object that requested it, according to its annotation and owner.
    #[must_use]
    pub fn source(&self) -> Option<ApiRef> {
        let (Owner::One(uid), Some(origin)) = (&self.owner, &self.origin) else { return None };
        Some(origin.clone().with_uid(uid.clone()))
    }

    /// Whether it is as desired.
    #[must_use]
    pub fn is_as(&self, native: &Desired) -> bool {
        !self.must_recreate && self.content.as_ref() == Some(&native.content) && self.described_as(&native.source)
    }

    /// Whether everything but the content is as desired.
    #[must_use]
    pub fn described_as(&self, source: &ApiRef) -> bool {
        self.labelled && self.source().is_some_and(|said| said == *source)
    }
}

/// A native object of the Kubernetes API.
#[derive(Clone, Debug)]
pub enum Object {
    /// A Role.
    Role(v1::Role),
    /// A RoleBinding.
    RoleBinding(v1::RoleBinding),
    /// A ClusterRole.
    ClusterRole(v1::ClusterRole),
    /// A ClusterRoleBinding.
    ClusterRoleBinding(v1::ClusterRoleBinding),
}

/// The metadata of an object of any of the four kinds.
#[must_use]
pub fn metadata(object: &Object) -> &ObjectMeta {
    match object {
        Object::Role(o) => &o.metadata,
        Object::RoleBinding(o) => &o.metadata,
        Object::ClusterRole(o) => &o.metadata,
        Object::ClusterRoleBinding(o) => &o.metadata,
    }
}

/// Whether the operator may treat this object as its own: by label or owner, and by name.
#[must_use]
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let named = metadata.name.as_deref().is_some_and(|name| name.starts_with(PREFIX));
    let labelled = metadata.labels.as_ref().and_then(|l| l.get(MANAGED_BY)).is_some_and(|value| value == FIELD_MANAGER);
    let owned = metadata
        .owner_references
        .iter()
        .flatten()
        .any(|o| o.api_version.split_once('/').is_some_and(|(group, _)| group == GROUP));
    named && (labelled || owned)
}

/// Builds the object of the Kubernetes API.
#[must_use]
pub fn to_object(key: &NativeRef, native: &Desired, uid: Option<&Uid>) -> Object {
    let source = &native.source;
    let metadata = ObjectMeta {
        name: Some(key.name.to_string()),
        namespace: (!key.namespace.is_empty()).then(|| key.namespace.to_string()),
        uid: uid.map(ToString::to_string),
        labels: Some([(MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned())].into()),
        annotations: Some([(SOURCE.to_owned(), source.path())].into()),
        // No blockOwnerDeletion: it needs rights that the operator does not have, and deletion has to revoke.
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: source.kind.to_string(),
            name: source.name.to_string(),
            uid: source.uid.to_string(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    };
    match (&native.content, key.kind) {
        (RbacSpec::Rules(rules), NativeKind::ClusterRole | NativeKind::ClusterRoleBinding) => {
            Object::ClusterRole(v1::ClusterRole { metadata, rules: Some(to_rules(rules)), aggregation_rule: None })
        }
        (RbacSpec::Rules(rules), _) => Object::Role(v1::Role { metadata, rules: Some(to_rules(rules)) }),
        (RbacSpec::Binding { role, subjects }, NativeKind::ClusterRole | NativeKind::ClusterRoleBinding) => {
            Object::ClusterRoleBinding(v1::ClusterRoleBinding {
                metadata,
                role_ref: role_ref("ClusterRole", role),
                subjects: Some(subjects.iter().map(to_subject).collect()),
            })
        }
        (RbacSpec::Binding { role, subjects }, _) => Object::RoleBinding(v1::RoleBinding {
            metadata,
            role_ref: role_ref("Role", role),
            subjects: Some(subjects.iter().map(to_subject).collect()),
        }),
    }
}

fn role_ref(kind: &str, name: &Name) -> v1::RoleRef {
    v1::RoleRef { api_group: Some(RBAC.to_owned()), kind: kind.to_owned(), name: name.to_string() }
}

/// Writes native rules.
#[must_use]
pub fn to_rules(rules: &[Rule]) -> Vec<v1::PolicyRule> {
    let list = |names: &[Name]| (!names.is_empty()).then(|| names.iter().map(ToString::to_string).collect());
    rules
        .iter()
        .map(|rule| v1::PolicyRule {
            api_groups: list(&rule.groups),
            resources: list(&rule.resources),
            resource_names: list(&rule.names),
            non_resource_urls: list(&rule.paths),
            verbs: rule.verbs.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

fn to_subject(grantee: &Subject) -> v1::Subject {
    let subject = |kind: &str, name: &Name| v1::Subject {
        api_group: Some(RBAC.to_owned()),
        kind: kind.to_owned(),
        name: name.to_string(),
        namespace: None,
    };
    match grantee {
        Subject::User(name) => subject("User", name),
        Subject::Group(name) => subject("Group", name),
        Subject::ServiceAccount { namespace, name } => v1::Subject {
            api_group: None,
            kind: "ServiceAccount".to_owned(),
            name: name.to_string(),
            namespace: Some(namespace.to_string()),
        },
    }
}

/// Reads native rules.
#[must_use]
pub fn from_rules(rules: &[v1::PolicyRule]) -> Vec<Rule> {
    let list = |names: &Option<Vec<String>>| names.iter().flatten().map(|n| intern::name(n)).collect();
    rules
        .iter()
        .map(|rule| Rule {
            groups: list(&rule.api_groups),
            resources: list(&rule.resources),
            names: list(&rule.resource_names),
            paths: list(&rule.non_resource_urls),
            verbs: rule.verbs.iter().map(|v| intern::name(v)).collect(),
        })
        .collect()
}

/// Reads a native object from the API server; `None` if it lacks fields that every stored object has.
#[must_use]
pub fn observe(object: &Object) -> Option<(NativeRef, Observed)> {
    let (kind, metadata, content) = match object {
        Object::Role(o) => (NativeKind::Role, &o.metadata, observed_rules(o.rules.as_deref())),
        Object::ClusterRole(o) => {
            let rules = if o.aggregation_rule.is_some() { None } else { observed_rules(o.rules.as_deref()) };
            (NativeKind::ClusterRole, &o.metadata, rules)
        }
        Object::RoleBinding(o) => {
            (NativeKind::RoleBinding, &o.metadata, observed_binding("Role", &o.role_ref, o.subjects.as_deref()))
        }
        Object::ClusterRoleBinding(o) => (
            NativeKind::ClusterRoleBinding,
            &o.metadata,
            observed_binding("ClusterRole", &o.role_ref, o.subjects.as_deref()),
        ),
    };
    let key = NativeRef::new(
        kind,
        intern::name(metadata.namespace.as_deref().unwrap_or_default()),
        metadata.name.as_deref()?,
    );
    let owner = match metadata.owner_references.as_deref() {
        Some([only]) => Owner::One(only.uid.as_str().into()),
        None | Some([]) => Owner::None,
        Some(_) => Owner::Several,
    };
    let observed = Observed {
        uid: metadata.uid.as_deref()?.into(),
        version: metadata.resource_version.as_deref()?.parse().ok()?,
        content,
        owner,
        origin: metadata.annotations.as_ref().and_then(|a| a.get(SOURCE)).and_then(|path| ObjectRef::parse(path)),
        labelled: metadata.labels.as_ref().and_then(|l| l.get(MANAGED_BY)).is_some_and(|v| v == FIELD_MANAGER),
        must_recreate: false,
        terminating: metadata.deletion_timestamp.is_some(),
    };
    Some((key, observed))
}

fn observed_rules(rules: Option<&[v1::PolicyRule]>) -> Option<RbacSpec> {
    Some(RbacSpec::Rules(intern::rules(&from_rules(rules.unwrap_or_default()))))
}

fn observed_binding(kind: &str, role: &v1::RoleRef, subjects: Option<&[v1::Subject]>) -> Option<RbacSpec> {
    if role.kind != kind {
        return None;
    }
    let grantees: Option<Vec<Subject>> = subjects.unwrap_or_default().iter().map(from_subject).collect();
    Some(RbacSpec::Binding { role: intern::name(&role.name), subjects: grantees?.into() })
}

fn from_subject(subject: &v1::Subject) -> Option<Subject> {
    let name = intern::name(&subject.name);
    match (subject.kind.as_str(), &subject.namespace) {
        ("User", None) => Some(Subject::User(name)),
        ("Group", None) => Some(Subject::Group(name)),
        ("ServiceAccount", Some(namespace)) => {
            Some(Subject::ServiceAccount { namespace: intern::name(namespace), name })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_source_writes_and_nothing_else() {
        let said = |path: &str| Some(ObjectRef::parse(path)?.path());
        for path in ["Organization/a", "SiteRole/a.b", "RoleBinding/n/a", "Group/n/a"] {
            assert_eq!(said(path).as_deref(), Some(path));
        }
        for path in
            ["", "/", "Organization", "Organization/", "RoleBinding//a", "RoleBinding/n/", "Group/n/a/b", "Pod/n/a"]
        {
            assert_eq!(said(path), None, "{path}");
        }
    }
}
