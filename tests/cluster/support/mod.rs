//! Shared by all cluster tests: a cluster with the chart and the operator, and questions for it.

mod access;
mod apply;
mod faults;
pub mod helm;
mod live;
pub mod manifests;
mod operator;
mod policies;
mod random;
mod read;
mod saved;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Options};
use serde_json::Value;

pub use access::Question;
pub use faults::{DENIALS, Fault, Faults, Storm};
pub use operator::Operator;
pub use random::Random;

/// The release namespace.
pub const RELEASE: &str = "bailiwick-system";
/// The seven kinds, by full name.
pub const KINDS: [&str; 7] = [
    "organizations.bailiwick.dev",
    "users.bailiwick.dev",
    "groups.bailiwick.dev",
    "customroles.bailiwick.dev",
    "rolebindings.bailiwick.dev",
    "siteroles.bailiwick.dev",
    "siterolebindings.bailiwick.dev",
];
/// The time limit on a busy machine. Tests end as soon as their condition holds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often tests poll. Each poll costs the API server time that other tests wait for.
const POLL: Duration = Duration::from_millis(50);

/// A little more than the pause between two writes of the operator's record of decisions.
const RECORD_PAUSE: Duration = Duration::from_millis(2200);

/// A cluster for one test. It ends with the test.
pub struct Cluster {
    // Dropped first: an operator that outlives its API server might find another test's on the same port, with the same
    // keys.
    pub operator: Option<Operator>,
    pub plane: ControlPlane,
    /// The proxy between the API server and operators started from now on.
    pub faults: Option<Faults>,
    pub admin: PathBuf,
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    scratch: tempfile::TempDir,
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Cluster {
    /// With the chart installed (values as YAML), and the operator running.
    pub fn with_operator(values: &str) -> Self {
        let mut cluster = Self::with_chart(values);
        cluster.start_operator();
        cluster
    }

    /// With the chart installed, and no operator yet.
    pub fn with_chart(values: &str) -> Self {
        let from = Some(saved::with_chart(values));
        let cluster = Self::start(Options { from, ..Options::default() });
        cluster.await_policies();
        cluster.await_policy_on_organizations();
        cluster
    }

    /// The API server's version.
    pub fn version(&self) -> Value {
        serde_json::from_str(&self.raw("/version")).unwrap()
    }

    /// Whether this version of Kubernetes has MutatingAdmissionPolicies. docs/reference/kubernetes-versions.md
    /// describes the behavior without them, and the tests check that.
    pub fn has_mutating_policies(&self) -> bool {
        self.version()["minor"].as_str().unwrap().parse::<u32>().unwrap() >= 36
    }

    /// An empty cluster.
    pub fn bare() -> Self {
        Self::bare_with_flags(&[])
    }

    /// An empty cluster with these additional flags for kube-apiserver.
    pub fn bare_with_flags(flags: &[&str]) -> Self {
        let api_server_flags = flags.iter().map(ToString::to_string).collect();
        Self::start(Options { api_server_flags, ..Options::default() })
    }

    fn start(options: Options) -> Self {
        let plane = ControlPlane::start(options).expect("it starts");
        let admin = plane.admin_kubeconfig();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(client(&admin));
        let scratch = tempfile::tempdir().unwrap();
        Self { plane, operator: None, faults: None, admin, runtime, client, scratch }
    }

    /// `helm install` with these values.
    pub fn helm_install(&self, values: &str) -> Output {
        self.helm(&["install", "bailiwick", "--create-namespace"], values)
    }

    /// `helm upgrade` with these values.
    pub fn helm_upgrade(&self, values: &str) -> Output {
        self.helm(&["upgrade", "bailiwick"], values)
    }

    fn helm(&self, words: &[&str], values: &str) -> Output {
        let file = self.scratch.path().join("values.yaml");
        // There is no kubelet, so a Deployment would never become ready.
        std::fs::write(&file, format!("{values}\n")).unwrap();
        let mut helm = self.plane.helm(&self.admin);
        helm.args(words)
            .arg(repository().join("charts/bailiwick"))
            .args(["--namespace", RELEASE, "--values"])
            .arg(&file);
        helm.output().expect("helm runs")
    }

    /// Starts the operator and waits until it has seen everything and leads.
    pub fn start_operator(&mut self) {
        let operator = self.spawn_operator("one");
        self.eventually("the operator is ready and leads", || operator.is_ready() && operator.metric("leading") == 1);
        self.operator = Some(operator);
    }

    /// Puts a proxy between the API server and operators started from now on.
    pub fn put_faults_between(&mut self, seed: u64) {
        self.faults = Some(self.runtime.block_on(Faults::start(&self.admin, seed)));
    }

    /// Starts another operator process, with the chart's ServiceAccount.
    pub fn spawn_operator(&self, identity: &str) -> Operator {
        Operator::spawn(self, identity, self.scratch.path())
    }

    /// Ends the operator as the kubelet would.
    pub fn stop_operator(&mut self) {
        self.operator.take().expect("an operator is running").stop();
    }

    /// Ends the operator as the kernel would.
    pub fn kill_operator(&mut self) {
        self.operator.take().expect("an operator is running").kill();
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_as(&self.admin, arguments)
    }

    /// kubectl with this kubeconfig.
    pub fn kubectl_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        self.plane.kubectl(kubeconfig).args(arguments).output().expect("kubectl runs")
    }

    /// kubectl as the administrator, which has to succeed. Returns its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(output.status.success(), "kubectl {}: {}", arguments.join(" "), text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Applies manifests, which has to succeed.
    pub fn apply(&self, yaml: &str) {
        self.try_apply(yaml).unwrap_or_else(|error| panic!("apply: {error}\n{yaml}"));
    }

    /// Applies manifests as the administrator, by server-side apply. The error is what kubectl prints.
    pub fn try_apply(&self, yaml: &str) -> Result<(), String> {
        match self.apply_at_once(yaml) {
            Some(Ok(())) => Ok(()),
            Some(Err(kube::Error::Api(status))) if status.code != 409 => {
                Err(format!("Error from server ({}): {}", status.reason, status.message))
            }
            // This needs kubectl: for another kind, or to change an object that it created in another way.
            Some(Err(_)) | None => self.try_apply_as(&self.admin, yaml).map(drop),
        }
    }

    /// Applies manifests with this kubeconfig.
    pub fn try_apply_as(&self, kubeconfig: &Path, yaml: &str) -> Result<String, String> {
        let mut kubectl = self.plane.kubectl(kubeconfig);
        kubectl.args(["apply", "--server-side", "-f", "-"]);
        outcome(with_input(kubectl, yaml))
    }

    /// Creates many objects of ours, some in parallel.
    pub fn create_all(&self, objects: impl Iterator<Item = Value>) {
        use futures::StreamExt as _;
        use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
        let create = |object: Value| {
            let kind = object["kind"].as_str().unwrap().to_owned();
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("bailiwick.dev", "v1alpha1", &kind));
            let client = self.client.clone();
            let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
                Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                None => Api::all_with(client, &resource),
            };
            async move {
                let object: DynamicObject = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &object).await.unwrap();
            }
        };
        self.runtime.block_on(futures::stream::iter(objects.map(create)).buffer_unordered(32).collect::<Vec<()>>());
    }

    /// Applies a directory of the repository, as the README of an example says.
    pub fn apply_directory(&self, path: &str) {
        let directory = repository().join(path);
        self.run(&["apply", "-f", directory.to_str().unwrap()]);
    }

    /// Every Organization, in one list.
    pub fn organizations(&self) -> Vec<bailiwick::api::Organization> {
        let api: kube::Api<bailiwick::api::Organization> = kube::Api::all(self.client.clone());
        self.runtime.block_on(api.list(&Default::default())).unwrap().items
    }

    /// One object, or a list, as JSON.
    pub fn get(&self, arguments: &[&str]) -> Value {
        match self.read(arguments) {
            Some(object) => object.unwrap_or_else(|error| panic!("get {}: {error}", arguments.join(" "))),
            None => {
                let words = [&["get"], arguments, &["-o", "json"]].concat();
                serde_json::from_str(&self.run(&words)).unwrap()
            }
        }
    }

    /// Whether an object is there.
    pub fn exists(&self, arguments: &[&str]) -> bool {
        match self.read(arguments) {
            Some(object) => object.is_ok(),
            None => self.kubectl(&[&["get"], arguments].concat()).status.success(),
        }
    }

    /// A condition of an object: status, reason and message.
    pub fn condition(&self, arguments: &[&str], kind: &str) -> Option<(String, String, String)> {
        let object = self.get(arguments);
        let conditions = object["status"]["conditions"].as_array()?;
        let condition = conditions.iter().find(|c| c["type"] == kind)?;
        let word = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        Some((word("status"), word("reason"), word("message")))
    }

    /// Waits until a condition of an object has this reason; returns its message.
    pub fn await_reason(&self, arguments: &[&str], kind: &str, reason: &str) -> String {
        let mut last = None;
        self.eventually_or(
            || {
                last = self.condition(arguments, kind);
                last.as_ref().is_some_and(|(_, r, _)| r == reason)
            },
            |_| format!("{} has {kind} with reason {reason}", arguments.join(" ")),
        );
        self.condition(arguments, kind).unwrap().2
    }

    /// Waits until something holds.
    #[track_caller]
    pub fn eventually(&self, what: &str, holds: impl FnMut() -> bool) {
        self.eventually_or(holds, |_| what.to_owned());
    }

    /// Waits until something holds; otherwise fails with this message.
    #[track_caller]
    pub fn eventually_or(&self, mut holds: impl FnMut() -> bool, what: impl Fn(&Self) -> String) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {}\n{}", what(self), self.operator_log());
            std::thread::sleep(POLL);
        }
    }

    /// Waits until the operator has reported on the newest generation of every object of ours, and is idle.
    #[track_caller]
    pub fn settle(&self) {
        let operator = self.operator.as_ref().expect("an operator is running");
        let waiting = std::cell::RefCell::new(Vec::new());
        let settled = || {
            // First the checks that cost the API server nothing.
            if operator.metric("units_busy") != 0 {
                return false;
            }
            let list = self.get(&[&KINDS.join(","), "--all-namespaces"]);
            let late = |o: &&Value| o["status"]["observedGeneration"] != o["metadata"]["generation"];
            let name = |o: &Value| format!("{} {}", o["kind"], o["metadata"]["name"]);
            *waiting.borrow_mut() = list["items"].as_array().unwrap().iter().filter(late).map(name).collect();
            waiting.borrow().is_empty() && operator.metric("units_busy") == 0
        };
        self.eventually_or(settled, |_| {
            let busy = operator.metric("units_busy");
            format!("every object has a status of its newest generation, and the operator is idle (late: {}; busy units: {busy})", waiting.borrow().join(", "))
        });
    }

    /// The API server's count of writes, except Leases, Events, tokens and reviews.
    pub fn writes(&self) -> u64 {
        self.counted_writes(|_| true)
    }

    /// The count of writes to native RBAC objects.
    pub fn native_writes(&self) -> u64 {
        self.counted_writes(|line| line.contains("group=\"rbac.authorization.k8s.io\""))
    }

    fn counted_writes(&self, which: impl Fn(&str) -> bool) -> u64 {
        let metrics = self.raw("/metrics");
        let counted = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
        let writes = counted.filter(|line| {
            let verb =
                ["POST", "PUT", "PATCH", "APPLY", "DELETE"].iter().any(|v| line.contains(&format!("verb=\"{v}\"")));
            let other = ["leases", "events", "subjectaccessreviews", "selfsubjectaccessreviews", "tokenreviews"];
            let token = line.contains("subresource=\"token\"");
            verb && !token && !other.iter().any(|r| line.contains(&format!("resource=\"{r}\""))) && which(line)
        });
        writes.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Waits until all is settled and nobody writes any more. It waits longer than the operator does with its record of
    /// decisions, because nothing shows that there is none to write.
    #[track_caller]
    pub fn quiet(&self) {
        let mut last = (self.writes(), Instant::now());
        self.eventually("nobody writes any more", || {
            self.settle();
            let writes = self.writes();
            if writes != last.0 {
                last = (writes, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(200));
            last.1.elapsed() > RECORD_PAUSE
        });
    }

    /// Every native object of ours, by kind, namespace and name, with its relevant fields.
    pub fn native(&self) -> Vec<Value> {
        let kinds = "roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io,\
                     clusterroles.rbac.authorization.k8s.io,clusterrolebindings.rbac.authorization.k8s.io";
        let list = self.get(&[kinds, "--all-namespaces", "-l", "app.kubernetes.io/managed-by=bailiwick"]);
        list["items"].as_array().unwrap().clone()
    }

    /// The same by name, without what the API server adds.
    pub fn native_content(&self) -> BTreeMap<String, Value> {
        self.native().into_iter().map(live::plain).collect()
    }

    /// The operator's log, for the message of a failing test.
    pub fn operator_log(&self) -> String {
        self.operator.as_ref().map(Operator::log).unwrap_or_default()
    }
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

/// All output of a program.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The output of a program, as an error if it failed.
pub fn outcome(output: Output) -> Result<String, String> {
    if output.status.success() { Ok(text(&output)) } else { Err(text(&output)) }
}

/// Runs a program with input.
pub fn with_input(mut command: Command, input: &str) -> Output {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // From another thread: a program that prints much before it has read everything would deadlock with us.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}
