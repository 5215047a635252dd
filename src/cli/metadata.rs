//! Checks the metadata of an object as the API server would.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::schema::Findings;

const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Removes null fields, and checks the rest.
pub fn check(document: &mut Value, namespaced: bool, findings: &mut Findings) {
    let Some(Value::Object(metadata)) = document.get_mut("metadata") else {
        findings.push(("metadata".into(), "is required, with a name".into()));
        return;
    };
    // kubectl omits the namespace of a cluster-scoped object.
    metadata.retain(|key, value| !value.is_null() && (namespaced || key != "namespace"));
    for key in metadata.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
        findings.push((format!("metadata.{key}"), "unknown field".into()));
    }
    for map in ["labels", "annotations"] {
        for (key, value) in metadata.get_mut(map).and_then(Value::as_object_mut).into_iter().flatten() {
            if value.is_null() {
                *value = "".into();
            }
            let field = format!("metadata.{map}.{key}");
            // The API server compares annotation keys in lower case.
            let name = if map == "annotations" { key.to_lowercase() } else { key.clone() };
            if !is_qualified_name(&name) {
                findings.push((field, format!("{key:?} is not a valid key for {map}")));
            } else if map == "labels" && value.as_str().is_some_and(|text| !text.is_empty() && !is_label(text)) {
                findings.push((
                    field,
                    format!("{value} is not a valid label value: use at most 63 letters, digits, '-', '_' and '.'"),
                ));
            }
        }
    }
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    name(text("name"), "metadata.name", 253, findings);
    if namespaced {
        name(text("namespace"), "metadata.namespace", 63, findings);
    }
    if let Err(error) = serde_json::from_value::<ObjectMeta>(Value::Object(metadata.clone())) {
        findings.push(("metadata".into(), error.to_string()));
    }
}

/// Names of Kubernetes objects are RFC 1123 subdomains; those of namespaces are labels.
fn name(name: &str, field: &str, longest: usize, findings: &mut Findings) {
    if name.is_empty() {
        findings.push((field.into(), "is required".into()));
    } else if name.len() > longest || !is_subdomain(name) || (longest == 63 && name.contains('.')) {
        let dot = if longest == 63 { "" } else { " and '.'" };
        let message =
            format!("{name:?} is not a valid name: use at most {longest} lowercase letters, digits, '-'{dot}");
        findings.push((field.into(), message));
    }
}

fn is_subdomain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.split('.').all(is_label)
}

fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => prefix.len() <= 253 && is_subdomain(prefix) && is_label(name),
        None => is_label(text),
    }
}

fn is_label(text: &str) -> bool {
    let ends = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && ends(text.as_bytes().first())
        && ends(text.as_bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
