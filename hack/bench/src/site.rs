//! A control plane with the chart, clients for several users, and the operator as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Options};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::error::Error;

/// The release namespace.
pub const RELEASE: &str = "bailiwick-system";
/// The time limit of any single step.
pub const PATIENCE: Duration = Duration::from_secs(1800);

/// The audit policy: records arrivals of the operator's RBAC writes, answers to changes of our RoleBindings, and the
/// operator's reads.
const AUDIT: &str = r"
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
  - level: Metadata
    users: ['system:serviceaccount:bailiwick-system:bailiwick']
    verbs: [create, patch, delete]
    resources: [{group: rbac.authorization.k8s.io}]
    omitStages: [ResponseStarted, ResponseComplete, Panic]
  - level: Metadata
    users: ['system:serviceaccount:bailiwick-system:bailiwick']
    verbs: [get, list]
    omitStages: [RequestReceived, ResponseStarted, Panic]
  - level: Metadata
    verbs: [patch]
    resources: [{group: bailiwick.dev, resources: [rolebindings]}]
    omitStages: [RequestReceived, ResponseStarted, Panic]
  - level: None
";

/// How many of the operator's warnings to print.
const WARNINGS: usize = 5;

/// The control plane and its clients.
pub struct Site {
    plane: ControlPlane,
    scratch: tempfile::TempDir,
    chart: String,
    /// The administrator's client.
    pub admin: Client,
}

impl Site {
    /// Starts a control plane and installs the chart with these values.
    pub async fn start(chart: &str, values: &Value) -> Result<Self, Error> {
        let scratch = tempfile::tempdir()?;
        let policy = scratch.path().join("audit.yaml");
        std::fs::write(&policy, AUDIT)?;
        let api_server_flags = vec![
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", scratch.path().join("audit.log").display()),
            // Allows profiling of the API server during a run.
            "--profiling=true".to_owned(),
        ];
        let plane = ControlPlane::start(Options { api_server_flags, ..Options::default() })?;
        let admin = client(&plane.admin_kubeconfig()).await?;
        let site = Self { plane, scratch, chart: chart.to_owned(), admin };
        site.helm(values)?;
        Ok(site)
    }

    /// `helm upgrade --install` with these values.
    pub fn helm(&self, values: &Value) -> Result<(), Error> {
        let file = self.scratch.path().join("values.yaml");
        std::fs::write(&file, values.to_string())?;
        let mut helm = self.plane.helm(&self.plane.admin_kubeconfig());
        helm.args(["upgrade", "--install", "bailiwick", &self.chart, "--create-namespace", "--namespace", RELEASE]);
        // Manual changes for the measurement must not stop the upgrade.
        helm.args(["--force-conflicts", "--timeout", "20m", "--values"]).arg(&file);
        output(helm).map(drop)
    }

    /// The kubeconfig for everything that the operator does not do.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.plane.admin_kubeconfig()
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut kubectl = self.plane.kubectl(&self.plane.admin_kubeconfig());
        kubectl.args(arguments);
        output(kubectl)
    }

    /// A client with the operator's own credentials.
    pub async fn as_operator(&self) -> Result<Client, Error> {
        client(&self.operator_kubeconfig()?).await
    }

    /// A client of a user with every right who is not an administrator: administrators are exempt from the policies.
    pub async fn as_user(&self, name: &str) -> Result<Client, Error> {
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            "measured",
            "--clusterrole=cluster-admin",
            &format!("--user={name}"),
        ])?;
        client(&self.plane.user_kubeconfig(name, &[])?).await
    }

    fn operator_kubeconfig(&self) -> Result<PathBuf, Error> {
        let token = self.kubectl(&["-n", RELEASE, "create", "token", "bailiwick", "--duration", "12h"])?;
        Ok(self.plane.token_kubeconfig("operator", token.trim())?)
    }

    /// Starts the operator.
    pub fn operator(&self, program: &Path) -> Result<Operator, Error> {
        let log = self.scratch.path().join("operator.log");
        // The operator ends with this process, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(["run", "--namespace", RELEASE, "--listen", "127.0.0.1:0", "--lease-seconds", "15"])
            .env("KUBECONFIG", self.operator_kubeconfig()?)
            .env("RUST_LOG", "info,kube_client=off")
            .stderr(std::fs::File::create(&log)?)
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Operator { child, log, started: Instant::now() })
    }

    /// The API server's audit log, in order.
    pub fn audited(&self) -> Result<Vec<Value>, Error> {
        let text = std::fs::read_to_string(self.scratch.path().join("audit.log"))?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    /// The API server's count of matching requests since its start.
    pub async fn requests(&self, which: impl Fn(&str) -> bool) -> Result<u64, Error> {
        self.counted("apiserver_request_total{", which).await
    }

    /// How many watches are open now.
    pub async fn watches(&self) -> Result<u64, Error> {
        self.counted("apiserver_longrunning_requests{", |line| line.contains("verb=\"WATCH\"")).await
    }

    async fn counted(&self, metric: &str, which: impl Fn(&str) -> bool) -> Result<u64, Error> {
        let request = http::Request::get("/metrics").body(Vec::new()).map_err(|e| Error::Program(e.to_string()))?;
        let text = self.admin.request_text(request).await?;
        let lines = text.lines().filter(|line| line.starts_with(metric) && which(line));
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(counts.map(|count| count as u64).sum())
    }
}

/// An API for an object of a dynamic kind.
pub fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = word(&object["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &word(&object["kind"])));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// All objects of one of our kinds.
pub fn ours(client: &Client, kind: &str) -> Api<DynamicObject> {
    api(client, &json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind}))
}

/// The operator's process. It ends when this is dropped.
pub struct Operator {
    child: Child,
    log: PathBuf,
    /// When it was started.
    pub started: Instant,
}

impl Operator {
    /// Resident memory now and at its highest, in MiB.
    pub fn memory(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Processor time so far, in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }

    /// A metric without labels.
    pub fn metric(&self, name: &str) -> Option<i64> {
        use std::io::{Read as _, Write as _};
        let log = std::fs::read_to_string(&self.log).ok()?;
        let address = log.split("address=").nth(1)?.split_whitespace().next()?.to_owned();
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("bailiwick_{name} ")))?;
        line.trim().parse().ok()
    }

    /// Waits until it leads and is idle.
    pub async fn idle(&self) -> Result<(), Error> {
        let since = Instant::now();
        let mut quiet = 0;
        while quiet < 3 {
            quiet =
                if self.metric("leading") == Some(1) && self.metric("units_busy") == Some(0) { quiet + 1 } else { 0 };
            if since.elapsed() > PATIENCE {
                return Err(Error::Late(std::fs::read_to_string(&self.log).unwrap_or_default()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // A clean stop releases the Lease for the next one.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        // The log may explain a figure.
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
        for line in warnings.iter().take(WARNINGS) {
            eprintln!("bench: the operator said: {line}");
        }
        if warnings.len() > WARNINGS {
            eprintln!("bench: and {} more of that", warnings.len() - WARNINGS);
        }
    }
}

async fn client(kubeconfig: &Path) -> Result<Client, Error> {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    Ok(Client::try_from(config)?)
}

fn output(mut command: Command) -> Result<String, Error> {
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(Error::Program(text(&output.stderr))) }
}
