//! Names of native objects: derived from the objects that request them, readable, within Kubernetes' limits, and never
//! the same for two of them.
//!
//! All begin with `bailiwick:`. RBAC names may contain a colon and our names may not, so the parts of a name cannot run
//! into each other.

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};

use super::Name;
use super::uid::Uid;
use crate::api::RoleKind;

/// Decides, together with a subject's name, its shard. It depends on a secret only; a new secret renames all shards.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Seed([u8; 16]);

impl From<&Uid> for Seed {
    /// The UID must be unreadable for people that may name subjects. The empty one makes a publicly known seed.
    fn from(uid: &Uid) -> Self {
        let mut seed = Self::default();
        if *uid != Uid::default() {
            seed.0.copy_from_slice(&Sha256::digest(uid.to_string())[..16]);
        }
        seed
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

impl Seed {
    /// Bytes for the names of shards, which do not reveal the seed.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The prefix of all our native objects. The operator deletes nothing without it.
pub const PREFIX: &str = "bailiwick:";
/// The prefix of objects in the release namespace that belong to the site, not to an organization there.
pub const RELEASE_PREFIX: &str = "bailiwick:release:";
/// The longest name. RBAC itself has no limit; this is the limit of most kinds.
const LONGEST: usize = 253;

/// The native Role (in one namespace) of one of our roles.
#[must_use]
pub fn role(kind: RoleKind, name: &str) -> Name {
    join(&[word(kind), name])
}

/// The native ClusterRole of a SiteRole's cluster-scoped part.
#[must_use]
pub fn cluster_role(name: &str) -> Name {
    join(&["site-role", name])
}

/// The native Role of a SiteRole's part in the release namespace.
#[must_use]
pub fn release_role(name: &str) -> Name {
    join(&["release", "site-role", name])
}

/// One shard of a binding. `role` is part of the name, so that a changed role makes a new native object beside the old
/// one. The number of shards and their seed are part of it too, so that no subject ever moves between two shards of the
/// same identity.
#[must_use]
pub fn binding(source: &[&str], role: (RoleKind, &str), shard: Shard) -> Name {
    let mut hash = Sha256::new();
    for part in [word(role.0), role.1] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(shard.index.to_be_bytes());
    hash.update(shard.count.to_be_bytes());
    if shard.count > 1 {
        hash.update(shard.seed.bytes());
    }
    let hash = short_hex(&hash.finalize());
    let mut parts = source.to_vec();
    parts.push(&hash);
    join(&parts)
}

/// One part of a split list of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Counts from 0.
    pub index: u32,
    /// A power of two.
    pub count: u32,
    /// Decides how the list is split.
    pub seed: Seed,
}

/// The native Role with one subject's rights on own objects by name, and its binding. One of `count` parts.
#[must_use]
pub fn own(subject: &str, index: usize, count: usize) -> Name {
    let hash = short_hex(&Sha256::digest(subject.as_bytes()));
    join(&["own", &hash, &format!("{index}-of-{count}")])
}

/// The prefix of the names of [`own`].
pub const OWN_PREFIX: &str = "bailiwick:own:";

fn word(kind: RoleKind) -> &'static str {
    match kind {
        RoleKind::CustomRole => "custom-role",
        RoleKind::SiteRole => "site-role",
    }
}

fn join(parts: &[&str]) -> Name {
    let name = format!("{PREFIX}{}", parts.join(":"));
    if name.len() <= LONGEST {
        return name.into();
    }
    // A shortened name has one part more than its kind usually has, or a full hash in place of a name, so it cannot be
    // the name of another object.
    let hash = short_hex(&Sha256::digest(name.as_bytes()));
    let mut kept = LONGEST - hash.len() - 2;
    while !name.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}::{hash}", &name[..kept]).into()
}

/// The first 80 bits, enough that nobody finds two sources with one name by trying.
fn short_hex(digest: &[u8]) -> String {
    digest.iter().take(10).fold(String::with_capacity(20), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::uid::Uid;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "a".repeat(253);
        let longer = format!("{}b", "a".repeat(252));
        assert!(role(RoleKind::SiteRole, &long).len() <= LONGEST);
        assert_ne!(role(RoleKind::SiteRole, &long), role(RoleKind::SiteRole, &longer));
    }

    #[test]
    fn another_role_is_another_object() {
        let binding =
            |role| binding(&["role-binding", "leads"], role, Shard { index: 0, count: 1, seed: Seed::default() });
        assert_ne!(binding((RoleKind::SiteRole, "a")), binding((RoleKind::SiteRole, "b")));
        assert_ne!(binding((RoleKind::SiteRole, "a")), binding((RoleKind::CustomRole, "a")));
    }

    #[test]
    fn another_seed_is_another_object_where_it_decides_who_is_in_it() {
        let seeds = [Seed::default(), Seed::from(&Uid::from("a")), Seed::from(&Uid::from("b"))];
        let names = |count| {
            let of =
                |seed| binding(&["role-binding", "leads"], (RoleKind::SiteRole, "a"), Shard { index: 0, count, seed });
            seeds.map(of).into_iter().collect::<BTreeSet<_>>().len()
        };
        assert_eq!((names(1), names(2)), (1, 3));
    }

    #[test]
    fn a_custom_role_and_a_site_role_of_one_name_stay_apart() {
        assert_ne!(role(RoleKind::SiteRole, "lead"), role(RoleKind::CustomRole, "lead"));
    }
}
