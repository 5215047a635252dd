//! The claim on an instance's directory: a file lock that the supervisor holds while it lives, so that the kernel
//! releases it however the supervisor ends.
//!
//! It must not delete anything in a directory that this crate did not create.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Error;
use crate::files::create_private_directory;
use crate::layout::Layout;

/// A directory of ours, empty except for the lock when it is claimed.
pub(crate) struct Claim {
    layout: Layout,
    _lock: File,
}

impl Claim {
    /// Claims the directory of `layout`, and removes the remains of an instance that was not stopped cleanly.
    pub(crate) fn new(layout: &Layout) -> Result<Self, Error> {
        let (root, path) = (layout.root(), layout.lock());
        loop {
            create_private_directory(root)?;
            if !path.exists() && !is_empty(root)? {
                return Err(Error::NotAnInstance { directory: root.to_owned() });
            }
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(Error::file("open", &path))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::AlreadyRunning { directory: root.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
            }
            // Between open and lock the last owner may have removed the directory; then this locks a file that nobody
            // else can find.
            let ours = lock.metadata().map_err(Error::file("inspect", &path))?;
            if fs::metadata(&path).is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev()) {
                let claim = Self { layout: layout.clone(), _lock: lock };
                claim.clear()?;
                return Ok(claim);
            }
        }
    }

    fn clear(&self) -> Result<(), Error> {
        let (root, lock) = (self.layout.root(), self.layout.lock());
        for entry in fs::read_dir(root).map_err(Error::file("read", root))? {
            let path = entry.map_err(Error::file("read", root))?.path();
            if path != lock {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the directory and its contents.
    pub(crate) fn remove(self) -> Result<(), Error> {
        let root = self.layout.root();
        // The lock goes last, so that a half-removed directory is still recognized as an instance's.
        self.clear()?;
        fs::remove_dir_all(root).map_err(Error::file("remove", root))
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    let directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let removed = if directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(Error::file("remove", path))
}

fn is_empty(directory: &Path) -> Result<bool, Error> {
    Ok(fs::read_dir(directory).map_err(Error::file("read", directory))?.next().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_directory_has_one_owner_and_is_gone_after_it() {
        let parent = tempfile::tempdir().unwrap();
        let layout = Layout::new(&parent.path().join("one"));
        let claim = Claim::new(&layout).unwrap();
        assert!(matches!(Claim::new(&layout), Err(Error::AlreadyRunning { .. })));
        claim.remove().unwrap();
        assert!(!layout.root().exists());
    }

    #[test]
    fn leftovers_of_an_instance_are_cleared() {
        let parent = tempfile::tempdir().unwrap();
        let layout = Layout::new(parent.path());
        drop(Claim::new(&layout).unwrap());
        fs::create_dir(layout.etcd_data()).unwrap();
        let _claim = Claim::new(&layout).unwrap();
        assert!(!layout.etcd_data().exists());
    }

    #[test]
    fn other_peoples_directories_are_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(Claim::new(&Layout::new(parent.path())), Err(Error::NotAnInstance { .. })));
        assert!(parent.path().join("thesis.txt").exists());
    }
}
