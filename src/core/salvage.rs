//! Reads objects that do not fit their type: written under another schema, or in a way that the API server accepts and
//! we do not. The readable part is kept, because it may protect something. The object itself grants nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::Name;
use super::records::{Binding, Group, Meta, Organization, Role, SubjectRef, User};
use super::text::brief;
use crate::api::{self, Place};

/// The depth to which an object is read. Ours are ten levels deep. Managed fields may be far deeper, and serde_json
/// refuses a whole list for one object of 128 levels.
const DEEPEST: usize = 32;

/// An object from the API server, as far as it can be read.
#[derive(Clone, Debug)]
pub enum Found<K> {
    /// Everything that matters can be read.
    Whole(K),
    /// The spec cannot be read, at least in part.
    Part(Box<Part<K>>),
    /// Only the metadata that identifies it.
    Nothing(Box<ObjectMeta>, String),
}

/// The readable part of an object.
#[derive(Clone, Debug)]
pub struct Part<K> {
    /// The object, with defaults in place of unreadable fields.
    pub object: K,
    /// The raw spec.
    pub spec: Value,
    /// Why it cannot be read.
    pub error: String,
}

/// Reads an object as far as possible. Unreadable statuses and managed fields withhold nothing: people other than the
/// author of the spec may write them, and the operator rewrites the status.
#[must_use]
pub fn read<K: DeserializeOwned>(mut value: Value) -> Found<K> {
    let error = match K::deserialize(&value) {
        Ok(object) => return Found::Whole(object),
        Err(error) => brief(&error),
    };
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(object) = fits(&value) {
        return Found::Whole(object);
    }
    let mut bare = value.clone();
    // It is copied for every field, and annotations may be long.
    bare["metadata"] = Value::Object(Map::new());
    bare["status"] = Value::Object(Map::new());
    // The fields that our kinds require.
    bare["spec"] = json!({"roleRef": {"kind": "SiteRole", "name": ""}, "assignableTo": []});
    let status = filled::<K>(&bare, "status", &value["status"]);
    let spec = filled::<K>(&bare, "spec", &value["spec"]);
    value["status"] = status;
    if let Some(object) = fits(&value) {
        return Found::Whole(object);
    }
    let original = std::mem::replace(&mut value["spec"], spec);
    match fits(&value) {
        Some(object) => Found::Part(Box::new(Part { object, spec: original, error })),
        None => Found::Nothing(Box::new(identity(&value["metadata"])), error),
    }
}

fn fits<K: DeserializeOwned>(value: &Value) -> Option<K> {
    K::deserialize(value).ok()
}

/// A section of an object with its readable fields and list items.
fn filled<K: DeserializeOwned>(bare: &Value, section: &str, fields: &Value) -> Value {
    let mut filled = bare[section].clone();
    for (key, field) in fields.as_object().into_iter().flatten() {
        let is_readable = |field: &Value| {
            let mut trial = bare.clone();
            trial[section][key] = field.clone();
            fits::<K>(&trial).is_some()
        };
        if is_readable(field) {
            filled[key] = field.clone();
        } else if let Value::Array(items) = field {
            let items = items.iter().filter(|item| is_readable(&json!([item]))).cloned().collect();
            if is_readable(&items) {
                filled[key] = items;
            }
        }
    }
    filled
}

fn identity(metadata: &Value) -> ObjectMeta {
    let text = |key: &str| metadata[key].as_str().map(str::to_owned);
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        ..ObjectMeta::default()
    }
}

/// A record made from an object of the kind `K`.
pub trait Withhold<K> {
    /// Makes the record grant nothing, and protect everything that the object may protect.
    fn withhold(&mut self, part: &Part<K>);
}

fn mark<K>(meta: &mut Meta, part: &Part<K>) {
    meta.unreadable = Some(Name::from(part.error.as_str()));
}

impl<K> Withhold<K> for Organization {
    fn withhold(&mut self, part: &Part<K>) {
        mark(&mut self.meta, part);
    }
}

impl Withhold<api::User> for User {
    fn withhold(&mut self, part: &Part<api::User>) {
        mark(&mut self.meta, part);
        let is_lost = |key: &str, fits: fn(&Value) -> bool| part.spec.get(key).is_some_and(|value| !fits(value));
        if !part.spec.is_object() || is_lost("username", Value::is_string) {
            // Its object name could be another user's username.
            let recorded = part.object.status.as_ref().and_then(|status| status.username.as_deref());
            self.username = recorded.map(Name::from).unwrap_or_default();
        }
        self.suspended |= is_lost("suspended", Value::is_boolean);
    }
}

impl<K> Withhold<K> for Group {
    fn withhold(&mut self, part: &Part<K>) {
        mark(&mut self.meta, part);
    }
}

impl<K> Withhold<K> for Binding {
    fn withhold(&mut self, part: &Part<K>) {
        mark(&mut self.meta, part);
        // A subject of an unknown kind may be a Group.
        let names =
            part.spec["subjects"].as_array().into_iter().flatten().filter_map(|subject| subject["name"].as_str());
        let known = |name: &&str| {
            self.subjects.iter().any(|subject| match subject {
                SubjectRef::User(known) | SubjectRef::Group(known) | SubjectRef::ExternalGroup(known) => {
                    **known == **name
                }
                SubjectRef::ServiceAccount { name: known, .. } => **known == **name,
            })
        };
        let others: Vec<SubjectRef> =
            names.filter(|name| !known(name)).map(|name| SubjectRef::Group(name.into())).collect();
        self.subjects = std::mem::take(&mut self.subjects).into_iter().chain(others).collect();
    }
}

impl<K> Withhold<K> for Role {
    fn withhold(&mut self, part: &Part<K>) {
        mark(&mut self.meta, part);
        self.permissions.clear();
        self.rules.clear();
        self.cluster_rules.clear();
        self.inherits.clear();
        self.assignable_to = vec![Place::Site, Place::Organization];
        self.single_holder |= part.spec.get("singleHolder").is_some_and(|single| !single.is_boolean());
        self.privileged = true;
        self.implies_membership = false;
    }
}

/// Reads JSON down to a depth. Deeper values and null fields are left out.
pub struct Shallow(usize);

impl Default for Shallow {
    fn default() -> Self {
        Self(DEEPEST)
    }
}

impl<'de> DeserializeSeed<'de> for Shallow {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0 == 0 {
            // Without recursion, whatever the depth.
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shallow {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Shallow(self.0 - 1))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key()? {
            let value = entries.next_value_seed(Shallow(self.0 - 1))?;
            // A null field is absent. Otherwise every field of our types would need an attribute for it.
            if !value.is_null() {
                map.insert(key, value);
            }
        }
        Ok(map.into())
    }
}
