//! Talks to people: the command line of `bailiwick`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{api, shell};

/// Organizations, users, groups and roles as plain YAML, enforced with native Kubernetes RBAC.
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    Run(shell::Options),
    /// Print the CustomResourceDefinitions as YAML.
    Crds {
        /// Write one file per kind into this directory instead.
        #[arg(long, value_name = "DIRECTORY")]
        out: Option<std::path::PathBuf>,
    },
}

/// What went wrong, for a person at a terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator.
    #[error(transparent)]
    Run(#[from] shell::Error),
    /// Cannot write YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing reads what is printed.
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(options) => run(options),
        Command::Crds { out } => crds(out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has seen enough.
        Err(Error::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bailiwick: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: shell::Options) -> Result<(), Error> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,kube_client=off,kube_runtime=off,kube_lease_manager=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    if std::env::var("BAILIWICK_LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(shell::run(options))?)
}

fn crds(out: Option<std::path::PathBuf>) -> Result<(), Error> {
    use std::io::Write as _;
    for crd in api::crds::all() {
        let text = api::crds::to_yaml(&crd)?;
        match &out {
            Some(directory) => {
                let path = directory.join(format!("{}.yaml", crd.metadata.name.unwrap_or_default()));
                std::fs::write(&path, text).map_err(|source| Error::File { path, source })?;
            }
            None => writeln!(std::io::stdout().lock(), "---\n{}", text.trim_end())?,
        }
    }
    Ok(())
}
