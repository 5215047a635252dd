//! May this subject do this? Asked for the native objects that core decides on random sites.

use std::cell::Cell;
use std::collections::BTreeSet;

use bailiwick::core::Name;
use bailiwick::core::rbac::Subject;
use bailiwick::core::rules::Atom;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::access::{Access, Right};
use crate::fake::SPACES;
use crate::histories::crowd;
use crate::kubernetes::{Request, is_there, reasons};
use crate::shell::Shell;
use crate::{assert_mixed, run};

/// A question near an allowed one: an existing right, and the replacements of its parts.
#[derive(Clone, Debug)]
struct Near {
    right: Index,
    asker: Option<Asker>,
    place: Option<&'static str>,
    atom: Option<Atom>,
}

/// A username with groups.
#[derive(Clone, Debug)]
struct Asker(String, Vec<String>);

/// The username of a ServiceAccount.
fn account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn asker() -> impl Strategy<Value = Asker> {
    let user = select(&["ada", "bob", "cyd", "dan", "eve", "ghost", "system:masters", "tab\tname", "oidc:all"][..]);
    let account = (select(&SPACES[..]), select(&["ci", "cd", "default"][..])).prop_map(|(ns, name)| account(ns, name));
    let groups =
        subsequence(&["oidc:all", "oidc:few", "system:masters", "system:authenticated", "ada", "g0"][..], 0..4);
    (prop_oneof![3 => user.prop_map(str::to_owned), 1 => account], groups)
        .prop_map(|(user, groups)| Asker(user, groups.into_iter().map(str::to_owned).collect()))
}

fn atom() -> impl Strategy<Value = Atom> {
    let verb = || select(&["get", "list", "create", "delete", "bind", "escalate"][..]);
    let group = select(&["", "apps", "templates.dev", "bailiwick.dev"][..]);
    let resource = select(&["pods", "pods/exec", "deployments", "configmaps", "templates", "users", "secrets"][..]);
    let name = prop_oneof![2 => Just(None), 1 => select(&["one", "two", "t0"][..]).prop_map(Some)];
    let path = select(&["/healthz", "/healthz/ping", "/healthz/", "/healthzz", "/metrics"][..]);
    prop_oneof![
        6 => (group, resource, name, verb()).prop_map(|(group, resource, name, verb)| Atom::Resource {
            group: group.into(), resource: resource.into(), name: name.map(Name::from), verb: verb.into(),
        }),
        1 => (path, verb()).prop_map(|(path, verb)| Atom::Path { path: path.into(), verb: verb.into() }),
    ]
}

fn near() -> impl Strategy<Value = Near> {
    let place = select(&["n0", "n1", "n2", "release", ""][..]);
    let sometimes = |share| prop::option::weighted(share, Just(()));
    (any::<Index>(), (sometimes(0.3), asker()), (sometimes(0.3), place), (sometimes(0.3), atom())).prop_map(
        |(right, (other_asker, asker), (other_place, place), (other_atom, atom))| Near {
            right,
            asker: other_asker.map(|()| asker),
            place: other_place.map(|()| place),
            atom: other_atom.map(|()| atom),
        },
    )
}

impl Near {
    fn question(&self, rights: &[Right]) -> (Asker, Name, Atom) {
        let nobody =
            (Name::default(), Subject::User("ada".into()), Atom::Path { path: "/".into(), verb: "get".into() });
        let (place, grantee, atom) = if rights.is_empty() { &nobody } else { self.right.get(rights) };
        let holder = match grantee {
            Subject::User(name) => Asker(name.to_string(), Vec::new()),
            Subject::Group(name) => Asker("somebody".to_owned(), vec![name.to_string()]),
            Subject::ServiceAccount { namespace, name } => Asker(account(namespace, name), Vec::new()),
        };
        (
            self.asker.clone().unwrap_or(holder),
            self.place.map_or_else(|| place.clone(), Name::from),
            self.atom.clone().unwrap_or_else(|| atom.clone()),
        )
    }
}

impl Asker {
    /// All RBAC subjects that match it.
    fn grantees(&self) -> Vec<Subject> {
        let account = self.0.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let account =
            account.map(|(namespace, name)| Subject::ServiceAccount { namespace: namespace.into(), name: name.into() });
        let groups = self.1.iter().map(|name| Subject::Group(name.as_str().into()));
        [Subject::User(self.0.as_str().into())].into_iter().chain(groups).chain(account).collect()
    }
}

/// The rights that would each allow it: the literal one, or one on a path prefix.
fn enough(atom: &Atom) -> Vec<Atom> {
    let mut all = vec![atom.clone()];
    if let Atom::Path { path, verb } = atom {
        let begins = (0..=path.len()).map(|end| format!("{}*", &path[..end]));
        all.extend(begins.map(|path| Atom::Path { path: path.into(), verb: verb.clone() }));
    }
    all
}

/// The answer of core's tests.
fn has(access: &Access, asker: &Asker, place: &Name, atom: &Atom) -> bool {
    let places = BTreeSet::from([place.clone(), Name::default()]);
    let right = |(place, grantee): (&Name, &Subject), atom: &Atom| (place.clone(), grantee.clone(), atom.clone());
    let enough = enough(atom);
    let grantees = asker.grantees();
    let mut slots = places.iter().flat_map(|place| grantees.iter().map(move |grantee| (place, grantee)));
    slots.any(|slot| enough.iter().any(|atom| access.has(&right(slot, atom))))
}

#[test]
fn a_subject_may_do_in_a_random_world_exactly_what_the_authorizer_allows() {
    if !is_there() {
        return;
    }
    let (asked, yes) = (Cell::new(0), Cell::new(0));
    run(200, (crowd(), prop::collection::vec(near(), 100)), |(ops, near)| {
        let mut shell = Shell::new();
        shell.play(&ops);
        let desired = shell.all.desired();
        let access = Access::desired(&desired);
        let rights: Vec<Right> = access.rights().into_iter().collect();
        let questions: Vec<_> = near.iter().map(|near| near.question(&rights)).collect();
        let requests: Vec<Request> = questions
            .iter()
            .map(|(Asker(user, groups), place, atom)| {
                let request = match atom {
                    Atom::Resource { group, resource, name, verb } => {
                        Request::on_resource(group, resource, name.as_deref().unwrap_or_default(), verb)
                    }
                    Atom::Path { path, verb } => Request::on_path(path, verb),
                };
                Request { user: user.clone(), groups: groups.clone(), namespace: place.to_string(), ..request }
            })
            .collect();
        for ((asker, place, atom), reason) in questions.iter().zip(reasons(&desired, &requests)) {
            let ours = has(&access, asker, place, atom);
            prop_assert_eq!(ours, reason.is_some(), "{:?} in {:?}: {} ({:?})", asker, place, atom, reason);
            asked.set(asked.get() + 1);
            yes.set(yes.get() + u64::from(ours));
        }
        Ok(())
    });
    assert_mixed("worlds", asked.get(), yes.get());
}
