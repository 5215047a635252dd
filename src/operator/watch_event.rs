//! What watches tell the engine: kinds, objects and events.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ConfigMap;
use tokio::sync::oneshot;

use crate::api::ApiKind;
use crate::api::kind::kinds;
use crate::core::Name;
use crate::core::cache::CeilingScope;
use crate::core::catalog::{Bounds, Settings};
use crate::core::kept::Kept;
use crate::core::object_ref::{NativeKind, NativeRef, ObjectRef};
use crate::core::rbac::Observed;
use crate::core::records::{self, Meta};
use crate::core::rules::Ceiling;
use crate::core::uid::Uid;
use crate::core::{own_objects, owned, policies};

kinds! {
    /// What is watched.
    pub enum Kind {
        /// Organizations.
        Organization,
        /// Users.
        User,
        /// Groups.
        Group,
        /// RoleBindings of ours.
        RoleBinding,
        /// CustomRoles.
        CustomRole,
        /// SiteRoles.
        SiteRole,
        /// SiteRoleBindings.
        SiteRoleBinding,
        /// Native Namespaces.
        Namespace,
        /// Native Roles.
        NativeRole,
        /// Native RoleBindings.
        NativeRoleBinding,
        /// Native ClusterRoles.
        NativeClusterRole,
        /// Native ClusterRoleBindings.
        NativeClusterRoleBinding,
        /// The ceiling of organizations' namespaces.
        Ceiling,
        /// The ceiling of an organization in the release namespace.
        CeilingHome,
        /// The ceiling of the cluster scope.
        CeilingCluster,
        /// The ceiling of the site in the release namespace.
        CeilingRelease,
        /// The ConfigMap with the bounds.
        Bounds,
        /// The ConfigMap with the settings.
        Settings,
        /// The list of suspended users.
        Suspended,
        /// The record of decisions.
        Kept,
        /// The chart's admission policies.
        Policies,
    }
}

/// What a kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One of ours.
    Api(ApiKind),
    /// Native RBAC.
    Native(NativeKind),
    /// A native Namespace.
    Namespace,
    /// A ClusterRole that says what may be granted at most.
    Ceiling(CeilingScope),
    /// A ConfigMap, or what it names.
    Configuration,
}

impl Kind {
    /// What it is.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Organization => Class::Api(ApiKind::Organization),
            Self::User => Class::Api(ApiKind::User),
            Self::Group => Class::Api(ApiKind::Group),
            Self::RoleBinding => Class::Api(ApiKind::RoleBinding),
            Self::CustomRole => Class::Api(ApiKind::CustomRole),
            Self::SiteRole => Class::Api(ApiKind::SiteRole),
            Self::SiteRoleBinding => Class::Api(ApiKind::SiteRoleBinding),
            Self::NativeRole => Class::Native(NativeKind::Role),
            Self::NativeRoleBinding => Class::Native(NativeKind::RoleBinding),
            Self::NativeClusterRole => Class::Native(NativeKind::ClusterRole),
            Self::NativeClusterRoleBinding => Class::Native(NativeKind::ClusterRoleBinding),
            Self::Namespace => Class::Namespace,
            Self::Ceiling => Class::Ceiling(CeilingScope::Organization),
            Self::CeilingHome => Class::Ceiling(CeilingScope::Home),
            Self::CeilingCluster => Class::Ceiling(CeilingScope::Cluster),
            Self::CeilingRelease => Class::Ceiling(CeilingScope::Release),
            Self::Bounds | Self::Settings | Self::Suspended | Self::Kept | Self::Policies => Class::Configuration,
        }
    }
}

impl From<CeilingScope> for Kind {
    fn from(scope: CeilingScope) -> Self {
        match scope {
            CeilingScope::Organization => Self::Ceiling,
            CeilingScope::Home => Self::CeilingHome,
            CeilingScope::Cluster => Self::CeilingCluster,
            CeilingScope::Release => Self::CeilingRelease,
        }
    }
}

impl From<ApiKind> for Kind {
    fn from(kind: ApiKind) -> Self {
        match kind {
            ApiKind::Organization => Self::Organization,
            ApiKind::User => Self::User,
            ApiKind::Group => Self::Group,
            ApiKind::RoleBinding => Self::RoleBinding,
            ApiKind::CustomRole => Self::CustomRole,
            ApiKind::SiteRole => Self::SiteRole,
            ApiKind::SiteRoleBinding => Self::SiteRoleBinding,
        }
    }
}

/// An object that is watched.
pub type WatchedRef = ObjectRef<Kind, Uid>;

impl From<NativeKind> for Kind {
    fn from(kind: NativeKind) -> Self {
        match kind {
            NativeKind::Role => Self::NativeRole,
            NativeKind::RoleBinding => Self::NativeRoleBinding,
            NativeKind::ClusterRole => Self::NativeClusterRole,
            NativeKind::ClusterRoleBinding => Self::NativeClusterRoleBinding,
        }
    }
}

/// What a watch tells the engine.
#[derive(Debug)]
pub enum WatchEvent {
    /// A list of all objects of this kind follows, which shows everything up to this version at least.
    Restarted(Kind, u64),
    /// That list is complete: what was not in it is gone.
    Synced(Kind),
    /// An object, new or changed.
    Item(Box<Item>),
    /// An object is gone.
    Gone(WatchedRef),
    /// A list of what is there, to be compared with what was seen.
    Compared(Comparison),
    /// Owners of objects.
    Owners(Box<OwnersSeen>),
}

/// Owners of objects of one kind in a namespace.
#[derive(Debug)]
pub struct OwnersSeen {
    /// The namespace.
    pub namespace: Name,
    /// The request to watch them.
    pub request: u64,
    /// The kind.
    pub kind: own_objects::Kind,
    /// What has changed.
    pub change: owned::Change,
}

impl OwnersSeen {
    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match &self.change {
            owned::Change::List(list) => list.iter().map(|(name, owner)| name.len() + owner.len() + 64).sum(),
            owned::Change::One(name, _) => name.len(),
        }
    }
}

/// An object, parsed.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Item {
    Organization(records::Organization),
    User(records::User),
    Group(records::Group),
    RoleBinding(records::Binding),
    CustomRole(records::Role),
    SiteRole(records::Role),
    SiteRoleBinding(records::Binding),
    Namespace(records::Namespace),
    Native(NativeRef, Observed),
    /// With the UID of its ClusterRole.
    Ceiling(CeilingScope, Ceiling, Uid),
    Bounds(Bounds),
    Settings(Settings),
    /// Whether a ConfigMap of the chart can be read.
    Configuration {
        map: &'static str,
        /// Empty when there is none.
        uid: Uid,
        /// Why not.
        fault: Option<String>,
    },
    Suspended(OwnConfigMap),
    /// The record of decisions, and what it says.
    Kept(OwnConfigMap, Kept),
    /// The state of the admission policies; `None` when nothing says how they should be.
    Policies(Option<policies::Report>),
}

impl Item {
    /// What is known of it as an object of ours.
    #[must_use]
    pub fn meta(&self) -> Option<(ApiKind, &Meta)> {
        Some(match self {
            Item::Organization(organization) => (ApiKind::Organization, &organization.meta),
            Item::User(user) => (ApiKind::User, &user.meta),
            Item::Group(group) => (ApiKind::Group, &group.meta),
            Item::RoleBinding(binding) => (ApiKind::RoleBinding, &binding.meta),
            Item::CustomRole(role) => (ApiKind::CustomRole, &role.meta),
            Item::SiteRole(role) => (ApiKind::SiteRole, &role.meta),
            Item::SiteRoleBinding(binding) => (ApiKind::SiteRoleBinding, &binding.meta),
            Item::Namespace(_)
            | Item::Native(..)
            | Item::Ceiling(..)
            | Item::Bounds(_)
            | Item::Settings(_)
            | Item::Configuration { .. }
            | Item::Suspended(_)
            | Item::Kept(..)
            | Item::Policies(_) => return None,
        })
    }

    /// Its resource version; `None` if it does not matter.
    pub(super) fn version(&self) -> Option<u64> {
        match self {
            Item::Namespace(namespace) => Some(namespace.version),
            Item::Native(_, observed) => Some(observed.version),
            Item::Suspended(list) => Some(list.version),
            Item::Organization(_)
            | Item::User(_)
            | Item::Group(_)
            | Item::RoleBinding(_)
            | Item::CustomRole(_)
            | Item::SiteRole(_)
            | Item::SiteRoleBinding(_)
            | Item::Ceiling(..)
            | Item::Bounds(_)
            | Item::Settings(_)
            | Item::Configuration { .. }
            | Item::Kept(..)
            | Item::Policies(_) => self.meta().map(|(_, meta)| meta.version),
        }
    }

    /// The object's reference; `None` if its version does not matter.
    pub(super) fn id(&self) -> Option<WatchedRef> {
        let cluster = |kind, name: Name, uid: Uid| ObjectRef::new(kind, Name::default(), name).with_uid(uid);
        Some(match self {
            Item::Namespace(namespace) => cluster(Kind::Namespace, namespace.name.clone(), namespace.uid.clone()),
            Item::Native(object, known) => object.clone().with_kind(object.kind.into()).with_uid(known.uid.clone()),
            Item::Ceiling(scope, ..) => cluster((*scope).into(), Name::default(), Uid::default()),
            Item::Suspended(list) => cluster(Kind::Suspended, Name::default(), list.uid.clone()),
            Item::Kept(map, _) => cluster(Kind::Kept, Name::default(), map.uid.clone()),
            Item::Bounds(_) | Item::Settings(_) | Item::Configuration { .. } | Item::Policies(_) => return None,
            Item::Organization(_)
            | Item::User(_)
            | Item::Group(_)
            | Item::RoleBinding(_)
            | Item::CustomRole(_)
            | Item::SiteRole(_)
            | Item::SiteRoleBinding(_) => {
                let (kind, meta) = self.meta()?;
                meta.source(kind).with_kind(kind.into())
            }
        })
    }

    /// Its kind and resource version; `None` if its version does not matter.
    pub(super) fn kind_and_version(&self) -> Option<(Kind, u64)> {
        Some((self.id()?.kind, self.version()?))
    }

    /// The digest of its status.
    pub(super) fn status_digest(&self) -> Option<u64> {
        self.meta().map(|(_, meta)| meta.status.digest)
    }

    /// Marks this as the state right after a change. The object in a list or in the answer to a write may have been
    /// changed earlier.
    pub fn is_event(&mut self) {
        let meta = match self {
            Item::Organization(organization) => &mut organization.meta,
            Item::User(user) => &mut user.meta,
            Item::Group(group) => &mut group.meta,
            Item::RoleBinding(binding) | Item::SiteRoleBinding(binding) => &mut binding.meta,
            Item::CustomRole(role) | Item::SiteRole(role) => &mut role.meta,
            Item::Namespace(_)
            | Item::Native(..)
            | Item::Ceiling(..)
            | Item::Bounds(_)
            | Item::Settings(_)
            | Item::Configuration { .. }
            | Item::Suspended(_)
            | Item::Kept(..)
            | Item::Policies(_) => return,
        };
        meta.written_version = meta.version;
    }
}

/// A ConfigMap that the operator writes (the list of suspended users, the record of decisions), as it is.
#[derive(Clone, Debug)]
pub struct OwnConfigMap {
    /// The UID.
    pub uid: Uid,
    /// The resource version.
    pub version: u64,
    /// Of its texts.
    pub digest: u64,
}

impl OwnConfigMap {
    /// Describes a ConfigMap with texts under these keys.
    pub(super) fn of<const N: usize>(map: &ConfigMap, keys: [&str; N]) -> Self {
        let data = map.data.as_ref();
        let texts: Vec<&str> =
            keys.iter().map(|key| data.and_then(|data| data.get(*key)).map_or("", String::as_str)).collect();
        Self {
            uid: map.metadata.uid.as_ref().into(),
            version: records::version(&map.metadata),
            digest: records::digest(&texts),
        }
    }
}

/// The resource versions of objects that differ; zero for a missing one.
pub type Versions = HashMap<WatchedRef, u64>;

/// A list of a kind for the engine to compare.
#[derive(Debug)]
pub struct Comparison {
    /// The listed kind.
    pub kind: Kind,
    /// Every listed object.
    pub listed: Versions,
    /// The differences from the first list, if this is the second.
    pub before: Option<Versions>,
    /// Returns the differences; for the second list, those that remain.
    pub answer: oneshot::Sender<Versions>,
}
