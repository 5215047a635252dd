//! A running control plane for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::child::GOGC;
use crate::files::copy_directory;
use crate::kubeconfig::{self, Credential};
use crate::layout::Layout;
use crate::pki::{Authority, Identity, Subject};
use crate::protocol::{Description, Reply, Request, Status, ask};
use crate::supervisor::{Owner, Supervision};
use crate::{Error, Tools, cache, launch};

/// Options for starting a control plane. By default it has a temporary directory.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A name, for an instance in the cache directory that `control-plane` commands can find.
    pub name: Option<String>,
    /// A directory that is missing, empty or an old instance's; wins over `name`. It is removed at the end.
    pub directory: Option<PathBuf>,
    /// A directory from [`ControlPlane::save`] to start from.
    pub from: Option<PathBuf>,
    /// Flags for kube-apiserver, which override the default ones.
    pub api_server_flags: Vec<String>,
    /// The `control-plane` executable; by default it is found or built with cargo.
    pub executable: Option<PathBuf>,
}

/// A control plane: one that this process started and that ends with it, or one that it attached to.
#[derive(Debug)]
pub struct ControlPlane {
    layout: Layout,
    description: Description,
    ca: String,
    supervisor: Option<Child>,
    // Usually the supervisor empties and removes it.
    _temporary: Option<TempDir>,
}

impl ControlPlane {
    /// Starts a control plane and returns when it is ready: the API server reports that, and the controllers work.
    ///
    /// It stops when the value is dropped, and also when this process ends in any other way.
    ///
    /// # Errors
    /// When the programs cannot be built, or the servers do not become ready; the error has the end of the log.
    pub fn start(options: Options) -> Result<Self, Error> {
        // Here as well as in the supervisor, because nobody sees the supervisor's messages while it builds.
        Tools::locate()?;
        let (directory, temporary) = match (options.directory, options.name) {
            (Some(directory), _) => (directory, None),
            (None, Some(name)) => (cache::instance_directory(&name)?, None),
            (None, None) => {
                let parent = std::env::temp_dir();
                let directory = tempfile::Builder::new()
                    .prefix("control-plane-")
                    .tempdir_in(&parent)
                    .map_err(Error::file("create a directory in", &parent))?;
                (directory.path().to_owned(), Some(directory))
            }
        };
        let directory = std::path::absolute(&directory).map_err(Error::file("resolve", &directory))?;
        let executable = options.executable.map_or_else(launch::executable, Ok)?;
        let (from, api_server_flags) = (options.from, options.api_server_flags);
        let supervision = Supervision { directory, owner: Owner::StandardInput, from, api_server_flags };
        let (supervisor, description) = launch::launch(&executable, &supervision)?;
        Self::new(&supervision.directory, description, Some(supervisor), temporary)
    }

    /// Attaches to an instance that somebody else started, for example with `control-plane up`. Dropping the value
    /// leaves that instance running.
    ///
    /// # Errors
    /// When no instance runs in `directory`.
    pub fn attach(directory: &Path) -> Result<Self, Error> {
        let directory = std::path::absolute(directory).map_err(Error::file("resolve", directory))?;
        let layout = Layout::new(&directory);
        // The description may be older than the supervisor's end.
        ask(&layout, Request::Status)?;
        let path = layout.description();
        let json = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let description = serde_json::from_str(&json).map_err(|error| Error::file("read", &path)(error.into()))?;
        Self::new(&directory, description, None, None)
    }

    fn new(
        directory: &Path,
        description: Description,
        supervisor: Option<Child>,
        temporary: Option<TempDir>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(directory);
        let path = layout.pki("ca.crt");
        // From here on, dropping stops the supervisor, even if the file cannot be read.
        let mut plane = Self { layout, description, ca: String::new(), supervisor, _temporary: temporary };
        plane.ca = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        Ok(plane)
    }

    /// The instance's directory: certificates, logs and all.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.layout.root()
    }

    /// The API server's URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.description.server
    }

    /// The certificate authority of the API server and of its users, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// The programs.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.description.tools
    }

    /// The kubeconfig of `admin`, in the group `system:masters`.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig("admin")
    }

    /// The kubeconfig of a user with a new client certificate.
    ///
    /// # Errors
    /// When the authority's key cannot be read or the file not be written.
    pub fn user_kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf, Error> {
        let read = |file| {
            let path = self.layout.pki(file);
            fs::read_to_string(&path).map_err(Error::file("read", &path))
        };
        let authority = Authority::load(&Identity { certificate: self.ca.clone(), key: read("ca.key")? })?;
        let subject = Subject { user, groups };
        let identity = authority.issue_client(&subject)?;
        self.write_kubeconfig(&kubeconfig::user_file_name(&subject), &Credential::Certificate(&identity))
    }

    /// A kubeconfig with a bearer token. `name` only names the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn token_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf, Error> {
        self.write_kubeconfig(&kubeconfig::token_file_name(name), &Credential::Token(token))
    }

    fn write_kubeconfig(&self, name: &str, credential: &Credential<'_>) -> Result<PathBuf, Error> {
        kubeconfig::write(&self.layout, name, self.server(), &self.ca, credential)
    }

    /// The state of the instance's processes.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn status(&self) -> Result<Status, Error> {
        match ask(&self.layout, Request::Status)? {
            Reply::Status(status) => Ok(status),
            Reply::Done | Reply::Failed(_) => Err(Error::Protocol {
                directory: self.dir().to_owned(),
                reason: "it answered something else".to_owned(),
            }),
        }
    }

    /// Restarts the API server as a rollout would, on the same port, and returns when it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart_api_server(&self) -> Result<(), Error> {
        ask(&self.layout, Request::RestartApiServer).map(drop)
    }

    /// Stops the API server as a rollout would. Its port stays reserved, and refuses connections.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn stop_api_server(&self) -> Result<(), Error> {
        ask(&self.layout, Request::StopApiServer).map(drop)
    }

    /// Starts an API server that is down, and returns when it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_api_server(&self) -> Result<(), Error> {
        ask(&self.layout, Request::StartApiServer).map(drop)
    }

    /// Kills the API server; it stays down.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn kill_api_server(&self) -> Result<(), Error> {
        ask(&self.layout, Request::KillApiServer).map(drop)
    }

    /// Copies etcd's current data, replacing an earlier copy.
    ///
    /// # Errors
    /// When the data cannot be copied, or the supervisor does not answer.
    pub fn copy_etcd(&self) -> Result<(), Error> {
        ask(&self.layout, Request::CopyEtcd).map(drop)
    }

    /// Stops everything, restores the copy of etcd's data, starts everything again, and returns when the API server is
    /// ready.
    ///
    /// # Errors
    /// When there is no copy, or the API server does not become ready.
    pub fn restore_etcd(&self) -> Result<(), Error> {
        ask(&self.layout, Request::RestoreEtcd).map(drop)
    }

    /// Saves in `directory` what another instance can start from: etcd's current data, and the keys behind its
    /// ServiceAccounts and certificates.
    ///
    /// # Errors
    /// When the data cannot be copied, or the supervisor does not answer.
    pub fn save(&self, directory: &Path) -> Result<(), Error> {
        let (copy, saved) = (self.layout.etcd_copy(), Layout::new(directory));
        self.copy_etcd()?;
        copy_directory(&copy, &saved.etcd_data())?;
        copy_directory(&self.layout.pki(""), &saved.pki(""))?;
        fs::remove_dir_all(&copy).map_err(Error::file("remove", &copy))
    }

    /// Stops the instance, whoever started it, and removes its directory.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn down(self) -> Result<(), Error> {
        ask(&self.layout, Request::Down).map(drop)
    }

    /// A kubectl command as the holder of `kubeconfig`, with its caches in the instance's directory.
    #[must_use]
    pub fn kubectl(&self, kubeconfig: &Path) -> Command {
        let mut command = self.command(self.tools().kubectl(), kubeconfig);
        // KUBERC=off: a preferences file could change the meaning of flags.
        command.env("KUBECACHEDIR", self.layout.home().join("kube-cache")).env("KUBERC", "off");
        command
    }

    /// A helm command as the holder of `kubeconfig`, with its files in the instance's directory.
    #[must_use]
    pub fn helm(&self, kubeconfig: &Path) -> Command {
        self.any_helm(self.tools().helm(), kubeconfig)
    }

    /// A Helm 3 command, built first if necessary.
    ///
    /// # Errors
    /// When `go` is missing or fails.
    pub fn helm_3(&self, kubeconfig: &Path) -> Result<Command, Error> {
        Ok(self.any_helm(&Tools::helm_3()?, kubeconfig))
    }

    fn any_helm(&self, program: &Path, kubeconfig: &Path) -> Command {
        let mut command = self.command(program, kubeconfig);
        for (variable, directory) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.layout.home().join("helm").join(directory));
        }
        for variable in
            ["HELM_NAMESPACE", "HELM_KUBECONTEXT", "HELM_KUBETOKEN", "HELM_KUBEAPISERVER", "HELM_KUBEASUSER"]
        {
            command.env_remove(variable);
        }
        command
    }

    fn command(&self, program: &Path, kubeconfig: &Path) -> Command {
        let mut command = Command::new(program);
        // The variable too, for programs that they start.
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", self.layout.home())
            .env("GOGC", GOGC);
        command
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            // The end of its standard input stops it. Nobody is left to report a failure to.
            drop(supervisor.stdin.take());
            let _ = supervisor.wait();
        }
    }
}
