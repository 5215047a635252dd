//! Checks a document against its CRD as the API server would: unknown and missing fields, types, enums, lengths and
//! patterns, then the same CEL rules (with kube-cel, so that no rule is written twice).
//!
//! ```
//! use bailiwick::cli::schema::Schemas;
//!
//! let mut user = serde_json::json!({"metadata": {"name": "ada"}, "spec": {"usrname": "ada@example.com"}});
//! let problems = Schemas::default().check("User", &mut user).expect("a kind of ours");
//! assert_eq!(problems, [("spec.usrname".to_owned(), "unknown field".to_owned())]);
//! ```

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use kube_cel::Validator;
use regex::Regex;
use serde_json::Value;

use super::metadata;

/// Problems: the field and the message.
pub type Findings = Vec<(String, String)>;

/// The schemas of our kinds.
#[derive(Debug)]
pub struct Schemas {
    kinds: BTreeMap<String, (JSONSchemaProps, bool)>,
    patterns: Patterns,
}

/// Every pattern of the schemas, compiled once: compiling one takes longer than matching a thousand names.
type Patterns = BTreeMap<String, Regex>;

impl Default for Schemas {
    fn default() -> Self {
        let crds = crate::api::crds::all().into_iter();
        let kinds: BTreeMap<_, _> = crds
            .filter_map(|crd| {
                let namespaced = crd.spec.scope == "Namespaced";
                let schema = crd.spec.versions.into_iter().next()?.schema?.open_api_v3_schema?;
                Some((crd.spec.names.kind, (schema, namespaced)))
            })
            .collect();
        let mut patterns = Patterns::new();
        kinds.values().for_each(|(schema, _)| compile(schema, &mut patterns));
        Self { kinds, patterns }
    }
}

impl Schemas {
    /// The names of our kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// Removes null fields from a document, and checks the rest. `None` if the kind is not ours.
    #[must_use]
    pub fn check(&self, kind: &str, document: &mut Value) -> Option<Findings> {
        let (schema, namespaced) = self.kinds.get(kind)?;
        let mut findings = Findings::new();
        without_nulls(schema, document);
        metadata::check(document, *namespaced, &mut findings);
        for (key, value) in document.as_object().into_iter().flatten() {
            match (key.as_str(), schema.properties.as_ref().and_then(|p| p.get(key))) {
                ("apiVersion" | "kind" | "metadata" | "status", _) => {}
                (_, Some(schema)) => check(&self.patterns, schema, value, key, &mut findings),
                (_, None) => findings.push((key.clone(), "unknown field".into())),
            }
        }
        if document.get("spec").is_none() {
            findings.push(("spec".into(), "is required".into()));
        }
        // CEL expects documents of the right shape.
        if findings.is_empty() {
            findings.extend(cel(schema, document));
        }
        Some(findings)
    }
}

fn compile(schema: &JSONSchemaProps, patterns: &mut Patterns) {
    // An invalid pattern would accept everything; a test in this file finds it.
    if let Some(pattern) = &schema.pattern
        && let Ok(compiled) = Regex::new(pattern)
    {
        patterns.insert(pattern.clone(), compiled);
    }
    schema.properties.iter().flat_map(|properties| properties.values()).for_each(|of| compile(of, patterns));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        compile(items, patterns);
    }
}

/// A known field that is null is absent, as it is for the API server and the operator.
fn without_nulls(schema: &JSONSchemaProps, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let of = |key: &str| schema.properties.as_ref().and_then(|properties| properties.get(key));
            fields.retain(|key, value| !value.is_null() || of(key).is_none());
            for (key, value) in fields {
                if let Some(schema) = of(key) {
                    without_nulls(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(of)) = &schema.items {
                items.iter_mut().for_each(|item| without_nulls(of, item));
            }
        }
        _ => {}
    }
}

fn cel(schema: &JSONSchemaProps, document: &Value) -> Findings {
    let Ok(mut schema) = serde_json::to_value(schema) else { return Findings::new() };
    without_transitions(&mut schema);
    let errors = Validator::new().validate_with_defaults(&schema, document, None).err();
    let errors = errors.map(kube_cel::ValidationErrors::into_vec).unwrap_or_default();
    errors.into_iter().map(|error| (error.field_path, error.message)).collect()
}

/// Transition rules do not apply without an old object. (kube-cel takes the absent one for a null.)
fn without_transitions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(rules) = fields.get_mut("x-kubernetes-validations").and_then(Value::as_array_mut) {
                rules.retain(|rule| !rule["optionalOldSelf"].as_bool().unwrap_or(false));
            }
            fields.values_mut().for_each(without_transitions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_transitions),
        _ => {}
    }
}

fn check(patterns: &Patterns, schema: &JSONSchemaProps, value: &Value, path: &str, findings: &mut Findings) {
    let mut wrong = |message: String| findings.push((path.to_owned(), message));
    let kind = schema.type_.as_deref().unwrap_or_default();
    let fits = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => true,
    };
    if !fits {
        return wrong(format!("must be of type {kind}"));
    }
    if let Some(words) = &schema.enum_
        && !words.iter().any(|word| word.0 == *value)
    {
        let words: Vec<&str> = words.iter().filter_map(|word| word.0.as_str()).collect();
        return wrong(format!("must be one of {}", words.join(", ")));
    }
    match value {
        Value::String(text) => string(patterns, schema, text, &mut wrong),
        Value::Array(items) => {
            let bound = |limit: Option<i64>| limit.and_then(|l| usize::try_from(l).ok());
            if bound(schema.max_items).is_some_and(|max| items.len() > max) {
                // A message for each of so many items would not help, and comparing each with each would take forever.
                return wrong(format!(
                    "has {} items; at most {} are allowed",
                    items.len(),
                    schema.max_items.unwrap_or(0)
                ));
            }
            if bound(schema.min_items).is_some_and(|min| items.len() < min) {
                wrong(format!("must have at least {} items", schema.min_items.unwrap_or(0)));
            }
            let mut seen = BTreeSet::new();
            if schema.x_kubernetes_list_type.as_deref() == Some("set")
                && let Some(twice) = items.iter().map(Value::to_string).find(|item| !seen.insert(item.clone()))
            {
                wrong(format!("contains {twice} twice"));
            }
            if let Some(JSONSchemaPropsOrArray::Schema(of)) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check(patterns, of, item, &format!("{path}[{index}]"), findings);
                }
            }
        }
        Value::Object(fields) => {
            let properties = schema.properties.as_ref();
            for required in schema.required.iter().flatten().filter(|r| !fields.contains_key(*r)) {
                findings.push((format!("{path}.{required}"), "is required".into()));
            }
            for (key, value) in fields {
                match properties.and_then(|p| p.get(key)) {
                    Some(schema) => check(patterns, schema, value, &format!("{path}.{key}"), findings),
                    None => findings.push((format!("{path}.{key}"), "unknown field".into())),
                }
            }
        }
        _ => {}
    }
}

fn string(patterns: &Patterns, schema: &JSONSchemaProps, text: &str, wrong: &mut impl FnMut(String)) {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        wrong(format!("has {length} characters; at most {max} are allowed"));
    }
    if schema.min_length.is_some_and(|min| length < min) {
        wrong("must not be empty".to_owned());
    }
    if let Some(pattern) = &schema.pattern
        && patterns.get(pattern).is_some_and(|pattern| !pattern.is_match(text))
    {
        wrong(format!("{text:?} does not match {pattern}"));
    }
    if schema.format.as_deref() == Some("date-time") && crate::api::time::read(text).is_err() {
        wrong(format!("{text:?} is not a time such as 2027-01-31T18:00:00Z"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_schemas_is_one() {
        let text = serde_json::to_string(&crate::api::crds::all()).unwrap();
        let mut patterns = text.split("\"pattern\":\"").skip(1).map(|rest| rest.split_once("\"").unwrap().0);
        let schemas = Schemas::default();
        assert!(!schemas.patterns.is_empty());
        let compiled = |json: &str| {
            let pattern: String = serde_json::from_str(&format!("\"{json}\"")).unwrap();
            schemas.patterns.contains_key(&pattern)
        };
        assert!(patterns.all(compiled));
    }

    /// A file of 20,000 members took minutes: each was compared with each, and the pattern compiled for each.
    #[test]
    fn too_many_items_are_one_problem_and_nothing_else_is_said_of_them() {
        let members: Vec<String> = (0..20_000).map(|n| format!("u{n}")).collect();
        let mut group = serde_json::json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"members": members}});
        let findings = Schemas::default().check("Group", &mut group).unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].0, "spec.members");
        assert!(findings[0].1.starts_with("has 20000 items"), "{findings:?}");
    }
}
