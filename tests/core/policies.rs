//! Whether admission policies are as the chart installed them.

use bailiwick::api::conditions::Reason;
use bailiwick::core::policies::{Policies, faults, parse};
use rstest::rstest;
use serde_json::{Value, json};

const CHART: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: not-a-policy}
---
# A comment.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: guard}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: [{resources: [pods]}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: guard}
spec: {policyName: guard, validationActions: [Deny], paramRef: {selector: {}}}
";

fn live(policy: Value, binding: Value) -> Policies {
    let key = |kind: &str| (kind.to_owned(), "guard".to_owned());
    [(key("ValidatingAdmissionPolicy"), policy), (key("ValidatingAdmissionPolicyBinding"), binding)].into()
}

fn policy() -> Value {
    json!({"failurePolicy": "Fail", "matchConstraints": {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [{"resources": ["pods"], "scope": "*"}]}})
}

fn binding() -> Value {
    json!({"policyName": "guard", "validationActions": ["Deny"], "paramRef": {"parameterNotFoundAction": "Allow"}})
}

#[test]
fn what_the_api_server_adds_is_no_change() {
    assert_eq!(faults(&parse(CHART).unwrap(), &live(policy(), binding())), []);
}

#[rstest]
#[case::ignored_failures("/failurePolicy", json!("Ignore"))]
#[case::fewer_resources("/matchConstraints/resourceRules/0/resources", json!([]))]
#[case::another_rule("/matchConstraints/resourceRules", json!([{"resources": ["pods"]}, {"resources": ["nodes"]}]))]
#[case::nothing_at_all("", json!({}))]
fn a_change_is_found(#[case] pointer: &str, #[case] value: Value) {
    let mut changed = policy();
    *changed.pointer_mut(pointer).unwrap() = value;
    let found = faults(&parse(CHART).unwrap(), &live(changed, binding()));
    assert_eq!(found, [(Reason::PolicyChanged, "ValidatingAdmissionPolicy guard".to_owned())]);
}

/// The chart states none of these, and each makes the policy cover less.
#[rstest]
#[case::other_rules("/matchConstraints/excludeResourceRules", json!([{"resources": ["pods"]}]))]
#[case::labels_of_objects("/matchConstraints/objectSelector", json!({"matchLabels": {"a": "b"}}))]
#[case::names("/matchConstraints/resourceRules/0/resourceNames", json!(["a"]))]
#[case::a_scope("/matchConstraints/resourceRules/0/scope", json!("Cluster"))]
#[case::exact_versions("/matchConstraints/matchPolicy", json!("Exact"))]
#[case::a_condition("/matchConditions", json!([{"name": "a", "expression": "false"}]))]
fn an_added_limit_is_found(#[case] pointer: &str, #[case] value: Value) {
    let mut changed = policy();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[field] = value;
    let found = faults(&parse(CHART).unwrap(), &live(changed, binding()));
    assert_eq!(found, [(Reason::PolicyChanged, "ValidatingAdmissionPolicy guard".to_owned())]);
}

#[test]
fn a_limited_binding_is_found() {
    let mut limited = binding();
    limited["matchResources"] = json!({"objectSelector": {"matchLabels": {"a": "b"}}, "matchPolicy": "Equivalent"});
    let found = faults(&parse(CHART).unwrap(), &live(policy(), limited));
    assert_eq!(found, [(Reason::PolicyChanged, "ValidatingAdmissionPolicyBinding guard".to_owned())]);
}

#[test]
fn a_missing_binding_is_found() {
    let mut live = live(policy(), binding());
    live.remove(&("ValidatingAdmissionPolicyBinding".to_owned(), "guard".to_owned()));
    let found = faults(&parse(CHART).unwrap(), &live);
    assert_eq!(found, [(Reason::PolicyMissing, "ValidatingAdmissionPolicyBinding guard".to_owned())]);
}
