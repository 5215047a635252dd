//! Objects with every field of our kinds, for tests that go through all of them.

use bailiwick::api::crds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use serde_json::{Value, json};

/// A full object of each kind.
pub fn samples() -> Vec<(&'static str, Value)> {
    let conditions = json!([{"type": "Ready", "status": "True", "reason": "Reconciled", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}]);
    let permission = json!([{"resource": "w", "actions": ["read"], "scope": "All", "names": ["n"]}]);
    let rule = json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["n"], "verbs": ["get"]}]);
    let binding_status = json!({"conditions": conditions, "observedGeneration": 1, "grants": 1, "withheld": 1,
        "organization": "o", "olderGroups": ["u"]});
    let role = json!({"kind": "SiteRole", "name": "r"});
    let cluster_rules = json!([rule[0], {"nonResourceURLs": ["/a"], "verbs": ["get"]}]);
    vec![
        (
            "Organization",
            json!({"spec": {"displayName": "d", "namespace": "n", "default": true, "memberRole": "m"},
                "status": {"conditions": conditions, "observedGeneration": 1, "namespace": "n", "default": true,
                    "members": 1, "grants": 1, "withheld": 1}}),
        ),
        (
            "User",
            json!({"spec": {"username": "u", "displayName": "d", "email": "e", "suspended": true},
                "status": {"conditions": conditions, "observedGeneration": 1, "username": "u", "state": "Active",
                    "privileged": true, "organizations": 1, "siteRoles": 1, "grants": 1, "lastSeenTime": "2026-01-01T00:00:00Z"}}),
        ),
        (
            "Group",
            json!({"spec": {"displayName": "d", "members": ["m"], "externalGroups": ["e"], "impliesMembership": false},
                "status": {"conditions": conditions, "observedGeneration": 1, "members": 1, "roles": ["r"],
                    "privileged": true, "withheld": 1, "organization": "o"}}),
        ),
        (
            "CustomRole",
            json!({"spec": {"displayName": "d", "description": "d", "permissions": permission, "rules": rule,
                    "inherits": [role], "privileged": true, "impliesMembership": true},
                "status": {"conditions": conditions, "observedGeneration": 1, "inherits": [role], "withheld": 1,
                    "organization": "o"}}),
        ),
        (
            "RoleBinding",
            json!({"spec": {"roleRef": role, "subjects": [{"kind": "User", "name": "u"}],
                "expiresAt": "2027-01-01T00:00:00Z"}, "status": binding_status}),
        ),
        (
            "SiteRole",
            json!({"spec": {"displayName": "d", "description": "d", "assignableTo": ["Site"], "singleHolder": true,
                    "permissions": permission, "rules": rule, "clusterRules": cluster_rules, "inherits": ["r"],
                    "privileged": true, "impliesMembership": true},
                "status": {"conditions": conditions, "observedGeneration": 1, "holder": "h", "inherits": ["r"],
                    "withheld": 1}}),
        ),
        (
            "SiteRoleBinding",
            json!({"spec": {"roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": "u", "namespace": "n"}, {"kind": "User", "name": "u"}],
                "expiresAt": "2027-01-01T00:00:00Z"}, "status": binding_status}),
        ),
    ]
}

/// An optional field in a sample.
pub struct Optional {
    /// As in `/spec/subjects/*/namespace`.
    pub field: String,
    /// A JSON pointer to it.
    pub path: String,
}

/// Every optional field of a kind, in each item of the sample's lists.
pub fn optional_fields(kind: &str, sample: &Value) -> Vec<Optional> {
    let crd = crds::all().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let schema = crd.spec.versions[0].schema.clone().and_then(|s| s.open_api_v3_schema).unwrap();
    let mut found = Vec::new();
    search(&schema, sample, Optional { field: String::new(), path: String::new() }, &mut found);
    found
}

fn search(schema: &JSONSchemaProps, value: &Value, at: Optional, found: &mut Vec<Optional>) {
    let inside = |field: &str, key: &str| Optional {
        field: format!("{}/{field}", at.field),
        path: format!("{}/{key}", at.path),
    };
    for (key, of) in schema.properties.iter().flatten() {
        if !schema.required.iter().flatten().any(|required| required == key) {
            found.push(inside(key, key));
        }
        if let Some(value) = value.get(key) {
            search(of, value, inside(key, key), found);
        }
    }
    if let Some(JSONSchemaPropsOrArray::Schema(of)) = &schema.items {
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            search(of, item, inside("*", &index.to_string()), found);
        }
    }
}

/// The sample with a null at a path.
pub fn with_null(sample: &Value, path: &str) -> Value {
    let mut object = sample.clone();
    let (parent, key) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = Value::Null;
    object
}
