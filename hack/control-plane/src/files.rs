//! File helpers: private writes and the ends of logs.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::Error;

/// Creates `path` and its parents, readable only by their owner, because they contain keys.
pub(crate) fn create_private_directory(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::file("create", path))
}

/// Writes a file that only its owner may read.
///
/// It writes a temporary file and renames it: two threads may ask for a kubeconfig at once, and neither may see half of
/// it.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // tempfile creates its files with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(Error::file("create a file in", directory))?;
    file.write_all(content.as_bytes()).map_err(Error::file("write", path))?;
    file.persist(path).map_err(|error| error.error).map_err(Error::file("write", path))?;
    Ok(())
}

/// Makes `to` a copy of the directory `from`, and nothing else.
pub(crate) fn copy_directory(from: &Path, to: &Path) -> Result<(), Error> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(Error::file("remove", to))?;
    }
    create_private_directory(to)?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_directory(&from, &to)?;
        } else {
            copy_file(&from, &to).map_err(Error::file("copy", &from))?;
        }
    }
    Ok(())
}

/// Copies a file, leaving holes for zeros: etcd preallocates 128 MB, and a new instance has written half a megabyte.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let (mut from, mut to) = (File::open(from)?, OpenOptions::new().create_new(true).write(true).mode(0o600).open(to)?);
    let mut block = vec![0; ZEROS.len()];
    loop {
        let read = from.read(&mut block)?;
        match &block[..read] {
            [] => break,
            zeros if zeros == &ZEROS[..read] => drop(to.seek(SeekFrom::Current(read as i64))?),
            bytes => to.write_all(bytes)?,
        }
    }
    // The copy also needs a hole at its end.
    to.set_len(from.stream_position()?)
}

/// Opens a log to append to.
pub(crate) fn open_log(path: &Path) -> Result<File, Error> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(Error::file("open", path))
}

/// The last `lines` lines of a log; empty when there is no log.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let content = fs::read(path).unwrap_or_default();
    let content = String::from_utf8_lossy(&content);
    let all: Vec<&str> = content.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_copy_of_a_directory_has_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/file"), "new").unwrap();
        let sparse = [b"head".as_slice(), &[0; 300_000], b"middle", &[0; 300_000]].concat();
        fs::write(from.join("inner/sparse"), &sparse).unwrap();
        fs::create_dir_all(to.join("inner")).unwrap();
        fs::write(to.join("inner/other"), "old").unwrap();
        copy_directory(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("inner/file")).unwrap(), "new");
        assert!(!to.join("inner/other").exists());
        assert!(fs::read(to.join("inner/sparse")).unwrap() == sparse);
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(tail(&log, 2), "");
        fs::write(&log, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&log, 2), "two\nthree");
        assert_eq!(tail(&log, 9), "one\ntwo\nthree");
    }
}
