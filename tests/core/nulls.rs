//! A template that leaves a field empty makes it null. The operator and `render` treat null as absent, in every field.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bailiwick::api;
use bailiwick::cli::schema::Schemas;
use bailiwick::core::salvage::{Found, Shallow, read};
use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde_json::{Value, json};

use crate::samples::{optional_fields, samples, with_null};

/// Reads an object as the operator does.
fn operator<K: DeserializeOwned>(object: &Value) -> Option<K> {
    match read(Shallow::default().deserialize(object).unwrap()) {
        Found::Whole(object) => Some(object),
        Found::Part(_) | Found::Nothing(..) => None,
    }
}

/// Reads a manifest as `render` does.
fn render<K: DeserializeOwned>(schemas: &Schemas, kind: &str, object: &Value) -> Result<K, String> {
    let mut object = object.clone();
    let findings = schemas.check(kind, &mut object).unwrap();
    if !findings.is_empty() {
        return Err(format!("{findings:?}"));
    }
    serde_json::from_value(object).map_err(|error| error.to_string())
}

fn null_is_absent<K: DeserializeOwned + Debug + PartialEq>(kind: &str, sample: &Value, schemas: &Schemas) {
    // In some list items, another rule may require the field, such as the namespace of a ServiceAccount.
    let mut accepted: BTreeMap<String, Result<(), String>> = BTreeMap::new();
    for optional in optional_fields(kind, sample) {
        let with_null = with_null(sample, &optional.path);
        let mut without = sample.clone();
        let (parent, key) = optional.path.rsplit_once('/').unwrap();
        without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
        let absent: K = serde_json::from_value(without).unwrap();
        assert_eq!(operator(&with_null).as_ref(), Some(&absent), "{kind} {}", optional.path);
        let rendered = render(schemas, kind, &with_null).map(|read: K| assert_eq!(read, absent, "{}", optional.path));
        let entry = accepted.entry(optional.field).or_insert_with(|| rendered.clone());
        if rendered.is_ok() {
            *entry = rendered;
        }
    }
    assert!(accepted.len() > 5, "{kind}: {accepted:?}");
    let refused: Vec<_> = accepted.iter().filter(|(_, rendered)| rendered.is_err()).collect();
    assert!(refused.is_empty(), "{kind}: {refused:?}");
}

#[test]
fn a_null_in_any_optional_field_is_an_absent_one_to_the_operator_and_to_render() {
    let schemas = Schemas::default();
    for (kind, mut sample) in samples() {
        sample["metadata"] = json!({"name": "u", "labels": null, "annotations": null});
        if !["Organization", "User", "SiteRole", "SiteRoleBinding"].contains(&kind) {
            sample["metadata"]["namespace"] = json!("n");
        }
        sample["apiVersion"] = json!("bailiwick.dev/v1alpha1");
        sample["kind"] = json!(kind);
        match kind {
            "Organization" => null_is_absent::<api::Organization>(kind, &sample, &schemas),
            "User" => null_is_absent::<api::User>(kind, &sample, &schemas),
            "Group" => null_is_absent::<api::Group>(kind, &sample, &schemas),
            "CustomRole" => null_is_absent::<api::CustomRole>(kind, &sample, &schemas),
            "RoleBinding" => null_is_absent::<api::RoleBinding>(kind, &sample, &schemas),
            "SiteRole" => null_is_absent::<api::SiteRole>(kind, &sample, &schemas),
            _ => null_is_absent::<api::SiteRoleBinding>(kind, &sample, &schemas),
        }
    }
}

#[test]
fn a_null_is_no_value_of_a_required_field_and_no_item() {
    let schemas = Schemas::default();
    let refused = |kind: &str, spec: Value, field: &str| {
        let mut object = json!({"metadata": {"name": "u", "namespace": "n"}, "spec": spec});
        let findings = schemas.check(kind, &mut object).unwrap();
        assert!(findings.iter().any(|(place, _)| place == field), "{kind} {spec}: {findings:?}");
    };
    refused("RoleBinding", json!({"roleRef": null}), "spec.roleRef");
    refused("RoleBinding", json!({"roleRef": {"kind": "SiteRole", "name": null}}), "spec.roleRef.name");
    refused("Group", json!({"members": ["ada", null]}), "spec.members[1]");
    refused("Group", json!({"membres": null}), "spec.membres");
    refused("Group", json!(null), "spec");
}
