//! Paths outside the repository: `tools/` and `instances/` in one cache directory. Only computes paths and lists them;
//! it must not create or delete anything.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::Error;
use crate::layout::Layout;

/// `$BAILIWICK_CACHE`, else `$XDG_CACHE_HOME/bailiwick`, else `$HOME/.cache/bailiwick`.
pub(crate) fn root() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = set("BAILIWICK_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|path| path.join("bailiwick")))
        .or_else(|| set("HOME").map(|path| path.join(".cache").join("bailiwick")))
        .ok_or(Error::NoCache)?;
    std::path::absolute(&root).map_err(Error::file("resolve", &root))
}

/// The directory of the instance `name`, whether or not it exists.
///
/// # Errors
/// When no cache directory is configured.
pub fn instance_directory(name: &str) -> Result<PathBuf, Error> {
    Ok(root()?.join("instances").join(name))
}

/// The directories of all named instances, running or left over, ordered by name.
///
/// # Errors
/// When no cache directory is configured, or it cannot be read.
pub fn instances() -> Result<Vec<PathBuf>, Error> {
    let parent = root()?.join("instances");
    let entries = match fs::read_dir(&parent) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("read", &parent))?,
    };
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| Layout::new(path).lock().exists()).collect();
    found.sort();
    Ok(found)
}
