//! Every example keeps the promises in its `chart/access.yaml`, and the operator leaves the applied objects unchanged.

use std::path::PathBuf;

use rstest::rstest;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Cluster, Question, repository, text};

#[rstest]
fn an_example_keeps_its_promises(
    #[values("quickstart", "tiered-rbac", "group-templates", "external-groups", "namespaces", "personal-workspaces")]
    name: &str,
) {
    let example = Example::read(name);
    let cluster = example.install();

    for organization in &example.promises.organizations {
        let object = ["organization", organization.name.as_str()];
        cluster.await_reason(&object, "NamespaceAssigned", &organization.reason);
        let (status, _, message) = cluster.condition(&object, "NamespaceAssigned").unwrap();
        assert_eq!(status == "True", organization.assigned, "{}: {message}", organization.name);
    }
    cluster.answers(&example.questions());
    what_was_applied_is_as_it_was(&cluster, &example);
}

#[test]
fn every_folder_is_tested_and_promises_something() {
    let folders = std::fs::read_dir(repository().join("examples")).unwrap().map(|entry| entry.unwrap());
    // Those for GitOps tools promise no access of their own: tests/gitops.rs and gitops.rs.
    let folders = folders.filter(|entry| entry.path().join("chart").is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    let all = ["external-groups", "group-templates", "namespaces", "personal-workspaces", "quickstart", "tiered-rbac"];
    assert_eq!(names, all);
    for name in &names {
        let promises = Example::read(name).promises;
        let (can, cannot) =
            (promises.access.iter().any(|a| !a.can.is_empty()), promises.access.iter().any(|a| !a.cannot.is_empty()));
        assert!(can && cannot, "{name}");
        // The condition shows readers of the folder which organization got a namespace.
        assert_eq!(promises.organizations.is_empty(), name != "namespaces");
    }
}

#[test]
fn people_of_external_groups_act_with_certificates_that_carry_the_groups() {
    let example = Example::read("external-groups");
    let cluster = example.install();
    cluster.answers(&example.questions());

    // Every promise, asked by the users themselves.
    for access in &example.promises.access {
        let Some(user) = &access.user else { continue };
        let groups: Vec<&str> = access.groups.iter().map(String::as_str).collect();
        let credentials = cluster.plane.user_kubeconfig(user, &groups).unwrap();
        let namespace = access.namespace.clone().unwrap_or_default();
        let can = access.can.iter().map(|what| (what.clone(), true));
        let asked: Vec<(String, bool)> = can.chain(access.cannot.iter().map(|what| (what.clone(), false))).collect();
        let questions: Vec<_> = asked.iter().map(|(what, _)| (namespace.clone(), what.clone())).collect();
        for ((what, promised), answer) in asked.iter().zip(cluster.allowed_as(&credentials, &questions)) {
            assert_eq!(answer, *promised, "{user} in {groups:?}: {what} in {namespace:?}");
        }
    }

    // And some of it actually done.
    let ruth = cluster.plane.user_kubeconfig("ruth@example.com", &["oidc:researchers"]).unwrap();
    let nobody = cluster.plane.user_kubeconfig("ruth@example.com", &[]).unwrap();
    let lars = cluster.plane.user_kubeconfig("lars@example.com", &["oidc:researchers", "oidc:research-leads"]).unwrap();
    let olga = cluster.plane.user_kubeconfig("olga@example.com", &["oidc:operations"]).unwrap();
    let aldo = cluster.plane.user_kubeconfig("aldo@example.com", &["oidc:auditors"]).unwrap();
    let deployment = ["-n", "research", "create", "deployment", "work", "--image=work"];
    works(&cluster, &ruth, &deployment);
    works(&cluster, &ruth, &["-n", "research", "get", "deployments,pods,services"]);
    cluster.run(&["-n", "research", "create", "deployment", "others", "--image=work"]);
    forbidden(&cluster, &ruth, &["-n", "research", "delete", "deployment", "others"]);
    works(&cluster, &ruth, &["-n", "research", "delete", "deployment", "work"]);
    forbidden(&cluster, &ruth, &["-n", "research", "get", "secrets"]);
    forbidden(&cluster, &ruth, &["-n", "operations", "get", "pods"]);
    forbidden(&cluster, &nobody, &["-n", "research", "get", "pods"]);
    forbidden(&cluster, &nobody, &["-n", "research", "create", "deployment", "other", "--image=work"]);
    works(&cluster, &lars, &["-n", "research", "get", "podtemplates"]);
    works(&cluster, &lars, &["-n", "research", "auth", "can-i", "create", "pods", "--subresource=exec"]);
    // A manager of an organization can assign roles in it, and the grant takes effect at once.
    let binding = "
apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: helpers, namespace: operations}
spec: {roleRef: {kind: SiteRole, name: organization-member}, subjects: [{kind: ExternalGroup, name: 'oidc:auditors'}]}
";
    forbidden(&cluster, &aldo, &["-n", "operations", "get", "pods"]);
    cluster.try_apply_as(&aldo, binding).unwrap_err();
    cluster.try_apply_as(&olga, binding).unwrap();
    cluster.eventually("aldo is a member of operations", || {
        cluster.kubectl_as(&aldo, &["-n", "operations", "get", "pods"]).status.success()
    });
    works(&cluster, &aldo, &["-n", "research", "get", "events"]);
    forbidden(&cluster, &aldo, &["-n", "research", "get", "pods"]);
}

#[test]
fn a_developer_deploys_changes_and_deletes_a_normal_application() {
    let example = Example::read("quickstart");
    let cluster = example.install();
    cluster.can(&Question::of("dina@example.com", "data-science"), &["create deployments.apps", "delete jobs.batch"]);
    let dina = cluster.plane.user_kubeconfig("dina@example.com", &[]).unwrap();
    let application = example.folder.join("chart/application.yaml");
    let text = std::fs::read_to_string(&application).unwrap();
    let changed = example.folder.join("../../target/tmp").join("application.yaml");
    std::fs::create_dir_all(changed.parent().unwrap()).unwrap();
    std::fs::write(&changed, text.replace("shop:1", "shop:2").replace("greeting: hello", "greeting: hi")).unwrap();
    let (application, changed) = (application.to_str().unwrap(), changed.to_str().unwrap());
    works(&cluster, &dina, &["-n", "data-science", "apply", "-f", application]);
    // A Job's template is immutable, for everybody.
    works(&cluster, &dina, &["-n", "data-science", "delete", "job", "shop-migrate"]);
    works(&cluster, &dina, &["-n", "data-science", "apply", "-f", changed]);
    works(&cluster, &dina, &["-n", "data-science", "apply", "--server-side", "--force-conflicts", "-f", changed]);
    works(&cluster, &dina, &["-n", "data-science", "rollout", "restart", "deployment", "shop"]);
    works(&cluster, &dina, &["-n", "data-science", "scale", "deployment", "shop", "--replicas=3"]);
    works(&cluster, &dina, &["-n", "data-science", "get", "events,pods,replicasets"]);
    works(&cluster, &dina, &["-n", "data-science", "delete", "-f", changed]);
    forbidden(&cluster, &dina, &["-n", "data-science", "create", "secret", "generic", "s"]);
    forbidden(&cluster, &dina, &["-n", "platform", "apply", "-f", application]);
}

/// The README of the example, done by its people.
#[test]
fn people_work_in_workspaces_of_their_own() {
    let example = Example::read("personal-workspaces");
    let cluster = example.install();
    cluster.settle();
    let [ada, ben, mia] =
        ["ada", "ben", "mia"].map(|name| cluster.plane.user_kubeconfig(&format!("{name}@example.com"), &[]).unwrap());
    let workspace = example.folder.join("chart/workspace.yaml");
    let workspace = workspace.to_str().unwrap();
    let enter = ["-n", "studio", "auth", "can-i", "create", "pods/canvas", "--subresource=exec"];
    works(&cluster, &ada, &["-n", "studio", "apply", "-f", workspace]);
    works(&cluster, &ada, &["-n", "studio", "set", "image", "deployment/gallery", "web=registry.example.com/other:2"]);
    works(&cluster, &ada, &["-n", "studio", "apply", "-f", workspace]);
    cluster.eventually("ada may enter", || cluster.kubectl_as(&ada, &enter).status.success());
    assert!(!cluster.kubectl_as(&ben, &enter).status.success());
    works(&cluster, &ben, &["-n", "studio", "get", "pods,deployments,pvc"]);
    for object in ["pod/canvas", "pvc/canvas", "deployment/gallery"] {
        forbidden(&cluster, &ben, &["-n", "studio", "delete", object]);
        forbidden(&cluster, &ben, &["-n", "studio", "label", object, "a=b"]);
    }
    forbidden(&cluster, &ben, &["-n", "studio", "apply", "-f", workspace]);

    let give =
        ["-n", "studio", "annotate", "deployment", "gallery", "bailiwick.dev/owner=ben@example.com", "--overwrite"];
    works(&cluster, &mia, &give);
    works(&cluster, &ben, &["-n", "studio", "set", "image", "deployment/gallery", "web=registry.example.com/other:3"]);
    forbidden(&cluster, &ada, &["-n", "studio", "delete", "deployment/gallery"]);
    works(&cluster, &ben, &["-n", "studio", "delete", "deployment/gallery"]);
    works(&cluster, &ada, &["-n", "studio", "delete", "pod/canvas", "pvc/canvas", "--wait=false"]);
}

fn works(cluster: &Cluster, credentials: &std::path::Path, arguments: &[&str]) {
    let output = cluster.kubectl_as(credentials, arguments);
    assert!(output.status.success(), "kubectl {}: {}", arguments.join(" "), text(&output));
}

fn forbidden(cluster: &Cluster, credentials: &std::path::Path, arguments: &[&str]) {
    let output = cluster.kubectl_as(credentials, arguments);
    assert!(!output.status.success(), "kubectl {} works", arguments.join(" "));
    assert!(text(&output).contains("forbidden"), "kubectl {}: {}", arguments.join(" "), text(&output));
}

/// Argo CD, like any other comparison, finds no difference: `kubectl diff` is empty, nobody has changed a spec since it
/// was applied, and labels and annotations are those of the manifest.
fn what_was_applied_is_as_it_was(cluster: &Cluster, example: &Example) {
    let diff = cluster.kubectl(&["diff", "-f", example.folder.to_str().unwrap()]);
    assert!(diff.status.success(), "{}", text(&diff));
    for applied in example.manifests() {
        let (metadata, kind) = (&applied["metadata"], applied["kind"].as_str().unwrap());
        let name = metadata["name"].as_str().unwrap();
        let group = applied["apiVersion"].as_str().unwrap().split_once('/').map_or("", |(group, _)| group);
        let resource = format!("{}.{group}", kind.to_lowercase());
        let resource = resource.trim_end_matches('.');
        let mut words = vec![resource, name, "--show-managed-fields"];
        words.extend(metadata["namespace"].as_str().iter().flat_map(|namespace| ["--namespace", namespace]));
        let live = cluster.get(&words);
        let what = format!("{kind} {name}");

        // Fields that Kubernetes itself, kubectl and the chart's own admission policies write.
        let aside = [
            "kubectl.kubernetes.io/last-applied-configuration",
            "kubernetes.io/metadata.name",
            "bailiwick.dev/vouched",
            "bailiwick.dev/owner",
        ];
        for map in ["labels", "annotations"] {
            let mut live = live["metadata"][map].as_object().cloned().unwrap_or_default();
            live.retain(|key, _| !aside.contains(&key.as_str()));
            assert_eq!(live, metadata[map].as_object().cloned().unwrap_or_default(), "{map} of {what}");
        }
        if group != "bailiwick.dev" {
            continue;
        }
        contains(&live["spec"], &applied["spec"], &what);
        assert_eq!(live["metadata"]["generation"], 1, "{what} was changed after it was applied");
        assert!(live["metadata"]["finalizers"].is_null(), "{what}");
        let fields = live["metadata"]["managedFields"].as_array().unwrap();
        for field in fields.iter().filter(|field| field["manager"] == "bailiwick") {
            assert_eq!(field["subresource"], "status", "{what}: {field}");
        }
    }
}

/// Asserts that everything applied is present; additional fields are defaults.
fn contains(live: &Value, applied: &Value, what: &str) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            applied.iter().for_each(|(key, value)| contains(live.get(key).unwrap_or(&Value::Null), value, what));
        }
        (Value::Array(live), Value::Array(applied)) => {
            assert_eq!(live.len(), applied.len(), "{what}");
            live.iter().zip(applied).for_each(|(live, applied)| contains(live, applied, what));
        }
        _ => assert_eq!(live, applied, "{what}"),
    }
}

/// A folder of `examples/`.
pub struct Example {
    folder: PathBuf,
    promises: Promises,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Promises {
    access: Vec<Access>,
    #[serde(default)]
    organizations: Vec<Assigned>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Access {
    #[serde(rename = "as")]
    user: Option<String>,
    service_account: Option<ServiceAccount>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(rename = "in")]
    namespace: Option<String>,
    #[serde(default)]
    can: Vec<String>,
    #[serde(default)]
    cannot: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceAccount {
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assigned {
    name: String,
    assigned: bool,
    reason: String,
}

impl Example {
    /// The example in this folder.
    pub fn read(name: &str) -> Self {
        let folder = repository().join("examples").join(name);
        let promises = std::fs::read_to_string(folder.join("chart/access.yaml")).unwrap();
        Self { folder, promises: serde_yaml::from_str(&promises).unwrap() }
    }

    /// As its README says: install the chart with the example's values, and apply the folder.
    fn install(&self) -> Cluster {
        let values = std::fs::read_to_string(self.folder.join("chart/values.yaml")).unwrap();
        let cluster = Cluster::with_operator(&values);
        cluster.apply_directory(self.folder.to_str().unwrap());
        cluster.settle();
        cluster
    }

    fn manifests(&self) -> Vec<Value> {
        let files = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|e| e == "yaml"));
        let texts = files.map(|path| std::fs::read_to_string(path).unwrap());
        let parse = |text: String| -> Vec<Value> {
            serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
        };
        texts.flat_map(parse).collect()
    }

    /// The promises as questions.
    pub fn questions(&self) -> Vec<(Question, String, bool)> {
        let ask = |access: &Access| {
            let place = access.namespace.as_deref().unwrap_or_default();
            let who = match (&access.user, &access.service_account) {
                (Some(user), None) => Question::of(user, place),
                (None, Some(account)) => Question::of_service_account(&account.namespace, &account.name, place),
                _ => panic!("an entry is about a user or about a service account"),
            };
            let groups: Vec<&str> = access.groups.iter().map(String::as_str).collect();
            let who = who.with_groups(&groups);
            let can = access.can.iter().map(|what| (who.clone(), what.clone(), true));
            let cannot = access.cannot.iter().map(|what| (who.clone(), what.clone(), false));
            can.chain(cannot).collect::<Vec<_>>()
        };
        self.promises.access.iter().flat_map(ask).collect()
    }
}
