//! The requested Kubernetes version, and the `go.mod` of a version without a checked-in one.
//!
//! It must not know any version: [`pins`] does.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::pins::SUPPORTED;
use crate::{Error, pins};

/// The variable with the version: a supported minor version (`1.34`), or any published one (`1.34.2`).
pub(crate) const VARIABLE: &str = "BAILIWICK_KUBERNETES";

/// The version in `BAILIWICK_KUBERNETES`, as in `v1.36.3`.
///
/// # Errors
/// When it is neither a supported minor version nor a full one.
pub(crate) fn chosen() -> Result<Option<String>, Error> {
    let wanted = std::env::var(VARIABLE).ok().filter(|wanted| !wanted.is_empty());
    wanted.map(|wanted| resolve(&wanted)).transpose()
}

fn resolve(wanted: &str) -> Result<String, Error> {
    let full = format!("v{}", wanted.trim_start_matches('v'));
    match full.split('.').count() {
        2 => {
            let pinned = SUPPORTED.iter().find(|version| version.starts_with(&format!("{full}.")));
            pinned.map(ToString::to_string).ok_or_else(|| Error::UnknownVersion { wanted: wanted.to_owned() })
        }
        3.. => Ok(full),
        _ => Err(Error::UnknownVersion { wanted: wanted.to_owned() }),
    }
}

/// The rest of the `go.mod` of a program of Kubernetes, beside the requirement of Kubernetes itself: the published
/// versions of the staging modules, which Kubernetes requires at `v0.0.0`, and the GODEBUG settings of its releases.
///
/// Both come from Kubernetes' own `go.mod`, so no version needs a list of its own. `directory` must be outside any
/// module.
pub(crate) fn rest_of_go_mod(version: &str, directory: &Path) -> Result<String, Error> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", &format!("k8s.io/kubernetes@{version}")])
        .current_dir(directory)
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NoGo { binary: pins::CLUSTER.binaries[0].name },
            _ => Error::spawn(Path::new("go"))(error),
        })?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let Some(path) = answer["GoMod"].as_str() else {
        let reason = answer["Error"].as_str().map_or_else(|| String::from_utf8_lossy(&output.stderr), Into::into);
        return Err(Error::Download { version: version.to_owned(), reason: reason.trim().to_owned() });
    };
    let go_mod = fs::read_to_string(path).map_err(Error::file("read", Path::new(path)))?;
    Ok(staging_as_published(&go_mod, version))
}

fn staging_as_published(go_mod: &str, version: &str) -> String {
    let published = version.replacen("v1.", "v0.", 1);
    let lines = go_mod.lines().map(str::trim).filter_map(|line| match line.strip_suffix(" v0.0.0") {
        Some(module) => Some(format!("replace {module} => {module} {published}\n")),
        None => line.starts_with("godebug ").then(|| format!("{line}\n")),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pins::KUBERNETES;

    #[test]
    fn a_minor_version_is_the_pinned_patch_of_it_and_a_full_one_is_itself() {
        assert_eq!(resolve("1.36").unwrap(), KUBERNETES);
        assert_eq!(resolve("v1.36").unwrap(), KUBERNETES);
        assert_eq!(resolve("1.34.2").unwrap(), "v1.34.2");
        assert_eq!(resolve("v1.38.0-beta.0").unwrap(), "v1.38.0-beta.0");
        for unknown in ["1", "newest", "1.3", "1.99"] {
            let message = resolve(unknown).unwrap_err().to_string();
            assert!(message.contains(unknown) && message.contains(KUBERNETES), "{message}");
        }
    }

    #[test]
    fn staging_modules_are_taken_as_published_and_nothing_else_is_replaced() {
        let go_mod = "module k8s.io/kubernetes\n\ngo 1.24.0\n\ngodebug default=go1.24\n\nrequire (\n\tk8s.io/api v0.0.0\n\t\
                      k8s.io/klog/v2 v2.130.1\n)\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n";
        assert_eq!(
            staging_as_published(go_mod, "v1.34.4"),
            "godebug default=go1.24\nreplace k8s.io/api => k8s.io/api v0.34.4\n"
        );
    }
}
