//! A template that leaves a key empty makes it null. However an object is written, a null in any optional field of our
//! kinds equals an absent field, and nobody keeps access through it.

use std::collections::BTreeMap;

use bailiwick::cli::schema::Schemas;
use rstest::rstest;
use serde_json::{Value, json};

use crate::samples::{optional_fields, samples, with_null};
use crate::support::helm::{Helm, install};
use crate::support::manifests::{organization, users};
use crate::support::{Cluster, Question, outcome, repository, with_input};

const VALUES: &str = "{namespaceWhitelist: [green], defaultOrganization: {create: false}}";

/// A field of a kind, with three objects: every other field set, the same without this field, and with a null.
struct Case {
    field: String,
    full: Value,
    without: Value,
    null: Value,
}

/// Every optional field of every kind, from the schemas.
fn cases() -> Vec<Case> {
    let schemas = Schemas::default();
    let mut cases = Vec::new();
    for (kind, sample) in samples() {
        let mut seen: BTreeMap<String, Option<Case>> = BTreeMap::new();
        for (index, optional) in optional_fields(kind, &sample).into_iter().enumerate() {
            let mut full = sample.clone();
            let name = format!("{}-{index}", kind.to_lowercase());
            full["apiVersion"] = json!("bailiwick.dev/v1alpha1");
            full["kind"] = json!(kind);
            full["metadata"] = json!({"name": name, "labels": null, "annotations": null});
            if !["Organization", "User", "SiteRole", "SiteRoleBinding"].contains(&kind) {
                full["metadata"]["namespace"] = json!("green");
            }
            // These are immutable: the written value, or none.
            match kind {
                "User" => full["spec"]["username"] = json!(name),
                "Organization" if optional.field == "/spec/namespace" => full["spec"]["namespace"] = Value::Null,
                _ => {}
            }
            if !optional.field.starts_with("/status") {
                // With null labels every server-side apply is a write, for any kind.
                full["metadata"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
                full.as_object_mut().unwrap().remove("status");
            }
            let null = with_null(&full, &optional.path);
            let mut without = full.clone();
            let (parent, key) = optional.path.rsplit_once('/').unwrap();
            without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
            let entry = seen.entry(optional.field.clone()).or_default();
            // In some list items another rule requires the field, such as the namespace of a ServiceAccount.
            if entry.is_none() && schemas.check(kind, &mut null.clone()).unwrap().is_empty() {
                *entry = Some(Case { field: format!("{kind} {}", optional.field), full, without, null });
            }
        }
        for (field, case) in seen {
            cases.push(case.unwrap_or_else(|| panic!("{kind} {field}: no sample without it is valid")));
        }
    }
    assert!(cases.len() > 70, "{}", cases.len());
    cases
}

/// One manifest for each case, selected by `which`. The names have a prefix, so that each way has its own objects.
fn manifests(cases: &[Case], word: &str, which: fn(&Case) -> &Value) -> String {
    let manifest = |case: &Case| {
        let mut object = which(case).clone();
        let name = format!("{word}-{}", object["metadata"]["name"].as_str().unwrap());
        // A username is immutable and unique.
        if let Some(username) = object["spec"].get_mut("username").filter(|username| username.is_string()) {
            *username = json!(name);
        }
        object["metadata"]["name"] = json!(name);
        format!("{object}\n")
    };
    cases.iter().map(manifest).collect()
}

struct Writer<'a> {
    cluster: &'a Cluster,
    cases: &'a [Case],
}

impl Writer<'_> {
    #[track_caller]
    fn kubectl(&self, words: &[&str], input: &str) -> String {
        let mut kubectl = self.cluster.plane.kubectl(&self.cluster.admin);
        kubectl.args(words).args(["-f", "-"]);
        outcome(with_input(kubectl, input)).unwrap_or_else(|said| {
            let errors: Vec<&str> = said.lines().filter(|line| line.contains(' ') && !line.ends_with("ed")).collect();
            panic!("{words:?}: {}", errors.join("\n"));
        })
    }

    /// Every object by name, for one way of writing.
    fn objects(&self, word: &str) -> BTreeMap<String, Value> {
        let list = self.cluster.get(&[&crate::support::KINDS.join(","), "--all-namespaces"]);
        let items = list["items"].as_array().unwrap().iter();
        let named = items.filter_map(|object| {
            let name = object["metadata"]["name"].as_str()?.strip_prefix(&format!("{word}-"))?;
            Some((name.to_owned(), object.clone()))
        });
        named.collect()
    }

    /// Applying the same again writes nothing. (A status in a manifest is written each time, and dropped.)
    #[track_caller]
    fn is_no_write(&self, word: &str, words: &[&str], input: &str) {
        let objects = || {
            let is_spec = |object: &Value| {
                let name = object["metadata"]["name"].as_str().unwrap().strip_prefix(word).unwrap();
                let case = self.cases.iter().find(|case| case.null["metadata"]["name"] == name[1..]).unwrap();
                case.field.contains(" /spec")
            };
            let all = self.objects(word).into_values().filter(is_spec);
            all.map(|object| object["metadata"]["resourceVersion"].clone()).collect::<Vec<_>>()
        };
        let before = objects();
        self.kubectl(words, input);
        assert_eq!(objects(), before, "{words:?} the second time");
    }

    /// The objects of one way equal those that were created without the field.
    #[track_caller]
    fn are_as_without(&self, word: &str) {
        let spec = |mut object: Value| {
            drop_nulls(&mut object["spec"]);
            if object["spec"]["username"] == object["metadata"]["name"] {
                object["spec"]["username"] = json!("u");
            }
            object["spec"].take()
        };
        let (mut written, mut without) = (self.objects(word), self.objects("without"));
        for case in self.cases {
            let name = case.null["metadata"]["name"].as_str().unwrap();
            let (written, without) = (written.remove(name).unwrap(), without.remove(name).unwrap());
            assert_eq!(spec(written), spec(without), "{word}: {}", case.field);
        }
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[test]
fn a_null_in_any_optional_field_is_an_absent_one_with_every_way_to_write() {
    let cluster = Cluster::with_chart(VALUES);
    let cases = cases();
    let writer = Writer { cluster: &cluster, cases: &cases };
    let manifests = |word: &str, which| manifests(&cases, word, which);
    writer.kubectl(&["create"], &manifests("without", |case| &case.without));

    writer.kubectl(&["create"], &manifests("create", |case| &case.null));
    writer.are_as_without("create");

    let null = manifests("client", |case| &case.null);
    writer.kubectl(&["apply"], &manifests("client", |case| &case.full));
    writer.kubectl(&["apply"], &null);
    writer.are_as_without("client");
    writer.is_no_write("client", &["apply"], &null);

    for word in ["server", "at-once"] {
        let null = manifests(word, |case| &case.null);
        if word == "server" {
            writer.kubectl(&["apply", "--server-side"], &manifests(word, |case| &case.full));
        }
        writer.kubectl(&["apply", "--server-side"], &null);
        writer.are_as_without(word);
        writer.is_no_write(word, &["apply", "--server-side"], &null);
    }

    writer.kubectl(&["create"], &manifests("replace", |case| &case.full));
    writer.kubectl(&["replace"], &manifests("replace", |case| &case.null));
    writer.are_as_without("replace");

    // Patches of a list replace it, as an apply does: only the fields of the spec itself remain.
    let patched: Vec<&Case> = cases.iter().filter(|case| case.field.matches('/').count() == 2).collect();
    for word in ["json", "merge"] {
        writer.kubectl(&["create"], &manifests(word, |case| &case.full));
        for case in &patched {
            let (kind, path) = case.field.split_once(' ').unwrap();
            let Some(field) = path.strip_prefix("/spec/") else { continue };
            let patch = match word {
                "json" => json!([{"op": "add", "path": path, "value": null}]),
                _ => json!({"spec": {field: null}}),
            };
            let name = format!("{word}-{}", case.null["metadata"]["name"].as_str().unwrap());
            let resource = format!("{}s.bailiwick.dev", kind.to_lowercase());
            let kind_of_patch = format!("--type={word}");
            let (patch, words) = (patch.to_string(), ["-n", "green", "patch", &resource, &name, &kind_of_patch, "-p"]);
            cluster.run(&[&words[..], &[&patch]].concat());
            let spec = |word: &str| {
                let name = format!("{word}-{}", case.null["metadata"]["name"].as_str().unwrap());
                let mut object = cluster.get(&["-n", "green", &resource, &name]);
                drop_nulls(&mut object["spec"]);
                object["spec"].as_object_mut().unwrap().retain(|_, value| *value != json!(name));
                object["spec"].take()
            };
            assert_eq!(spec(word), spec("without"), "{word}: {}", case.field);
        }
    }

    // The operator writes statuses, and people restore them.
    for words in [
        &["replace", "--subresource=status"][..],
        &["apply", "--server-side", "--force-conflicts", "--subresource=status"],
    ] {
        let status = |case: &Case| {
            let mut object = case.null.clone();
            let name = format!("create-{}", object["metadata"]["name"].as_str().unwrap());
            object["metadata"]["name"] = json!(name);
            if words[0] == "apply" {
                object.as_object_mut().unwrap().remove("spec");
            } else if let Some(username) = object["spec"].get_mut("username").filter(|username| username.is_string()) {
                *username = json!(name);
            }
            format!("{object}\n")
        };
        let of_status = cases.iter().filter(|case| case.field.contains(" /status/"));
        writer.kubectl(words, &of_status.map(status).collect::<String>());
    }
}

/// The chart leaves `members:` empty when there are none.
#[rstest]
fn the_last_member_of_a_templated_group_loses_access(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let mut cluster = Cluster::bare();
    install(&cluster, helm, VALUES);
    cluster.start_operator();
    cluster.apply(&(organization("green", "{namespace: green}") + &users(&["zoe"])));
    let chart = repository().join("tests/team-chart");
    let zoe = Question::of("zoe@example.com", "green");
    helm.chart_of(&cluster, &chart, &["install", "team"], "{people: [zoe@example.com]}", &[]).unwrap();
    cluster.can(&zoe, &["create pods/exec"]);
    helm.chart_of(&cluster, &chart, &["upgrade", "team"], "{people: []}", &[]).unwrap();
    cluster.cannot(&zoe, &["create pods/exec"]);
    let group = ["groups.bailiwick.dev", "tmpl", "-n", "green"];
    assert_eq!(cluster.get(&group)["spec"]["members"], json!([]));
    cluster.await_reason(&group, "Ready", "Reconciled");

    // And returns.
    helm.chart_of(&cluster, &chart, &["upgrade", "team"], "{people: [zoe@example.com]}", &[]).unwrap();
    cluster.can(&zoe, &["create pods/exec"]);
    let manifests = std::fs::read_to_string(repository().join("tests/manifests/null-fields.yaml")).unwrap();
    cluster.apply(&manifests.replace("name: tmpl", "name: other"));
    for resource in ["groups", "customroles", "rolebindings"] {
        let object = [&format!("{resource}.bailiwick.dev"), "other", "-n", "green"];
        cluster.await_reason(&object, "Ready", "Reconciled");
    }
}
