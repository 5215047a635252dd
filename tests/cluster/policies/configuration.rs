//! Holders of the catalog's word `configuration` can change one text of one ConfigMap, and cannot keep others from
//! changing it back.

use super::{Person, Site, VALUES};
use crate::support::manifests::{site_binding, users};
use crate::support::{Question, RELEASE, text};

const CONFIG: &str = "bailiwick-config";
const REFUSED: &str = "bailiwick-config belongs to the Bailiwick installation: change only data[\"config.yaml\"], to at most \
                       16384 bytes. For anything else, ";

fn change(patch: &str) -> Vec<String> {
    ["-n", RELEASE, "patch", "configmap", CONFIG, "--type=merge", "-p", patch].map(str::to_owned).to_vec()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn settings(text: &str) -> String {
    serde_json::json!({"data": {"config.yaml": text}}).to_string()
}

#[test]
fn a_site_manager_who_puts_nonsense_into_the_settings_does_not_lock_the_administrator_out() {
    let site = Site::with_operator(VALUES);
    let cluster = &site.cluster;
    cluster.apply(&(users(&["mo"]) + &site_binding("managers", "site-manager", &["mo"])));
    cluster.can(&Question::of("mo@example.com", RELEASE), &["update configmaps bailiwick-config"]);
    let mo = site.person("mo@example.com");
    mo.soon_may_not(&words(&change(r#"{"immutable":true}"#)), REFUSED);
    they_change_the_settings(&mo);
    they_change_nothing_else(&mo);

    // The administrator and the chart can overwrite anything that they wrote.
    mo.does(&words(&change(&settings("broken: [text"))));
    let mut both: serde_json::Value = serde_json::from_str(&settings("still: [broken")).unwrap();
    both["immutable"] = true.into();
    mo.may_not(&words(&change(&both.to_string())), REFUSED);
    cluster.run(&words(&change(&settings("users: {dormantAfterDays: 30}"))));
    let root = site.person("root@example.com");
    root.holds(RELEASE, "[{apiGroups: [''], resources: [configmaps], resourceNames: [bailiwick-config], verbs: [get, patch, override]}]");
    root.does(&words(&change(r#"{"data":{"note":"mine"},"metadata":{"annotations":{"a":"b"}}}"#)));
    root.does(&words(&change(r#"{"data":{"note":null},"metadata":{"annotations":{"a":null}}}"#)));
    let output = cluster
        .plane
        .helm(&cluster.admin)
        .args(["upgrade", "bailiwick", "--reuse-values", "--force-conflicts", "--namespace", RELEASE])
        .arg(crate::support::repository().join("charts/bailiwick"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let now = cluster.get(&["-n", RELEASE, "configmap", CONFIG]);
    assert!(now["data"]["config.yaml"].as_str().unwrap().contains("dormantAfterDays: 90"), "{now}");
}

fn they_change_the_settings(mo: &Person) {
    for text in ["users: {dormantAfterDays: 30}", "", &"x".repeat(16_384), &"é".repeat(8_192)] {
        mo.does(&words(&change(&settings(text))));
    }
    let applied = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {CONFIG}, namespace: {RELEASE}}}, data: {{config.yaml: 'users: {{}}'}}}}"
    );
    mo.does_with(&["apply", "--server-side", "--force-conflicts"], &applied);
}

fn they_change_nothing_else(mo: &Person) {
    let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"gone","uid":"u"}]}}"#;
    for patch in [
        &settings(&"x".repeat(16_385)),
        // The limit is in bytes, not in letters.
        &settings(&"é".repeat(8_193)),
        r#"{"data":{"config.yaml":null}}"#,
        r#"{"data":null}"#,
        r#"{"data":{"more":"x"}}"#,
        r#"{"data":{"config.yaml":"users: {}","more":"x"}}"#,
        r#"{"binaryData":{"more":"eA=="}}"#,
        r#"{"immutable":true}"#,
        r#"{"immutable":false}"#,
        r#"{"metadata":{"annotations":{"a":"b"}}}"#,
        r#"{"metadata":{"annotations":null}}"#,
        r#"{"metadata":{"labels":{"a":"b"}}}"#,
        r#"{"metadata":{"labels":{"app.kubernetes.io/part-of":null}}}"#,
        r#"{"metadata":{"finalizers":["example.com/never"]}}"#,
        owner,
    ] {
        mo.may_not(&words(&change(patch)), REFUSED);
    }
    let mut whole = mo.site.cluster.get(&["-n", RELEASE, "configmap", CONFIG]);
    whole["data"] = serde_json::json!({"config.yaml": "users: {}", "more": "x"});
    mo.may_not_with(&["replace"], &whole.to_string(), REFUSED);
    let applied = |rest: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {CONFIG}, namespace: {RELEASE}}}, {rest}}}")
    };
    let apply = ["apply", "--server-side", "--force-conflicts"];
    mo.may_not_with(&apply, &applied("data: {config.yaml: '', more: x}"), REFUSED);
    mo.may_not_with(&apply, &applied("immutable: true"), REFUSED);
}
