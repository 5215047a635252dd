//! The engine, its API server, and everything in between: events to deliver, requests in flight, answers. Nothing moves
//! until a test says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::core::object_ref::NativeRef;
use bailiwick::core::plan::Write;
use bailiwick::operator::engine::{Engine, OwnWatch};
use bailiwick::operator::metrics::Metrics;
use bailiwick::operator::watch_event::WatchEvent;
use bailiwick::operator::writer::{WriteRequest, WriteResult};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::fake::{ApiServer, base};

/// How many writes run at once: few, so that stories reach the limit.
pub const AT_ONCE: usize = 3;
/// The period in which every key is decided again: short, so that any correction fails a test.
const RESYNC: Duration = Duration::from_secs(5);

pub struct Story {
    pub server: ApiServer,
    pub engine: Engine,
    pub metrics: Arc<Metrics>,
    requests: mpsc::UnboundedReceiver<WriteRequest>,
    own_watches: mpsc::UnboundedReceiver<OwnWatch>,
    pub in_flight: Vec<WriteRequest>,
    /// Requests that stay unanswered until [`Story::release`], with the answers of those that were carried out.
    pub held: Vec<(WriteRequest, Option<WriteResult>)>,
    /// Which writes to hold.
    pub hold: fn(&Write) -> bool,
    /// The engine's next events.
    pub events: Vec<WatchEvent>,
    pub answers: Vec<WriteResult>,
    /// Whether this story restores etcd. In every other one, the engine must see no sign of that.
    pub goes_back: bool,
}

/// The object of a write to a native object.
pub fn key_of(request: &WriteRequest) -> Option<&NativeRef> {
    if let WriteRequest::Native(write) = request { Some(write.key()) } else { None }
}

impl Story {
    /// An empty cluster with a leading engine.
    pub fn new() -> Self {
        Self::with(ApiServer::new())
    }

    /// This operator ends, and another one starts.
    pub fn start_again(self) -> Self {
        let mut server = self.server;
        server.all_watches_begin_again();
        Self::with(server)
    }

    fn with(server: ApiServer) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let (own_watches, own_watches_out) = mpsc::unbounded_channel();
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::new(metrics.clone(), sender, AT_ONCE, server.began()).with_resync(RESYNC);
        let mut engine = engine.with_own_watches(own_watches);
        engine.lead(true);
        Self {
            server,
            engine,
            metrics,
            requests,
            own_watches: own_watches_out,
            in_flight: Vec::new(),
            held: Vec::new(),
            hold: |_| false,
            events: Vec::new(),
            answers: Vec::new(),
            goes_back: false,
        }
    }

    /// The engine works until it waits for something.
    pub fn work(&mut self) {
        for _ in 0..1000 {
            let (answers, events) = (std::mem::take(&mut self.answers), std::mem::take(&mut self.events));
            self.engine.turn(self.server.now(), answers.into_iter(), events.into_iter());
            assert!(self.goes_back || self.engine.gone_back().is_none(), "{:?}", self.engine.gone_back());
            while let Ok(request) = self.requests.try_recv() {
                self.send(request);
            }
            while let Ok(watch) = self.own_watches.try_recv() {
                self.server.watch_owners(watch);
            }
            if !self.engine.has_work() {
                return;
            }
        }
        panic!("it is busy with nothing");
    }

    /// Sends a request. No object has two writes in flight, and the number of writes is limited.
    fn send(&mut self, request: WriteRequest) {
        let others = || self.in_flight.iter().chain(self.held.iter().map(|(request, _)| request));
        if let Some(key) = key_of(&request) {
            assert!(others().all(|other| key_of(other) != Some(key)), "{key} is written twice at once");
            let natives = others().filter_map(key_of).count();
            assert!(natives < 8 * AT_ONCE, "{natives} writes are in flight");
        }
        self.in_flight.push(request);
    }

    /// The watches deliver everything.
    pub fn deliver(&mut self) {
        self.events.extend(self.server.watches.deliver_all());
        self.work();
    }

    /// Carries out the first request in flight that fits; its answer is delivered once a test puts it in `answers`.
    pub fn carry_out(&mut self, fits: impl Fn(&WriteRequest) -> bool) -> Option<WriteResult> {
        let at = self.in_flight.iter().position(fits)?;
        let request = self.in_flight.remove(at);
        Some(self.server.carry_out(&request))
    }

    /// Carries out and answers everything in flight, without letting the engine work.
    pub fn answer_all(&mut self) {
        for request in std::mem::take(&mut self.in_flight) {
            if matches!(&request, WriteRequest::Native(write) if (self.hold)(write)) {
                self.held.push((request, None));
            } else {
                self.answers.push(self.server.carry_out(&request));
            }
        }
    }

    /// Delivers and answers everything that is not held, and advances time until the engine waits for none.
    pub fn settle(&mut self) {
        self.settle_until(i64::MAX);
    }

    /// The same without advancing time.
    pub fn settle_at_once(&mut self) {
        self.settle_until(self.server.store.now);
    }

    /// The same for so many seconds.
    pub fn wait(&mut self, seconds: i64) {
        let end = self.server.store.now + 2 * seconds;
        self.settle_until(end);
        self.server.store.now = end;
        self.work();
    }

    fn settle_until(&mut self, end: i64) {
        for _ in 0..400 {
            self.events.extend(self.server.watches.deliver_all());
            self.answer_all();
            if self.events.is_empty() && self.answers.is_empty() {
                let Some(next) = self.wakes_at() else { return };
                let next = next.max(self.server.store.now + 1);
                if next > end {
                    return;
                }
                self.server.store.now = next;
            }
            self.work();
        }
        panic!("it does not settle: {:?} {:?}", self.in_flight, self.engine.wakes_at());
    }

    /// When the engine has to be woken, in half seconds.
    fn wakes_at(&self) -> Option<i64> {
        let (time, clock) = self.engine.wakes_at();
        let since_base = |at: Timestamp| at.duration_since(base()).as_millis();
        let since_begin = |at: Instant| i128::try_from((at - self.server.began().clock).as_millis()).unwrap();
        let next = [time.map(since_base), clock.map(since_begin)].into_iter().flatten().min()?;
        Some(i64::try_from(next).unwrap() / 500 + 1)
    }

    /// Answers everything that was held.
    pub fn release(&mut self) {
        self.hold = |_| false;
        for (request, answer) in std::mem::take(&mut self.held) {
            let answer = answer.unwrap_or_else(|| self.server.carry_out(&request));
            self.answers.push(answer);
        }
        self.work();
    }
}
