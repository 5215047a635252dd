//! What is built: the pinned versions, the Go packages and the linker flags. The `go.mod` and `go.sum` beside this
//! crate are compiled in, so that an installed `control-plane` builds the same binaries without the repository.
//!
//! It must not look at the machine, except for the operating system and architecture it was compiled for.

use sha2::{Digest, Sha256};

/// The Kubernetes version, as `go.mod` requires it and as discovery reports it.
pub const KUBERNETES: &str = "v1.36.3";
/// The helm version, as `helm/go.mod` requires it.
pub const HELM: &str = "v4.3.1";

/// One of the two Go modules of this crate.
pub(crate) struct Module {
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    pub(crate) binaries: &'static [Binary],
}

/// A binary and the main package that it is built from.
pub(crate) struct Binary {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// The servers and kubectl.
pub(crate) const CLUSTER: Module = Module {
    go_mod: include_str!("../go.mod"),
    go_sum: include_str!("../go.sum"),
    binaries: &[
        Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3" },
        Binary { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
        Binary { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
        Binary { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
    ],
};

/// Helm, apart: `helm/go.mod` says why.
pub(crate) const CLIENT: Module = Module {
    go_mod: include_str!("../helm/go.mod"),
    go_sum: include_str!("../helm/go.sum"),
    binaries: &[Binary { name: "helm", package: "helm.sh/helm/v4/cmd/helm" }],
};

/// The linker's flags: stripped, and with the versions that the projects' own release scripts stamp in.
///
/// Without them discovery says `v0.0.0-master+$Format:%H$`. The variables are those of `hack/lib/version.sh` in
/// kubernetes and of helm's `Makefile`; a variable that a program does not link is ignored by the linker.
pub(crate) fn linker_flags() -> String {
    let mut flags = vec!["-s -w".to_owned()];
    let mut digits = KUBERNETES.trim_start_matches('v').split('.');
    let (major, minor) = (digits.next().unwrap_or_default(), digits.next().unwrap_or_default());
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (variable, value) in
            [("gitVersion", KUBERNETES), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")]
        {
            flags.push(format!("-X {package}.{variable}={value}"));
        }
    }
    for (variable, value) in [("version", HELM), ("metadata", ""), ("gitTreeState", "clean")] {
        flags.push(format!("-X helm.sh/helm/v4/internal/version.{variable}={value}"));
    }
    flags.join(" ")
}

/// The name of the directory in the cache that holds what the modules build: readable, and different as soon as
/// anything that goes into the binaries differs.
pub(crate) fn key(modules: &[&Module]) -> String {
    let mut hash = Sha256::new();
    let mut update = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    update(&linker_flags());
    for module in modules {
        update(module.go_mod);
        update(module.go_sum);
        module.binaries.iter().for_each(|binary| update(binary.package));
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let kubernetes = modules.iter().any(|module| module.go_mod == CLUSTER.go_mod);
    let versions = if kubernetes { format!("kubernetes-{KUBERNETES}-helm-{HELM}") } else { format!("helm-{HELM}") };
    format!("{versions}-{}-{}-{hash}", go_os(), go_arch())
}

/// Go's word for this operating system.
pub(crate) fn go_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// Go's word for this architecture.
pub(crate) fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_agree_with_the_go_modules() {
        let names = |module: &Module, words: &str| {
            let found = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(words);
            module.go_mod.lines().any(found)
        };
        assert!(names(&CLUSTER, &format!("k8s.io/kubernetes {KUBERNETES} ")));
        assert!(names(&CLIENT, &format!("helm.sh/helm/v4 {HELM} ")));
        let staging = KUBERNETES.replacen("v1.", "v0.", 1);
        assert!(names(&CLUSTER, &format!("k8s.io/client-go => k8s.io/client-go {staging}")));
    }

    #[test]
    fn every_binary_is_a_tool_of_its_module() {
        for module in [&CLUSTER, &CLIENT] {
            for binary in module.binaries {
                assert!(module.go_mod.contains(binary.package), "{}", binary.package);
            }
        }
    }

    #[test]
    fn helm_alone_has_another_key_than_everything() {
        let (all, helm) = (key(&[&CLUSTER, &CLIENT]), key(&[&CLIENT]));
        assert!(all.starts_with("kubernetes-v1.36.3-helm-v4.3.1-"), "{all}");
        assert!(helm.starts_with("helm-v4.3.1-"), "{helm}");
        assert_ne!(all.rsplit('-').next(), helm.rsplit('-').next());
    }

    #[test]
    fn discovery_gets_its_version_from_the_linker() {
        let flags = linker_flags();
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3 "));
        assert!(flags.contains("-X k8s.io/component-base/version.gitMinor=36 "));
    }
}
