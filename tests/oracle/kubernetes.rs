//! Runs `hack/rbac-oracle`: one process for all tests, which ends with its input.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use bailiwick::core::rbac::{self, DesiredSet, Object};
use bailiwick::core::rules::Rule;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub struct Kubernetes {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answer {
    uncovered: Option<Vec<PolicyRule>>,
    reasons: Option<Vec<String>>,
}

/// A request of a user with groups: on a resource, or on a path if there is one.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub user: String,
    pub groups: Vec<String>,
    pub namespace: String,
    pub verb: String,
    pub api_group: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    pub path: String,
}

impl Request {
    /// On the resource of an [`Atom::Resource`](bailiwick::core::rules::Atom), such as `pods/exec`.
    pub fn on_resource(group: &str, resource: &str, name: &str, verb: &str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Self {
            api_group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            verb: verb.to_owned(),
            ..Self::default()
        }
    }

    pub fn on_path(path: &str, verb: &str) -> Self {
        Self { path: path.to_owned(), verb: verb.to_owned(), ..Self::default() }
    }
}

static KUBERNETES: LazyLock<Option<Mutex<Kubernetes>>> = LazyLock::new(|| Kubernetes::start().map(Mutex::new));

/// Whether the oracle is available.
pub fn is_there() -> bool {
    KUBERNETES.is_some()
}

/// The smallest parts of `asked` that the escalation check does not find in the rights of `owner`.
pub fn uncovered(owner: &[Rule], asked: &[Rule]) -> Vec<Rule> {
    let question = json!({"owner": rbac::to_rules(owner), "asked": rbac::to_rules(asked)});
    rbac::from_rules(&ask(&question).uncovered.unwrap_or_default())
}

/// The authorizer's reasons to allow these requests, in a cluster with only these objects.
pub fn reasons(objects: &DesiredSet, requests: &[Request]) -> Vec<Option<String>> {
    let (mut roles, mut bindings, mut cluster_roles, mut cluster_bindings) = (vec![], vec![], vec![], vec![]);
    for (key, native) in objects {
        match rbac::to_object(key, native, None) {
            Object::Role(o) => roles.push(o),
            Object::RoleBinding(o) => bindings.push(o),
            Object::ClusterRole(o) => cluster_roles.push(o),
            Object::ClusterRoleBinding(o) => cluster_bindings.push(o),
        }
    }
    let objects = json!({"roles": roles, "roleBindings": bindings, "clusterRoles": cluster_roles,
        "clusterRoleBindings": cluster_bindings});
    let reasons = ask(&json!({"objects": objects, "requests": requests})).reasons.unwrap_or_default();
    assert_eq!(reasons.len(), requests.len());
    reasons.into_iter().map(|reason| Some(reason).filter(|r| !r.is_empty())).collect()
}

fn ask(question: &Value) -> Answer {
    let kubernetes = KUBERNETES.as_ref().expect("asked whether it is there");
    kubernetes.lock().unwrap_or_else(PoisonError::into_inner).ask(question)
}

impl Kubernetes {
    fn start() -> Option<Self> {
        let started = Command::new("go")
            // As control-plane builds Kubernetes, so that Go has compiled nearly everything before.
            .args(["run", "-mod=readonly", "-buildvcs=false", "-trimpath", "."])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/rbac-oracle"))
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        match started {
            Ok(mut child) => {
                let (questions, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
                Some(Self { child, questions, answers: BufReader::new(answers) })
            }
            // A machine with prebuilt servers may lack Go.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && std::env::var_os("KUBEBUILDER_ASSETS").is_some_and(|value| !value.is_empty()) =>
            {
                let _ = writeln!(std::io::stderr(), "skipped: asking Kubernetes' own code needs go ({error})");
                None
            }
            Err(error) => panic!("asking Kubernetes' own code needs go: {error}"),
        }
    }

    fn ask(&mut self, question: &Value) -> Answer {
        let mut line = question.to_string();
        line.push('\n');
        let asked = self.questions.write_all(line.as_bytes());
        line.clear();
        let answered = asked.and_then(|()| self.answers.read_line(&mut line));
        if answered.as_ref().is_ok_and(|bytes| *bytes > 0) {
            return serde_json::from_str(&line).unwrap();
        }
        panic!("no answer ({answered:?}), because of {:?}: {question}", self.child.wait());
    }
}

/// The oracle has the same code as the cluster tests.
#[test]
fn the_oracle_is_of_the_version_that_the_control_plane_is_built_from() {
    let read = |module: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack").join(module).join("go.mod");
        std::fs::read_to_string(file).unwrap()
    };
    let kubernetes = format!("k8s.io/kubernetes {}", control_plane::pins::KUBERNETES);
    let replaced = |text: &str| {
        assert!(text.lines().any(|line| line.trim().starts_with(&kubernetes)), "{kubernetes}");
        text.lines().filter(|line| line.contains("=>")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(replaced(&read("rbac-oracle")), replaced(&read("control-plane")));
}
