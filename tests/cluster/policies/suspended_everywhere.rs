//! Suspension covers everything: a User with a group of the identity provider that holds every right which Bailiwick
//! can grant, and every write that a word of the chart's catalog allows.

use serde_json::{Value, json};

use super::{Person, Site};
use crate::support::manifests::{binding_spec, organization, user};
use crate::support::{Question, RELEASE, repository};

const VALUES: &str = "{namespaceWhitelist: [alpha], defaultOrganization: {create: false}}";
const STAFF: &str = "oidc:staff";

/// One rule of the catalog for one of its kinds.
struct Opened {
    word: String,
    group: String,
    resource: String,
    /// The only object that it allows, if it has a name.
    named: Option<String>,
    actions: Vec<String>,
    namespace: &'static str,
}

/// Every right of the default catalog.
fn catalog() -> Vec<Opened> {
    let values = std::fs::read_to_string(repository().join("charts/bailiwick/values.yaml")).unwrap();
    let values: Value = serde_yaml::from_str(&values).unwrap();
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|s| s.as_str().unwrap().to_owned()).collect()
    };
    let mut opened = Vec::new();
    for (word, entry) in values["catalog"].as_object().unwrap() {
        let namespace = match entry["target"].as_str() {
            Some("cluster") => "",
            Some("release") => RELEASE,
            _ => "alpha",
        };
        for rule in entry["rules"].as_object().unwrap().values() {
            let mut actions = strings(&rule["actions"]);
            if actions.is_empty() {
                actions = ["create", "read", "update", "delete"].map(str::to_owned).to_vec();
            }
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    let (word, group, actions) = (word.clone(), group.clone(), actions.clone());
                    let named = rule["resourceNames"][0].as_str().map(str::to_owned);
                    opened.push(Opened { word, group, resource, named, actions, namespace });
                }
            }
        }
    }
    opened
}

/// The API version and kind of a resource that the API server serves without a CustomResourceDefinition, and the rest
/// of a manifest.
fn built_in(resource: &str) -> Option<(&'static str, &'static str, Value)> {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "example"}]});
    let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": pod["containers"]}});
    let always = json!({"selector": {"matchLabels": {"a": "b"}}, "template": labelled, "serviceName": "x"});
    let job = json!({"template": {"spec": pod}});
    let ours = "bailiwick.dev/v1alpha1";
    let read = json!([{"resource": "services", "actions": ["read"]}]);
    let binding = |role| serde_yaml::from_str::<Value>(&binding_spec(role, &["zoe"])).unwrap();
    let (version, kind, spec) = match resource {
        "deployments" => {
            let spec = json!({"selector": always["selector"], "template": always["template"]});
            ("apps/v1", "Deployment", spec)
        }
        "statefulsets" => ("apps/v1", "StatefulSet", always),
        "pods" => ("v1", "Pod", json!({"containers": pod["containers"]})),
        "persistentvolumeclaims" => {
            let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
            ("v1", "PersistentVolumeClaim", spec)
        }
        "podtemplates" => return Some(("v1", "PodTemplate", json!({"template": labelled}))),
        "jobs" => ("batch/v1", "Job", job),
        "cronjobs" => ("batch/v1", "CronJob", json!({"schedule": "@daily", "jobTemplate": {"spec": job}})),
        "services" => ("v1", "Service", json!({"ports": [{"port": 80}]})),
        "configmaps" => return Some(("v1", "ConfigMap", json!({}))),
        "serviceaccounts" => return Some(("v1", "ServiceAccount", json!({}))),
        "networkpolicies" => ("networking.k8s.io/v1", "NetworkPolicy", json!({"podSelector": {}})),
        "horizontalpodautoscalers" => {
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"});
            ("autoscaling/v2", "HorizontalPodAutoscaler", json!({"scaleTargetRef": target, "maxReplicas": 2}))
        }
        "poddisruptionbudgets" => {
            ("policy/v1", "PodDisruptionBudget", json!({"minAvailable": 1, "selector": always["selector"]}))
        }
        "ingresses" => {
            let backend = json!({"service": {"name": "x", "port": {"number": 80}}});
            ("networking.k8s.io/v1", "Ingress", json!({"defaultBackend": backend}))
        }
        "groups" => (ours, "Group", json!({"members": ["zoe@example.com"]})),
        "rolebindings" => (ours, "RoleBinding", binding("CustomRole/reader")),
        "customroles" => (ours, "CustomRole", json!({"permissions": read})),
        "organizations" => (ours, "Organization", json!({})),
        "users" => (ours, "User", json!({})),
        "siteroles" => (ours, "SiteRole", json!({"assignableTo": ["Site"], "permissions": read})),
        "siterolebindings" => (ours, "SiteRoleBinding", binding("SiteRole/auditor")),
        _ => return None,
    };
    Some((version, kind, json!({"spec": spec})))
}

impl Opened {
    fn writes(&self) -> bool {
        self.actions.iter().any(|action| action != "read" && action != "list")
    }

    /// Whether this cluster needs a definition for it.
    fn foreign(&self) -> bool {
        self.writes() && built_in(&self.resource).is_none() && !self.group.is_empty() && !self.resource.contains('/')
    }

    /// A kind's own name, for a CustomResourceDefinition.
    fn kind(&self) -> String {
        let mut letters = self.resource.chars();
        letters.next().unwrap().to_uppercase().chain(letters).collect()
    }

    fn manifest(&self, name: &str) -> String {
        let (version, kind, mut object) = match built_in(&self.resource) {
            Some((version, kind, rest)) => (version.to_owned(), kind.to_owned(), rest),
            None => (format!("{}/v1", self.group), self.kind(), json!({})),
        };
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        object["metadata"] = json!({"name": name});
        if !self.namespace.is_empty() {
            object["metadata"]["namespace"] = self.namespace.into();
        }
        object.to_string()
    }

    fn object(&self) -> &str {
        self.named.as_deref().unwrap_or("there")
    }

    /// Tries every write that it allows, and returns the results.
    fn tries(&self, person: &Person, dry: bool) -> Vec<(String, Result<String, String>)> {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let kind = if self.group.is_empty() { resource.to_owned() } else { format!("{resource}.{}", self.group) };
        let place = if self.namespace.is_empty() { vec![] } else { vec!["-n", self.namespace] };
        let object = self.object();
        let attempt = |action: &str| match action {
            "create" => Some(person.tries_with(
                &with(&place, dry, &["create", "--validate=false"]),
                &self.manifest("made-by-a-suspended-user"),
            )),
            "update" => {
                let patch = match (resource, subresource) {
                    (_, "scale") => r#"{"spec":{"replicas":0}}"#,
                    ("configmaps", _) => r#"{"data":{"config.yaml":"users: {}"}}"#,
                    _ => r#"{"metadata":{"labels":{"a":"c"}}}"#,
                };
                let of = format!("--subresource={subresource}");
                let mut words = vec!["patch", &kind, object, "--type=merge", "-p", patch];
                if !subresource.is_empty() {
                    words.push(&of);
                }
                Some(person.tries(&with(&place, dry, &words)))
            }
            "delete" => Some(person.tries(&with(&place, dry, &["delete", &kind, object, "--wait=false"]))),
            "use" => Some(person.connects(self.namespace, object, subresource)),
            _ => None,
        };
        let named = |action: &String| format!("{}: {action} {} ({})", self.word, self.resource, self.group);
        self.actions.iter().filter_map(|action| Some((named(action), attempt(action)?))).collect()
    }
}

fn with<'a>(place: &[&'a str], dry: bool, words: &[&'a str]) -> Vec<&'a str> {
    let dry: &[&str] = if dry { &["--dry-run=server"] } else { &[] };
    [place, words, dry].concat()
}

/// A definition of a kind that this cluster does not serve.
fn definition(group: &str, plural: &str, kind: &str, namespaced: bool) -> String {
    let scope = if namespaced { "Namespaced" } else { "Cluster" };
    format!(
        "---\n{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: {plural}.{group}, \
         annotations: {{api-approved.kubernetes.io: 'unapproved, for a test'}}}}, spec: {{group: {group}, scope: {scope}, \
         names: {{plural: {plural}, singular: one-{plural}, kind: {kind}}}, versions: [{{name: v1, served: true, storage: true, \
         schema: {{openAPIV3Schema: {{type: object}}}}}}]}}}}\n"
    )
}

/// A SiteRole with the whole catalog, held by a group of the identity provider.
fn everything(catalog: &[Opened]) -> String {
    let mut actions = std::collections::BTreeMap::<&str, std::collections::BTreeSet<&str>>::new();
    for opened in catalog {
        actions.entry(&opened.word).or_default().extend(opened.actions.iter().map(String::as_str));
    }
    let permissions: Vec<Value> =
        actions.iter().map(|(word, actions)| json!({"resource": word, "actions": actions})).collect();
    // Without these rights, the policies on assigning roles would refuse much of it.
    let own =
        json!({"apiGroups": ["bailiwick.dev"], "resources": ["siteroles", "customroles", "groups"], "verbs": ["bind"]});
    let suspend = json!({"apiGroups": ["bailiwick.dev"], "resources": ["users"], "verbs": ["suspend"]});
    let added = json!({"apiGroups": ["added.example"], "resources": ["boards"], "verbs": ["get", "create", "update", "patch", "delete"]});
    let object = |kind: &str, spec: Value| {
        let object = json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": {"name": "everything"}, "spec": spec});
        format!("---\n{object}\n")
    };
    object(
        "SiteRole",
        json!({"assignableTo": ["Site"], "permissions": permissions, "clusterRules": [own, suspend, added]}),
    ) + &object(
        "SiteRoleBinding",
        json!({"roleRef": {"name": "everything"}, "subjects": [{"kind": "ExternalGroup", "name": STAFF}]}),
    )
}

/// A team's addition to the ceiling, by label.
const ADDED: &str = "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: added, \
                     labels: {bailiwick.dev/aggregate-to-grantable-cluster: 'true'}}, \
                     rules: [{apiGroups: [added.example], resources: [boards], verbs: [get, create, update, patch, delete]}]}\n";

fn board(group: &str, name: &str) -> String {
    format!("{{apiVersion: {group}/v1, kind: Board, metadata: {{name: {name}}}}}")
}

fn suspend(site: &Site, name: &str) {
    let suspended = r#"{"spec":{"suspended":true}}"#;
    site.cluster.run(&["patch", "users.bailiwick.dev", name, "--type=merge", "-p", suspended]);
}

#[test]
fn a_suspended_user_writes_nothing_that_a_word_of_the_catalog_opens_whatever_group_they_come_with() {
    let mut site = Site::with_operator(VALUES);
    let catalog = catalog();
    let writable: Vec<&Opened> = catalog.iter().filter(|opened| opened.writes()).collect();
    assert!(writable.iter().any(|o| o.word == "oauth") && writable.iter().any(|o| o.word == "configuration"));
    let mut definitions: Vec<String> = writable
        .iter()
        .filter(|opened| opened.foreign())
        .map(|o| definition(&o.group, &o.resource, &o.kind(), !o.namespace.is_empty()))
        .collect();
    definitions.extend(["added.example", "foreign.example"].map(|group| definition(group, "boards", "Board", false)));
    definitions.sort();
    definitions.dedup();
    site.cluster.apply(&definitions.concat());
    site.cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}")
            + &user("ada")
            + &user("bob")
            + &everything(&catalog)
            + ADDED),
    );
    let ada = Question::of("ada@example.com", "").with_groups(&[STAFF]);
    site.cluster.can(&ada, &["create users.bailiwick.dev", "create boards.added.example"]);
    site.cluster.can(&Question::of("ada@example.com", "alpha").with_groups(&[STAFF]), &["create pods"]);
    for opened in &writable {
        if !opened.resource.contains('/') && opened.named.as_deref() != Some("bailiwick-config") {
            let manifest = opened.manifest(opened.object());
            site.cluster.eventually("the API server knows the kind", || site.cluster.try_apply(&manifest).is_ok());
        }
    }
    site.cluster.apply(&(board("added.example", "there") + "\n---\n" + &board("foreign.example", "there")));
    site.cluster.settle();

    let person = |name: &str| site.person_in(&format!("{name}@example.com"), &[STAFF]);
    before(&person("ada"), &writable);
    // Through the list, which the operator writes.
    suspend(&site, "ada");
    refused(&person("ada"), &writable);
    what_a_label_added(&person("ada"));
    in_the_release_namespace(&person("ada"));
    // Through the label, while no operator runs.
    site.cluster.stop_operator();
    suspend(&site, "bob");
    if !site.cluster.has_mutating_policies() {
        // There is no label, so this waits for the next list.
        site.person_in("bob@example.com", &[STAFF]).does(&[
            "-n",
            "alpha",
            "create",
            "service",
            "clusterip",
            "x",
            "--tcp=80",
        ]);
        site.cluster.start_operator();
    }
    let person = |name: &str| site.person_in(&format!("{name}@example.com"), &[STAFF]);
    refused(&person("bob"), &writable);
    in_the_release_namespace(&person("bob"));
}

/// The group does grant everything.
fn before(ada: &Person, writable: &[&Opened]) {
    for opened in writable {
        for (what, outcome) in opened.tries(ada, true) {
            let answer = outcome.as_ref().map_or_else(Clone::clone, Clone::clone);
            assert!(outcome.is_ok() || what.contains(": use "), "{what}: {answer}");
            assert!(!answer.contains("forbidden"), "{what}: {answer}");
        }
    }
}

fn refused(person: &Person, writable: &[&Opened]) {
    let because = format!("user {} is suspended", person.name);
    let create = ["-n", "alpha", "create", "service", "clusterip", "x", "--tcp=80"];
    person.soon_may_not(&create, &because);
    let mut tried = 0;
    for opened in writable {
        for (what, outcome) in opened.tries(person, false) {
            super::refused(outcome, &because, &what);
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
}

fn what_a_label_added(ada: &Person) {
    let because = "user ada@example.com is suspended";
    ada.may_not_create(&board("added.example", "hers"), because);
    let (label, delete) =
        (["label", "boards.added.example", "there", "a=b"], ["delete", "boards.added.example", "there"]);
    ada.may_not(&label, because);
    ada.may_not(&delete, because);
    // Kinds that Bailiwick cannot grant are not its business, nor are reads.
    ada.holds("", "[{apiGroups: [foreign.example], resources: [boards], verbs: [create, get, update, patch, delete]}]");
    ada.does(&["label", "boards.foreign.example", "there", "a=b"]);
    ada.creates(&board("foreign.example", "hers"));
    ada.does(&["auth", "can-i", "create", "boards.added.example"]);
}

/// Whatever it is there, and the namespace itself.
fn in_the_release_namespace(person: &Person) {
    let because = format!("user {} is suspended", person.name);
    person.holds(RELEASE, r#"[{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]"#);
    person.holds("", "[{apiGroups: [''], resources: [namespaces], verbs: [get, patch, delete, override]}]");
    for words in [
        vec!["-n", RELEASE, "create", "configmap", "theirs"],
        vec!["-n", RELEASE, "label", "deployment", "bailiwick", "a=b"],
        vec!["-n", RELEASE, "create", "role", "theirs", "--verb=get", "--resource=pods"],
        vec!["-n", RELEASE, "create", "token", "default"],
        vec!["label", "namespace", RELEASE, "a=b"],
        vec!["delete", "namespace", RELEASE],
    ] {
        person.may_not(&words, &because);
    }
    super::refused(person.connects(RELEASE, "none", "exec?command=ls"), &because, "exec");
}
