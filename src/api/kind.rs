//! The one list of our kinds. If you add a kind, the compiler shows every place that must handle it.

/// Declares an enum of kinds, with a list of all of them and their names in the API.
macro_rules! kinds {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident { $($(#[$doc:meta])* $kind:ident),+ $(,)? }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $name { $($(#[$doc])* $kind),+ }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$(stringify!($kind)),+].len()] = [$(Self::$kind),+];

            /// The kind's name in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind)),+ }
            }

            /// The kind of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|kind| kind.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use kinds;

kinds! {
    /// A kind of `bailiwick.dev`, in the order in which the documentation names them.
    pub enum ApiKind {
        /// A team with its own namespace.
        Organization,
        /// A person, by username.
        User,
        /// A group of users in one organization.
        Group,
        /// A role that one organization defines.
        CustomRole,
        /// Assigns a role in one organization.
        RoleBinding,
        /// A role that the site defines.
        SiteRole,
        /// Assigns a SiteRole in the whole site.
        SiteRoleBinding,
    }
}

impl ApiKind {
    /// Whether its objects are in the namespaces of organizations.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        match self {
            Self::Group | Self::CustomRole | Self::RoleBinding => true,
            Self::Organization | Self::User | Self::SiteRole | Self::SiteRoleBinding => false,
        }
    }
}
