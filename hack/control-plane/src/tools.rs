//! The programs: where they are, and making them be there.
//!
//! It must not take any of them from `PATH`: a test that passes with whatever kubectl lies around proves nothing.

use std::env;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, gobuild, pins};

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
    /// Finds the programs, and builds them first if need be. That takes minutes, and says so on standard error.
    ///
    /// # Errors
    /// When `KUBEBUILDER_ASSETS` is set and lacks a server, or `go` is missing or fails.
    pub fn locate() -> Result<Self, Error> {
        match env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) {
            Some(directory) => Self::from_assets(Path::new(&directory)),
            None => {
                let built = gobuild::ensure(&[&pins::CLUSTER, &pins::CLIENT])?;
                Ok(Self::new(&built, &built))
            }
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
        // Everything may have been built before KUBEBUILDER_ASSETS was set; then helm is there already.
        let helm = match gobuild::built(&[&pins::CLUSTER, &pins::CLIENT])? {
            Some(built) => built,
            None => gobuild::ensure(&[&pins::CLIENT])?,
        };
        Ok(Self::new(&directory, &helm))
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

    /// Helm 3, which is built when this is called for the first time: only what is tested with both needs it, so
    /// [`Self::locate`] leaves it out. `KUBEBUILDER_ASSETS` has no name for a second helm, and is not asked.
    ///
    /// # Errors
    /// When `go` is missing or fails.
    pub fn helm_3() -> Result<PathBuf, Error> {
        Ok(gobuild::ensure(&[&pins::CLIENT_3])?.join("helm"))
    }

    /// The directory of kubelet, kube-scheduler, kube-proxy and coredns, which are built when this is called for the first
    /// time. Containers need more than these: a container runtime, which is the machine's.
    ///
    /// # Errors
    /// When `go` is missing or fails.
    pub fn node() -> Result<PathBuf, Error> {
        gobuild::ensure(&[&pins::NODE, &pins::NAMES])
    }

    /// The directories that the programs lie in: one, or two when helm is not in `KUBEBUILDER_ASSETS`.
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
