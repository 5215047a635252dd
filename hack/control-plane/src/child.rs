//! The servers as child processes of the supervisor.
//!
//! A handle owns each of them: a process is signalled only while it has not been waited for, so its id cannot belong to
//! another one. And each dies with the supervisor, even if that is killed: the supervisor starts its own executable as
//! a go-between, which asks the kernel for a SIGKILL on its parent's death and then becomes the server. (A hook between
//! fork and exec could do that as well, but needs unsafe code.)

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, getppid, kill_process};

use crate::Error;
use crate::files::{open_log, tail};
use crate::layout::Layout;
use crate::protocol::ComponentState;

/// The hidden command of the `control-plane` executable for the go-between.
pub(crate) const GO_BETWEEN: &str = "exec-child";

/// The programs' garbage collection target, as a percentage of the live heap. Go's default of 100 spends a fifth of a
/// test's CPU on collection. With this value an API server takes half a gigabyte of memory instead of a third.
pub(crate) const GOGC: &str = "400";

/// One server: running, stopped, or failed.
pub(crate) struct Component {
    pub(crate) name: &'static str,
    program: PathBuf,
    root: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    ended: Option<ExitStatus>,
}

impl Component {
    pub(crate) fn new(name: &'static str, program: &Path, layout: &Layout) -> Self {
        Self {
            name,
            program: program.to_owned(),
            root: layout.root().to_owned(),
            log: layout.log(name),
            child: None,
            ended: None,
        }
    }

    /// Starts the server. Linux takes the calling *thread* for the parent, so it must be the supervisor's main thread.
    pub(crate) fn start(&mut self, arguments: &[String]) -> Result<(), Error> {
        let log = open_log(&self.log)?;
        let also = log.try_clone().map_err(Error::file("open", &self.log))?;
        let executable = own_executable()?;
        let mut command = Command::new(&executable);
        command.args([GO_BETWEEN, &std::process::id().to_string()]).arg(&self.program).args(arguments);
        // etcd reads flags from these variables.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        let child = command
            .env("GOGC", GOGC)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            // Ctrl-C in the terminal must reach only the supervisor, which then stops the servers in order.
            .process_group(0)
            .spawn()
            .map_err(Error::spawn(&executable))?;
        self.child = Some(child);
        self.ended = None;
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Checks whether the server has ended; true once for each end.
    pub(crate) fn reap(&mut self) -> bool {
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if status.is_some() {
            self.child = None;
            self.ended = status;
        }
        status.is_some()
    }

    /// The error for a server that ended unexpectedly.
    pub(crate) fn died(&self) -> Option<Error> {
        let status = self.ended?.to_string();
        Some(Error::Died { component: self.name, status, log: self.log_tail() })
    }

    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log, 30)
    }

    /// Asks the server to end. `reap` returns true once it has.
    pub(crate) fn terminate(&self) -> Result<(), Error> {
        match &self.child {
            Some(child) => kill_process(Pid::from_child(child), Signal::TERM).map_err(Error::system("signal a server")),
            None => Ok(()),
        }
    }

    /// Pauses or resumes the server. The files of a paused server are in the state that a sudden death would leave.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<(), Error> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        match &self.child {
            Some(child) => kill_process(Pid::from_child(child), signal).map_err(Error::system("signal a server")),
            None => Ok(()),
        }
    }

    /// Ends the server now, and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only for a process that has already ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.ended = None;
    }

    /// Forgets how the server ended, because that was requested.
    pub(crate) fn forget(&mut self) {
        self.ended = None;
    }

    pub(crate) fn state(&self) -> ComponentState {
        ComponentState {
            name: self.name.to_owned(),
            pid: self.child.as_ref().map(Child::id),
            ended: self.ended.map(|status| status.to_string()),
        }
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.kill();
    }
}

/// This process's executable. On Linux the path stays valid when `cargo build` replaces the file.
pub(crate) fn own_executable() -> Result<PathBuf, Error> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().map_err(Error::system("find this executable"))
}

/// The go-between: becomes `program`, which dies with the process `parent`. Returns only on failure.
#[must_use]
pub fn exec(parent: u32, program: &Path, arguments: &[OsString]) -> Error {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return Error::system("ask for a signal on the parent's death")(error);
    }
    // The parent may have died before this request to the kernel.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Error::System { action: "start a server", source: std::io::Error::other("the supervisor is gone") };
    }
    Error::spawn(program)(Command::new(program).args(arguments).exec())
}
