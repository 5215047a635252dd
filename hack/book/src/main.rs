//! What the documentation needs beside mdBook: `book check` checks the links of every page. Without arguments, this is the
//! preprocessor that `book.toml` names.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::check::Files;

mod check;
mod page;
mod preprocess;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("usage: book [check | supports <renderer>]")]
    Usage,
    #[error("git ls-files failed: {0}")]
    Git(String),
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("cannot read what mdBook sends, or answer it: {0}")]
    Pipe(#[from] std::io::Error),
    #[error(transparent)]
    Preprocess(#[from] preprocess::Error),
    #[error("{}\n{} problems in the documentation", .0.join("\n"), .0.len())]
    Problems(Vec<String>),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        [] => answer_mdbook(),
        ["supports", "html"] => Ok(()),
        // mdBook leaves the preprocessor out then.
        ["supports", _] => return ExitCode::FAILURE,
        ["check"] => check_all(),
        _ => Err(Error::Usage),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn answer_mdbook() -> Result<(), Error> {
    let book = preprocess::run(std::io::stdin().lock())?;
    std::io::stdout().write_all(book.as_bytes())?;
    Ok(())
}

/// Checks every Markdown file of the repository that git does not ignore, new ones included.
fn check_all() -> Result<(), Error> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .output()
        .map_err(|error| Error::Git(error.to_string()))?;
    if !listing.status.success() {
        return Err(Error::Git(String::from_utf8_lossy(&listing.stderr).into_owned()));
    }
    let mut files = Files::default();
    for name in String::from_utf8_lossy(&listing.stdout).split_terminator('\0') {
        let path = Path::new(name);
        // In the index, but deleted.
        if !path.exists() {
            continue;
        }
        let text = if name.ends_with(".md") {
            std::fs::read_to_string(path).map_err(|error| Error::Read { path: path.to_owned(), error })?
        } else {
            String::new()
        };
        files.insert(name.to_owned(), text);
    }
    let problems = check::problems(&files);
    if problems.is_empty() { Ok(()) } else { Err(Error::Problems(problems)) }
}
