//! The protocol of a supervisor: one JSON line each way over the control socket, and one line on the supervisor's
//! standard output when the instance is ready or has failed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::{Error, Tools};

/// A request to the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    Status,
    RestartApiServer,
    StopApiServer,
    StartApiServer,
    KillApiServer,
    CopyEtcd,
    RestoreEtcd,
    Down,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Done,
    Status(Status),
    Failed(String),
}

/// The state of an instance's processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The API server's URL.
    pub server: String,
    /// The supervisor's process id.
    pub supervisor: u32,
    /// etcd, kube-apiserver and kube-controller-manager.
    pub components: Vec<ComponentState>,
}

/// The state of one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ComponentState {
    /// The program's name.
    pub name: String,
    /// Its process id while it runs, for people and tests to look at; nothing here kills by number.
    pub pid: Option<u32>,
    /// How it last ended unexpectedly.
    pub ended: Option<String>,
}

/// The data that users of a ready instance need; kept in the instance's directory for `attach`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) server: String,
    pub(crate) tools: Tools,
}

/// The supervisor's only line on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Announcement {
    Ready(Description),
    AlreadyRunning,
    Failed(String),
}

/// Sends a request to the supervisor of `layout`, and waits for the answer without a time limit.
pub(crate) fn ask(layout: &Layout, request: Request) -> Result<Reply, Error> {
    layout.check_socket_length()?;
    let protocol = |reason: String| Error::Protocol { directory: layout.root().to_owned(), reason };
    let mut stream = UnixStream::connect(layout.control_socket())
        .map_err(|_| Error::NotRunning { directory: layout.root().to_owned() })?;
    let line = serde_json::to_string(&request).map_err(|error| protocol(error.to_string()))?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(|error| protocol(error.to_string()))?;
    let mut answer = String::new();
    // Reads to the end: stopped processes are gone by then.
    stream.read_to_string(&mut answer).map_err(|error| protocol(error.to_string()))?;
    match serde_json::from_str(&answer) {
        Ok(Reply::Failed(message)) => Err(Error::Supervisor { message }),
        Ok(reply) => Ok(reply),
        Err(_) if answer.is_empty() => Err(protocol("it ended before it answered".to_owned())),
        Err(error) => Err(protocol(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_are_words() {
        assert_eq!(serde_json::to_string(&Request::RestartApiServer).unwrap(), "\"restart-api-server\"");
        assert_eq!(serde_json::from_str::<Request>("\"down\"").unwrap(), Request::Down);
    }
}
