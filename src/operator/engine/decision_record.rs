//! Writes the record of decisions for backups: see [`crate::core::kept`].
//!
//! Only a restore reads it, so it is written rarely, and when there is nothing else to do.

use std::time::{Duration, Instant};

use super::key::ReconcileKey;
use super::{Engine, WriteRequest};
use crate::core::kept::Kept;
use crate::core::records::digest;
use crate::core::uid::Uid;
use crate::operator::retry;
use crate::operator::watch_event::OwnConfigMap;
use crate::operator::writer::Failure;

/// The pause between two writes.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest wait for an idle moment, so that a tenant with continuous changes cannot prevent the write.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The known record, and the write in flight.
#[derive(Debug, Default)]
pub(super) struct DecisionRecord {
    map: Option<OwnConfigMap>,
    writing: Option<Kept>,
    /// When a change last made a write necessary.
    changed_at: Option<Instant>,
    /// No write before then.
    waits_until: Option<Instant>,
    failures: u32,
}

impl DecisionRecord {
    /// A decision may have changed.
    pub fn changed(&mut self, now: Instant) {
        self.changed_at.get_or_insert(now);
    }

    /// The UID of the record, if it exists.
    pub fn uid(&self) -> Option<Uid> {
        self.map.as_ref().map(|map| map.uid.clone())
    }

    /// Whether to check it now. `idle`: there is no other work.
    pub fn is_due(&self, now: Instant, idle: bool) -> bool {
        let waits = self.waits_until.is_some_and(|until| until > now);
        let is_late = |since| now.saturating_duration_since(since) > LONGEST_WAIT;
        !waits && self.writing.is_none() && self.changed_at.is_some_and(|since| idle || is_late(since))
    }

    /// The record from a watch or from the answer to a write.
    pub fn take_in(&mut self, map: OwnConfigMap, now: Instant) {
        if self.map.as_ref().is_none_or(|known| known.uid != map.uid || known.version < map.version) {
            self.map = Some(map);
            self.changed(now);
        }
    }

    /// The record was deleted.
    pub fn take_out(&mut self, uid: &Uid) {
        if self.uid().as_ref() == Some(uid) {
            self.map = None;
        }
    }
}

impl Engine {
    /// Takes in the record from the watch. Its content counts only when the operator starts, which knows better later.
    pub(super) fn see_record(&mut self, map: OwnConfigMap, kept: Kept) {
        if !self.listings.all_complete() {
            self.cache.kept = kept;
        }
        self.record.take_in(map, self.now.clock);
    }

    /// Writes the record if it differs.
    pub(super) fn write_record(&mut self) {
        let Some(map) = &self.record.map else { return };
        let wanted = Kept::of(&self.cache);
        let text = wanted.text();
        // A partial record becomes complete once more statuses are written.
        self.record.changed_at = Some(self.now.clock).filter(|_| wanted.is_partial);
        if map.digest != digest(&[&text]) {
            let _ = self.writer.send(WriteRequest::Keep { uid: map.uid.clone(), text });
            self.record.writing = Some(wanted);
        }
        self.wait_with_record(PAUSE);
    }

    /// The result of writing the record.
    pub(super) fn record_written(&mut self, result: Result<OwnConfigMap, Failure>) {
        let Some(wanted) = self.record.writing.take() else { return };
        match result {
            Ok(map) => {
                self.record.failures = 0;
                self.record.take_in(map, self.now.clock);
                let doubts = std::mem::take(&mut self.cache.kept.doubts);
                self.cache.kept = Kept { doubts, ..wanted };
            }
            Err(failure) => {
                tracing::warn!(?failure, "cannot write the record of decisions; retrying");
                self.record.failures += 1;
                self.wait_with_record(retry::delay(self.record.failures));
            }
        }
        self.record.changed(self.now.clock);
    }

    fn wait_with_record(&mut self, pause: Duration) {
        let until = self.now.clock + pause;
        self.record.waits_until = Some(until);
        self.queue.add_after(ReconcileKey::DecisionRecord, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_waits_for_a_moment_of_rest_but_not_forever() {
        let (mut record, now) = (DecisionRecord::default(), Instant::now());
        assert!(!record.is_due(now, true));
        record.changed(now);
        assert!(record.is_due(now, true) && !record.is_due(now, false));
        let late = now + LONGEST_WAIT + Duration::from_secs(1);
        record.changed(late);
        assert!(record.is_due(late, false));
        record.waits_until = Some(late + PAUSE);
        assert!(!record.is_due(late, true) && record.is_due(late + PAUSE, true));
    }
}
