//! Reconcile keys, and the engine's state for each.
//!
//! ```text
//!              a change                 its turn: writes            all answered
//!   Idle ──────────────────▶ Queued ──────────────────▶ Writing ───────────────────▶ Queued
//!    ▲                        │  ▲                        │
//!    └─ nothing is left to do ┘  └─ the back-off is over ─┴─ an answer was an error ─▶ BackingOff
//! ```

mod failures;
mod objects;
mod work;

use std::time::Instant;

use jiff::Timestamp;

pub(super) use self::failures::{ObjectFailures, Streak};
pub(super) use self::objects::NativeObjects;
pub(super) use self::work::{Turn, Work};
use super::log::Changes;
use crate::core::Name;
use crate::core::cache::Contribution;
use crate::core::claims::Claim;
use crate::core::desired::{Counts, DesiredState};
use crate::core::names::RELEASE_PREFIX;
use crate::core::object_ref::{NativeKind, NativeRef};
use crate::core::plan::InFlight;

/// The unit of reconciliation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ReconcileKey {
    /// Cluster-scoped native objects, and those of the site in the release namespace.
    Site,
    /// The native objects of a namespace.
    Namespace(Name),
    /// The status of a User, by handle.
    User(Name),
    /// The status of an Organization.
    Organization(Name),
    /// The list of suspended users, and the label of newly suspended ones.
    SuspendedUsers,
    /// The record of decisions for backups.
    DecisionRecord,
}

impl ReconcileKey {
    /// The key that a native object belongs to.
    pub fn of(key: &NativeRef) -> Self {
        let cluster = matches!(key.kind, NativeKind::ClusterRole | NativeKind::ClusterRoleBinding);
        // By name alone: an answer that could change, for example with the release namespace, would move the object,
        // and a write in flight, to a key that does not expect it.
        let site = cluster || key.name.starts_with(RELEASE_PREFIX);
        if site { Self::Site } else { Self::Namespace(key.namespace.clone()) }
    }

    /// The namespace, if the key is one.
    pub fn namespace(&self) -> Option<&Name> {
        if let Self::Namespace(name) = self { Some(name) } else { None }
    }
}

/// The state of the site or of a namespace.
#[derive(Debug, Default)]
pub(super) struct KeyState {
    /// The existing native objects.
    pub objects: NativeObjects,
    /// The progress from a change to its last write.
    pub work: Work,
    /// When it last converged.
    pub converged_at: Option<Instant>,
    /// The last decision.
    pub decision: Decision,
    /// Native objects that cannot be written.
    pub failures: ObjectFailures,
    /// Native objects that are being written.
    pub in_flight: InFlight,
    /// The claim on the namespace, while it is being recorded.
    pub claiming: Option<Claim>,
    /// The API server's refusals to record it.
    pub claim_refused: Option<Streak>,
    /// Changes for the log.
    pub changes: Changes,
}

/// The result of deciding a key.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// The desired state. It is large, so it is kept only while there is something to write.
    pub desired: Option<DesiredState>,
    /// Something has changed since. The decision stays in use until its writes are done, or something is urgent.
    pub is_stale: bool,
    /// The effects on the rest of the site.
    pub contribution: Contribution,
    /// The counts for the Organization's status.
    pub counts: Counts,
    /// When it changes without an event.
    pub next_change: Option<Timestamp>,
    /// The revision and the time of day of the decision.
    pub made_at: (u64, Timestamp),
}

impl KeyState {
    /// Whether writes are in flight.
    pub fn is_writing(&self) -> bool {
        self.claiming.is_some() || !self.in_flight.is_empty()
    }

    /// Forgets repeated failures: another replica may have led meanwhile.
    pub fn start_over(&mut self) {
        self.claim_refused = None;
        self.failures.start_over();
        self.changes = Changes::default();
    }

    /// Whether the decision has expired at this time.
    pub fn ends_by(&self, now: Timestamp) -> bool {
        self.decision.next_change.is_some_and(|at| at <= now)
    }
}
