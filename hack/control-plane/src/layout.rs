//! The paths of an instance's files. One directory holds all of them: certificates, etcd's data, logs, kubeconfigs, the
//! control socket. Only computes paths.

use std::path::{Path, PathBuf};

use crate::Error;

/// `sizeof(sockaddr_un.sun_path)` less the closing NUL; 108 on Linux, 104 on the BSDs and macOS.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The paths within one instance's directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// `root` should be absolute, because kubeconfigs and command lines contain the paths.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The supervisor holds its lock while it lives. It also marks an instance's directory.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("supervisor.lock")
    }

    /// The data for `attach`; written when the instance is ready.
    pub(crate) fn description(&self) -> PathBuf {
        self.root.join("instance.json")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    pub(crate) fn etcd_socket(&self) -> PathBuf {
        self.root.join("etcd.sock")
    }

    pub(crate) fn etcd_data(&self) -> PathBuf {
        self.root.join("etcd")
    }

    /// The copy of etcd's data for a restore.
    pub(crate) fn etcd_copy(&self) -> PathBuf {
        self.root.join("etcd-copy")
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.root.join("pki").join(file)
    }

    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.root.join("log").join(format!("{component}.log"))
    }

    pub(crate) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.root.join("kubeconfig").join(format!("{name}.kubeconfig"))
    }

    /// The home directory for kubectl and helm in tests.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub(crate) fn directories(&self) -> [PathBuf; 5] {
        ["pki", "log", "kubeconfig", "etcd", "home"].map(|name| self.root.join(name))
    }

    /// Fails early, with the reason, where `bind` would later only return `InvalidInput`.
    pub(crate) fn check_socket_length(&self) -> Result<(), Error> {
        let path = self.control_socket();
        if path.as_os_str().len() > SOCKET_PATH_LIMIT {
            return Err(Error::PathTooLong { path, limit: SOCKET_PATH_LIMIT });
        }
        Ok(())
    }
}
