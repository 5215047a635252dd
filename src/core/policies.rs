//! Checks whether the chart's admission policies are in place. Missing and changed ones are reported, because people
//! depend on them. Of the grants, only those on own objects do (see [`super::own_objects`]).

use std::collections::BTreeMap;

use serde_json::Value;

use super::own_objects::Ownership;
use super::text;
use crate::api::conditions::Reason;

/// The API group of policies and their bindings.
const GROUP: &str = "admissionregistration.k8s.io/";

/// The longest text of policies, in bytes. The chart's largest takes 20,000.
const LONGEST: usize = 512 * 1024;

/// Policies and bindings, by kind and name.
pub type Policies = BTreeMap<(String, String), Value>;

/// The state of the policies in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Those that are missing or changed.
    pub faults: Vec<(Reason, String)>,
    /// Whether admission protects objects of other owners.
    pub ownership: Ownership,
}

impl Report {
    /// `trusted`: the policies as last expected and found in place.
    #[must_use]
    pub fn new(expected: &Policies, trusted: &Policies, live: &Policies) -> Self {
        Self { faults: faults(expected, live), ownership: Ownership::new(expected, trusted, live) }
    }
}

/// The policies in a text of several YAML documents; other objects are left out.
///
/// # Errors
/// When it is too long, too deep or not YAML.
pub fn parse(text: &str) -> Result<Policies, text::Error> {
    let mut policies = Policies::new();
    for mut object in text::documents(text, LONGEST)? {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if word(&object["apiVersion"]).starts_with(GROUP) {
            let key = (word(&object["kind"]), word(&object["metadata"]["name"]));
            policies.insert(key, object["spec"].take());
        }
    }
    Ok(policies)
}

/// The policies that are missing or changed.
#[must_use]
pub fn faults(expected: &Policies, live: &Policies) -> Vec<(Reason, String)> {
    let fault = |(key, spec): (&(String, String), &Value)| {
        let what = format!("{} {}", key.0, key.1);
        match live.get(key) {
            None => Some((Reason::PolicyMissing, what)),
            Some(is) if !says(is, spec) => Some((Reason::PolicyChanged, what)),
            Some(_) => None,
        }
    };
    expected.iter().filter_map(fault).collect()
}

/// What the API server writes where the chart states nothing, and what would otherwise limit a policy or binding to
/// fewer requests.
const LIMITS: [(&str, Option<&str>); 9] = [
    ("excludeResourceRules", None),
    ("matchConditions", None),
    ("matchPolicy", Some("Equivalent")),
    ("matchResources", None),
    ("namespaceSelector", None),
    ("objectSelector", None),
    ("paramRef", None),
    ("resourceNames", None),
    ("scope", Some("*")),
];

/// Whether a value contains all of another one. The API server adds fields (its defaults), but neither removes any nor
/// changes lists. A field that somebody else added must not limit what a policy covers.
pub(super) fn says(is: &Value, expected: &Value) -> bool {
    match (is, expected) {
        (Value::Object(is), Value::Object(expected)) => {
            let limits = |(key, default): &(&str, Option<&str>)| {
                let added = is.get(*key).filter(|_| !expected.contains_key(*key));
                added.is_some_and(|added| !empty(added) && (default.is_none() || added.as_str() != *default))
            };
            expected.iter().all(|(key, value)| match is.get(key) {
                Some(is) => says(is, value) || (empty(is) && empty(value)),
                None => empty(value),
            }) && !LIMITS.iter().any(limits)
        }
        (Value::Array(is), Value::Array(expected)) => {
            is.len() == expected.len() && is.iter().zip(expected).all(|(is, expected)| says(is, expected))
        }
        _ => is == expected,
    }
}

/// Values that the API server may leave out.
fn empty(value: &Value) -> bool {
    value.is_null()
        || value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}
