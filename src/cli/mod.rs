//! The command line of `bailiwick`.

pub mod manifests;
mod metadata;
mod probe;
pub mod render;
mod scalar;
pub mod schema;
mod values;
mod yaml;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{api, operator};

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
    Run(operator::Options),
    /// Show the native RBAC that follows from manifests, without a cluster.
    Render(render::Options),
    /// Ask a URL over plain HTTP, and fail unless it answers 200.
    Probe(probe::Options),
    /// Print the CustomResourceDefinitions as YAML.
    Crds {
        /// Write one file per kind into this directory instead.
        #[arg(long, value_name = "DIRECTORY")]
        out: Option<std::path::PathBuf>,
    },
}

/// The exit code for input that a person has to fix, so that CI can tell it from other errors.
const INVALID_INPUT: u8 = 2;

fn lines(problems: &[manifests::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Errors for a person at a terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator failed.
    #[error(transparent)]
    Run(#[from] operator::Error),
    /// The probe failed.
    #[error(transparent)]
    Probe(#[from] probe::Error),
    /// Cannot write YAML.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// The input is not valid.
    #[error("{}", lines(.0))]
    Invalid(Vec<manifests::Problem>),
    /// The chart's values are not valid.
    #[error(transparent)]
    Values(#[from] values::Error),
    /// One of the chart's own objects cannot be read, which would be a bug.
    #[error("a built-in object cannot be read: {0}")]
    Json(#[source] serde_json::Error),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The path of the file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(options) => run(options),
        Command::Render(options) => render::run(&options),
        Command::Probe(options) => probe::run(&options).map_err(Error::from),
        Command::Crds { out } => crds(out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A closed pipe only means that the reader has seen enough.
        Err(Error::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error @ (Error::Invalid(_) | Error::Values(_))) => {
            eprintln!("{error}");
            ExitCode::from(INVALID_INPUT)
        }
        Err(error) => {
            eprintln!("bailiwick: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: operator::Options) -> Result<(), Error> {
    // A mistyped directive must not keep the operator from running: it is left out, with a warning on standard error.
    let filter = tracing_subscriber::EnvFilter::new(&options.log);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if options.log_format == operator::LogFormat::Json {
        log.json().init();
    } else {
        log.init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(operator::run(options));
    // A thread may be parsing a text or waiting, and its result is no longer needed.
    runtime.shutdown_background();
    Ok(result?)
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
