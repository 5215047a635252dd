//! The writer: the one place from which anything is written to the API server.
//!
//! Everything is begun at once, but for statuses and labels, of which no more than so many are. How much else is under way,
//! and in which order, the engine says (see its `queue`). A write that meets something unexpected looks at what is there and
//! reports it; what to do about it is decided anew by whoever asked.

mod hand;

use std::collections::VecDeque;
use std::sync::Arc;

use kube::Client;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::hand::Hand;
use super::lease::Gate;
use super::metrics::Metrics;
use super::watch::{Item, SuspendedList};
use crate::core::Name;
use crate::core::claims::Claim;
use crate::core::native::{Key, Observed, Source};
use crate::core::plan::Write;
use crate::core::records;
use crate::core::suspended::TEXTS;
use crate::core::uid::Uid;

/// Something to write.
#[derive(Debug)]
pub enum Job {
    /// A native object.
    Native(Write),
    /// The record of a claim on a Namespace.
    Claim(Claim),
    /// The list of suspended users.
    Suspended {
        /// Of the ConfigMap: one that is gone is not made anew.
        uid: Uid,
        #[allow(missing_docs)]
        texts: [String; TEXTS],
    },
    /// The label of a User who was suspended a moment ago comes off.
    Unlabel {
        #[allow(missing_docs)]
        handle: Name,
        /// Of the User as it was when it was found on a list: who was activated and suspended again since keeps the label.
        version: u64,
    },
    /// An Event on a ConfigMap of the chart that cannot be read.
    Unread {
        /// Its name.
        map: &'static str,
        #[allow(missing_docs)]
        uid: Uid,
        #[allow(missing_docs)]
        why: String,
    },
    /// A status, and the Event that goes with it, if any.
    Status {
        #[allow(missing_docs)]
        target: Source,
        #[allow(missing_docs)]
        document: Value,
        /// Reason and message.
        event: Option<(&'static str, String)>,
    },
}

impl Job {
    /// How metrics call it.
    fn verb(&self) -> &'static str {
        match self {
            Job::Native(Write::Create { .. }) => "create",
            Job::Native(Write::Apply { .. }) => "apply",
            Job::Native(Write::Delete { .. }) => "delete",
            Job::Claim(_) => "claim",
            Job::Suspended { .. } => "suspended",
            Job::Unlabel { .. } => "unlabel",
            Job::Status { .. } => "status",
            Job::Unread { .. } => "event",
        }
    }

    fn undone(&self, outcome: Outcome, failure: Failure) -> Done {
        match self {
            Job::Native(write) => Done::Native(write.key().clone(), outcome),
            Job::Claim(claim) => Done::Claim(claim.namespace.clone(), Err(failure)),
            Job::Suspended { .. } => Done::Suspended(Err(failure)),
            Job::Unlabel { handle, .. } => Done::Unlabelled(handle.clone(), Err(failure)),
            Job::Status { target, .. } => Done::Status(target.clone(), Err(failure)),
            Job::Unread { .. } => Done::Unread,
        }
    }
}

/// What became of it.
#[derive(Debug)]
pub enum Done {
    /// Of a native object.
    Native(Key, Outcome),
    /// Of a claim.
    Claim(Name, Result<records::Namespace, Failure>),
    /// Of a status: the object as it is now.
    Status(Source, Result<Box<Item>, Failure>),
    /// Of the list of suspended users.
    Suspended(Result<SuspendedList, Failure>),
    /// An Event is on its way.
    Unread,
    /// Of a User's label.
    Unlabelled(Name, Result<(), Failure>),
}

/// What became of a write to a native object.
#[derive(Debug)]
pub enum Outcome {
    /// This is there now, as it was written.
    Is(Observed),
    /// This is there now, and it is not what was written: something between us and the store changed it.
    Altered(Observed),
    /// The write was in conflict with this, which is there now.
    Found(Observed),
    /// It is not there (any more); the UID is the one that was written to, if any.
    Gone(Option<Uid>),
    /// It is there, but not ours.
    Taken,
    /// The API server refuses it.
    Refused {
        /// What it said.
        message: String,
        /// Whether the operator may write this kind in this place at all.
        authorized: bool,
    },
    /// It may work another time.
    Failed {
        #[allow(missing_docs)]
        message: String,
        /// Whether the API server said so, and is not overwhelmed: a webhook of the cluster may be what does not work. Of what
        /// takes access away also that it gave up waiting.
        answered: bool,
    },
    /// This replica does not lead.
    NotLeading,
}

/// Why something beside native objects was not written.
#[derive(Debug)]
pub enum Failure {
    /// The object is gone.
    Gone,
    /// Somebody else wrote it meanwhile.
    Conflict(String),
    /// The API server says no.
    Refused(String),
    /// It may work another time.
    Failed(String),
    /// This replica does not lead.
    NotLeading,
}

/// Writes what it is given, until nobody can give it anything any more.
pub(super) async fn run(
    client: Client,
    namespace: String,
    most_statuses: usize,
    gate: Gate,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    done: mpsc::UnboundedSender<Done>,
    metrics: Arc<Metrics>,
) {
    let hand = Hand::new(client, namespace, gate, metrics);
    let mut running = JoinSet::new();
    // Statuses and labels: those that are under way, and those that wait.
    let (mut statuses, mut waiting) = (0, VecDeque::new());
    let spawn = |running: &mut JoinSet<(bool, Done)>, is_status, job| {
        let hand = hand.clone();
        running.spawn(async move { (is_status, hand.write(job).await) });
    };
    loop {
        tokio::select! {
            biased;
            Some(finished) = running.join_next() => {
                let Ok((is_status, outcome)) = finished else { return };
                statuses -= usize::from(is_status);
                if done.send(outcome).is_err() {
                    return;
                }
            }
            job = jobs.recv() => match job {
                Some(job @ (Job::Unlabel { .. } | Job::Status { .. })) => waiting.push_back(job),
                Some(job) => spawn(&mut running, false, job),
                None => return,
            }
        }
        while statuses < most_statuses
            && let Some(job) = waiting.pop_front()
        {
            statuses += 1;
            spawn(&mut running, true, job);
        }
    }
}
