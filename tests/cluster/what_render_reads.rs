//! `render` reads manifests as kubectl does, and refuses what the API server refuses: every file of `tests/manifests`,
//! and every object in it, against the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bailiwick::cli::manifests::{self, Document, Problem};
use bailiwick::cli::render::check;
use serde_json::Value;

use crate::support::{Cluster, repository, text};

/// `render` refuses these, while kubectl silently does something that the author may not expect.
const STRICTER: [&str; 5] = [
    // kubectl ignores the second object.
    "after-the-end.yaml",
    // kubectl takes the last of two values.
    "duplicatekey.yaml",
    // kubectl replaces bytes that are not UTF-8 by U+FFFD.
    "latin1.yaml",
    // kubectl decodes it.
    "tag-binary.yaml",
    // `kubectl apply` drops a null in an unknown field. `kubectl create` and server-side apply refuse it.
    "unknown-null.yaml",
];

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("tests/manifests")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

/// The name of an object in kubectl's output.
fn id(object: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{}.bailiwick.dev/{}", text(&object["kind"]).to_lowercase(), text(&object["metadata"]["name"]))
}

/// The JSON values that kubectl would send, one after the other.
fn sent(cluster: &Cluster, file: &Path) -> Result<Vec<Value>, String> {
    let words = ["create", "--dry-run=client", "-o", "json", "-f", file.to_str().unwrap()];
    let output = cluster.kubectl(&words);
    let error = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !error.contains("no objects passed to create") {
        return Err(error.into_owned());
    }
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>() {
        match value.unwrap() {
            value if value["items"].is_array() => values.extend(value["items"].as_array().unwrap().clone()),
            value => values.push(value),
        }
    }
    Ok(values)
}

/// kubectl formats large numbers differently.
fn same_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_i64() => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(same_numbers),
        Value::Object(fields) => fields.values_mut().for_each(same_numbers),
        _ => {}
    }
}

#[test]
fn render_reads_every_file_as_kubectl_does() {
    let cluster = Cluster::bare();
    cluster.run(&["apply", "--server-side", "-f", repository().join("crds").to_str().unwrap()]);
    cluster.run(&["wait", "--for=condition=Established", "crd", "--all"]);
    let mut wrong = Vec::new();
    for file in files() {
        let (objects, problems) = manifests::read(std::slice::from_ref(&file), false).unwrap();
        match sent(&cluster, &file) {
            Ok(_) if STRICTER.contains(&name(&file)) => {
                if problems.is_empty() && check(objects).is_empty() {
                    wrong.push(format!("{}: it is read", name(&file)));
                }
            }
            Ok(mut sent) => {
                let mut read: Vec<Value> = objects.into_iter().map(|object| object.value).collect();
                sent.iter_mut().chain(&mut read).for_each(same_numbers);
                if !problems.is_empty() || read.len() != sent.len() {
                    wrong.push(format!("{}: {} sent, {} read: {problems:?}", name(&file), sent.len(), read.len()));
                }
                let differ = sent.iter().zip(&read).filter(|(sent, read)| sent != read);
                wrong.extend(differ.map(|(sent, read)| format!("{}: sent {sent}\n  read {read}", name(&file))));
            }
            Err(error) => {
                if problems.is_empty() && check(objects).is_empty() {
                    wrong.push(format!("{}: kubectl says {error}", name(&file)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn render_refuses_every_object_that_the_api_server_refuses() {
    let cluster = Cluster::with_chart("{namespaceWhitelist: [red, green], defaultOrganization: {create: false}}");
    let mut wrong = Vec::new();
    let mut counts = [0, 0];
    for file in files() {
        let (objects, problems) = manifests::read(std::slice::from_ref(&file), false).unwrap();
        let answer = cluster.kubectl(&["apply", "--dry-run=server", "-f", file.to_str().unwrap()]);
        let said = text(&answer);
        if STRICTER.contains(&name(&file))
            || !problems.is_empty()
            || said.contains("error parsing")
            || said.contains("error: unable to decode")
        {
            continue;
        }
        let accepted = said.lines().filter_map(|line| line.strip_suffix(" created (server dry run)"));
        let accepted: BTreeSet<&str> = accepted.collect();
        // A problem belongs to the last object that begins before it.
        let begin = |object: &Document| (object.problem("", "").line, id(&object.value));
        let ours = objects.iter().filter(|object| object.text(&["apiVersion"]).starts_with("bailiwick.dev/"));
        let begins: BTreeMap<usize, String> = ours.map(begin).collect();
        let mut refused: BTreeMap<String, Problem> = BTreeMap::new();
        for problem in check(objects) {
            match begins.range(..=problem.line).next_back() {
                Some((_, id)) => drop(refused.insert(id.clone(), problem)),
                None => assert!(!answer.status.success(), "{problem}, but kubectl takes it"),
            }
        }
        for id in begins.values() {
            let (is_accepted, refused) = (accepted.contains(&**id), refused.get(id));
            counts[usize::from(is_accepted)] += 1;
            if is_accepted == refused.is_some() {
                let error = said.lines().find(|line| line.contains(&format!("{:?}", id.split('/').nth(1).unwrap())));
                wrong.push(format!(
                    "{}: {id}\nrender: {refused:?}\nkubectl: {}",
                    name(&file),
                    error.unwrap_or("nothing")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(counts.iter().all(|count| *count > 40), "refused and accepted: {counts:?}");
}
