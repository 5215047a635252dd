//! Condition types and reasons: the one vocabulary in which Bailiwick says why.
//!
//! The tables in `docs/reference/conditions.md` are generated from here, and Events and metrics use the same words.

/// Declares an enum of words with their documentation, so that the docs' tables and the code cannot drift apart.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $word:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $doc])+ $word,)+ }

        impl $name {
            /// Every word, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$word,)+];

            /// The word as it stands in the API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$word => stringify!($word),)+ }
            }

            /// What it means, for the reference tables.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $($name::$word => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// The types of our conditions. All are positive: `True` is good news, but for `Default`, which is neutral.
    ConditionType {
        /// Everything that the object asks for, and may have, is in effect in native RBAC.
        Ready,
        /// Organization: it holds its namespace.
        NamespaceAssigned,
        /// Organization: it is the default organization.
        Default,
        /// Organization: its member role resolves to a role that can be assigned there.
        MemberRoleResolved,
        /// Organization: every object in its namespace counts; none is beyond a documented limit.
        WithinLimits,
        /// The default Organization: the admission policies that the chart installed are as it installed them.
        PoliciesInPlace,
        /// The default Organization: the operator can read its ConfigMaps, and follows them.
        ConfigurationRead,
        /// User: this object is the one that speaks for its username.
        UsernameAccepted,
        /// Group: every member is a known user who is not suspended.
        MembersKnown,
        /// RoleBinding, SiteRoleBinding: the role exists and may be assigned here.
        RoleResolved,
        /// RoleBinding, SiteRoleBinding: every subject that is asked for is granted the role (what a Group withholds of its members is said by the Group).
        SubjectsResolved,
        /// CustomRole, SiteRole: every permission means something in this cluster and at this scope.
        PermissionsResolved,
        /// CustomRole, SiteRole: every rule is inside of what Bailiwick may grant.
        Ceiling,
        /// CustomRole, SiteRole: every inherited role exists, fits and leads to no cycle.
        InheritsResolved,
    }
}

words! {
    /// Why a condition has its status, and why something is withheld.
    Reason {
        /// All is in effect.
        Reconciled,
        /// Some of what was asked for is withheld; other conditions of the object say what and why.
        PartlyWithheld,
        /// Nothing of what was asked for is granted; other conditions of the object say why.
        NothingGranted,
        /// The API server refused a write that this needs; it is retried.
        RefusedByApiServer,
        /// The API server stored a native object otherwise than it was written: the cluster's own admission changes it. It is retried.
        ChangedByAdmission,
        /// A native object that is not ours already has the name that ours would have.
        NameTaken,
        /// It holds its namespace.
        Assigned,
        /// The claim is being recorded on the Namespace.
        ClaimPending,
        /// The claim cannot be recorded on the Namespace, so nothing is granted in it; it is retried. The message says what the API server said.
        ClaimRefused,
        /// It has no `spec.namespace`.
        NotSet,
        /// The namespace is not in `namespaceWhitelist`.
        NotWhitelisted,
        /// There is no such namespace.
        NamespaceNotFound,
        /// The namespace is being deleted.
        NamespaceTerminating,
        /// Another organization holds the namespace.
        AlreadyClaimed,
        /// The namespace is kept for an organization of another name that held it, until an administrator releases it.
        ReservedFor,
        /// This organization is recorded on another namespace, which an administrator has to release first.
        ReservedElsewhere,
        /// The operator has no rights in the namespace; applying the chart again gives them back.
        OperatorNotAuthorized,
        /// It is the default organization.
        IsDefault,
        /// It is not the default organization and does not ask to be.
        NotRequested,
        /// Several objects ask for the same, and their creation times, which are whole seconds, do not tell which came first. Delete and recreate those that shall come later.
        Undecided,
        /// It asks to be the default organization, but another one is.
        AlreadyTaken,
        /// Every reference resolves.
        Resolved,
        /// It asks for none.
        NotConfigured,
        /// The username is accepted.
        Accepted,
        /// The user is suspended and holds nothing.
        Suspended,
        /// An older User object has the same username.
        UsernameTaken,
        /// A value is not valid; the message names the field.
        Invalid,
        /// The operator cannot read it; the message says why. An object grants nothing until it can be read; of a ConfigMap, what was read last stays in effect.
        Unreadable,
        /// The operator has read it.
        Readable,
        /// There is no such role.
        RoleNotFound,
        /// The role cannot be assigned in this place (see its `assignableTo`).
        RoleNotAssignableHere,
        /// Being a member must not hand out a privileged role: bind it to those who shall hold it.
        PrivilegedMemberRole,
        /// The role, or one that it inherits, grants nothing for now; the role's own conditions say why.
        RoleGrantsNothing,
        /// The organization does not hold this namespace, so nothing in it is granted.
        NoOrganization,
        /// There is no User with this username.
        UserNotFound,
        /// There is no such Group.
        GroupNotFound,
        /// The binding may be older than the Group, and whoever created the Group may not bind it. Write the binding's spec again, or delete and recreate the binding.
        GroupNotVouched,
        /// The object may be from before the namespace changed hands. Write its spec, or delete and recreate it.
        FromFormerOrganization,
        /// The binding's `expiresAt` has passed.
        Expired,
        /// A role with `singleHolder` has another holder.
        HeldByAnother,
        /// The holder of a role with `singleHolder` is being recorded.
        HolderPending,
        /// A role with `singleHolder` is held by users only.
        OnlyUsers,
        /// The same subject stands in the list twice.
        Duplicate,
        /// `scope: Own` is not enabled in this version: the permission is withheld, never widened to all.
        OwnScopeNotEnabled,
        /// The catalog has no such word.
        UnknownResource,
        /// The catalog's word means nothing in this cluster.
        EmptyResource,
        /// A CustomRole cannot reach beyond its organization's namespace.
        BeyondOrganization,
        /// All rules are inside of the ceiling.
        Within,
        /// Rules beyond what Bailiwick may grant are withheld.
        BeyondCeiling,
        /// The ceiling itself is not known yet, so nothing is granted.
        CeilingUnknown,
        /// The object, or its organization as a whole, exceeds a documented limit.
        TooLarge,
        /// Following it leads back to the role itself. What was in force before the circle was closed stays.
        InheritanceCycle,
        /// Admission policies are as the chart installed them.
        InPlace,
        /// An admission policy is missing: apply the chart again, or switch it off in its values.
        PolicyMissing,
        /// An admission policy was changed: apply the chart again.
        PolicyChanged,
    }
}
