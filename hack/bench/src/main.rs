//! Measures Bailiwick on a control plane of its own. Figures from two machines are not comparable, so every run
//! measures its own baseline as well.

mod error;
mod own;
mod policies;
mod recorder;
mod scale;
mod site;
mod stats;
mod world;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures Bailiwick on a control plane of its own")]
enum Command {
    /// What each admission policy costs a write
    Policies(policies::Options),
    /// How soon people may enter their own Pods, and what many of them cost
    Own(own::Options),
    /// How fast and how small the operator is at a given size of the site
    Scale(scale::Options),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Policies(options) => policies::run(&options),
        Command::Own(options) => own::run(&options),
        Command::Scale(options) => scale::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
