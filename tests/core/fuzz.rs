//! Input that nobody would write: manifests, bounds and settings with anything in any place. The core takes whatever
//! its types take, without panicking, hanging, granting to names reserved by Kubernetes, or exceeding the ceiling.
//!
//! The API server's schemas refuse most of this. They are left out here: a CRD may be older than the operator, or
//! somebody may have edited it.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bailiwick::core::cache::{Cache, Ceilings};
use bailiwick::core::catalog::{Bounds, Settings, Target, Word};
use bailiwick::core::fixpoint::settle;
use bailiwick::core::object_ref::NativeKind;
use bailiwick::core::rbac::{RbacSpec, Subject, from_rules};
use bailiwick::core::rules::{Ceiling, Rule};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::PolicyRule;
use proptest::prelude::*;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::cases;
#[path = "../fuzz/mutation.rs"]
mod mutation;
use crate::fake::{Event, Object};
use mutation::{Mutation, mutate, mutations, yaml_documents};

/// A case takes a few milliseconds; this is for a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(20);
/// The existing and whitelisted namespaces.
const SPACES: [&str; 11] = [
    "data-science",
    "platform",
    "sandbox",
    "banking",
    "research",
    "operations",
    "atlas",
    "default",
    "engineering",
    "studio",
    "bailiwick-system",
];

fn repository(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

const EXAMPLES: [&str; 6] =
    ["quickstart", "tiered-rbac", "group-templates", "external-groups", "namespaces", "personal-workspaces"];

fn of_ours(mut objects: Vec<Value>) -> Vec<Value> {
    objects.retain(|object| object["apiVersion"] == "bailiwick.dev/v1alpha1");
    objects
}

/// The built-in roles.
fn roles() -> Vec<Value> {
    static ROLES: LazyLock<Vec<Value>> =
        LazyLock::new(|| of_ours(yaml_documents(&repository("charts/bailiwick/files/site-roles.yaml"))));
    ROLES.clone()
}

/// An example with the usual objects of a cluster: namespaces with a record, objects with a status.
fn corpus(example: usize) -> Vec<Value> {
    static ALL: LazyLock<Vec<Vec<Value>>> = LazyLock::new(|| EXAMPLES.iter().map(|name| read_corpus(name)).collect());
    ALL[example].clone()
}

fn read_corpus(example: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    let mut all =
        of_ours(files.iter().flat_map(|path| yaml_documents(&std::fs::read_to_string(path).unwrap())).collect());
    for space in SPACES {
        all.push(json!({"kind": "Namespace", "metadata": {"name": space, "uid": space, "resourceVersion": "1"}}));
    }
    all.push(json!({"kind": "Namespace", "metadata": {
        "name": "research", "uid": "r", "resourceVersion": "2",
        "labels": {"bailiwick.dev/organization": "research"},
        "annotations": {"bailiwick.dev/organization-uid": "x", "bailiwick.dev/claimed-at": "2026-01-01T00:00:00Z"},
    }}));
    let condition = json!({"type": "Ready", "status": "True", "reason": "Reconciled", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    all.push(json!({"kind": "User", "metadata": {"name": "seen", "uid": "s", "resourceVersion": "3", "generation": 1},
        "spec": {"username": "seen@example.com"},
        "status": {"conditions": [condition], "state": "Active", "lastSeenTime": "2026-01-01T00:00:00Z"}}));
    all.push(json!({"kind": "SiteRole", "metadata": {"name": "site-admin", "uid": "sa", "resourceVersion": "4"},
        "spec": {"assignableTo": ["Site"], "singleHolder": true}, "status": {"holder": "seen@example.com", "withheld": 0}}));
    all.push(json!({"kind": "SiteRoleBinding", "metadata": {"name": "the-admin", "uid": "ta", "resourceVersion": "5",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "x", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}}]},
        "spec": {"roleRef": {"kind": "SiteRole", "name": "site-admin"},
                 "subjects": [{"kind": "User", "name": "seen@example.com"}], "expiresAt": "2027-01-01T00:00:00Z"}}));
    all
}

/// Parses an object of a watch as the operator does: an unreadable one never reaches the core.
fn object(mut value: Value) -> Option<Object> {
    let kind = value["kind"].as_str()?.to_owned();
    if kind != "Namespace" {
        // The API server shows no object without these.
        value["apiVersion"] = json!("bailiwick.dev/v1alpha1");
    }
    macro_rules! object {
        ($kind:ident) => {
            serde_json::from_value(value).ok().map(Object::$kind)
        };
    }
    match kind.as_str() {
        "Organization" => object!(Organization),
        "User" => object!(User),
        "Group" => object!(Group),
        "RoleBinding" => object!(RoleBinding),
        "CustomRole" => object!(CustomRole),
        "SiteRole" => object!(SiteRole),
        "SiteRoleBinding" => object!(SiteRoleBinding),
        "Namespace" => serde_json::from_value(value["metadata"].clone()).ok().map(Object::Namespace),
        _ => None,
    }
}

fn catalog() -> Value {
    let values: Value = serde_yaml::from_str(&repository("charts/bailiwick/values.yaml")).unwrap();
    values["catalog"].clone()
}

fn bounds() -> Value {
    static BOUNDS: LazyLock<Value> = LazyLock::new(read_bounds);
    BOUNDS.clone()
}

fn read_bounds() -> Value {
    json!({"releaseNamespace": "bailiwick-system", "namespaceWhitelist": SPACES, "groupsAreVouched": true, "catalog": catalog()})
}

/// As the chart creates them.
fn ceilings(bounds: &Bounds) -> Ceilings {
    let fixed: Value = serde_yaml::from_str(&repository("charts/bailiwick/files/fixed-rights.yaml")).unwrap();
    let ceiling = |is_part: &dyn Fn(&Word) -> bool, name: &str| {
        let fixed: Vec<PolicyRule> = serde_json::from_value(fixed[name].clone()).unwrap_or_default();
        let mut rules = bounds.ceiling(is_part);
        rules.extend(from_rules(&fixed));
        Some(Ceiling::new(rules))
    };
    Ceilings {
        organization: ceiling(&|word| word.target == Target::Organization, "organization"),
        home: ceiling(&|word| word.target == Target::Organization && word.in_release_namespace, "organization"),
        cluster: ceiling(&|word| word.target == Target::Cluster, "cluster"),
        release: ceiling(&|word| word.target == Target::Release, ""),
    }
}

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

/// Decides and checks a site with these objects. The ceilings are those of the real bounds.
fn decide(objects: impl IntoIterator<Item = Object>, bounds: Bounds, settings: Settings, real: &Bounds) -> usize {
    let begin = Instant::now();
    let mut cache = Cache::default();
    let held = ceilings(real);
    cache.ceilings = ceilings(real);
    cache.set_bounds(bounds.clone());
    cache.set_settings(settings);
    for object in objects {
        Event::Is(Box::new(object)).feed(&mut cache);
    }
    let settled = settle(&mut cache, now());
    for draft in &settled.statuses {
        assert!(draft.ready().is_some(), "{} says nothing", draft.target.path());
    }
    for (key, native) in &settled.desired {
        assert!(
            key.namespace.is_empty()
                || bounds.namespace_whitelist.contains(&*key.namespace)
                || *key.namespace == bounds.release_namespace
        );
        match &native.content {
            RbacSpec::Binding { subjects, .. } => {
                for grantee in subjects.iter() {
                    let (Subject::User(name) | Subject::Group(name) | Subject::ServiceAccount { name, .. }) = grantee;
                    assert!(!name.starts_with("system:"), "{key} grants to {grantee:?}");
                    assert!(!name.is_empty() && !name.chars().any(char::is_control), "{key} grants to {grantee:?}");
                }
            }
            RbacSpec::Rules(rules) => {
                let ceilings = match key.kind {
                    NativeKind::ClusterRole => vec![&held.cluster],
                    _ if *key.namespace == bounds.release_namespace => vec![&held.release, &held.home],
                    _ => vec![&held.organization],
                };
                let covered = |atom: &_| ceilings.iter().any(|c| c.as_ref().is_some_and(|c| c.covers(atom)));
                for atom in rules.iter().flat_map(Rule::atoms) {
                    assert!(covered(&atom), "{key} allows {atom}, which the ceiling does not");
                }
            }
        }
    }
    assert!(begin.elapsed() < LIMIT, "it took {:?}", begin.elapsed());
    settled.desired.len()
}

fn mutated(mut values: Vec<Value>, mutations: &[Mutation]) -> Vec<Value> {
    let mut all = Value::Array(std::mem::take(&mut values));
    mutate(&mut all, mutations);
    match all {
        Value::Array(values) => values,
        other => vec![other],
    }
}

#[test]
fn what_nobody_mutated_grants_something() {
    let bounds: Bounds = serde_json::from_value(bounds()).unwrap();
    for (example, name) in EXAMPLES.iter().enumerate() {
        let objects: Vec<Object> = roles().into_iter().chain(corpus(example)).filter_map(object).collect();
        assert_eq!(objects.len(), roles().len() + corpus(example).len());
        assert!(decide(objects, bounds.clone(), Settings::default(), &bounds) > 10, "{name}");
    }
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn objects_with_anything_in_any_place(example in 0..EXAMPLES.len(), ours in mutations(1..12), built_in in mutations(0..2)) {
        let bounds: Bounds = serde_json::from_value(bounds()).unwrap();
        let objects = mutated(roles(), &built_in).into_iter().chain(mutated(corpus(example), &ours));
        decide(objects.filter_map(object), bounds.clone(), Settings::default(), &bounds);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// The ConfigMap of the bounds is the chart's, and may contain anything; the operator then never uses more than the
    /// ceiling of the API server.
    #[test]
    fn bounds_with_anything_in_any_place(example in 0..EXAMPLES.len(), mutations in mutations(1..8)) {
        let mut wild = bounds();
        let real: Bounds = serde_json::from_value(wild.clone()).unwrap();
        mutate(&mut wild, &mutations);
        let text = serde_yaml::to_string(&wild).unwrap();
        let Ok(parsed) = Bounds::parse(&text) else { return Ok(()) };
        let objects = roles().into_iter().chain(corpus(example));
        decide(objects.filter_map(object), parsed, Settings::default(), &real);
    }

    #[test]
    fn settings_with_anything_in_any_place(mutations in mutations(1..4), days in prop_oneof![any::<u32>(), 0..40_000_u32, Just(u32::MAX)]) {
        let mut wild = json!({"users": {"dormantAfterDays": days, "joinDefaultOrganization": true}});
        let whole = serde_json::to_string(&wild).unwrap();
        mutate(&mut wild, &mutations);
        let wild = serde_yaml::to_string(&wild).unwrap();
        let bounds: Bounds = serde_json::from_value(bounds()).unwrap();
        for text in [whole, wild] {
            let Ok(settings) = Settings::parse(&text) else { continue };
            // Without the built-in roles: settings concern users.
            decide(corpus(0).into_iter().filter_map(object), bounds.clone(), settings, &bounds);
        }
    }

    /// Text that is hardly YAML gives an error or a value, never a panic.
    #[test]
    fn texts(text in mutation::text(), whole in any::<bool>(), edits in mutation::edits(1..12)) {
        let base = if whole { serde_yaml::to_string(&bounds()).unwrap() } else { String::new() };
        let text = mutation::edit(&(base + &text), &edits);
        let begin = Instant::now();
        let _ = (Bounds::parse(&text).is_ok(), Settings::parse(&text).is_ok());
        for document in serde_yaml::Deserializer::from_str(&text).take(100) {
            // As every reader of a stream does: after the first error serde_yaml continues in the middle of a document.
            let Ok(value) = Value::deserialize(document) else { break };
            let _ = object(value);
        }
        prop_assert!(begin.elapsed() < LIMIT);
    }
}

/// The library's `Span` cannot hold so many hours and panicked, so the operator kept crashing.
#[test]
fn a_user_is_never_dormant_when_the_days_reach_beyond_the_end_of_time() {
    use bailiwick::api::UserState::Active;
    use bailiwick::core::conditions::Status;
    let settings = Settings::parse("users: {dormantAfterDays: 4294967295}").unwrap();
    let mut cache = Cache::default();
    cache.set_settings(settings);
    let seen = corpus(0).into_iter().filter_map(object).find(|o| o.meta().name.as_deref() == Some("seen")).unwrap();
    Event::Is(Box::new(seen)).feed(&mut cache);
    let settled = settle(&mut cache, now());
    let Status::User(status) = &settled.statuses[0].status else { panic!("{:?}", settled.statuses) };
    assert_eq!(status.state, Some(Active));
}
