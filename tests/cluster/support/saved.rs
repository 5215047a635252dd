//! Clusters in which helm has installed the chart, saved once for all tests that want it with the same values. Half of
//! what a test took was helm's work and that of the API server for it, and was the same each time.
//!
//! What is saved is etcd's data, and nobody changes it: each test has a copy, and servers of its own that start with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use control_plane::Tools;
use sha2::{Digest, Sha256};

use super::{Cluster, repository, text};

/// How long one is kept that may belong to an older state of the repository.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The directory of one with these values. It is made if it is not there yet.
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
        // Another test may have been first. Its cluster is as good.
        if fs::rename(new.path(), &saved).is_ok() {
            let _ = new.keep();
        }
        assert!(saved.exists(), "{} is there", saved.display());
    }
    saved
}

/// A digest of all that a cluster with the chart follows from.
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

/// Those of other charts and programs are of no use any more. Which ones that is nobody knows: two runs may go on at a time.
fn remove_old(all: &Path) {
    for entry in fs::read_dir(all).unwrap().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > KEPT) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
