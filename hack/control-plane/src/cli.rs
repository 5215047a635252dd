//! The command line. It prints; the library does everything else.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use control_plane::executable::{self, Owner, Supervision};
use control_plane::{ControlPlane, Error, Options, Tools};

/// A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager.
///
/// BAILIWICK_KUBERNETES chooses the version: a supported minor version such as 1.34, or any published one such as
/// 1.34.2.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Selects the instance.
#[derive(Debug, Args)]
struct Which {
    /// The instance's name
    #[arg(long, default_value = "default")]
    name: String,
    /// The instance's directory, instead of one in the cache
    #[arg(long, conflicts_with = "name")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the programs if necessary, and print their directory
    Tools {
        /// Also the programs of a node: kubelet, kube-scheduler, kube-proxy and coredns
        #[arg(long)]
        node: bool,
        /// Also Helm 3, beside Helm 4: its directory is printed last
        #[arg(long)]
        helm_3: bool,
    },
    /// List the supported Kubernetes versions, oldest first
    Versions,
    /// Start an instance, and return when it is ready
    Up {
        #[command(flatten)]
        which: Which,
        /// Stay, and stop the instance on Ctrl-C or SIGTERM
        #[arg(long)]
        foreground: bool,
        /// Additional flags for kube-apiserver
        #[arg(last = true)]
        api_server_flags: Vec<String>,
    },
    /// Stop an instance and remove its directory
    Down {
        #[command(flatten)]
        which: Which,
        /// Stop all named instances
        #[arg(long, conflicts_with_all = ["name", "dir"])]
        all: bool,
    },
    /// List the instances, or show one with --dir
    Status {
        /// An instance's directory that is not in the cache
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Print the path of a kubeconfig: the administrator's, or a user's with a new client certificate
    Kubeconfig {
        #[command(flatten)]
        which: Which,
        /// The user's name
        user: Option<String>,
        /// A group of the user; may be repeated
        #[arg(long = "group", requires = "user")]
        groups: Vec<String>,
    },
    /// Print shell code that points kubectl and helm at an instance
    Env {
        #[command(flatten)]
        which: Which,
    },
    /// Restart the API server cleanly
    RestartApiserver {
        #[command(flatten)]
        which: Which,
    },
    /// Stop the API server cleanly
    StopApiserver {
        #[command(flatten)]
        which: Which,
    },
    /// Start the API server again
    StartApiserver {
        #[command(flatten)]
        which: Which,
    },
    /// Kill the API server
    KillApiserver {
        #[command(flatten)]
        which: Which,
    },
    /// Copy etcd's current data
    CopyEtcd {
        #[command(flatten)]
        which: Which,
    },
    /// Stop everything, restore the copy of etcd's data, and start everything again
    RestoreEtcd {
        #[command(flatten)]
        which: Which,
    },
    /// Be the supervisor of an instance
    #[command(hide = true)]
    Supervise {
        directory: PathBuf,
        #[arg(long)]
        owned: bool,
        #[arg(long)]
        from: Option<PathBuf>,
        #[arg(last = true)]
        api_server_flags: Vec<String>,
    },
    /// Become a server that dies with its parent
    #[command(hide = true)]
    ExecChild {
        parent: u32,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Start an instance through the library, print its directory, and keep it until standard input ends
    #[command(hide = true)]
    Hold,
}

impl Which {
    fn directory(&self) -> Result<PathBuf, Error> {
        self.dir.clone().map_or_else(|| control_plane::instance_directory(&self.name), Ok)
    }

    fn attach(&self) -> Result<ControlPlane, Error> {
        ControlPlane::attach(&self.directory()?)
    }
}

pub(crate) fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Tools { node, helm_3 } => {
            Tools::locate()?.directories().iter().for_each(|directory| println!("{}", directory.display()));
            if node {
                println!("{}", Tools::node()?.display());
            }
            if helm_3 && let Some(directory) = Tools::helm_3()?.parent() {
                println!("{}", directory.display());
            }
            Ok(())
        }
        Command::Versions => {
            control_plane::pins::SUPPORTED.iter().for_each(|version| println!("{version}"));
            Ok(())
        }
        Command::Up { which, foreground, api_server_flags } => up(&which, foreground, api_server_flags),
        Command::Down { which, all } => down(&which, all),
        Command::Status { dir } => status(dir),
        Command::Kubeconfig { which, user, groups } => {
            let plane = which.attach()?;
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let path =
                user.map_or_else(|| Ok(plane.admin_kubeconfig()), |user| plane.user_kubeconfig(&user, &groups))?;
            println!("{}", path.display());
            Ok(())
        }
        Command::Env { which } => {
            let plane = which.attach()?;
            let directories: Vec<String> = plane.tools().directories().into_iter().map(quoted).collect();
            println!("export KUBECONFIG={}", quoted(&plane.admin_kubeconfig()));
            println!("export PATH={}:\"$PATH\"", directories.join(":"));
            Ok(())
        }
        Command::RestartApiserver { which } => which.attach()?.restart_api_server(),
        Command::StopApiserver { which } => which.attach()?.stop_api_server(),
        Command::StartApiserver { which } => which.attach()?.start_api_server(),
        Command::KillApiserver { which } => which.attach()?.kill_api_server(),
        Command::CopyEtcd { which } => which.attach()?.copy_etcd(),
        Command::RestoreEtcd { which } => which.attach()?.restore_etcd(),
        Command::Supervise { directory, owned, from, api_server_flags } => {
            let owner = if owned { Owner::StandardInput } else { Owner::Nobody };
            executable::supervise_announced(&Supervision { directory, owner, from, api_server_flags })
        }
        Command::ExecChild { parent, program, arguments } => Err(executable::exec_child(parent, &program, &arguments)),
        Command::Hold => hold(),
    }
}

fn up(which: &Which, foreground: bool, api_server_flags: Vec<String>) -> Result<(), Error> {
    Tools::locate()?;
    let (directory, begin) = (which.directory()?, Instant::now());
    let tell = |server: &str| {
        println!("ready at {server} after {:.1} s, in {}", begin.elapsed().as_secs_f64(), directory.display());
    };
    if foreground {
        let (directory, owner) = (directory.clone(), Owner::Nobody);
        let supervision = Supervision { directory, owner, from: None, api_server_flags };
        return executable::supervise(&supervision, tell);
    }
    match executable::start_detached(&directory, &api_server_flags) {
        Ok(server) => tell(&server),
        Err(Error::AlreadyRunning { .. }) => {
            println!("already up at {}, in {}", which.attach()?.server(), directory.display());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn down(which: &Which, all: bool) -> Result<(), Error> {
    if !all {
        return which.attach()?.down();
    }
    for directory in control_plane::instances()? {
        match ControlPlane::attach(&directory) {
            Ok(plane) => plane.down()?,
            // A stale instance has no processes; `up` removes it.
            Err(Error::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn status(directory: Option<PathBuf>) -> Result<(), Error> {
    for directory in directory.map_or_else(control_plane::instances, |one| Ok(vec![one]))? {
        let plane = match ControlPlane::attach(&directory) {
            Ok(plane) => plane,
            Err(Error::NotRunning { .. }) => {
                println!("{}: not running", directory.display());
                continue;
            }
            Err(error) => return Err(error),
        };
        println!("{}: {}", directory.display(), plane.server());
        for component in plane.status()?.components {
            let state = match (component.pid, component.ended) {
                (Some(pid), _) => format!("running, process {pid}"),
                (None, Some(ended)) => format!("ended by itself: {ended}"),
                (None, None) => "stopped".to_owned(),
            };
            println!("  {}: {state}", component.name);
        }
    }
    Ok(())
}

fn hold() -> Result<(), Error> {
    let plane = ControlPlane::start(Options { executable: std::env::current_exe().ok(), ..Options::default() })?;
    println!("{}", plane.dir().display());
    // Neither the input nor any error matters.
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    Ok(())
}

/// A path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
