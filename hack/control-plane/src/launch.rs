//! Starts a supervisor in a process of its own: finds the executable, and implements both ends of the pipe that
//! announces readiness.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::protocol::{Announcement, Description};
use crate::supervisor::{self, Owner, Supervision};
use crate::{Error, child};

/// The hidden command of the `control-plane` executable for the supervisor.
pub(crate) const SUPERVISE: &str = "supervise";

/// Starts a supervisor with `executable` and waits until its instance is ready.
///
/// With the owner [`Owner::StandardInput`], the child's `stdin` ties it to this process: no other process gets that end
/// of the pipe, so the kernel closes it however this process ends.
pub(crate) fn launch(executable: &Path, supervision: &Supervision) -> Result<(Child, Description), Error> {
    let owned = supervision.owner == Owner::StandardInput;
    let mut command = Command::new(executable);
    command.arg(SUPERVISE).arg(&supervision.directory);
    if owned {
        command.arg("--owned");
    }
    if let Some(from) = &supervision.from {
        command.arg("--from").arg(from);
    }
    command.arg("--").args(&supervision.api_server_flags);
    let mut child = command
        .stdin(if owned { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        // It must hold none of this process's pipes, because their readers would wait for it.
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::spawn(executable))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(Error::system("read from the supervisor"))?;
    }
    let directory = supervision.directory.clone();
    let reason = match serde_json::from_str(&line) {
        Ok(Announcement::Ready(description)) => return Ok((child, description)),
        Ok(Announcement::AlreadyRunning) => Error::AlreadyRunning { directory },
        Ok(Announcement::Failed(message)) => Error::Supervisor { message },
        Err(_) => Error::Protocol { directory, reason: "it ended before its instance was ready".to_owned() },
    };
    drop(child.stdin.take());
    child.wait().map_err(Error::system("wait for the supervisor"))?;
    Err(reason)
}

/// The other end: supervises in this process, in a new session, and announces readiness on standard output.
///
/// # Errors
/// Those of [`supervise`](crate::executable::supervise), after they were announced.
pub fn announced(supervision: &Supervision) -> Result<(), Error> {
    // Detaches from the terminal's Ctrl-C and hangup. This fails for the leader of a process group, when a person runs
    // this by hand and has a terminal to stop it from.
    let _ = rustix::process::setsid();
    let result = supervisor::run(supervision, |description| announce(&Announcement::Ready(description.clone())));
    match &result {
        Ok(()) => {}
        Err(Error::AlreadyRunning { .. }) => announce(&Announcement::AlreadyRunning),
        Err(error) => announce(&Announcement::Failed(error.to_string())),
    }
    result
}

fn announce(announcement: &Announcement) {
    if let Ok(line) = serde_json::to_string(announcement) {
        // The parent may have gone; if it is the owner, another thread notices.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// The `control-plane` executable, for another process than itself.
///
/// `CONTROL_PLANE_BIN` wins. Under `cargo test`, each process asks cargo once: a plain `cargo test` at the root of the
/// workspace builds this crate's library and not its binary, so a binary in the target directory may be missing or
/// stale, and only cargo knows. Without work to do that takes a fifth of a second. A test that runs without cargo takes
/// the binary beside it.
pub(crate) fn executable() -> Result<PathBuf, Error> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = if let Some(path) = env::var_os("CONTROL_PLANE_BIN").filter(|path| !path.is_empty()) {
        PathBuf::from(path)
    } else if let Some(cargo) = env::var_os("CARGO") {
        build(&cargo)?
    } else {
        neighbour()?
    };
    Ok(FOUND.get_or_init(|| found).clone())
}

/// `target/<profile>/control-plane` for a test in `target/<profile>/deps`, otherwise the binary beside this program.
fn neighbour() -> Result<PathBuf, Error> {
    let own = env::current_exe().map_err(Error::system("find this executable"))?;
    let beside = own.parent().map(|directory| directory.join("control-plane"));
    let above = own.parent().and_then(Path::parent).map(|directory| directory.join("control-plane"));
    [beside, above].into_iter().flatten().find(|path| path.is_file()).ok_or_else(|| Error::NoExecutable {
        reason: format!("none beside {}, and cargo did not start this process", own.display()),
    })
}

fn build(cargo: &OsString) -> Result<PathBuf, Error> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", "control-plane", "--bin", "control-plane"])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(manifest)
        .stdin(Stdio::null());
    // Variables that cargo sets for tests would look like a changed environment to build scripts that watch them, and
    // crates would be rebuilt again and again, here and in the next `cargo test`.
    for (name, _) in env::vars_os().filter(|(name, _)| for_the_test_alone(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    let output = command.output().map_err(Error::spawn(Path::new(cargo)))?;
    let artifacts = String::from_utf8_lossy(&output.stdout);
    let executable = artifacts.lines().filter_map(executable_of).next_back();
    executable.filter(|_| output.status.success()).ok_or_else(|| Error::NoExecutable {
        reason: format!("`cargo build -p control-plane` failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
    })
}

fn for_the_test_alone(variable: &str) -> bool {
    const EXACT: [&str; 5] = ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    EXACT.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

/// The executable in a line of cargo's messages.
fn executable_of(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    (message["target"]["name"] == "control-plane").then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}

/// Starts a detached instance from the `control-plane` executable itself; returns the API server's URL.
///
/// # Errors
/// When it does not become ready.
pub fn start_detached(directory: &Path, api_server_flags: &[String]) -> Result<String, Error> {
    let supervision = Supervision {
        directory: directory.to_owned(),
        owner: Owner::Nobody,
        from: None,
        api_server_flags: api_server_flags.to_vec(),
    };
    let (_child, description) = launch(&child::own_executable()?, &supervision)?;
    Ok(description.server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let line =
            r#"{"reason":"compiler-artifact","target":{"name":"control-plane"},"executable":"/t/control-plane"}"#;
        assert_eq!(executable_of(line), Some(PathBuf::from("/t/control-plane")));
        let library = r#"{"reason":"compiler-artifact","target":{"name":"control_plane"},"executable":null}"#;
        assert_eq!(executable_of(library), None);
        assert_eq!(executable_of(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn cargos_settings_are_kept_and_its_marks_on_a_test_are_not() {
        assert!(!for_the_test_alone("CARGO_TARGET_DIR"));
        assert!(!for_the_test_alone("CARGO_HOME"));
        assert!(for_the_test_alone("CARGO_MANIFEST_DIR"));
        assert!(for_the_test_alone("CARGO_PKG_NAME"));
    }
}
