//! `bailiwick render` with input that nobody would write: it ends soon, with 0 or 2, and every problem has a file and a
//! line. The tests run the program itself, so that a stack overflow is caught as well as a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod mutation;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mutation::{edit, edits, mutate, mutations, yaml_documents};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

/// A busy machine; the program itself takes a tenth of a second.
const LIMIT: Duration = Duration::from_secs(30);

fn cases(cases: u32) -> ProptestConfig {
    let times = std::env::var("CASES_TIMES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: cases * times, max_shrink_iters: 200, ..ProptestConfig::default() }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const EXAMPLES: [&str; 6] =
    ["quickstart", "tiered-rbac", "group-templates", "external-groups", "namespaces", "personal-workspaces"];

/// All manifests of an example, as one text.
fn manifests(example: &str) -> String {
    let entries = std::fs::read_dir(repository().join("examples").join(example)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files.iter().map(|path| format!("---\n{}", std::fs::read_to_string(path).unwrap())).collect()
}

fn values(example: &str) -> PathBuf {
    repository().join("examples").join(example).join("chart/values.yaml")
}

fn to_yaml(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("---\n{}", serde_yaml::to_string(document).unwrap())).collect()
}

/// Renders, and checks the invariants of every result. Returns the output, if the input was accepted.
fn render(manifests: &str, values: &Path) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let (input, out, err) = (folder.path().join("input.yaml"), folder.path().join("out"), folder.path().join("err"));
    std::fs::write(&input, manifests).unwrap();
    let file = |path: &Path| Stdio::from(std::fs::File::create(path).unwrap());
    let begin = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["render", "--at", "2026-12-01T00:00:00Z", "--values"])
        .arg(values)
        .arg("-f")
        .arg(&input)
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |path: &Path| String::from_utf8(std::fs::read(path).unwrap()).expect("it prints UTF-8");
    let (out, err) = (read(&out), read(&err));
    assert!(!err.contains("panicked"), "{err}");
    match status.code() {
        Some(0) => Some(out),
        Some(2) => {
            assert!(out.is_empty(), "it printed objects, and refused the input");
            let places = [format!("{}:", input.display()), format!("{}:", values.display())];
            // A message may have several lines; the first has the location.
            let first = err.lines().next().unwrap_or_default();
            let place = places.iter().find_map(|place| first.strip_prefix(place.as_str()));
            let rest = place.unwrap_or_else(|| panic!("it names no file: {err}"));
            if first.starts_with(&places[0]) {
                let line: usize = rest.split(':').next().unwrap().parse().unwrap_or_else(|_| panic!("no line: {err}"));
                assert!(
                    (1..=manifests.lines().count() + 1).contains(&line),
                    "line {line} of {}: {err}",
                    manifests.lines().count()
                );
            }
            None
        }
        _ => panic!("{status}: {err}"),
    }
}

/// With the catalog of the chart.
fn judge(out: Option<String>) {
    let Some(out) = out else { return };
    no_subject_is_kubernetes_own(&out);
    for object in yaml_documents(&out) {
        for rule in object["rules"].as_array().into_iter().flatten() {
            let text = rule.to_string();
            let refused = ["\"*\"", "\"secrets\"", "\"escalate\"", "\"impersonate\"", "\"serviceaccounts/token\""];
            assert!(!refused.iter().any(|word| text.contains(word)), "{object}");
        }
    }
}

fn no_subject_is_kubernetes_own(out: &str) {
    for object in yaml_documents(out) {
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert!(!subject["name"].as_str().unwrap().starts_with("system:"), "{object}");
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn manifests_with_anything_in_any_place(example in select(&EXAMPLES[..]), mutations in mutations(1..6)) {
        let mut documents = Value::Array(yaml_documents(&manifests(example)));
        mutate(&mut documents, &mutations);
        judge(render(&to_yaml(documents.as_array().unwrap()), &values(example)));
    }

    #[test]
    fn manifests_with_random_edits(example in select(&EXAMPLES[..]), edits in edits(1..8)) {
        judge(render(&edit(&manifests(example), &edits), &values(example)));
    }

    #[test]
    fn texts_that_are_hardly_yaml(text in mutation::text(), edits in edits(0..4)) {
        judge(render(&edit(&text, &edits), &values("quickstart")));
    }

    #[test]
    fn values_with_anything_in_any_place(mutations in mutations(1..6), edits in edits(0..2)) {
        let chart = std::fs::read_to_string(repository().join("charts/bailiwick/values.yaml")).unwrap();
        let mut wild: Value = serde_yaml::from_str(&chart).unwrap();
        wild["namespaceWhitelist"] = serde_json::json!(["data-science", "platform", "sandbox"]);
        mutate(&mut wild, &mutations);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("values.yaml");
        std::fs::write(&file, edit(&serde_yaml::to_string(&wild).unwrap(), &edits)).unwrap();
        // Values may widen the ceiling, but nobody gets a name reserved by Kubernetes.
        if let Some(out) = render(&manifests("quickstart"), &file) {
            no_subject_is_kubernetes_own(&out);
        }
    }
}
