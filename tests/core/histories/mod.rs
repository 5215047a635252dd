//! Random histories over a small alphabet of names, so that collisions, unknown references and changes of hands are
//! common.

mod objects;
mod roles;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

pub use self::roles::permission;
use crate::fake::{Kind, ODD, Object, Op, SPACES, namespace};

fn few<T: Clone + std::fmt::Debug + 'static>(all: &'static [T], most: usize) -> BoxedStrategy<Vec<T>> {
    subsequence(all, 0..=most.min(all.len())).boxed()
}

fn strings(list: Vec<&str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

/// One object as people write it.
pub fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        6 => objects::organization(),
        6 => objects::user(),
        1 => select(&SPACES[..]).prop_map(namespace),
        4 => objects::group(),
        7 => objects::role_binding(),
        4 => roles::custom_role(),
        5 => roles::site_role(),
        4 => objects::site_role_binding(),
    ]
}

/// One action of somebody.
pub fn op() -> impl Strategy<Value = Op> {
    let ceiling = || select(&[Kind::Ceiling, Kind::CeilingHome, Kind::CeilingCluster, Kind::CeilingRelease][..]);
    prop_oneof![
        40 => object().prop_map(|o| Op::Put(Box::new(o))),
        8 => object().prop_map(|o| Op::Delete(o.slot())),
        2 => object().prop_map(|o| Op::Replace(Box::new(o))),
        2 => select(&SPACES[..]).prop_map(Op::Release),
        1 => select(&SPACES[..]).prop_map(Op::Terminate),
        1 => (subsequence(&SPACES[..], 0..=4), any::<bool>()).prop_map(|(list, vouched)| Op::Bounds(list, vouched)),
        1 => any::<bool>().prop_map(Op::Join),
        1 => any::<bool>().prop_map(Op::Ownership),
        4 => own(),
        1 => (ceiling(), prop::option::of(any::<bool>())).prop_map(|(kind, full)| Op::Ceiling(kind, full)),
        4 => (1i64..12).prop_map(Op::Wait),
    ]
}

/// A Pod changes hands. Some owners may not do anything, and some are no users.
fn own() -> impl Strategy<Value = Op> {
    let owner = prop::option::of(select(&["ada", "bob", "cyd", "system:serviceaccount:n0:ci", "nobody"][..]));
    (select(&SPACES[..]), select(&["p0", "p1"][..]), owner).prop_map(|(ns, name, owner)| Op::Own(ns, name, owner))
}

/// A history: first actions that make a lively cluster, then any others.
pub fn history(most: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..most)
}

/// A history in which some objects are written under another schema.
pub fn strange_history(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let odd = prop::collection::vec(prop::bool::weighted(0.15), most);
    (history(most), odd).prop_map(|(mut ops, odd)| {
        for (op, _) in ops.iter_mut().zip(odd).filter(|(_, odd)| *odd) {
            if let Op::Put(object) | Op::Replace(object) = op
                && object.kind() != Kind::Namespace
            {
                let fields = match object.kind() {
                    Kind::RoleBinding | Kind::SiteRoleBinding => r#"{"expiresAt": "never"}"#,
                    _ => r#"{"displayName": 5}"#,
                };
                let annotations = object.meta_mut().annotations.get_or_insert_default();
                annotations.insert(ODD.to_owned(), fields.to_owned());
            }
        }
        ops
    })
}

/// Many objects put at once, for properties of a state rather than of its history.
pub fn crowd() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(prop_oneof![12 => object().prop_map(|o| Op::Put(Box::new(o))), 1 => op()], 15..60)
}
