//! What is built: the pinned versions, the Go packages and the linker flags. The `go.mod` and `go.sum` beside this
//! crate are compiled in, so that an installed `control-plane` builds the same binaries without the repository.
//!
//! It must not look at the machine, except for the operating system and architecture it was compiled for.

use sha2::{Digest, Sha256};

/// The Kubernetes version, as `go.mod` requires it and as discovery reports it.
pub const KUBERNETES: &str = "v1.36.3";
/// The helm version, as `helm/go.mod` requires it.
pub const HELM: &str = "v4.3.1";
/// The Helm 3 version, as `helm3/go.mod` requires it.
pub const HELM_3: &str = "v3.22.0";
/// The CoreDNS version, as `dns/go.mod` requires it.
pub const DNS: &str = "v1.15.0";

/// One of the Go modules of this crate.
pub(crate) struct Module {
    /// What its directory in the cache is called after.
    name: &'static str,
    version: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// A main package of this repository's own, where no published one will do.
    pub(crate) main_go: Option<&'static str>,
    pub(crate) binaries: &'static [Binary],
    /// What the linker stamps into these programs alone, beside [`linker_flags`].
    stamps: &'static [(&'static str, &'static str)],
}

/// A binary and the main package that it is built from.
pub(crate) struct Binary {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// The servers and kubectl.
pub(crate) const CLUSTER: Module = Module {
    name: "kubernetes",
    version: KUBERNETES,
    go_mod: include_str!("../go.mod"),
    go_sum: include_str!("../go.sum"),
    main_go: None,
    binaries: &[
        Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3" },
        Binary { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
        Binary { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
        Binary { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
    ],
    stamps: &[],
};

/// Helm, apart: `helm/go.mod` says why.
pub(crate) const CLIENT: Module = Module {
    name: "helm",
    version: HELM,
    go_mod: include_str!("../helm/go.mod"),
    go_sum: include_str!("../helm/go.sum"),
    main_go: None,
    binaries: &[Binary { name: "helm", package: "helm.sh/helm/v4/cmd/helm" }],
    stamps: &[],
};

/// Helm 3, in a directory of its own in the cache, so that only who asks for it waits until it is built.
pub(crate) const CLIENT_3: Module = Module {
    name: "helm",
    version: HELM_3,
    go_mod: include_str!("../helm3/go.mod"),
    go_sum: include_str!("../helm3/go.sum"),
    main_go: None,
    binaries: &[Binary { name: "helm", package: "helm.sh/helm/v3/cmd/helm" }],
    stamps: &[
        ("helm.sh/helm/v3/internal/version.version", HELM_3),
        ("helm.sh/helm/v3/internal/version.gitTreeState", "clean"),
    ],
};

/// What a node runs beside the servers: Linux only, and only for `make e2e`.
pub(crate) const NODE: Module = Module {
    name: "node",
    version: KUBERNETES,
    go_mod: include_str!("../node/go.mod"),
    go_sum: include_str!("../node/go.sum"),
    main_go: None,
    binaries: &[
        Binary { name: "kubelet", package: "k8s.io/kubernetes/cmd/kubelet" },
        Binary { name: "kube-scheduler", package: "k8s.io/kubernetes/cmd/kube-scheduler" },
        Binary { name: "kube-proxy", package: "k8s.io/kubernetes/cmd/kube-proxy" },
    ],
    stamps: &[],
};

/// The cluster's DNS, for `make e2e`.
pub(crate) const NAMES: Module = Module {
    name: "coredns",
    version: DNS,
    go_mod: include_str!("../dns/go.mod"),
    go_sum: include_str!("../dns/go.sum"),
    main_go: Some(include_str!("../dns/main.go")),
    binaries: &[Binary { name: "coredns", package: "." }],
    stamps: &[],
};

impl Module {
    /// All flags of the linker for this module's programs.
    pub(crate) fn linker_flags(&self) -> String {
        let stamps = self.stamps.iter().map(|(variable, value)| format!(" -X {variable}={value}"));
        std::iter::once(linker_flags()).chain(stamps).collect()
    }
}

/// The linker's flags for every program: stripped, and with the versions that the projects' own release scripts stamp in.
///
/// Without them discovery says `v0.0.0-master+$Format:%H$`. The variables are those of `hack/lib/version.sh` in
/// kubernetes and of helm's `Makefile`; a variable that a program does not link is ignored by the linker.
fn linker_flags() -> String {
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
        module.main_go.iter().for_each(|source| update(source));
        module.binaries.iter().for_each(|binary| update(binary.package));
        module.stamps.iter().for_each(|(variable, value)| [variable, value].into_iter().for_each(|part| update(part)));
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let versions: Vec<_> = modules.iter().map(|module| format!("{}-{}", module.name, module.version)).collect();
    format!("{}-{}-{}-{hash}", versions.join("-"), go_os(), go_arch())
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
        assert!(names(&CLIENT_3, &format!("helm.sh/helm/v3 {HELM_3} ")));
        assert!(names(&NODE, &format!("k8s.io/kubernetes {KUBERNETES} ")));
        assert!(names(&NAMES, &format!("require github.com/coredns/coredns {DNS}")));
        let staging = KUBERNETES.replacen("v1.", "v0.", 1);
        for module in [&CLUSTER, &NODE] {
            assert!(names(module, &format!("k8s.io/client-go => k8s.io/client-go {staging}")));
        }
    }

    #[test]
    fn every_binary_is_a_tool_of_its_module() {
        for module in [&CLUSTER, &CLIENT, &CLIENT_3, &NODE] {
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
        assert!(key(&[&CLIENT_3]).starts_with("helm-v3.22.0-"));
    }

    #[test]
    fn helm_3_says_its_own_version_and_nobody_else_is_built_anew_for_it() {
        assert!(CLIENT_3.linker_flags().contains("-X helm.sh/helm/v3/internal/version.version=v3.22.0"));
        assert_eq!(CLUSTER.linker_flags(), linker_flags());
        assert_eq!(CLIENT.linker_flags(), linker_flags());
    }

    #[test]
    fn discovery_gets_its_version_from_the_linker() {
        let flags = linker_flags();
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3 "));
        assert!(flags.contains("-X k8s.io/component-base/version.gitMinor=36 "));
    }
}
