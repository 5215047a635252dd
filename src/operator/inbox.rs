//! The queue from the watches to the engine. The number and the weight of its objects are limited, so that objects
//! which wait for a busy engine cannot fill the memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::watch::{Item, WatchEvent};
use crate::core::records::Record;

/// How many objects may wait before the watches have to.
const OBJECTS: usize = 4096;
/// Their total weight limit, in KiB.
const KIB: u32 = 16 * 1024;

/// The watches' end.
#[derive(Clone)]
pub(super) struct Sender {
    queue: mpsc::Sender<Letter>,
    room: Arc<Semaphore>,
}

/// The engine's end.
pub(super) type Receiver = mpsc::Receiver<Letter>;

/// An event, and the room that it takes while it waits.
pub(super) struct Letter {
    pub seen: WatchEvent,
    _room: OwnedSemaphorePermit,
}

/// The engine is gone.
#[derive(Debug)]
pub(super) struct Closed;

pub(super) fn channel() -> (Sender, Receiver) {
    let (queue, receiver) = mpsc::channel(OBJECTS);
    (Sender { queue, room: Arc::new(Semaphore::new(KIB as usize)) }, receiver)
}

impl Sender {
    /// Sends once there is room.
    ///
    /// # Errors
    /// When the receiver is gone.
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
