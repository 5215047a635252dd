//! Random rules, and every request of a small universe, with an authorizer that evaluates rules literally.
//! `tests/oracle` compares it with that of Kubernetes.

use bailiwick::core::Name;
use bailiwick::core::rules::{Rule, words};
use proptest::prelude::*;
use proptest::sample::subsequence;

const GROUPS: [&str; 2] = ["", "apps"];
const RESOURCES: [&str; 5] = ["pods", "pods/exec", "pods/log", "jobs", "jobs/exec"];
const NAMES: [&str; 2] = ["a", "b"];
const VERBS: [&str; 3] = ["get", "list", "delete"];
const PATHS: [&str; 4] = ["/a", "/a/b", "/ab", "/c"];

/// A request for an authorizer. Without a name it is about no particular object (a list, for example).
#[derive(Clone, Debug)]
pub enum Request {
    Resource { group: &'static str, resource: &'static str, name: &'static str, verb: &'static str },
    Path { path: &'static str, verb: &'static str },
}

pub fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    for verb in VERBS {
        all.extend(PATHS.map(|path| Request::Path { path, verb }));
        for group in GROUPS {
            for resource in RESOURCES {
                all.extend(["", "a", "b", "c"].map(|name| Request::Resource { group, resource, name, verb }));
            }
        }
    }
    all
}

/// Evaluates rules one by one, as the evaluation helpers in `k8s.io/component-helpers/auth/rbac/validation` do
/// (`RuleAllows` of the RBAC authorizer).
pub fn allows(rule: &Rule, request: &Request) -> bool {
    let has = |list: &[Name], word: &str| list.iter().any(|w| &**w == word || &**w == "*");
    match request {
        Request::Resource { group, resource, name, verb } => {
            let subresource = resource.split('/').nth(1);
            let on_resource = has(&rule.resources, resource)
                || subresource.is_some_and(|s| rule.resources.iter().any(|r| **r == *format!("*/{s}")));
            let on_name = rule.names.is_empty() || rule.names.iter().any(|n| &**n == *name);
            has(&rule.verbs, verb) && has(&rule.groups, group) && on_resource && on_name
        }
        Request::Path { path, verb } => {
            let matches =
                |p: &str| p == "*" || p == *path || (p.ends_with('*') && path.starts_with(p.trim_end_matches('*')));
            has(&rule.verbs, verb) && rule.paths.iter().any(|p| matches(p))
        }
    }
}

pub fn allowed(rules: &[Rule], request: &Request) -> bool {
    rules.iter().any(|rule| allows(rule, request))
}

fn list(all: &'static [&'static str], least: usize) -> impl Strategy<Value = Vec<Name>> {
    subsequence(all, least..=2).prop_shuffle().prop_map(|w| words(&w))
}

/// Rules as people write them, without wildcards.
pub fn rule() -> impl Strategy<Value = Rule> {
    let on_objects = (list(&GROUPS, 1), list(&RESOURCES, 1), list(&NAMES, 0), list(&VERBS, 1))
        .prop_map(|(groups, resources, names, verbs)| Rule { groups, resources, names, paths: Vec::new(), verbs });
    let on_paths =
        (list(&PATHS, 1), list(&VERBS, 1)).prop_map(|(paths, verbs)| Rule { paths, verbs, ..Rule::default() });
    prop_oneof![5 => on_objects, 1 => on_paths]
}

/// Rules of a ceiling, including wildcards.
pub fn ceiling_rule() -> impl Strategy<Value = Rule> {
    const G: [&str; 3] = ["", "apps", "*"];
    const R: [&str; 7] = ["pods", "pods/exec", "pods/log", "jobs", "jobs/exec", "*/exec", "*"];
    const V: [&str; 4] = ["get", "list", "delete", "*"];
    const P: [&str; 5] = ["/a", "/a/*", "/a*", "/c", "*"];
    let on_objects = (list(&G, 1), list(&R, 1), list(&NAMES, 0), list(&V, 1))
        .prop_map(|(groups, resources, names, verbs)| Rule { groups, resources, names, paths: Vec::new(), verbs });
    let on_paths = (list(&P, 1), list(&V, 1)).prop_map(|(paths, verbs)| Rule { paths, verbs, ..Rule::default() });
    prop_oneof![5 => on_objects, 1 => on_paths]
}
