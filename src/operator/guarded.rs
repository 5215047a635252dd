//! Reads objects from the API server, so that one that does not fit its type breaks neither a list nor a watch.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde::{Deserialize, Deserializer};

use crate::core::salvage::{self, Found, Shallow, Withhold};

/// An object as far as it can be read.
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Found<K>);

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Shallow::default().deserialize(deserializer).map(|value| Self(salvage::read(value)))
    }
}

impl<K: Resource<DynamicType = ()>> Guarded<K> {
    /// The object itself; `None` if it cannot be read.
    pub fn whole(self) -> Option<K> {
        self.log();
        match self.0 {
            Found::Whole(object) => Some(object),
            Found::Part(_) | Found::Nothing(..) => None,
        }
    }

    /// A record of the object, which grants nothing if the object cannot be read. `None` if not even its identity can.
    pub fn record<R: for<'a> From<&'a K> + Withhold<K>>(&self) -> Option<R> {
        self.log();
        match &self.0 {
            Found::Whole(object) => Some(object.into()),
            Found::Part(part) => {
                let mut record = R::from(&part.object);
                record.withhold(part);
                Some(record)
            }
            Found::Nothing(..) => None,
        }
    }

    fn log(&self) {
        let error = match &self.0 {
            Found::Whole(_) => return,
            Found::Part(part) => &part.error,
            Found::Nothing(_, error) => error,
        };
        let (kind, meta) = (K::kind(&()), self.meta());
        let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
        tracing::error!(%kind, namespace, name, error, "cannot read an object, so it grants nothing");
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Guarded<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(&(): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(&(): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(&(): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(&(): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Found::Whole(object) => object.meta(),
            Found::Part(part) => part.object.meta(),
            Found::Nothing(meta, _) => meta,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Found::Whole(object) => object.meta_mut(),
            Found::Part(part) => part.object.meta_mut(),
            Found::Nothing(meta, _) => meta,
        }
    }
}
