//! What the watches saw, on its way to the engine. Each watch has a queue of its own, and the engine takes from all of them in
//! turn: many large objects of one kind hold up no other kind. A queue is bounded by the number of objects and by what they
//! weigh, so that a busy engine does not have the memory filled with objects that it has not looked at.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::watch::{Item, WatchEvent};
use crate::core::records::Record;

/// How many objects may wait in a queue before its watch waits.
const OBJECTS: usize = 1024;
/// What they may weigh together, in KiB.
const KIB: u32 = 4 * 1024;

/// Where a watch sends to.
#[derive(Clone)]
pub(super) struct Sender {
    queue: mpsc::Sender<Letter>,
    room: Arc<Semaphore>,
}

/// Where the engine receives. It ends when all senders are gone.
#[derive(Default)]
pub(super) struct Inbox {
    queues: SelectAll<BoxStream<'static, Letter>>,
}

/// Something that was seen, and the room that it takes while it waits.
struct Letter {
    seen: WatchEvent,
    _room: OwnedSemaphorePermit,
}

/// The engine is gone.
#[derive(Debug)]
pub(super) struct Closed;

impl Inbox {
    /// A new queue.
    pub fn sender(&mut self) -> Sender {
        let (queue, letters) = mpsc::channel(OBJECTS);
        let letters = futures::stream::unfold(letters, async |mut letters| Some((letters.recv().await?, letters)));
        self.queues.push(letters.boxed());
        Sender { queue, room: Arc::new(Semaphore::new(KIB as usize)) }
    }

    /// What was seen next, in one of the queues.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.queues.next().await.map(|letter| letter.seen)
    }
}

impl Sender {
    /// Sends when there is room.
    ///
    /// # Errors
    /// When nobody receives any more.
    pub async fn send(&self, seen: WatchEvent) -> Result<(), Closed> {
        let kib = u32::try_from(weight(&seen) / 1024).unwrap_or(u32::MAX).min(KIB);
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| Closed)?;
        self.queue.send(Letter { seen, _room: room }).await.map_err(|_| Closed)
    }
}

fn weight(seen: &WatchEvent) -> usize {
    let WatchEvent::Item(item) = seen else { return 0 };
    match &**item {
        Item::Organization(organization) => organization.weight(),
        Item::User(user) => user.weight(),
        Item::Group(group) => group.weight(),
        Item::RoleBinding(binding) | Item::SiteRoleBinding(binding) => binding.weight(),
        Item::CustomRole(role) | Item::SiteRole(role) => role.weight(),
        // What the operator or the platform team writes.
        Item::Namespace(_)
        | Item::Native(..)
        | Item::Ceiling(..)
        | Item::Bounds(_)
        | Item::Settings(_)
        | Item::Suspended(_)
        | Item::Kept(..)
        | Item::PolicyFaults(_)
        | Item::Configuration { .. } => 0,
    }
}
