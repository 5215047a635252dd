//! The contract: the seven kinds of `bailiwick.dev/v1alpha1`, one file each, and the vocabulary that they share.
//!
//! These types are *loose*: they hold whatever the API server accepted. [`crate::core`] turns them into validated
//! records before it decides anything. The CRDs in `crds/` and in the chart are generated from these types, and
//! `kubectl explain` shows their doc comments. Write those for the person who writes the YAML.

#![allow(clippy::duplicated_attributes, reason = "clippy takes two print columns of one type for a repetition")]

pub mod conditions;
pub mod crds;
mod custom_role;
mod group;
pub(crate) mod kind;
mod organization;
mod role_binding;
mod rules;
mod site_role;
mod site_role_binding;
pub(crate) mod time;
mod user;
pub mod vocabulary;

pub use custom_role::{CustomRole, CustomRoleSpec, RoleStatus};
pub use group::{Group, GroupSpec, GroupStatus};
pub use kind::ApiKind;
pub use organization::{Organization, OrganizationSpec, OrganizationStatus};
pub use role_binding::{BindingStatus, RoleBinding, RoleBindingSpec, RoleKind, RoleRef, Subject, SubjectKind};
pub use rules::{Action, ClusterPolicyRule, Permission, PolicyRule, Scope};
pub use site_role::{Place, SiteRole, SiteRoleSpec, SiteRoleStatus};
pub use site_role_binding::{
    SiteRoleBinding, SiteRoleBindingSpec, SiteRoleKind, SiteRoleRef, SiteSubject, SiteSubjectKind,
};
pub use user::{User, UserSpec, UserState, UserStatus};

/// The API group of every kind in this module.
pub const GROUP: &str = "bailiwick.dev";
/// The only version so far.
pub const VERSION: &str = "v1alpha1";
