//! The error type of this crate. It names the file, program or step that failed; it must not use bare strings where a
//! field can name something.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a control plane could not be built, started or reached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// The failed action, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A system call that concerns no file failed.
    #[error("cannot {action}: {source}")]
    System {
        /// The failed action, as a verb phrase.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No cache directory is configured.
    #[error("no place for the cache: set BAILIWICK_CACHE, XDG_CACHE_HOME or HOME")]
    NoCache,
    /// The Go toolchain is missing.
    #[error(
        "`go` is not on PATH, and {binary} has to be built: install Go 1.26 or later, \
         or set KUBEBUILDER_ASSETS to a directory with the binaries"
    )]
    NoGo {
        /// The binary that needs it.
        binary: &'static str,
    },
    /// `go build` failed.
    #[error("building {binary} failed:\n{output}")]
    Build {
        /// The binary.
        binary: &'static str,
        /// The last lines of go's output.
        output: String,
    },
    /// `BAILIWICK_KUBERNETES` names no version.
    #[error(
        "BAILIWICK_KUBERNETES is {wanted:?}: name a supported minor version (of {}), or a full version that is published \
         as a Go module", crate::pins::SUPPORTED.join(", ")
    )]
    UnknownVersion {
        /// Its value.
        wanted: String,
    },
    /// Kubernetes' module could not be downloaded.
    #[error("go cannot download k8s.io/kubernetes {version}: {reason}")]
    Download {
        /// The version.
        version: String,
        /// go's message.
        reason: String,
    },
    /// `KUBEBUILDER_ASSETS` lacks a binary.
    #[error(
        "KUBEBUILDER_ASSETS is {}, and there is no file {binary} in it; add it (the kubebuilder bundles lack \
         kube-controller-manager), or unset KUBEBUILDER_ASSETS to have everything built", directory.display()
    )]
    MissingAsset {
        /// The directory that `KUBEBUILDER_ASSETS` names.
        directory: PathBuf,
        /// The missing file.
        binary: &'static str,
    },
    /// A key or certificate could not be made or read.
    #[error("certificate of {subject}: {reason}")]
    Certificate {
        /// The holder of the certificate.
        subject: String,
        /// The certificate library's message.
        reason: String,
    },
    /// The directory's path is too long for its sockets.
    #[error("{} is longer than the {limit} bytes that a unix socket's path may have", path.display())]
    PathTooLong {
        /// The socket.
        path: PathBuf,
        /// The limit in bytes.
        limit: usize,
    },
    /// The directory for an instance contains other files.
    #[error("{} is neither empty nor an instance of control-plane; it is left alone", directory.display())]
    NotAnInstance {
        /// The directory.
        directory: PathBuf,
    },
    /// Another supervisor owns the directory.
    #[error("a control plane is already running in {}", directory.display())]
    AlreadyRunning {
        /// The directory.
        directory: PathBuf,
    },
    /// No supervisor answers in the directory.
    #[error("no control plane is running in {}", directory.display())]
    NotRunning {
        /// The directory.
        directory: PathBuf,
    },
    /// One of the servers ended unexpectedly.
    #[error("{component} ended ({status}); the end of its log:\n{log}")]
    Died {
        /// The server.
        component: &'static str,
        /// Its exit status.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// A condition was not reached in time.
    #[error("{what} not reached within {seconds} s; the end of the log of {component}:\n{log}")]
    Late {
        /// The condition.
        what: &'static str,
        /// The time limit.
        seconds: u64,
        /// The server it depends on.
        component: &'static str,
        /// The last lines of that server's log.
        log: String,
    },
    /// The supervisor was stopped while it waited.
    #[error("stopped while waiting for {what}")]
    Interrupted {
        /// The condition that it waited for.
        what: &'static str,
    },
    /// The supervisor reported a failure.
    #[error("{message}")]
    Supervisor {
        /// The supervisor's message.
        message: String,
    },
    /// The supervisor's executable could not be found or built.
    #[error("no `control-plane` executable for the supervisor: {reason}; set CONTROL_PLANE_BIN to one")]
    NoExecutable {
        /// The failed attempt.
        reason: String,
    },
    /// The two ends of a socket or pipe disagree about the protocol, or one has gone.
    #[error("talking to the supervisor of {}: {reason}", directory.display())]
    Protocol {
        /// The instance.
        directory: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

impl Error {
    /// For `map_err`: a file operation with its verb and path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File { action, path, source }
    }

    /// For `map_err`: a program that did not start.
    pub(crate) fn spawn(program: &Path) -> impl FnOnce(io::Error) -> Error {
        let program = program.to_owned();
        move |source| Error::Spawn { program, source }
    }

    /// For `map_err`: a system call with its verb.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::System { action, source: source.into() }
    }
}
