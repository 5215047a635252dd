//! The objects of people and the platform in the API server, of any kind.

use bailiwick::api;
use bailiwick::core::object_ref::ApiRef;
use bailiwick::core::salvage::{self, Found, Withhold};
use bailiwick::core::uid::Uid;
use bailiwick::operator::watch_event::Item;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Kind;

/// The place of an object: kind, namespace (empty for the cluster kinds), name.
pub type Slot = (Kind, String, String);

pub fn slot(kind: Kind, namespace: &str, name: &str) -> Slot {
    (kind, namespace.to_owned(), name.to_owned())
}

/// The slot of the object that a status or a grant comes from.
pub fn slot_of(source: &ApiRef) -> Slot {
    slot(source.kind.into(), &source.namespace, &source.name)
}

/// An annotation that simulates a schema older or newer than ours: its JSON overrides fields of the spec with values
/// that our types do not accept.
pub const ODD: &str = "odd";

/// An object of one of the kinds; a Namespace is its metadata.
#[derive(Clone)]
pub enum Object {
    Organization(api::Organization),
    User(api::User),
    Namespace(ObjectMeta),
    Group(api::Group),
    RoleBinding(api::RoleBinding),
    CustomRole(api::CustomRole),
    SiteRole(api::SiteRole),
    SiteRoleBinding(api::SiteRoleBinding),
}

/// Does the same with an object of any kind but Namespace, and something else with the metadata of a Namespace.
macro_rules! each {
    ($object:expr, $o:ident => $does:expr, $m:ident => $namespace:expr) => {
        match $object {
            Object::Organization($o) => $does,
            Object::User($o) => $does,
            Object::Namespace($m) => $namespace,
            Object::Group($o) => $does,
            Object::RoleBinding($o) => $does,
            Object::CustomRole($o) => $does,
            Object::SiteRole($o) => $does,
            Object::SiteRoleBinding($o) => $does,
        }
    };
}

/// Short, for failing cases.
impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, ns, name) = self.slot();
        let spec = each!(self, o => serde_json::to_string(&o.spec).unwrap(), m => format!("{:?}", m.labels));
        let status = self.status().unwrap_or_default();
        write!(f, "{kind:?} {ns}/{name} {spec}{}", if status.is_null() { String::new() } else { format!(" {status}") })
    }
}

impl Object {
    pub fn meta(&self) -> &ObjectMeta {
        each!(self, o => &o.metadata, m => m)
    }

    pub fn meta_mut(&mut self) -> &mut ObjectMeta {
        each!(self, o => &mut o.metadata, m => m)
    }

    pub fn kind(&self) -> Kind {
        match self {
            Object::Organization(_) => Kind::Organization,
            Object::User(_) => Kind::User,
            Object::Namespace(_) => Kind::Namespace,
            Object::Group(_) => Kind::Group,
            Object::RoleBinding(_) => Kind::RoleBinding,
            Object::CustomRole(_) => Kind::CustomRole,
            Object::SiteRole(_) => Kind::SiteRole,
            Object::SiteRoleBinding(_) => Kind::SiteRoleBinding,
        }
    }

    pub fn slot(&self) -> Slot {
        let meta = self.meta();
        (self.kind(), meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }

    pub fn uid(&self) -> Uid {
        self.meta().uid.as_deref().unwrap().into()
    }

    /// The object as a watch parses it.
    pub fn item(&self) -> Item {
        match self {
            Object::Organization(o) => Item::Organization(record(o)),
            Object::User(o) => Item::User(record(o)),
            Object::Namespace(o) => Item::Namespace(o.into()),
            Object::Group(o) => Item::Group(record(o)),
            Object::RoleBinding(o) => Item::RoleBinding(record(o)),
            Object::CustomRole(o) => Item::CustomRole(record(o)),
            Object::SiteRole(o) => Item::SiteRole(record(o)),
            Object::SiteRoleBinding(o) => Item::SiteRoleBinding(record(o)),
        }
    }

    pub fn created(&self) -> Timestamp {
        self.meta().creation_timestamp.as_ref().unwrap().0
    }

    /// A write that changes it raises the generation.
    pub(super) fn spec(&self) -> String {
        each!(self, o => format!("{:?}", o.spec), _m => String::new())
    }

    pub(super) fn odd(&self) -> Option<&String> {
        self.meta().annotations.as_ref()?.get(ODD)
    }

    pub fn status(&self) -> Option<serde_json::Value> {
        macro_rules! status {
            ($o:expr) => {
                $o.status.as_ref().map(|s| serde_json::to_value(s).unwrap())
            };
        }
        each!(self, o => status!(o), _m => None)
    }

    pub fn set_status(&mut self, status: &serde_json::Value) {
        macro_rules! set {
            ($o:expr) => {
                $o.status = Some(serde_json::from_value(status.clone()).unwrap())
            };
        }
        each!(self, o => set!(o), _m => ());
    }
}

/// Makes a record of an object, readable or not, as `operator::guarded` does.
fn record<K, R>(object: &K) -> R
where
    K: kube::Resource + serde::Serialize + serde::de::DeserializeOwned,
    R: for<'a> From<&'a K> + Withhold<K>,
{
    let Some(odd) = object.meta().annotations.as_ref().and_then(|a| a.get(ODD)) else { return object.into() };
    let mut value = serde_json::to_value(object).unwrap();
    let odd: serde_json::Map<String, serde_json::Value> = serde_json::from_str(odd).unwrap();
    value["spec"].as_object_mut().unwrap().extend(odd);
    match salvage::read::<K>(value) {
        Found::Whole(object) => R::from(&object),
        Found::Part(part) => {
            let mut record = R::from(&part.object);
            record.withhold(&part);
            record
        }
        Found::Nothing(_, error) => panic!("{error}"),
    }
}
