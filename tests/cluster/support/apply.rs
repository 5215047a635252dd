//! `kubectl apply --server-side` without kubectl, for simple manifests.

use kube::api::{Patch, PatchParams, ValidationDirective};
use kube::core::Request;
use serde::Deserialize as _;
use serde_json::Value;

use super::Cluster;
use super::read::{RESOURCES, encoded};

impl Cluster {
    /// Applies manifests as the administrator, as kubectl does. `None` if a kind is unknown here.
    pub(super) fn apply_at_once(&self, yaml: &str) -> Option<kube::Result<()>> {
        let documents = serde_yaml::Deserializer::from_str(yaml).map(Value::deserialize);
        let objects: Vec<Value> = documents.filter(|o| !matches!(o, Ok(Value::Null))).collect::<Result<_, _>>().ok()?;
        let paths: Vec<String> = objects.iter().map(path).collect::<Option<_>>()?;
        let mut parameters = PatchParams::apply("kubectl");
        parameters.field_validation = Some(ValidationDirective::Strict);
        let apply = |(path, object): (&String, _)| self.patch(path, object, &parameters).map(drop);
        // All of them, even if an earlier one fails.
        Some(paths.iter().zip(&objects).map(apply).fold(Ok(()), Result::and))
    }

    /// Applies an object of a known kind.
    pub(super) fn patch_by_apply(&self, object: &Value, parameters: &PatchParams) -> kube::Result<Value> {
        self.patch(&path(object).expect("a kind that tests know"), object, parameters)
    }

    fn patch(&self, path: &str, object: &Value, parameters: &PatchParams) -> kube::Result<Value> {
        let (place, name) = path.rsplit_once('/').unwrap();
        let request = Request::new(place).patch(name, parameters, &Patch::Apply(object));
        self.runtime.block_on(self.client.request(request.map_err(kube::Error::BuildRequest)?))
    }
}

/// Where an object is.
fn path(object: &Value) -> Option<String> {
    let (version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    let api = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let plural = format!("{}s", kind.to_lowercase());
    let known =
        |(resource, place, _): &(&str, &str, bool)| *place == api && resource.split('.').next() == Some(&plural);
    let (_, _, namespaced) = RESOURCES.into_iter().find(known)?;
    let place = match (namespaced, object["metadata"]["namespace"].as_str()) {
        (true, namespace) => format!("/namespaces/{}", namespace.unwrap_or("default")),
        (false, None) => String::new(),
        (false, Some(_)) => return None,
    };
    Some(format!("{api}{place}/{plural}/{}", encoded(object["metadata"]["name"].as_str()?)))
}
