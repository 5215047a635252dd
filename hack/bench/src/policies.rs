//! What each admission policy costs a write.
//!
//! The same request is sent one at a time with the policy on and off, in turns, as a dry run: admission is all there, and
//! etcd's moods are not. What is given is the difference of the medians, in milliseconds.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Options as PlaneOptions};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// How the measurement is made.
#[derive(clap::Args)]
pub struct Options {
    /// Requests of each kind in a round
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Rounds, each with the policy off and on
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The chart
    #[arg(long, default_value = "charts/bailiwick")]
    chart: String,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Plane(#[from] control_plane::Error),
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error("{0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("{0}")]
    Request(#[from] Box<kube::Error>),
    #[error("{0}")]
    Program(String),
    #[error("cannot read what kubectl printed: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Box::new(error).into()
    }
}

const NAMESPACE: &str = "bailiwick-system";
const TEAM: &str = "team";

/// One request, as often as it is wanted.
struct Write {
    what: &'static str,
    object: Value,
}

/// A policy, and the request on which it has most to do.
struct Case {
    policy: &'static str,
    write: Write,
    /// How many suspended users there are.
    suspended: usize,
}

fn object(api: &str, kind: &str, namespace: Option<&str>, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "measured", "namespace": namespace}});
    if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
        object.extend(rest);
    }
    object
}

fn cases() -> Vec<Case> {
    let ours = "bailiwick.dev/v1alpha1";
    let config_map = || Write { what: "ConfigMap", object: object("v1", "ConfigMap", Some(TEAM), json!({})) };
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "c"}]}});
    let binding = json!({"spec": {"roleRef": {"kind": "SiteRole", "name": "organization-member"}, "subjects": []}});
    let role = json!({"spec": {"inherits": [{"kind": "SiteRole", "name": "organization-member"}]}});
    let write = |what, object| Write { what, object };
    let case = |policy, write| Case { policy, write, suspended: 0 };
    let suspended = |suspended| Case { policy: "suspendedUsers", write: config_map(), suspended };
    vec![
        case("operatorGuard", config_map()),
        case("managedObjects", config_map()),
        case("guardedServiceAccounts", write("Pod", object("v1", "Pod", Some(TEAM), pod))),
        case("handingOutRoles", write("RoleBinding of ours", object(ours, "RoleBinding", Some(TEAM), binding))),
        case("handingOutRoles", write("CustomRole that inherits one", object(ours, "CustomRole", Some(TEAM), role))),
        case("groupVouched", write("Group", object(ours, "Group", Some(TEAM), json!({"spec": {}})))),
        case("namespaceClaims", write("Namespace", object("v1", "Namespace", None, json!({})))),
        case("suspending", write("User", object(ours, "User", None, json!({"spec": {}})))),
        suspended(0),
        suspended(1_000),
        suspended(10_000),
    ]
}

/// Measures, and prints a table in Markdown.
///
/// # Errors
/// When the control plane, helm or a request fails.
pub fn run(options: &Options) -> Result<(), Error> {
    let plane = ControlPlane::start(PlaneOptions::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = Bench { plane, runtime, options, scratch: tempfile::tempdir()? };
    bench.helm("")?;
    bench.kubectl(&["label", "namespace", TEAM, "bailiwick.dev/organization=team"])?;
    let user = bench.user()?;
    println!("| policy | request | off, ms | on, ms | more, ms |\n|---|---|---|---|---|");
    for case in cases() {
        bench.suspend(case.suspended)?;
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            bench.helm(case.policy)?;
            off.extend(bench.measure(&user, &case.write)?);
            bench.helm("")?;
            on.extend(bench.measure(&user, &case.write)?);
        }
        let (off, on) = (median(off), median(on));
        let names = if case.suspended > 0 { format!(", {} suspended", case.suspended) } else { String::new() };
        println!("| `{}`{names} | {} | {off:.2} | {on:.2} | {:.2} |", case.policy, case.write.what, on - off);
    }
    Ok(())
}

struct Bench<'a> {
    plane: ControlPlane,
    runtime: tokio::runtime::Runtime,
    options: &'a Options,
    scratch: tempfile::TempDir,
}

impl Bench<'_> {
    /// Installs the chart, with one policy off if one is named, and waits until that is in effect.
    fn helm(&self, off: &str) -> Result<(), Error> {
        let file = self.scratch.path().join("values.yaml");
        let policies = if off.is_empty() { json!({}) } else { json!({off: {"enabled": false}}) };
        let values = json!({"namespaceWhitelist": [TEAM], "replicas": 0, "admissionPolicies": policies});
        std::fs::write(&file, values.to_string())?;
        let mut helm = self.plane.helm(&self.plane.admin_kubeconfig());
        helm.args(["upgrade", "--install", "bailiwick", &self.options.chart, "--create-namespace", "--namespace", NAMESPACE]);
        // The names of suspended users belong to the operator, and here to nobody.
        helm.args(["--force-conflicts", "--values"]).arg(&file);
        output(helm)?;
        // A policy acts within a second of its change, and nothing says when.
        std::thread::sleep(Duration::from_secs(3));
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut kubectl = self.plane.kubectl(&self.plane.admin_kubeconfig());
        kubectl.args(arguments);
        output(kubectl)
    }

    /// Somebody with every right, and yet no administrator: for those the policies do not ask.
    fn user(&self) -> Result<kube::Client, Error> {
        self.kubectl(&["create", "clusterrolebinding", "measured", "--clusterrole=cluster-admin", "--user=measured@example.com"])?;
        self.client(&self.plane.user_kubeconfig("measured@example.com", &[])?)
    }

    fn client(&self, kubeconfig: &Path) -> Result<kube::Client, Error> {
        let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
        let made = async {
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
            Ok::<_, Error>(kube::Client::try_from(config)?)
        };
        self.runtime.block_on(made)
    }

    /// Writes so many names to the lists, as the operator would.
    fn suspend(&self, count: usize) -> Result<(), Error> {
        let client = self.client(&self.plane.admin_kubeconfig())?;
        let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client, NAMESPACE);
        for shard in 0..4 {
            let names: String = (0..count / 4).map(|i| format!("somebody-{shard}-{i:06}@example.com\n")).collect();
            let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"names": format!("\n{names}")}});
            let name = format!("bailiwick-suspended-{shard}");
            self.runtime.block_on(api.patch(&name, &PatchParams::apply("bench").force(), &Patch::Apply(document)))?;
        }
        Ok(())
    }

    /// The times of one round, in milliseconds.
    fn measure(&self, client: &kube::Client, write: &Write) -> Result<Vec<f64>, Error> {
        let word = |field: &str| write.object[field].as_str().unwrap_or_default().to_owned();
        let api_version = word("apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &word("kind")));
        let api: Api<DynamicObject> = match write.object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let object: DynamicObject = serde_json::from_value(write.object.clone())?;
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let mut times = Vec::with_capacity(self.options.requests);
        for _ in 0..self.options.requests {
            let started = Instant::now();
            self.runtime.block_on(api.create(&params, &object))?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(times)
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn output(mut command: Command) -> Result<String, Error> {
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(Error::Program(text(&output.stderr))) }
}
