//! Changes to a JSON value, or to a text, that nobody would make on purpose. `tests/core/fuzz.rs` uses them too.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

/// One change, at one node.
#[derive(Clone, Debug)]
pub struct Mutation {
    at: Index,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Removes the node.
    Drop,
    /// Duplicates it.
    Duplicate,
    /// Replaces it.
    Replace(Value),
    /// Replaces it by another node: mostly of the right shape.
    Copy(Index),
    /// Renames its key.
    Rename(String),
    /// Wraps it in so many lists.
    Bury(usize),
    /// Replaces a text wherever it occurs, so that references stay valid.
    Everywhere(String),
}

/// Words with a meaning for us or Kubernetes, and some without any.
const WORDS: [&str; 44] = [
    "",
    " ",
    "*",
    "/",
    ".",
    "..",
    "~",
    "null",
    "true",
    "0x10",
    "---",
    "system:",
    "system:masters",
    "System:masters",
    "system:serviceaccount:kube-system:default",
    "system:authenticated",
    " system:masters",
    "\u{200b}system:masters",
    "tab\tname",
    "line\nbreak",
    "nul\0",
    "\u{202e}desrever",
    "ｆｕｌｌ",
    "e\u{301}",
    "𝕏",
    "ada@example.com",
    "noor@example.com",
    "data-science",
    "organization-manager",
    "organization-member",
    "site-admin",
    "member",
    "team-lead",
    "workspaces",
    "configuration",
    "users",
    "Own",
    "Site",
    "2026-12-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "-009999-01-01T00:00:00Z",
    "secrets",
    "pods/exec",
    "escalate",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(&WORDS[..]).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => (select(vec!["a", "ä", "system:", "*", "-", "/"]), 1..4_000_usize).prop_map(|(s, n)| s.repeat(n)),
    ]
}

/// Any JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        8 => word().prop_map(Value::from),
    ];
    let known = select(vec![
        json!({"kind": "User", "name": "system:admin"}),
        json!({"kind": "ExternalGroup", "name": "system:masters"}),
        json!({"kind": "ServiceAccount", "name": "system:admin"}),
        json!({"kind": "ServiceAccount", "namespace": "kube-system", "name": "default"}),
        json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),
        json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["escalate", "bind"]}),
        json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
        json!({"resource": "workspaces", "actions": ["create", "read", "use"], "names": ["a"]}),
        json!({"resource": "users", "actions": ["update"], "scope": "Own"}),
        json!({"kind": "CustomRole", "name": "team-lead"}),
        json!({"target": "cluster", "rules": {"all": {"apiGroups": ["*"], "resources": ["*"]}}}),
        json!({"apiGroups": [""], "resources": ["secrets"], "actions": ["read", "use"]}),
        json!([]),
        json!({}),
    ]);
    let tree = leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((word(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop_oneof![tree, known]
}

/// So many mutations.
pub fn mutations(count: Range<usize>) -> impl Strategy<Value = Vec<Mutation>> {
    let what = prop_oneof![
        2 => Just(What::Drop),
        2 => Just(What::Duplicate),
        4 => value().prop_map(What::Replace),
        4 => any::<Index>().prop_map(What::Copy),
        1 => word().prop_map(What::Rename),
        1 => (1..300_usize).prop_map(What::Bury),
        8 => word().prop_map(What::Everywhere),
    ];
    vec((any::<Index>(), what).prop_map(|(at, what)| Mutation { at, what }), count)
}

/// Applies mutations, one after the other.
pub fn mutate(value: &mut Value, mutations: &[Mutation]) {
    for mutation in mutations {
        let mut paths = paths(value);
        if let What::Everywhere(word) = &mutation.what {
            // A random text is hardly ever a known name.
            let named = |path: &[Step]| match path.last() {
                Some(Step::NativeRef(key)) => ["name", "username"].contains(&key.as_str()),
                Some(Step::Item(_)) => true,
                None => false,
            };
            paths.retain(|path| named(path) && at(value, path).is_some_and(|node| node.is_string()));
            let old = paths.get(mutation.at.index(paths.len().max(1))).and_then(|path| at(value, path).cloned());
            old.iter().for_each(|old| everywhere(value, old, word));
            continue;
        }
        let Some(path) = paths.get(mutation.at.index(paths.len().max(1))) else { return };
        let Some((last, parents)) = path.split_last() else { return };
        let copied = match &mutation.what {
            What::Copy(from) => at(value, &paths[from.index(paths.len())]).cloned(),
            _ => None,
        };
        let Some(parent) = at(value, parents) else { continue };
        match (parent, last) {
            (Value::Object(fields), Step::NativeRef(key)) => {
                let Some(node) = fields.remove(key) else { continue };
                change(&mutation.what, node, copied, |renamed, node| {
                    fields.insert(renamed.unwrap_or(key).to_owned(), node);
                });
            }
            (Value::Array(items), Step::Item(index)) => {
                let node = items.remove(*index);
                change(&mutation.what, node, copied, |_, node| items.insert(*index, node));
            }
            _ => {}
        }
    }
}

fn everywhere(value: &mut Value, old: &Value, word: &str) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| everywhere(value, old, word)),
        Value::Array(items) => items.iter_mut().for_each(|value| everywhere(value, old, word)),
        text if text == old => *text = Value::from(word),
        _ => {}
    }
}

fn change(what: &What, node: Value, copied: Option<Value>, mut put: impl FnMut(Option<&str>, Value)) {
    match what {
        What::Drop => {}
        What::Duplicate => {
            put(Some("twice"), node.clone());
            put(None, node);
        }
        What::Replace(other) => put(None, other.clone()),
        What::Copy(_) => put(None, copied.unwrap_or_default()),
        What::Rename(key) => put(Some(key), node),
        What::Everywhere(_) => put(None, node),
        What::Bury(depth) => put(None, (0..*depth).fold(node, |inner, _| Value::Array(vec![inner]))),
    }
}

#[derive(Clone, Debug)]
enum Step {
    NativeRef(String),
    Item(usize),
}

/// The path of every node but the root.
fn paths(value: &Value) -> Vec<Vec<Step>> {
    fn walk(value: &Value, here: &mut Vec<Step>, all: &mut Vec<Vec<Step>>) {
        let mut visit = |step: Step, child: &Value| {
            here.push(step);
            all.push(here.clone());
            // A buried node counts once: a path for each of its lists would be quadratic.
            if here.len() < 20 {
                walk(child, here, all);
            }
            here.pop();
        };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, child)| visit(Step::NativeRef(key.clone()), child)),
            Value::Array(items) => items.iter().enumerate().for_each(|(i, child)| visit(Step::Item(i), child)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(value, &mut Vec::new(), &mut all);
    all
}

fn at<'a>(value: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::NativeRef(key) => value.as_object_mut().and_then(|fields: &mut Map<_, _>| fields.get_mut(key)),
        Step::Item(index) => value.as_array_mut().and_then(|items| items.get_mut(*index)),
    })
}

/// A change to the bytes of a text.
#[derive(Clone, Debug)]
pub struct Edit {
    at: Index,
    until: u8,
    with: String,
}

/// So many edits.
pub fn edits(count: Range<usize>) -> impl Strategy<Value = Vec<Edit>> {
    let with = prop_oneof![
        3 => text(),
        1 => Just(String::new()),
        1 => select(vec![": ", "- ", "\n", "\t", "[", "]", "{", "}", "&a ", "*a", "<<: ", "!!binary ", "|", ">-", "? ", "#", "'", "\"", "---\n", "...\n", "%YAML 9\n"]).prop_map(str::to_owned),
    ];
    vec((any::<Index>(), 0..12_u8, with).prop_map(|(at, until, with)| Edit { at, until, with }), count)
}

/// Applies edits.
pub fn edit(text: &str, edits: &[Edit]) -> String {
    edits.iter().fold(text.to_owned(), |mut text, edit| {
        let from = text.floor_char_boundary(edit.at.index(text.len() + 1));
        let until = text.ceil_char_boundary((from + usize::from(edit.until)).min(text.len()));
        text.replace_range(from..until, &edit.with);
        text
    })
}

/// Text that is hardly YAML.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[-a-z:{}\\[\\],&*!|>'\"%@`#? \\n\\t~0-9.]{0,60}",
        1 => any::<String>(),
        1 => (select(vec!["[", "{a: ", "- ", "? ", "&a [", "\n", "--- ", "!", "'", "x: [&a "]), 1..600_usize).prop_map(|(s, n)| s.repeat(n)),
    ]
}

/// The documents of a YAML file.
pub fn yaml_documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text).map(|d| Value::deserialize(d).unwrap());
    documents.filter(|value| !value.is_null()).collect()
}
