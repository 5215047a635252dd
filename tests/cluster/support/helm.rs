//! The charts with either version of helm, and the literal commands of the chart's README.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use super::{Cluster, RELEASE, outcome, repository};

/// The version of helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    /// Client-side apply.
    Three,
    /// Server-side apply.
    Four,
}

impl Helm {
    /// A helm command as the administrator.
    pub fn command(self, cluster: &Cluster) -> Command {
        match self {
            Self::Three => cluster.plane.helm_3(&cluster.admin).expect("Helm 3 is there or can be built"),
            Self::Four => cluster.plane.helm(&cluster.admin),
        }
    }

    /// `helm WORDS charts/bailiwick --namespace … MORE` with these values.
    pub fn chart(self, cluster: &Cluster, words: &[&str], values: &str, more: &[&str]) -> Result<String, String> {
        self.chart_of(cluster, &repository().join("charts/bailiwick"), words, values, more)
    }

    /// The same with another chart.
    pub fn chart_of(
        self,
        cluster: &Cluster,
        chart: &Path,
        words: &[&str],
        values: &str,
        more: &[&str],
    ) -> Result<String, String> {
        let values_file = cluster.scratch.path().join("values-of-the-chart.yaml");
        std::fs::write(&values_file, format!("{values}\n")).unwrap();
        let mut helm = self.command(cluster);
        helm.args(words).arg(chart).args(["--namespace", RELEASE, "--values"]);
        outcome(helm.arg(values_file).args(more).output().expect("helm runs"))
    }

    /// `helm WORDS --namespace …`.
    pub fn run(self, cluster: &Cluster, words: &[&str]) -> Result<String, String> {
        outcome(self.command(cluster).args(words).args(["--namespace", RELEASE]).output().expect("helm runs"))
    }
}

/// `helm install` with these values, which has to work.
pub fn install(cluster: &Cluster, helm: Helm, values: &str) {
    helm.chart(cluster, &["install", "bailiwick", "--create-namespace"], values, &[]).unwrap();
    cluster.await_policies();
}

/// The shell commands under a heading of the chart's README.
pub fn documented(heading: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("charts/bailiwick/README.md")).unwrap();
    let under = readme.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let block = under.split("```sh\n").nth(1).unwrap_or_else(|| panic!("no commands under {heading:?}"));
    block.split("```").next().unwrap().to_owned()
}

impl Cluster {
    /// No Deployments run here. Sets the status that the chart's would have with two ready Pods.
    pub fn pretend_that_the_pods_run(&self) {
        let generation = &self.get(&["-n", RELEASE, "deployment", "bailiwick"])["metadata"]["generation"];
        let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason});
        let status = json!({"status": {
            "observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
            "conditions": [condition("Available", "MinimumReplicasAvailable"), condition("Progressing", "NewReplicaSetAvailable")],
        }});
        let patch =
            ["patch", "deployment", "bailiwick", "--subresource=status", "--type=merge", "-p", &status.to_string()];
        self.run(&[&["-n", RELEASE], patch.as_slice()].concat());
    }

    /// Runs shell commands in a directory, with this helm, kubectl and the administrator's kubeconfig.
    pub fn shell(&self, helm: Helm, directory: &Path, commands: &str) -> Result<String, String> {
        let command = helm.command(self);
        let bin = self.scratch.path().join(format!("bin-{helm:?}"));
        std::fs::create_dir_all(&bin).unwrap();
        for (name, program) in [("helm", Path::new(command.get_program())), ("kubectl", self.plane.tools().kubectl())] {
            let link = bin.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(program, link).unwrap();
            }
        }
        let mut path = vec![bin];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<PathBuf>>());
        let mut shell = Command::new("bash");
        // Including the variables that keep their caches in the cluster's directory.
        for (variable, value) in command.get_envs().chain(self.plane.kubectl(&self.admin).get_envs()) {
            match value {
                Some(value) => shell.env(variable, value),
                None => shell.env_remove(variable),
            };
        }
        let output: Output = shell
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(directory)
            .env("PATH", std::env::join_paths(path).unwrap())
            .output()
            .expect("bash runs");
        outcome(output)
    }
}
