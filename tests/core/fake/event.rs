//! Events of the API server's objects, for two readers: [`Event::shown`] is for the engine's watches, [`Event::feed`]
//! puts the same into a bare cache.

use bailiwick::core::Name;
use bailiwick::core::cache::{Affected, Cache, CeilingScope};
use bailiwick::core::catalog::{Bounds, Settings};
use bailiwick::core::object_ref::ObjectRef;
use bailiwick::core::own_objects::{self, Ownership};
use bailiwick::core::owned::Change;
use bailiwick::core::policies::Report;
use bailiwick::core::rules::Ceiling;
use bailiwick::core::uid::Uid;
use bailiwick::operator::watch_event::{Class, Item, WatchEvent};

use super::Kind;
use super::object::{Object, Slot};

/// A change that a watch shows.
#[derive(Clone, Debug)]
pub enum Event {
    Is(Box<Object>),
    Gone(Slot, Uid),
    Bounds(Bounds),
    Settings(Settings),
    /// Whether the policies about own objects are in place.
    Policies(Ownership),
    /// Owners of Pods in a namespace.
    Owners(String, Change),
    /// A ceiling of this kind.
    Ceiling(Kind, Option<Ceiling>),
}

impl Event {
    /// Events of one stream arrive in order; those of different streams in any order.
    pub fn stream(&self) -> String {
        match self {
            Event::Is(object) => format!("{:?}", object.slot()),
            Event::Gone(slot, _) => format!("{slot:?}"),
            Event::Bounds(_) => "bounds".to_owned(),
            Event::Settings(_) => "settings".to_owned(),
            Event::Policies(_) => "policies".to_owned(),
            Event::Owners(namespace, _) => format!("owners in {namespace}"),
            Event::Ceiling(kind, _) => format!("{kind:?}"),
        }
    }

    /// The watch that delivers it, and its form there. Owners are watched only where the engine asks for it.
    pub fn shown(&self) -> Option<(Kind, WatchEvent)> {
        let is = |kind, item| (kind, WatchEvent::Item(Box::new(item)));
        let gone = |(kind, namespace, name): Slot, uid| {
            (kind, WatchEvent::Gone(ObjectRef::new(kind, namespace, name).with_uid(uid)))
        };
        Some(match self {
            Event::Owners(..) => return None,
            Event::Is(object) => is(object.kind(), object.item()),
            Event::Gone(slot, uid) => gone(slot.clone(), uid.clone()),
            Event::Bounds(bounds) => is(Kind::Bounds, Item::Bounds(bounds.clone())),
            Event::Settings(settings) => is(Kind::Settings, Item::Settings(settings.clone())),
            Event::Policies(ownership) => is(Kind::Policies, Item::Policies(Some(report(ownership)))),
            Event::Ceiling(kind, Some(ceiling)) => {
                is(*kind, Item::Ceiling(scope(*kind), ceiling.clone(), Uid::default()))
            }
            Event::Ceiling(kind, None) => gone((*kind, String::new(), String::new()), Uid::default()),
        })
    }

    /// Feeds a cache as the engine's intake does.
    pub fn feed(&self, cache: &mut Cache) -> Affected {
        let ((kind, ns, name), item, uid) = match self {
            Event::Is(object) => (object.slot(), Some(object.item()), None),
            Event::Gone(slot, uid) => (slot.clone(), None, Some(uid)),
            Event::Bounds(bounds) => return cache.set_bounds(bounds.clone()),
            Event::Settings(settings) => return cache.set_settings(settings.clone()),
            Event::Policies(ownership) => return cache.set_policies(Some(report(ownership))),
            Event::Owners(namespace, change) => {
                let namespace = &namespace.as_str().into();
                if matches!(change, Change::List(_)) {
                    let deployments = (Name::from("apps"), Name::from("deployments"));
                    drop(cache.set_owned(namespace, &deployments, Change::List(Vec::new())));
                }
                return cache.set_owned(namespace, &pods(), change.clone());
            }
            Event::Ceiling(kind, ceiling) => return cache.set_ceiling(scope(*kind), ceiling.clone()),
        };
        let (ns, name) = (&Name::from(ns), &Name::from(name));
        macro_rules! record {
            ($kind:ident) => {
                item.map(|item| if let Item::$kind(record) = item { record } else { unreachable!("{item:?}") })
            };
        }
        match kind {
            Kind::Organization => cache.organization(name, record!(Organization), uid),
            Kind::User => cache.user(name, record!(User), uid),
            Kind::Namespace => cache.namespace(name, record!(Namespace), uid),
            Kind::Group => cache.group(ns, name, record!(Group), uid),
            Kind::RoleBinding => cache.binding(ns, name, record!(RoleBinding), uid),
            Kind::CustomRole => cache.custom_role(ns, name, record!(CustomRole), uid),
            Kind::SiteRole => cache.site_role(name, record!(SiteRole), uid),
            Kind::SiteRoleBinding => cache.site_binding(name, record!(SiteRoleBinding), uid),
            other => panic!("no objects of this kind: {other:?}"),
        }
    }
}

fn scope(kind: Kind) -> CeilingScope {
    match kind.class() {
        Class::Ceiling(scope) => scope,
        other => panic!("no ceiling: {other:?}"),
    }
}

/// What the operator reports of the policies.
pub fn report(ownership: &Ownership) -> Report {
    Report { faults: Vec::new(), ownership: ownership.clone() }
}

/// The kind of owned objects in these tests.
pub fn pods() -> own_objects::Kind {
    (Name::from(""), Name::from("pods"))
}
