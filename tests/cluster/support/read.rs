//! `kubectl get … -o json` without kubectl, which needs a tenth of a second of CPU to start, while waiting tests poll
//! repeatedly.
//!
//! The arguments are kubectl's, so that a failing test can be repeated by hand. The real kubectl handles arguments that
//! are unknown here.

use http::Request;
use serde_json::{Value, json};

use super::Cluster;

/// The paths of the kinds that tests read, and whether they are namespaced. Singular names are derived.
pub(super) const RESOURCES: [(&str, &str, bool); 20] = [
    ("namespaces", "/api/v1", false),
    ("configmaps", "/api/v1", true),
    ("secrets", "/api/v1", true),
    ("serviceaccounts", "/api/v1", true),
    ("pods", "/api/v1", true),
    ("organizations.bailiwick.dev", "/apis/bailiwick.dev/v1alpha1", false),
    ("users.bailiwick.dev", "/apis/bailiwick.dev/v1alpha1", false),
    ("siteroles.bailiwick.dev", "/apis/bailiwick.dev/v1alpha1", false),
    ("siterolebindings.bailiwick.dev", "/apis/bailiwick.dev/v1alpha1", false),
    ("groups.bailiwick.dev", "/apis/bailiwick.dev/v1alpha1", true),
    ("customroles.bailiwick.dev", "/apis/bailiwick.dev/v1alpha1", true),
    ("rolebindings.bailiwick.dev", "/apis/bailiwick.dev/v1alpha1", true),
    ("clusterroles", "/apis/rbac.authorization.k8s.io/v1", false),
    ("clusterrolebindings", "/apis/rbac.authorization.k8s.io/v1", false),
    ("clusterroles.rbac.authorization.k8s.io", "/apis/rbac.authorization.k8s.io/v1", false),
    ("clusterrolebindings.rbac.authorization.k8s.io", "/apis/rbac.authorization.k8s.io/v1", false),
    ("roles.rbac.authorization.k8s.io", "/apis/rbac.authorization.k8s.io/v1", true),
    ("rolebindings.rbac.authorization.k8s.io", "/apis/rbac.authorization.k8s.io/v1", true),
    ("validatingadmissionpolicybindings", "/apis/admissionregistration.k8s.io/v1", false),
    ("mutatingadmissionpolicybindings", "/apis/admissionregistration.k8s.io/v1", false),
];

/// A request of `kubectl get`.
struct Get {
    /// One for each kind.
    paths: Vec<String>,
    named: bool,
}

impl Get {
    /// `None` if it needs the real kubectl.
    fn read(arguments: &[&str]) -> Option<Self> {
        let (mut namespace, mut all, mut selector, mut rest) = ("default", false, String::new(), Vec::new());
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match *word {
                "-n" | "--namespace" => namespace = words.next()?,
                "-A" | "--all-namespaces" => all = true,
                "-l" => selector = format!("?labelSelector={}", encoded(words.next()?)),
                word if word.starts_with('-') || word.contains('/') => return None,
                word => rest.push(word),
            }
        }
        let (kinds, name) = match rest[..] {
            [kinds] => (kinds, None),
            [kind, name] if selector.is_empty() && !all && !kind.contains(',') => (kind, Some(name)),
            _ => return None,
        };
        let path = |kind: &str| {
            let (plural, api, namespaced) = RESOURCES.into_iter().find(|(plural, ..)| is(kind, plural))?;
            let place = if namespaced && !all { format!("/namespaces/{namespace}") } else { String::new() };
            let resource = plural.split('.').next()?;
            let name = name.map(|name| format!("/{}", encoded(name))).unwrap_or_default();
            Some(format!("{api}{place}/{resource}{name}{selector}"))
        };
        Some(Self { paths: kinds.split(',').map(path).collect::<Option<_>>()?, named: name.is_some() })
    }
}

/// Whether `kind` means this resource: `namespaces` has the singular `namespace`, but `users` may be ambiguous.
fn is(kind: &str, plural: &str) -> bool {
    let (first, group) = plural.split_once('.').map_or((plural, None), |(first, group)| (first, Some(group)));
    let said = kind.split_once('.').map_or((kind, None), |(first, group)| (first, Some(group)));
    said.1 == group && (said.0 == first || Some(said.0) == first.strip_suffix('s'))
}

/// Encodes one segment of a path, or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

impl Cluster {
    /// The JSON that `kubectl get` would print, or why it would fail; `None` if it needs the real one.
    pub(super) fn read(&self, arguments: &[&str]) -> Option<Result<Value, kube::Error>> {
        let get = Get::read(arguments)?;
        let answers: Result<Vec<Value>, kube::Error> = get.paths.iter().map(|path| self.read_path(path)).collect();
        if answers.as_ref().is_err_and(|error| !matches!(error, kube::Error::Api(_))) {
            // Nested too deeply for serde_json, or no answer.
            return None;
        }
        Some(answers.map(|mut answers| {
            if get.named {
                return without_managed_fields(answers.remove(0));
            }
            let items: Vec<Value> = answers.into_iter().flat_map(items).collect();
            json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": ""}})
        }))
    }

    fn read_path(&self, path: &str) -> Result<Value, kube::Error> {
        self.runtime.block_on(self.client.request(Request::get(path).body(Vec::new()).unwrap()))
    }

    /// The API server's answer at a path without objects.
    pub(super) fn raw(&self, path: &str) -> String {
        self.runtime.block_on(self.client.request_text(Request::get(path).body(Vec::new()).unwrap())).unwrap()
    }
}

/// The objects of a list, each with its kind, which lists of Kubernetes' own kinds leave out.
fn items(mut list: Value) -> Vec<Value> {
    let kind = list["kind"].as_str().unwrap().trim_end_matches("List").to_owned();
    let (version, items) = (list["apiVersion"].take(), list["items"].take());
    let Value::Array(items) = items else { return Vec::new() };
    let with_kind = |mut item: Value| {
        item["apiVersion"] = version.clone();
        item["kind"] = kind.clone().into();
        without_managed_fields(item)
    };
    items.into_iter().map(with_kind).collect()
}

fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}
