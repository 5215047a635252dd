//! The pinned versions, Go packages and linker flags. The `go.mod` and `go.sum` beside this crate are compiled in, so
//! that an installed `control-plane` builds the same binaries without the repository.
//!
//! It must not look at the machine, except for the operating system and architecture that it was compiled for.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// The Kubernetes versions that Bailiwick supports, oldest first: for each minor version the newest patch that is
/// published as a Go module. Only this list names them; `make test-versions` uses the first and the last.
pub const SUPPORTED: [&str; 4] = ["v1.34.4", "v1.35.4", KUBERNETES, "v1.37.2"];
/// The default Kubernetes version, as in `go.mod` and in discovery.
pub const KUBERNETES: &str = "v1.36.3";
/// The helm version, as in `helm/go.mod`.
pub const HELM: &str = "v4.3.1";
/// The Helm 3 version, as in `helm3/go.mod`.
pub const HELM_3: &str = "v3.22.0";
/// The CoreDNS version, as in `dns/go.mod`.
pub const DNS: &str = "v1.15.0";

/// One of the Go modules of this crate.
pub(crate) struct Module {
    /// The prefix of its directory in the cache.
    name: &'static str,
    pub(crate) version: Cow<'static, str>,
    pub(crate) go_mod: Cow<'static, str>,
    /// `None` if `go_mod` names only Kubernetes: Kubernetes' own `go.mod` has the rest, and Go's checksum database
    /// verifies it.
    pub(crate) go_sum: Option<&'static str>,
    /// A main package in this repository, if no published one will do.
    pub(crate) main_go: Option<&'static str>,
    pub(crate) binaries: &'static [Binary],
    /// Stamps of the linker for these programs only, beside [`linker_flags`].
    stamps: &'static [(&'static str, &'static str)],
}

/// A binary and its main package.
pub(crate) struct Binary {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// The servers and kubectl.
pub(crate) const CLUSTER: Module = Module {
    name: "kubernetes",
    version: Cow::Borrowed(KUBERNETES),
    go_mod: Cow::Borrowed(include_str!("../go.mod")),
    go_sum: Some(include_str!("../go.sum")),
    main_go: None,
    binaries: &[
        Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3" },
        Binary { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
        Binary { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
        Binary { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
    ],
    stamps: &[],
};

/// Helm, in a module of its own: `helm/go.mod` says why.
pub(crate) const CLIENT: Module = Module {
    name: "helm",
    version: Cow::Borrowed(HELM),
    go_mod: Cow::Borrowed(include_str!("../helm/go.mod")),
    go_sum: Some(include_str!("../helm/go.sum")),
    main_go: None,
    binaries: &[Binary { name: "helm", package: "helm.sh/helm/v4/cmd/helm" }],
    stamps: &[],
};

/// Helm 3, in a cache directory of its own, so that only tests which need it wait for its build.
pub(crate) const CLIENT_3: Module = Module {
    name: "helm",
    version: Cow::Borrowed(HELM_3),
    go_mod: Cow::Borrowed(include_str!("../helm3/go.mod")),
    go_sum: Some(include_str!("../helm3/go.sum")),
    main_go: None,
    binaries: &[Binary { name: "helm", package: "helm.sh/helm/v3/cmd/helm" }],
    stamps: &[
        ("helm.sh/helm/v3/internal/version.version", HELM_3),
        ("helm.sh/helm/v3/internal/version.gitTreeState", "clean"),
    ],
};

/// The programs of a node: Linux only, and only for `make e2e`.
pub(crate) const NODE: Module = Module {
    name: "node",
    version: Cow::Borrowed(KUBERNETES),
    go_mod: Cow::Borrowed(include_str!("../node/go.mod")),
    go_sum: Some(include_str!("../node/go.sum")),
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
    version: Cow::Borrowed(DNS),
    go_mod: Cow::Borrowed(include_str!("../dns/go.mod")),
    go_sum: Some(include_str!("../dns/go.sum")),
    main_go: Some(include_str!("../dns/main.go")),
    binaries: &[Binary { name: "coredns", package: "." }],
    stamps: &[],
};

/// The servers and kubectl of any version. Only the default version has its `go.mod` and `go.sum` checked in.
pub(crate) fn cluster(version: &str) -> Module {
    if version == KUBERNETES {
        return CLUSTER;
    }
    let go_mod =
        format!("module bailiwick.dev/hack/control-plane\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes {version}\n");
    Module { version: Cow::Owned(version.to_owned()), go_mod: Cow::Owned(go_mod), go_sum: None, ..CLUSTER }
}

impl Module {
    /// All linker flags for this module's programs.
    pub(crate) fn linker_flags(&self) -> String {
        let stamps = self.stamps.iter().map(|(variable, value)| format!(" -X {variable}={value}"));
        std::iter::once(linker_flags(self.kubernetes())).chain(stamps).collect()
    }

    /// The Kubernetes version in the programs' stamps. Helm assumes this version without a cluster.
    fn kubernetes(&self) -> &str {
        if self.name == CLUSTER.name { &self.version } else { KUBERNETES }
    }
}

/// The linker flags for every program: stripped, and with the version stamps of the projects' own release scripts.
///
/// Without the stamps, discovery reports `v0.0.0-master+$Format:%H$`. The variables are those of `hack/lib/version.sh`
/// in kubernetes and of helm's `Makefile`; the linker ignores a variable that a program does not link.
fn linker_flags(kubernetes: &str) -> String {
    let mut flags = vec!["-s -w".to_owned()];
    let mut digits = kubernetes.trim_start_matches('v').split('.');
    let (major, minor) = (digits.next().unwrap_or_default(), digits.next().unwrap_or_default());
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (variable, value) in
            [("gitVersion", kubernetes), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")]
        {
            flags.push(format!("-X {package}.{variable}={value}"));
        }
    }
    for (variable, value) in [("version", HELM), ("metadata", ""), ("gitTreeState", "clean")] {
        flags.push(format!("-X helm.sh/helm/v4/internal/version.{variable}={value}"));
    }
    flags.join(" ")
}

/// The name of the cache directory for the modules' build: readable, and different as soon as any input of the build
/// differs.
pub(crate) fn key(modules: &[&Module]) -> String {
    let mut hash = Sha256::new();
    let mut update = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    update(&linker_flags(modules.first().map_or(KUBERNETES, |module| module.kubernetes())));
    for module in modules {
        update(&module.go_mod);
        update(module.go_sum.unwrap_or_default());
        module.main_go.iter().for_each(|source| update(source));
        module.binaries.iter().for_each(|binary| update(binary.package));
        module.stamps.iter().for_each(|(variable, value)| [variable, value].into_iter().for_each(|part| update(part)));
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let versions: Vec<_> = modules.iter().map(|module| format!("{}-{}", module.name, module.version)).collect();
    format!("{}-{}-{}-{hash}", versions.join("-"), go_os(), go_arch())
}

/// Go's name for this operating system.
pub(crate) fn go_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// Go's name for this architecture.
pub(crate) fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn another_version_has_a_directory_and_linker_flags_of_its_own() {
        let other = cluster("v1.34.4");
        let (own, default) = (key(&[&other]), key(&[&CLUSTER]));
        assert!(own.starts_with("kubernetes-v1.34.4-"), "{own}");
        assert_ne!(own.rsplit('-').next(), default.rsplit('-').next());
        assert!(other.linker_flags().contains("-X k8s.io/component-base/version.gitMinor=34 "));
        assert_eq!(key(&[&cluster(KUBERNETES)]), default);
    }

    #[test]
    fn the_supported_versions_are_one_of_each_minor_version_in_order() {
        let minors: Vec<u32> =
            SUPPORTED.iter().map(|version| version.split('.').nth(1).unwrap().parse().unwrap()).collect();
        assert!(minors.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{minors:?}");
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
        assert_eq!(CLUSTER.linker_flags(), linker_flags(KUBERNETES));
        assert_eq!(CLIENT.linker_flags(), linker_flags(KUBERNETES));
    }

    #[test]
    fn discovery_gets_its_version_from_the_linker() {
        let flags = linker_flags(KUBERNETES);
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3 "));
        assert!(flags.contains("-X k8s.io/component-base/version.gitMinor=36 "));
    }
}
