//! The platform team's setup: namespaces, bounds with a small catalog, and ceilings that cover it.

use bailiwick::core::catalog::Bounds;
use bailiwick::core::rules::{Ceiling, Rule, words};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Kind, Object};

pub const RELEASE: &str = "release";
/// The initial namespaces.
pub const SPACES: [&str; 4] = ["n0", "n1", "n2", RELEASE];

pub fn bounds(whitelist: &[&str], groups_are_vouched: bool) -> Bounds {
    let catalog = r"
workspaces:
  rules:
    deployments: {apiGroups: [apps], resources: [deployments]}
    pods: {apiGroups: ['', metrics], resources: [pods]}
    exec: {apiGroups: [''], resources: [pods/exec], actions: [use]}
templates:
  target: release
  rules:
    all: {apiGroups: [''], resources: [configmaps], resourceNames: [t0, t1]}
    others: {apiGroups: [templates.dev], resources: [templates]}
users:
  target: cluster
  rules:
    users: {apiGroups: [bailiwick.dev], resources: [users]}
nothing: {}
";
    Bounds {
        release_namespace: RELEASE.to_owned(),
        namespace_whitelist: whitelist.iter().map(|s| (*s).to_owned()).collect(),
        groups_are_vouched,
        catalog: serde_yaml::from_str(catalog).unwrap(),
    }
}

/// The ceilings: a full one covers the catalog (except `pods` in the group `metrics`), a partial one lacks rules.
pub fn ceiling(kind: Kind, full: bool) -> Ceiling {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| Rule {
        groups: words(groups),
        resources: words(resources),
        verbs: words(verbs),
        ..Rule::default()
    };
    let read = ["get", "list", "watch"];
    let all = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind"];
    let verbs: &[&str] = if full { &all } else { &read };
    let own: &[&str] = if full { &["own"] } else { &[] };
    Ceiling::new(match kind {
        Kind::Ceiling => vec![
            rule(&["", "apps"], &["pods", "deployments", "configmaps"], verbs),
            rule(&[""], &["*/exec"], if full { &["get", "create"] } else { &["get"] }),
            rule(&["bailiwick.dev"], &["ownobjects"], own),
            Rule { names: words(&["one"]), ..rule(&[""], &["secrets"], &["get"]) },
        ],
        Kind::CeilingHome => vec![rule(&[""], &["pods"], verbs), rule(&["bailiwick.dev"], &["ownobjects"], own)],
        Kind::CeilingCluster => vec![
            rule(&["bailiwick.dev"], &["users", "organizations"], verbs),
            rule(&["bailiwick.dev"], &["users"], own),
            Rule { paths: words(&["/healthz", "/healthz/*"]), verbs: words(&["get"]), ..Rule::default() },
        ],
        Kind::CeilingRelease => vec![rule(&["", "templates.dev"], &["configmaps", "templates"], verbs)],
        other => panic!("no ceiling: {other:?}"),
    })
}

pub fn namespace(name: &str) -> Object {
    Object::Namespace(ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() })
}
