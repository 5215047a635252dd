//! The three servers of an instance with their keys and their port. It acts at once when asked; the supervisor waits
//! and decides.

use std::fs;
use std::path::PathBuf;

use crate::child::Component;
use crate::files::{copy_directory, create_private_directory, write_private};
use crate::https::Client;
use crate::kubeconfig::{self, Credential};
use crate::layout::Layout;
use crate::pki::{Authority, Identity, Subject, token_signing_keys};
use crate::port::Reservation;
use crate::protocol::ComponentState;
use crate::supervisor::Supervision;
use crate::{Error, Tools, flags};

/// The first ServiceAccount that the controllers create, which every Pod needs.
const DEFAULT_SERVICE_ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

pub(super) struct Cluster {
    layout: Layout,
    port: Reservation,
    api_server_flags: Vec<String>,
    client: Client,
    controller_manager_kubeconfig: PathBuf,
    // Fields are in the order of dropping, which kills the servers.
    controller_manager: Component,
    pub(super) api_server: Component,
    etcd: Component,
}

impl Cluster {
    /// Creates the directories, keys and kubeconfigs. Starts nothing.
    pub(super) fn prepare(layout: &Layout, tools: &Tools, supervision: &Supervision) -> Result<Self, Error> {
        for directory in layout.directories() {
            create_private_directory(&directory)?;
        }
        let port = Reservation::new()?;
        let server = server(&port);
        let authority = match &supervision.from {
            Some(from) => copied(&Layout::new(from), layout)?,
            None => new_keys(layout)?,
        };
        let ca = authority.identity()?;
        let kubeconfig = |name: &str, identity: &Identity| {
            kubeconfig::write(layout, name, &server, &ca.certificate, &Credential::Certificate(identity))
        };
        let admin = authority.issue_client(&Subject { user: "admin", groups: &["system:masters"] })?;
        kubeconfig("admin", &admin)?;
        let controllers = Subject { user: "system:kube-controller-manager", groups: &[] };
        Ok(Self {
            client: Client::new(&ca.certificate, &admin)?,
            controller_manager_kubeconfig: kubeconfig(
                "kube-controller-manager",
                &authority.issue_client(&controllers)?,
            )?,
            etcd: Component::new("etcd", &tools.etcd, layout),
            api_server: Component::new("kube-apiserver", &tools.kube_apiserver, layout),
            controller_manager: Component::new("kube-controller-manager", &tools.kube_controller_manager, layout),
            layout: layout.clone(),
            port,
            api_server_flags: supervision.api_server_flags.clone(),
        })
    }

    pub(super) fn server(&self) -> String {
        server(&self.port)
    }

    pub(super) fn start_etcd(&mut self) -> Result<(), Error> {
        self.etcd.start(&flags::etcd(&self.layout))
    }

    pub(super) fn start_api_server(&mut self) -> Result<(), Error> {
        let flags = flags::api_server(&self.layout, self.port.port(), &self.api_server_flags);
        self.api_server.start(&flags)
    }

    pub(super) fn start_controller_manager(&mut self) -> Result<(), Error> {
        let flags = flags::controller_manager(&self.layout, &self.controller_manager_kubeconfig);
        self.controller_manager.start(&flags)
    }

    pub(super) fn api_server_is_ready(&self) -> bool {
        self.does("GET", "/readyz")
    }

    pub(super) fn controllers_work(&self) -> bool {
        self.does("GET", DEFAULT_SERVICE_ACCOUNT)
    }

    /// Deletes the object that `controllers_work` looks for, in case it exists from the beginning: only a new one
    /// proves that the controllers work.
    pub(super) fn forget_the_work_of_controllers(&self) -> Result<(), Error> {
        if self.does("GET", DEFAULT_SERVICE_ACCOUNT) && !self.does("DELETE", DEFAULT_SERVICE_ACCOUNT) {
            let source = std::io::Error::other("the API server refuses");
            return Err(Error::System { action: "delete a ServiceAccount", source });
        }
        Ok(())
    }

    fn does(&self, method: &str, path: &str) -> bool {
        self.client.does(self.port.port(), method, path)
    }

    /// Kills everything at once; the data will be deleted, so a clean end is unnecessary.
    pub(super) fn kill(&mut self) {
        for component in [&mut self.controller_manager, &mut self.api_server, &mut self.etcd] {
            component.kill();
        }
    }

    /// Copies etcd's current data.
    pub(super) fn copy_etcd(&self) -> Result<(), Error> {
        self.etcd.freeze(true)?;
        let copied = copy_directory(&self.layout.etcd_data(), &self.layout.etcd_copy());
        self.etcd.freeze(false)?;
        copied
    }

    /// Restores the copy. Nothing may be running.
    pub(super) fn restore_etcd(&self) -> Result<(), Error> {
        copy_directory(&self.layout.etcd_copy(), &self.layout.etcd_data())
    }

    /// The names of the servers that have ended since the last call.
    pub(super) fn reap(&mut self) -> Vec<&'static str> {
        let all = [&mut self.etcd, &mut self.api_server, &mut self.controller_manager];
        all.into_iter().filter_map(|component| component.reap().then_some(component.name)).collect()
    }

    /// The error for the first server that ended unexpectedly and was not restarted.
    pub(super) fn died(&self) -> Option<Error> {
        self.components().into_iter().find_map(Component::died)
    }

    pub(super) fn states(&self) -> Vec<ComponentState> {
        self.components().map(Component::state).to_vec()
    }

    /// The name and the end of the log of the last running server in the chain, which is the one that everything waits
    /// for.
    pub(super) fn latest_log(&self) -> (&'static str, String) {
        let last = self.components().into_iter().rfind(|component| component.is_running());
        let component = last.unwrap_or(&self.etcd);
        (component.name, component.log_tail())
    }

    fn components(&self) -> [&Component; 3] {
        [&self.etcd, &self.api_server, &self.controller_manager]
    }
}

/// The keys and data of another instance. Its certificates are valid for any port.
fn copied(from: &Layout, layout: &Layout) -> Result<Authority, Error> {
    copy_directory(&from.pki(""), &layout.pki(""))?;
    copy_directory(&from.etcd_data(), &layout.etcd_data())?;
    let read = |file: &str| fs::read_to_string(layout.pki(file)).map_err(Error::file("read", &layout.pki(file)));
    Authority::load(&Identity { certificate: read("ca.crt")?, key: read("ca.key")? })
}

fn new_keys(layout: &Layout) -> Result<Authority, Error> {
    let authority = Authority::create("control-plane")?;
    let (ca, api_server) = (authority.identity()?, authority.issue_server("kube-apiserver")?);
    let (token_key, token_public_key) = token_signing_keys()?;
    for (file, content) in [
        ("ca.crt", &ca.certificate),
        ("ca.key", &ca.key),
        ("apiserver.crt", &api_server.certificate),
        ("apiserver.key", &api_server.key),
        ("service-account.key", &token_key),
        ("service-account.pub", &token_public_key),
    ] {
        write_private(&layout.pki(file), content)?;
    }
    Ok(authority)
}

fn server(port: &Reservation) -> String {
    format!("https://127.0.0.1:{}", port.port())
}
