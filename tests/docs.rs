//! The manifests in the task pages are valid, and nothing of what they ask for is withheld.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use regex::Regex;
use rstest::rstest;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// What the pages take for granted: an organization, and the people in the examples.
const PEOPLE: [&str; 5] = ["ada", "ben", "grace", "noor", "uma"];
const VALUES: &str = "namespaceWhitelist: [data-science, payments, platform]\n";

/// Every manifest of ours in a page: in blocks of YAML, and in what commands read from the lines that follow.
fn manifests(page: &str) -> Vec<Value> {
    let block = Regex::new(r"(?s)```yaml\n(.*?)```|<<'?EOF'?\n(.*?)\nEOF\n").unwrap();
    // The only thing that the shell puts in is a time.
    let substitution = Regex::new(r"\$\([^)]*\)").unwrap();
    let mut manifests = Vec::new();
    for block in block.captures_iter(page) {
        let text = block.get(1).or(block.get(2)).unwrap().as_str();
        if text.contains("apiVersion: bailiwick.dev/") {
            let text = substitution.replace_all(text, "2099-01-31T18:00:00Z");
            let documents = serde_yaml::Deserializer::from_str(&text);
            manifests.extend(documents.map(|document| Value::deserialize(document).unwrap()));
        }
    }
    manifests
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

#[rstest]
fn what_a_page_shows_is_granted(
    #[files("docs/install.md")]
    #[files("docs/try.md")]
    #[files("docs/tasks/*.md")]
    page: PathBuf,
) {
    let mut manifests = manifests(&std::fs::read_to_string(page).unwrap());
    assert!(!manifests.is_empty(), "the page shows manifests");
    let mut assumed = vec![object("Organization", "data-science", &json!({"namespace": "data-science"}))];
    assumed.extend(PEOPLE.map(|name| object("User", name, &json!({"username": format!("{name}@example.com")}))));
    let same = |a: &Value, b: &Value| a["kind"] == b["kind"] && a["metadata"]["name"] == b["metadata"]["name"];
    assumed.retain(|assumed| !manifests.iter().any(|shown| same(shown, assumed)));
    manifests.extend(assumed);

    let values = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(values.path(), VALUES).unwrap();
    let mut render = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["render", "--strict", "-f", "-", "--at", "2026-12-01T00:00:00Z", "--values"])
        .arg(values.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
    render.stdin.take().unwrap().write_all(list.to_string().as_bytes()).unwrap();
    let output = render.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    assert!(!output.stdout.is_empty());
}
