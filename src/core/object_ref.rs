//! References to objects: the one type that identifies an object.
//!
//! ```
//! use bailiwick::api::ApiKind;
//! use bailiwick::core::object_ref::ObjectRef;
//!
//! let binding = ObjectRef::new(ApiKind::RoleBinding, "data-science", "readers");
//! assert_eq!(binding.path(), "RoleBinding/data-science/readers");
//! assert_eq!(ObjectRef::parse("RoleBinding/data-science/readers"), Some(binding));
//! assert_eq!(ObjectRef::parse("RoleBinding"), None);
//! ```

use std::fmt;

use super::Name;
use super::uid::Uid;
use crate::api::ApiKind;
use crate::api::kind::kinds;

kinds! {
    /// The native kinds that we write.
    pub enum NativeKind {
        /// Namespaced rules.
        Role,
        /// Namespaced grants.
        RoleBinding,
        /// Cluster-scoped rules.
        ClusterRole,
        /// Cluster-scoped grants.
        ClusterRoleBinding,
    }
}

/// An object, by kind, namespace and name. With `U = Uid`, only the object with this UID and no other of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef<K, U = ()> {
    /// The kind of the object.
    pub kind: K,
    /// Empty for cluster-scoped kinds.
    pub namespace: Name,
    /// The name of the object.
    pub name: Name,
    /// The UID, or nothing.
    pub uid: U,
}

/// A native object, by name.
pub type NativeRef = ObjectRef<NativeKind>;
/// An object of ours.
pub type ApiRef = ObjectRef<ApiKind, Uid>;

impl<K> ObjectRef<K> {
    /// The object of this name.
    pub fn new(kind: K, namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into(), uid: () }
    }
}

impl<K, U> ObjectRef<K, U> {
    /// The same, but only with this UID.
    pub fn with_uid(self, uid: impl Into<Uid>) -> ObjectRef<K, Uid> {
        ObjectRef { kind: self.kind, namespace: self.namespace, name: self.name, uid: uid.into() }
    }

    /// The same, as an object of another enum of kinds.
    pub fn with_kind<L>(self, kind: L) -> ObjectRef<L, U> {
        ObjectRef { kind, namespace: self.namespace, name: self.name, uid: self.uid }
    }
}

impl<K: Clone, U> ObjectRef<K, U> {
    /// The object of this name, whatever its UID.
    #[must_use]
    pub fn by_name(&self) -> ObjectRef<K> {
        ObjectRef::new(self.kind.clone(), self.namespace.clone(), self.name.clone())
    }
}

impl<K: fmt::Display, U> ObjectRef<K, U> {
    /// `Kind/namespace/name`, or `Kind/name`: the form of the annotation `bailiwick.dev/source`.
    #[must_use]
    pub fn path(&self) -> String {
        match &*self.namespace {
            "" => format!("{}/{}", self.kind, self.name),
            namespace => format!("{}/{namespace}/{}", self.kind, self.name),
        }
    }
}

impl ObjectRef<ApiKind> {
    /// Reads what [`ObjectRef::path`] writes.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.split_once('/')?;
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        let is_whole = !name.is_empty() && !name.contains('/') && (namespace.is_empty() != rest.contains('/'));
        let kind = ApiKind::named(kind).filter(|_| is_whole)?;
        Some(Self::new(kind, super::intern::name(namespace), super::intern::name(name)))
    }
}

/// The form for messages: `Kind namespace/name`, or `Kind/name`.
impl<K: fmt::Display, U> fmt::Display for ObjectRef<K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{}/{}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}
