//! Keeps the record of decisions that a backup must bring back: see [`crate::core::kept`].
//!
//! It is written when there is nothing else to do, and not often: only a restore reads it.

use std::time::{Duration, Instant};

use super::Engine;
use crate::core::kept::Kept;
use crate::core::records::digest;
use crate::core::uid::Uid;
use crate::operator::retry;
use crate::operator::watch::OwnConfigMap;
use crate::operator::writer::{Failure, WriteRequest};

/// The pause between two writes.
const PAUSE: Duration = Duration::from_secs(2);

/// What is known of the record, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    map: Option<OwnConfigMap>,
    writing: Option<Kept>,
    /// Something may have to be written.
    stale: bool,
    failures: u32,
    wait_until: Option<Instant>,
}

impl Keeping {
    /// Something was decided, perhaps.
    pub fn look_again(&mut self) {
        self.stale = true;
    }

    /// The UID of the record, if it is there.
    pub fn uid(&self) -> Option<Uid> {
        self.map.as_ref().map(|map| map.uid.clone())
    }

    /// When it is to be looked at again.
    pub fn waits_until(&self) -> Option<Instant> {
        self.wait_until.filter(|_| self.stale)
    }

    /// The record is gone.
    pub fn take_out(&mut self, uid: &Uid) {
        if self.uid().as_ref() == Some(uid) {
            self.map = None;
        }
    }

    fn take_in(&mut self, map: OwnConfigMap) {
        if self.map.as_ref().is_none_or(|known| known.uid != map.uid || known.version < map.version) {
            self.map = Some(map);
            self.stale = true;
        }
    }
}

impl Engine {
    /// The record, as the watch shows it. What it says counts when the operator starts: later, the operator knows better.
    pub(super) fn see_kept(&mut self, map: OwnConfigMap, kept: Kept) {
        if !self.has_synced() {
            self.cache.kept = kept;
        }
        self.keeping.take_in(map);
    }

    /// Writes the record if it is not right and nothing else is to be done.
    pub(super) fn keep(&mut self) {
        let clock = self.now.clock;
        let waits = self.keeping.wait_until.is_some_and(|until| until > clock);
        let Some(map) = self.keeping.map.as_ref().filter(|_| self.keeping.stale && !waits) else { return };
        if !self.busy.is_empty() || self.keeping.writing.is_some() {
            return;
        }
        let wanted = Kept::of(&self.cache);
        let text = wanted.text();
        // It is complete when some more statuses are written.
        self.keeping.stale = wanted.is_partial;
        if map.digest != digest(&[&text]) {
            let _ = self.jobs.send(WriteRequest::Keep { uid: map.uid.clone(), text });
            self.keeping.writing = Some(wanted);
        }
        self.keeping.wait_until = Some(clock + PAUSE);
    }

    /// What became of the record.
    pub(super) fn kept_written(&mut self, result: Result<OwnConfigMap, Failure>) {
        let Some(wanted) = self.keeping.writing.take() else { return };
        match result {
            Ok(map) => {
                self.keeping.failures = 0;
                self.keeping.take_in(map);
                let doubts = std::mem::take(&mut self.cache.kept.doubts);
                self.cache.kept = Kept { doubts, ..wanted };
            }
            Err(failure) => {
                tracing::warn!(?failure, "the record of decisions was not written; it is tried again");
                self.keeping.failures += 1;
                self.keeping.wait_until = Some(self.now.clock + retry::delay(self.keeping.failures));
            }
        }
        self.keeping.stale = true;
    }
}
