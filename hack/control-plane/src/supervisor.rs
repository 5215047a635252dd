//! The process that owns an instance: it starts etcd, kube-apiserver and kube-controller-manager as its children,
//! handles requests from the control socket, and stops everything on request or when its owner has ended.
//!
//! It must not signal a process that it did not start, and must run on its process's main thread (see child.rs).

mod cluster;

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::claim::Claim;
use crate::events::{Event, Events, answer};
use crate::files::{open_log, write_private};
use crate::layout::Layout;
use crate::protocol::{Description, Reply, Request, Status};
use crate::{Error, Tools};
use cluster::Cluster;

/// How often to poll a condition that nothing reports.
const TICK: Duration = Duration::from_millis(50);
/// The time limit for becoming ready, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(120);
/// The time limit for a clean end of the API server.
const GRACE: Duration = Duration::from_secs(20);

/// The owner, whose end also ends the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The process at the other end of standard input.
    StandardInput,
    /// Nobody: the instance runs until it is stopped.
    Nobody,
}

/// An instance to supervise.
#[derive(Debug, Clone)]
pub struct Supervision {
    /// The instance's directory.
    pub directory: PathBuf,
    /// The owner, whose end also ends the instance.
    pub owner: Owner,
    /// A directory that another instance saved, to start from.
    pub from: Option<PathBuf>,
    /// Additional flags of kube-apiserver.
    pub api_server_flags: Vec<String>,
}

/// Runs an instance until it is stopped, and removes its directory. Calls `ready` with the API server's URL.
///
/// Call it on the main thread, and end the process afterwards: a client that requested the end waits for that.
///
/// # Errors
/// When the instance does not become ready, or its directory cannot be removed. In the first case the directory, with
/// the logs, stays if there is no owner; the next start removes it.
pub fn supervise(supervision: &Supervision, ready: impl FnOnce(&str)) -> Result<(), Error> {
    run(supervision, |description| ready(&description.server))
}

pub(crate) fn run(supervision: &Supervision, ready: impl FnOnce(&Description)) -> Result<(), Error> {
    let root = std::path::absolute(&supervision.directory).map_err(Error::file("resolve", &supervision.directory))?;
    let layout = Layout::new(&root);
    layout.check_socket_length()?;
    let tools = Tools::locate()?;
    let events = Events::listen(supervision.owner)?;
    let claim = Claim::new(&layout)?;
    let cluster = Cluster::prepare(&layout, &tools, supervision)?;
    let mut supervisor = Supervisor {
        layout,
        tools,
        cluster,
        events,
        asked: VecDeque::new(),
        begin: Instant::now(),
        told_to_stop: false,
    };
    let result = supervisor.begin().map(|description| {
        ready(&description);
        supervisor.serve()
    });
    supervisor.cluster.kill();
    match result {
        Ok(downer) => {
            claim.remove()?;
            // Only now, and the stream stays open until this process ends, so that `down` returns when nothing is left.
            if let Some(stream) = downer {
                answer(&stream, &Reply::Done);
                std::mem::forget(stream);
            }
            Ok(())
        }
        Err(error) => {
            if supervision.owner == Owner::StandardInput || matches!(error, Error::Interrupted { .. }) {
                claim.remove()?;
            }
            Err(error)
        }
    }
}

struct Supervisor {
    layout: Layout,
    tools: Tools,
    cluster: Cluster,
    events: Events,
    /// Requests that arrived during another one.
    asked: VecDeque<(Request, UnixStream)>,
    begin: Instant,
    told_to_stop: bool,
}

impl Supervisor {
    /// Starts everything, in the order of dependencies.
    fn begin(&mut self) -> Result<Description, Error> {
        self.cluster.start_etcd()?;
        self.cluster.start_api_server()?;
        self.wait_for("an API server that is ready", Cluster::api_server_is_ready)?;
        self.cluster.forget_the_work_of_controllers()?;
        self.cluster.start_controller_manager()?;
        self.wait_for("the ServiceAccount of the namespace default", Cluster::controllers_work)?;
        let description = Description { server: self.cluster.server(), tools: self.tools.clone() };
        let path = self.layout.description();
        let json = serde_json::to_string(&description).map_err(|error| Error::file("write", &path)(error.into()))?;
        write_private(&path, &json)?;
        self.events.serve(&self.layout)?;
        self.note(format_args!("ready at {}", description.server));
        Ok(description)
    }

    /// Handles requests until it is time to stop; returns the stream of the client that requested the end.
    fn serve(&mut self) -> Option<UnixStream> {
        while !self.told_to_stop {
            let (request, stream) = match self.asked.pop_front() {
                Some(asked) => asked,
                None => match self.events.next(None)? {
                    Event::Asked(request, stream) => (request, stream),
                    Event::ChildEnded => {
                        self.reap();
                        continue;
                    }
                    Event::Stop(reason) => {
                        self.note(format_args!("stopping because of {reason}"));
                        return None;
                    }
                },
            };
            if request != Request::Status {
                self.note(format_args!("asked to {request:?}"));
            }
            if request == Request::Down {
                return Some(stream);
            }
            let reply = self.carry_out(request).unwrap_or_else(|error| Reply::Failed(error.to_string()));
            answer(&stream, &reply);
        }
        None
    }

    fn carry_out(&mut self, request: Request) -> Result<Reply, Error> {
        match request {
            Request::Status => {
                self.reap();
                let (server, components) = (self.cluster.server(), self.cluster.states());
                return Ok(Reply::Status(Status { server, supervisor: std::process::id(), components }));
            }
            Request::RestartApiServer => {
                self.stop_api_server()?;
                self.start_api_server()?;
            }
            Request::StopApiServer => self.stop_api_server()?,
            Request::StartApiServer => self.start_api_server()?,
            Request::KillApiServer => self.cluster.api_server.kill(),
            Request::CopyEtcd => self.cluster.copy_etcd()?,
            Request::RestoreEtcd => self.restore_etcd()?,
            // `serve` handles this one itself.
            Request::Down => {}
        }
        Ok(Reply::Done)
    }

    fn start_api_server(&mut self) -> Result<(), Error> {
        if !self.cluster.api_server.is_running() {
            self.cluster.start_api_server()?;
        }
        self.wait_for("an API server that is ready", Cluster::api_server_is_ready)
    }

    fn stop_api_server(&mut self) -> Result<(), Error> {
        self.cluster.api_server.terminate()?;
        let deadline = Instant::now() + GRACE;
        while self.cluster.api_server.is_running() && Instant::now() < deadline {
            self.pause(deadline, "the API server's end")?;
        }
        if self.cluster.api_server.is_running() {
            self.note("the API server does not end; killing it");
            self.cluster.api_server.kill();
        }
        self.cluster.api_server.forget();
        Ok(())
    }

    /// Restores etcd as administrators do: stops everything, replaces the data, and starts everything again.
    fn restore_etcd(&mut self) -> Result<(), Error> {
        let copy = self.layout.etcd_copy();
        std::fs::metadata(&copy).map_err(Error::file("find", &copy))?;
        self.stop_api_server()?;
        self.cluster.kill();
        self.cluster.restore_etcd()?;
        self.cluster.start_etcd()?;
        self.start_api_server()?;
        self.cluster.start_controller_manager()
    }

    /// Polls a condition of the cluster, while handling reported events.
    fn wait_for(&mut self, what: &'static str, reached: impl Fn(&Cluster) -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + READY;
        loop {
            self.reap();
            if let Some(died) = self.cluster.died() {
                return Err(died);
            }
            if reached(&self.cluster) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let (component, log) = self.cluster.latest_log();
                return Err(Error::Late { what, seconds: READY.as_secs(), component, log });
            }
            self.pause(Instant::now() + TICK, what)?;
        }
    }

    /// Sleeps until `until`, or until one of the servers has ended. Fails when it is time to stop.
    fn pause(&mut self, until: Instant, what: &'static str) -> Result<(), Error> {
        while let Some(event) = self.events.next(Some(until)) {
            match event {
                Event::ChildEnded if self.reap() => return Ok(()),
                Event::ChildEnded => {}
                Event::Asked(request, stream) => self.asked.push_back((request, stream)),
                Event::Stop(_) => {
                    self.told_to_stop = true;
                    return Err(Error::Interrupted { what });
                }
            }
        }
        Ok(())
    }

    fn reap(&mut self) -> bool {
        let ended = self.cluster.reap();
        for name in &ended {
            self.note(format_args!("{name} has ended"));
        }
        !ended.is_empty()
    }

    /// Writes to the supervisor's own log. There is no other place for messages, and a full disk must not stop it.
    fn note(&self, message: impl Display) {
        if let Ok(mut log) = open_log(&self.layout.log("supervisor")) {
            let _ = writeln!(log, "{:8.3} {message}", self.begin.elapsed().as_secs_f64());
        }
    }
}
