//! The operator as a process, with the credentials of the chart's ServiceAccount.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::{Cluster, RELEASE};

/// A running operator. It ends when this is dropped.
pub struct Operator {
    child: Child,
    log: PathBuf,
}

impl Operator {
    pub(super) fn spawn(cluster: &Cluster, identity: &str, scratch: &Path) -> Self {
        let token = cluster.run(&["-n", RELEASE, "create", "token", "bailiwick", "--duration", "2h"]);
        let kubeconfig = cluster.plane.token_kubeconfig("operator", token.trim()).unwrap();
        let kubeconfig =
            cluster.faults.as_ref().map_or_else(|| kubeconfig.clone(), |faults| faults.redirect(&kubeconfig, scratch));
        let number = std::fs::read_dir(scratch).unwrap().count();
        let log = scratch.join(format!("operator-{identity}-{number}.log"));
        // Benchmarks use the static binary of the image.
        let binary = std::env::var("BAILIWICK_OPERATOR").unwrap_or_else(|_| env!("CARGO_BIN_EXE_bailiwick").to_owned());
        let mut command = dying_with_us(&binary);
        command
            .args([
                "run",
                "--namespace",
                RELEASE,
                "--listen",
                "127.0.0.1:0",
                "--identity",
                identity,
                "--lease-seconds",
                "3",
            ])
            .env("KUBECONFIG", kubeconfig)
            // Often, so that a missed effect of a change fails the test: see `Drop`.
            .env("BAILIWICK_RESYNC_SECONDS", "5")
            .env("RUST_LOG", "info,bailiwick=debug,kube_client=off,kube_runtime=off,kube_lease_manager=off")
            .stderr(File::create(&log).unwrap());
        Self { child: command.spawn().expect("the operator starts"), log }
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its listen address.
    pub fn address(&self) -> Option<String> {
        let log = self.log();
        let after = log.split("address=").nth(1)?;
        after.split_whitespace().next().map(str::to_owned)
    }

    fn ask(&self, path: &str) -> Option<(u16, String)> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(self.address()?).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let code = answer.split_whitespace().nth(1)?.parse().ok()?;
        Some((code, answer))
    }

    /// Probes it as `helm test` does.
    pub fn probe(&self) -> std::process::Output {
        let url = format!("http://{}/readyz", self.address().expect("it has said where it listens"));
        Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(["probe", &url]).output().expect("it starts")
    }

    /// Whether it reports that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ask("/readyz").is_some_and(|(code, _)| code == 200)
    }

    /// Its answer to the kubelet: the code and the text; `None` if it cannot be reached.
    pub fn readiness(&self) -> Option<(u16, String)> {
        self.ask("/readyz")
    }

    /// A metric without labels; -1 if it cannot be reached.
    pub fn metric(&self, name: &str) -> i64 {
        let Some((_, text)) = self.ask("/metrics") else { return -1 };
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("bailiwick_{name} ")));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(-1)
    }

    /// A metric with its labels, for the message of a failing test.
    pub fn lines(&self, name: &str) -> String {
        let Some((_, text)) = self.ask("/metrics") else { return String::new() };
        let lines = text.lines().filter(|line| line.starts_with(&format!("bailiwick_{name}")));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// The sum of a metric over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        let Some((_, text)) = self.ask("/metrics") else { return -1.0 };
        let lines = text.lines().filter(|line| line.starts_with(&format!("bailiwick_{name}")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the operator stops in good order: {status}\n{}", self.log());
    }

    /// Ends it at once.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its peak memory in MiB.
    pub fn highest_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }
}

/// Ends the operator with the test run even if that is killed, where the system supports it.
fn dying_with_us(program: &str) -> Command {
    if cfg!(target_os = "linux") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        return command;
    }
    Command::new(program)
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        let correction =
            log.lines().find(|line| ["the resync corrects", "a watch has missed"].iter().any(|w| line.contains(w)));
        if let (Some(line), false) = (correction, std::thread::panicking()) {
            panic!("the operator had missed a change: {line}");
        }
    }
}
