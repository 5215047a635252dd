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
    /// The types of our conditions. All are positive: `True` is good news, but for `Default` and `LastSeen`, which are neutral.
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
        /// User: it is known when the user was last seen. `Unknown` until something reports that.
        LastSeen,
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
        /// The API server refused a write that this needs. Remove the cause that the message names; the write is retried by itself.
        RefusedByApiServer,
        /// The API server stored a native object otherwise than it was written. Exempt objects with the label `app.kubernetes.io/managed-by: bailiwick` from the webhook or policy that changes them; the write is retried by itself.
        ChangedByAdmission,
        /// A native object that is not ours already has the name that ours would have. Rename or delete one of the two.
        NameTaken,
        /// It holds its namespace.
        Assigned,
        /// The claim is being recorded on the Namespace. There is nothing to do.
        ClaimPending,
        /// The claim cannot be recorded on the Namespace, so nothing is granted in it. Remove the cause that the API server names; the claim is retried by itself.
        ClaimRefused,
        /// It has no `spec.namespace`, which can be set once.
        NotSet,
        /// The namespace is not available. Add it to the Helm value `namespaceWhitelist` and upgrade the release, or recreate the Organization with another `spec.namespace`.
        NotWhitelisted,
        /// There is no such namespace. Create it with `helm upgrade` of the release, which also gives the operator its rights there.
        NamespaceNotFound,
        /// The namespace is being deleted, and nothing is granted in it. Wait until it is gone, then upgrade the release to create it again.
        NamespaceTerminating,
        /// Another organization holds the namespace. `spec.namespace` is set once: recreate this Organization with another one.
        AlreadyClaimed,
        /// The namespace is kept for an organization of another name that held it, until an administrator (verb `override` on the Namespace) releases it: `kubectl label namespace NAME bailiwick.dev/organization-`.
        ReservedFor,
        /// This organization is recorded on another namespace, which an administrator (verb `override` on the Namespace) has to release first: `kubectl label namespace NAME bailiwick.dev/organization-`.
        ReservedElsewhere,
        /// The operator has no rights in the namespace. Upgrade the release: the chart gives them back.
        OperatorNotAuthorized,
        /// It is the default organization.
        IsDefault,
        /// It is not the default organization and does not ask to be.
        NotRequested,
        /// Several objects ask for the same, and their creation times, which are whole seconds, do not tell which came first. Delete and recreate those that shall come later.
        Undecided,
        /// It asks to be the default organization, but another one is. Set `spec.default: false` on one of the two.
        AlreadyTaken,
        /// Every reference resolves.
        Resolved,
        /// It asks for none.
        NotConfigured,
        /// The username is accepted.
        Accepted,
        /// The user is suspended (`spec.suspended` of the User) and holds nothing.
        Suspended,
        /// It is known when the user was last seen.
        Reported,
        /// Nothing reports when users are seen, so nobody is `Dormant`.
        NotReported,
        /// An older User object has the same username. Delete one of the two; a username is immutable, so create the User again to correct it.
        UsernameTaken,
        /// The value is not valid: a name must not be empty, begin with `system:`, contain control characters or exceed 256 characters, and a ServiceAccount needs a name that Kubernetes allows. Correct the value.
        Invalid,
        /// The operator cannot read it. Write the field that the message names again. An object grants nothing until it can be read; of a ConfigMap, what was read last stays in effect.
        Unreadable,
        /// The operator has read it.
        Readable,
        /// There is no such role. Create it, or correct the reference.
        RoleNotFound,
        /// The role cannot be assigned in this place. See its `assignableTo` and `singleHolder`, and choose another role or the other kind of binding.
        RoleNotAssignableHere,
        /// Being a member must not hand out a privileged role: bind it to those who shall hold it.
        PrivilegedMemberRole,
        /// The role, or one that it inherits, grants nothing for now. The role's own conditions say why: `kubectl describe` it.
        RoleGrantsNothing,
        /// The organization does not hold this namespace, so nothing in it is granted. Create an Organization with this `spec.namespace`.
        NoOrganization,
        /// There is no User with this username. Create one, or correct the username (`kubectl get users.bailiwick.dev` shows them).
        UserNotFound,
        /// There is no such Group in this namespace. Create it, or correct the name; a group of the identity provider is of kind ExternalGroup.
        GroupNotFound,
        /// The binding may be older than the Group, and whoever created the Group may not bind it. Write the binding's spec again, or delete and recreate the binding.
        GroupNotVouched,
        /// The object may be from before the namespace changed hands. Write its spec, or delete and recreate it.
        FromFormerOrganization,
        /// More was withheld in this namespace than `bailiwick-decisions` can name, and nothing tells whether this object was among it: a backup was restored, or it was created while no operator ran. Write its spec, or delete and recreate it.
        NotOnRecord,
        /// The binding's `expiresAt` has passed. Write a later time to give the role again, or delete the binding.
        Expired,
        /// A role with `singleHolder` has another holder. Remove that user from the bindings of the role first.
        HeldByAnother,
        /// The holder of a role with `singleHolder` is being recorded. There is nothing to do.
        HolderPending,
        /// A role with `singleHolder` is held by users only. Name a subject of kind User.
        OnlyUsers,
        /// The same subject stands in the list twice. Remove one of the two.
        Duplicate,
        /// `scope: Own` is not enabled in this version: the permission is withheld, never widened to all. Ask for `scope: All`, or remove the permission.
        OwnScopeNotEnabled,
        /// The catalog has no such word. Correct it, or add it to the Helm value `catalog`.
        UnknownResource,
        /// The catalog's word means nothing in this cluster. Give it a meaning in the Helm value `catalog`, or do without.
        EmptyResource,
        /// The catalog's word does not have this action, so nothing is granted for it; the message names those that it has. Ask for one of them, or add the action to the word in the Helm value `catalog`.
        UnsupportedAction,
        /// A CustomRole cannot reach beyond its organization's namespace. Ask for it in a SiteRole.
        BeyondOrganization,
        /// All rules are inside of the ceiling.
        Within,
        /// Rules beyond what Bailiwick may grant are withheld. Add them to the Helm value `catalog`, or to a ClusterRole with the label `bailiwick.dev/aggregate-to-grantable: true` (`…-grantable-cluster` for `clusterRules`).
        BeyondCeiling,
        /// The ceiling itself is not known, so nothing is granted. Upgrade the release: the chart creates the ClusterRoles `bailiwick-grantable…`.
        CeilingUnknown,
        /// The object, or its organization as a whole, exceeds a documented limit. Shrink, split or delete something.
        TooLarge,
        /// Following it leads back to the role itself. What was in force before the circle was closed stays. Remove one of the `inherits`.
        InheritanceCycle,
        /// Admission policies are as the chart installed them.
        InPlace,
        /// An admission policy is missing: apply the chart again, or switch it off in its values.
        PolicyMissing,
        /// An admission policy was changed: apply the chart again.
        PolicyChanged,
    }
}
