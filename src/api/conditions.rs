//! Condition types and reasons: the one vocabulary with which Bailiwick explains itself.
//!
//! `docs/reference/conditions.md` is generated from here. Events and metrics use the same words.

/// Declares an enum of words with their documentation, so that the tables in the docs always match the code.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $word:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $doc])+ $word,)+ }

        impl $name {
            /// Every word, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$word,)+];

            /// The word as the API has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$word => stringify!($word),)+ }
            }

            /// The meaning of the word, for messages and for the reference tables.
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
    /// The types of our conditions. `True` is always the good state, except for `Default` and `LastSeen`, which are
    /// neutral.
    ConditionType {
        /// Everything that the object requests, and may have, is in effect in native RBAC.
        Ready,
        /// Organization: it holds its namespace.
        NamespaceAssigned,
        /// Organization: it is the default organization.
        Default,
        /// Organization: its member role exists and can be assigned there.
        MemberRoleResolved,
        /// Organization: no object in its namespace exceeds a documented limit, so all of them count.
        WithinLimits,
        /// The default Organization: the admission policies are as the chart installed them.
        PoliciesInPlace,
        /// The default Organization: the operator can read its ConfigMaps and follows them.
        ConfigurationRead,
        /// User: this object represents its username.
        UsernameAccepted,
        /// User: it is known when the user was last seen. `Unknown` until something reports that.
        LastSeen,
        /// Group: every member is a known user who is not suspended.
        MembersKnown,
        /// RoleBinding, SiteRoleBinding: the role exists and can be assigned here.
        RoleResolved,
        /// RoleBinding, SiteRoleBinding: every requested subject is granted the role. A Group itself reports which of
        /// its members are withheld.
        SubjectsResolved,
        /// CustomRole, SiteRole: every permission has a meaning in this cluster and at this scope.
        PermissionsResolved,
        /// CustomRole, SiteRole: every rule is within the ceiling, the most that Bailiwick may grant.
        Ceiling,
        /// CustomRole, SiteRole: every inherited role exists, can be inherited and causes no cycle.
        InheritsResolved,
    }
}

words! {
    /// Why a condition has its status, or why something is withheld.
    Reason {
        /// Everything is in effect.
        Reconciled,
        /// Some of the requested access is withheld. The other conditions of the object say what and why.
        PartlyWithheld,
        /// None of the requested access is granted. The other conditions of the object say why.
        NothingGranted,
        /// The API server refused a write that this needs. Remove the cause that the message names. The operator
        /// retries the write.
        RefusedByApiServer,
        /// Cluster admission changed a native object while the operator wrote it. Exempt objects with the label
        /// `app.kubernetes.io/managed-by: bailiwick` from the webhook or policy that changes them. The operator retries
        /// the write.
        ChangedByAdmission,
        /// A native object that does not belong to Bailiwick already has the name that the operator needs. Rename or
        /// delete one of the two.
        NameTaken,
        /// It holds its namespace.
        Assigned,
        /// The operator is recording the claim on the Namespace. You need not do anything.
        ClaimPending,
        /// The operator cannot record the claim on the Namespace, so nothing is granted in it. Remove the cause that
        /// the API server names. The operator retries the claim.
        ClaimRefused,
        /// It has no `spec.namespace`. You can set it once.
        NotSet,
        /// The namespace is not available. Add it to the Helm value `namespaceWhitelist` and upgrade the release, or
        /// recreate the Organization with another `spec.namespace`.
        NotWhitelisted,
        /// The namespace does not exist. Create it with `helm upgrade` of the release, which also gives the operator
        /// its rights there.
        NamespaceNotFound,
        /// The namespace is being deleted, and nothing is granted in it. Wait until it is gone, then upgrade the
        /// release to recreate it.
        NamespaceTerminating,
        /// Another organization holds the namespace. `spec.namespace` is set once, so recreate this Organization with
        /// another one.
        AlreadyClaimed,
        /// The namespace is reserved for the organization of another name that held it. An administrator (verb
        /// `override` on the Namespace) can release it: `kubectl label namespace NAME bailiwick.dev/organization-`.
        ReservedFor,
        /// This organization is recorded on another namespace. An administrator (verb `override` on the Namespace) has
        /// to release that one first: `kubectl label namespace NAME bailiwick.dev/organization-`.
        ReservedElsewhere,
        /// The operator has no rights in the namespace. Upgrade the release: the chart gives them back.
        OperatorNotAuthorized,
        /// It is the default organization.
        IsDefault,
        /// It is not the default organization and does not ask to be.
        NotRequested,
        /// Several objects ask for the same thing, and their creation times, which are whole seconds, do not show which
        /// came first. Delete the ones that should come later, then recreate them.
        Undecided,
        /// It asks to be the default organization, but another one already is. Set `spec.default: false` on one of the
        /// two.
        AlreadyTaken,
        /// Every reference resolves.
        Resolved,
        /// It requests none.
        NotConfigured,
        /// The username is accepted.
        Accepted,
        /// The user is suspended (`spec.suspended` of the User) and holds nothing.
        Suspended,
        /// It is known when the user was last seen.
        Reported,
        /// Nothing reports when users are seen, so nobody is `Dormant`.
        NotReported,
        /// An older User object has the same username. Delete one of the two. A username is immutable, so recreate the
        /// User to correct it.
        UsernameTaken,
        /// The value is not valid. A name must not be empty, begin with `system:`, contain control characters or exceed
        /// 256 characters. A ServiceAccount needs a name that Kubernetes allows. Correct the value.
        Invalid,
        /// The operator cannot read it. Correct the field that the message names. Until then an object grants nothing,
        /// and of a ConfigMap the last readable content stays in effect.
        Unreadable,
        /// The operator has read it.
        Readable,
        /// The role does not exist. Create it, or correct the reference.
        RoleNotFound,
        /// The role cannot be assigned here. Check its `assignableTo` and `singleHolder`, then choose another role or
        /// the other kind of binding.
        RoleNotAssignableHere,
        /// Membership must not grant a privileged role. Bind the role to the users who need it.
        PrivilegedMemberRole,
        /// The role, or one that it inherits, currently grants nothing. The role's own conditions say why: `kubectl
        /// describe` it.
        RoleGrantsNothing,
        /// No organization holds this namespace, so nothing in it is granted. Create an Organization with this
        /// `spec.namespace`.
        NoOrganization,
        /// No User has this username. Create one, or correct the username (`kubectl get users.bailiwick.dev` lists
        /// them).
        UserNotFound,
        /// This namespace has no such Group. Create it, or correct the name. For a group of the identity provider, use
        /// kind ExternalGroup.
        GroupNotFound,
        /// The binding may be older than the Group, and the author of the Group may not bind it. Write the binding's
        /// spec again, or delete and recreate the binding.
        GroupNotVouched,
        /// The object may be older than the organization's claim on this namespace. Write its spec again, or delete and
        /// recreate it.
        FromFormerOrganization,
        /// More objects in this namespace were withheld than `bailiwick-decisions` can name, and nothing shows whether
        /// this object was one of them: a backup was restored, or the object was created while no operator ran. Write
        /// its spec again, or delete and recreate it.
        NotOnRecord,
        /// The binding's `expiresAt` has passed. Set a later time to grant the role again, or delete the binding.
        Expired,
        /// A role with `singleHolder` already has a holder. Remove that user from the bindings of the role first.
        HeldByAnother,
        /// The operator is recording the holder of a role with `singleHolder`. You need not do anything.
        HolderPending,
        /// Only users can hold a role with `singleHolder`. Use a subject of kind User.
        OnlyUsers,
        /// The same subject is in the list twice. Remove one of the two.
        Duplicate,
        /// `scope: Own` is not available for this, so it is withheld, and never widened to all objects. It needs
        /// Kubernetes 1.36 and the admission policies `ownObjects` and `namespaceClaims`. It covers kinds that people
        /// create in organizations, and `read` and `update` on `users` for roles that may list all users.
        OwnScopeNotEnabled,
        /// The admission policies that protect objects of other owners are missing, changed or unknown, so rights on own
        /// objects are withheld. Apply the chart again.
        OwnershipNotEnforced,
        /// The catalog has no such word. Correct it, or add it to the Helm value `catalog`.
        UnknownResource,
        /// The word of the catalog has no meaning in this cluster. Give it one in the Helm value `catalog`, or remove
        /// the permission.
        EmptyResource,
        /// The word of the catalog does not have this action, so the action grants nothing. The message names the
        /// actions that it has. Use one of them, or add the action to the word in the Helm value `catalog`.
        UnsupportedAction,
        /// A CustomRole cannot grant anything outside its organization's namespace. Use a SiteRole.
        BeyondOrganization,
        /// Everything is within the ceiling and the documented limits.
        Within,
        /// Rules beyond the ceiling are withheld. Add them to the Helm value `catalog`, or to a ClusterRole with the
        /// label `bailiwick.dev/aggregate-to-grantable: true` (`…-grantable-cluster` for `clusterRules`).
        BeyondCeiling,
        /// The ceiling is unknown, so nothing is granted. Upgrade the release: the chart creates the ClusterRoles
        /// `bailiwick-grantable…`.
        CeilingUnknown,
        /// The object, or its organization as a whole, exceeds a documented limit. Shrink, split or delete something.
        TooLarge,
        /// The inherited role leads back to this role. What was in effect before the cycle was closed stays in effect.
        /// Remove one of the `inherits`.
        InheritanceCycle,
        /// The admission policies are as the chart installed them.
        InPlace,
        /// An admission policy is missing. Apply the chart again, or disable the policy in its values.
        PolicyMissing,
        /// An admission policy was changed. Apply the chart again.
        PolicyChanged,
    }
}
