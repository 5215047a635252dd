//! Everything that a supervisor waits for, in one queue: signals, the end of its owner, and requests.
//!
//! The threads here only forward events; the supervisor decides on its main thread.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Error;
use crate::layout::Layout;
use crate::protocol::{Reply, Request};
use crate::supervisor::Owner;

/// An event.
pub(crate) enum Event {
    /// The supervisor has to stop, for this reason.
    Stop(&'static str),
    /// Some child process has ended.
    ChildEnded,
    /// A request. The answer goes to the stream.
    Asked(Request, UnixStream),
}

/// The queue.
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    /// Listens for signals and the end of the owner.
    pub(crate) fn listen(owner: Owner) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel();
        let mut signals =
            Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGTERM]).map_err(Error::system("listen to signals"))?;
        let events = sender.clone();
        // In all these threads, sending fails only when the supervisor is about to exit.
        thread::spawn(move || {
            for signal in signals.forever() {
                let event = if signal == SIGCHLD { Event::ChildEnded } else { Event::Stop("a signal") };
                let _ = events.send(event);
            }
        });
        if owner == Owner::StandardInput {
            let events = sender.clone();
            thread::spawn(move || {
                // Nothing is ever written here: the read returns when the owner closes the other end, or the kernel
                // does after the owner's death.
                let _ = io::stdin().lock().read_to_end(&mut Vec::new());
                let _ = events.send(Event::Stop("the end of its owner"));
            });
        }
        Ok(Self { sender, receiver })
    }

    /// Opens the control socket.
    pub(crate) fn serve(&self, layout: &Layout) -> Result<(), Error> {
        let path = layout.control_socket();
        let listener = UnixListener::bind(&path).map_err(Error::file("bind", &path))?;
        let events = self.sender.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let events = events.clone();
                // One thread each, so that a silent client blocks nobody.
                thread::spawn(move || read_request(stream, &events));
            }
        });
        Ok(())
    }

    /// The next event, or `None` at the time `until`.
    pub(crate) fn next(&self, until: Option<Instant>) -> Option<Event> {
        match until {
            Some(until) => self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok(),
            None => self.receiver.recv().ok(),
        }
    }
}

fn read_request(stream: UnixStream, events: &Sender<Event>) {
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line).is_err() {
        return;
    }
    match serde_json::from_str(&line) {
        // Sending fails only when the supervisor is about to exit; the client then sees the stream end.
        Ok(request) => drop(events.send(Event::Asked(request, stream))),
        Err(error) => answer(&stream, &Reply::Failed(format!("not a request: {error}"))),
    }
}

/// Sends the answer. The client may have gone.
pub(crate) fn answer(mut stream: &UnixStream, reply: &Reply) {
    if let Ok(line) = serde_json::to_string(reply) {
        let _ = stream.write_all(format!("{line}\n").as_bytes());
    }
}
