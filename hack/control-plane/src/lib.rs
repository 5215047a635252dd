//! A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, with the matching
//! kubectl and helm. Bailiwick's integration tests and its demo run against it.
//!
//! ```no_run
//! # fn main() -> Result<(), control_plane::Error> {
//! let plane = control_plane::ControlPlane::start(control_plane::Options::default())?;
//! let alice = plane.user_kubeconfig("alice@example.com", &["developers"])?;
//! let output = plane.kubectl(&alice).args(["auth", "whoami"]).output();
//! # Ok(())
//! # }
//! ```
//!
//! [`pins`](mod@pins) defines the builds, `versions` selects the version, `tools` finds or builds the programs,
//! `launch` starts a supervisor process, `supervisor` owns the three servers, and [`ControlPlane`] talks to it through
//! a socket.
//!
//! It must not: run on anything but loopback, use a kubectl or helm from `PATH`, write outside its cache and the
//! instance's own directory, or leave a process behind.

mod cache;
mod child;
mod claim;
mod error;
mod events;
mod files;
mod flags;
mod gobuild;
mod https;
mod kubeconfig;
mod launch;
mod layout;
pub mod pins;
mod pki;
mod plane;
mod port;
mod protocol;
mod supervisor;
mod tools;
mod versions;

pub use cache::{instance_directory, instances};
pub use error::Error;
pub use plane::{ControlPlane, Options};
pub use protocol::{ComponentState, Status};
pub use tools::Tools;

/// Functions for the `control-plane` executable, which is both the command and the supervisor.
pub mod executable {
    pub use crate::child::exec as exec_child;
    pub use crate::launch::{announced as supervise_announced, start_detached};
    pub use crate::supervisor::{Owner, Supervision, supervise};
}
