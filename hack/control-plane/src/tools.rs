//! The programs: finds or builds them.
//!
//! It must not take any of them from `PATH`: a test that passes with an arbitrary kubectl proves nothing.

use std::env;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pins::KUBERNETES;
use crate::{Error, gobuild, pins, versions};

/// Paths of the programs of a control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tools {
    pub(crate) etcd: PathBuf,
    pub(crate) kube_apiserver: PathBuf,
    pub(crate) kube_controller_manager: PathBuf,
    kubectl: PathBuf,
    helm: PathBuf,
}

impl Tools {
    /// Finds the programs, and builds them first if necessary. That takes minutes, with messages on standard error.
    ///
    /// `BAILIWICK_KUBERNETES` names another version than the default one, and wins over `KUBEBUILDER_ASSETS`, which may
    /// have any version.
    ///
    /// # Errors
    /// When `BAILIWICK_KUBERNETES` names no version, `KUBEBUILDER_ASSETS` is used and lacks a server, or `go` is
    /// missing or fails.
    pub fn locate() -> Result<Self, Error> {
        let assets = env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty());
        match (versions::chosen()?, assets) {
            (None, Some(directory)) => Self::from_assets(Path::new(&directory)),
            (Some(version), _) if version != KUBERNETES => {
                Ok(Self::new(&gobuild::ensure(&[&pins::cluster(&version)])?, &Self::helm_4()?))
            }
            (None | Some(_), _) => {
                let built = gobuild::ensure(&[&pins::CLUSTER, &pins::CLIENT])?;
                Ok(Self::new(&built, &built))
            }
        }
    }

    /// The directory of helm, which may have been built together with the default version's servers.
    fn helm_4() -> Result<PathBuf, Error> {
        match gobuild::built(&[&pins::CLUSTER, &pins::CLIENT])? {
            Some(built) => Ok(built),
            None => gobuild::ensure(&[&pins::CLIENT]),
        }
    }

    fn from_assets(directory: &Path) -> Result<Self, Error> {
        let directory = std::path::absolute(directory).map_err(Error::file("resolve", directory))?;
        for binary in pins::CLUSTER.binaries {
            if !directory.join(binary.name).is_file() {
                return Err(Error::MissingAsset { directory, binary: binary.name });
            }
        }
        if directory.join("helm").is_file() {
            return Ok(Self::new(&directory, &directory));
        }
        Ok(Self::new(&directory, &Self::helm_4()?))
    }

    fn new(cluster: &Path, client: &Path) -> Self {
        Self {
            etcd: cluster.join("etcd"),
            kube_apiserver: cluster.join("kube-apiserver"),
            kube_controller_manager: cluster.join("kube-controller-manager"),
            kubectl: cluster.join("kubectl"),
            helm: client.join("helm"),
        }
    }

    /// The kubectl of the same version as the API server.
    #[must_use]
    pub fn kubectl(&self) -> &Path {
        &self.kubectl
    }

    /// Helm 4.
    #[must_use]
    pub fn helm(&self) -> &Path {
        &self.helm
    }

    /// Helm 3, built on the first call: only tests with both versions need it, so [`Self::locate`] leaves it out.
    /// `KUBEBUILDER_ASSETS` has no name for a second helm, so it is not used.
    ///
    /// # Errors
    /// When `go` is missing or fails.
    pub fn helm_3() -> Result<PathBuf, Error> {
        Ok(gobuild::ensure(&[&pins::CLIENT_3])?.join("helm"))
    }

    /// The directory of kubelet, kube-scheduler, kube-proxy and coredns, built on the first call, always in the default
    /// version. Containers also need the machine's container runtime.
    ///
    /// # Errors
    /// When `go` is missing or fails.
    pub fn node() -> Result<PathBuf, Error> {
        gobuild::ensure(&[&pins::NODE, &pins::NAMES])
    }

    /// The programs' directories: one, or two if helm is not beside the servers.
    #[must_use]
    pub fn directories(&self) -> Vec<&Path> {
        let mut directories: Vec<&Path> = [&self.kubectl, &self.helm].iter().filter_map(|path| path.parent()).collect();
        directories.dedup();
        directories
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bundle_without_the_controller_manager_is_refused_by_name() {
        let bundle = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            std::fs::write(bundle.path().join(name), "").unwrap();
        }
        let message = Tools::from_assets(bundle.path()).unwrap_err().to_string();
        assert!(message.contains("no file kube-controller-manager"), "{message}");
    }

    #[test]
    fn a_complete_bundle_is_used_and_nothing_is_built() {
        let bundle = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm"] {
            std::fs::write(bundle.path().join(name), "").unwrap();
        }
        let tools = Tools::from_assets(bundle.path()).unwrap();
        assert_eq!(tools.directories(), [bundle.path()]);
    }
}
