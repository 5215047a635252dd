//! Clusters with the chart installed by helm, saved once for all tests with the same values. Half of a test's time was
//! the installation, and it was the same each time.
//!
//! The saved data is etcd's, and nobody changes it: each test starts its own servers with a copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use control_plane::Tools;
use sha2::{Digest, Sha256};

use super::{Cluster, repository, text};

/// How long a saved cluster is kept that may belong to an older state of the repository.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The directory of a saved cluster with these values, created if it is missing.
pub(super) fn with_chart(values: &str) -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clusters");
    let saved = all.join(name(values));
    if !saved.exists() {
        fs::create_dir_all(&all).unwrap();
        remove_old(&all);
        let cluster = Cluster::bare();
        let output = cluster.helm_install(values);
        assert!(output.status.success(), "helm install: {}", text(&output));
        cluster.await_policies();
        let new = tempfile::tempdir_in(&all).unwrap();
        cluster.plane.save(new.path()).unwrap();
        // Another test may have been first. Its cluster is just as good.
        if fs::rename(new.path(), &saved).is_ok() {
            let _ = new.keep();
        }
        assert!(saved.exists(), "{} is there", saved.display());
    }
    saved
}

/// A digest of everything that a cluster with the chart depends on.
fn name(values: &str) -> String {
    static COMMON: OnceLock<Sha256> = OnceLock::new();
    let common = COMMON.get_or_init(|| {
        let mut digest = Sha256::new();
        for directory in ["charts/bailiwick", "hack/control-plane/src"] {
            add_directory(&mut digest, &repository().join(directory));
        }
        let tools = Tools::locate().unwrap();
        for program in [tools.kubectl(), tools.helm()] {
            let metadata = fs::metadata(program).unwrap();
            digest.update(format!("{} {} {:?}\n", program.display(), metadata.len(), metadata.modified().unwrap()));
        }
        digest
    });
    let digest = common.clone().chain_update(values).finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn add_directory(digest: &mut Sha256, directory: &Path) {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add_directory(digest, &path);
        } else {
            let content = fs::read(&path).unwrap();
            digest.update(format!("{} {}\n", path.display(), content.len()));
            digest.update(content);
        }
    }
}

/// Removes saved clusters of other charts and programs once they are old: another run may still use them.
fn remove_old(all: &Path) {
    for entry in fs::read_dir(all).unwrap().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > KEPT) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
