//! Names of native objects: never too long, never the same for two sources.

use std::collections::BTreeMap;

use bailiwick::api::RoleKind;
use bailiwick::core::Name;
use bailiwick::core::names::{self, Seed, Shard};
use proptest::prelude::*;

use crate::cases;
use crate::histories::crowd;
use crate::shell::Shell;

/// Names as Kubernetes allows them, short ones of few letters and the longest.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab][ab.-]{0,3}",
        1 => "[a-z]{230,253}",
        2 => (0usize..4).prop_map(|n| format!("{}{}", "a".repeat(249), ["b", "c", "bc", "cb"][n])),
        1 => proptest::sample::select(vec!["site-role", "custom-role", "release", "role-binding", "organization"]).prop_map(str::to_owned),
    ]
}

/// The origin of a native name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Role(RoleKind, String),
    ReleaseRole(String),
    Binding(&'static str, String, RoleKind, String, u32, u32),
    ReleaseBinding(String, u32, u32),
}

fn what() -> impl Strategy<Value = What> {
    let kind = || prop_oneof![Just(RoleKind::CustomRole), Just(RoleKind::SiteRole)];
    let shard = || (0u32..3).prop_flat_map(|power| (0..1u32 << power, Just(1u32 << power)));
    let path = proptest::sample::select(vec!["role-binding", "site-role-binding", "organization"]);
    prop_oneof![
        (kind(), name()).prop_map(|(k, n)| What::Role(k, n)),
        name().prop_map(What::ReleaseRole),
        (path, name(), kind(), name(), shard()).prop_map(|(p, n, k, r, (i, c))| What::Binding(p, n, k, r, i, c)),
        (name(), shard()).prop_map(|(n, (i, c))| What::ReleaseBinding(n, i, c)),
    ]
}

/// Roles and bindings have different kinds, so their names may be equal.
fn named(what: &What) -> (bool, Name) {
    match what {
        What::Role(kind, name) => (true, names::role(*kind, name)),
        What::ReleaseRole(name) => (true, names::release_role(name)),
        What::Binding(path, name, kind, role, index, count) => (
            false,
            names::binding(&[path, name], (*kind, role), Shard { index: *index, count: *count, seed: Seed::default() }),
        ),
        What::ReleaseBinding(name, index, count) => {
            let shard = Shard { index: *index, count: *count, seed: Seed::default() };
            (false, names::binding(&["release", "site-role", name], (RoleKind::SiteRole, name), shard))
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn two_askers_never_share_a_name(all in prop::collection::vec(what(), 2..60)) {
        let mut taken: BTreeMap<(bool, Name), What> = BTreeMap::new();
        for what in all {
            let name = named(&what);
            prop_assert!(name.1.len() <= 253 && name.1.starts_with(names::PREFIX));
            prop_assert!(!name.1.contains('/') && !name.1.contains('%'), "not a path segment: {}", name.1);
            let release = matches!(what, What::ReleaseRole(_) | What::ReleaseBinding(..));
            prop_assert_eq!(name.1.starts_with(names::RELEASE_PREFIX), release, "{}", name.1);
            if let Some(other) = taken.insert(name.clone(), what.clone()) {
                prop_assert_eq!(other, what, "{:?}", name);
            }
        }
    }

    /// For a whole site: `All::desired` refuses two units that request one object, and within a unit every binding
    /// exists.
    #[test]
    fn no_two_units_want_the_same_object(start in crowd()) {
        let mut shell = Shell::new();
        shell.play(&start);
        for key in shell.all.desired().keys() {
            prop_assert!(key.name.len() <= 253);
        }
    }
}
