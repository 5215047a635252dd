//! The queues from the watches to the engine. Each watch has its own, and the engine takes from all in turn, so that many
//! large objects of one kind delay no other kind. The number and the weight of the objects in a queue are limited, so that
//! objects which wait for a busy engine cannot fill the memory.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::watch_event::{Item, WatchEvent};
use crate::core::records::Record;

/// How many objects may wait in a queue before its watch waits.
const OBJECTS: usize = 1024;
/// Their total weight limit, in KiB.
const KIB: u32 = 4 * 1024;

/// A watch's end of its queue.
#[derive(Clone)]
pub(super) struct Sender {
    queue: mpsc::Sender<Letter>,
    room: Arc<Semaphore>,
}

/// The engine's end of all queues.
#[derive(Default)]
pub(super) struct Inbox {
    queues: SelectAll<BoxStream<'static, Letter>>,
}

/// An event, and the room that it takes while it waits.
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

    /// The next event of one of the queues; `None` when all senders are gone.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.queues.next().await.map(|letter| letter.seen)
    }
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
    let item = match seen {
        WatchEvent::Item(item) => item,
        WatchEvent::Owners(seen) => return seen.weight(),
        _ => return 0,
    };
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
        | Item::Policies(_)
        | Item::Configuration { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::watch_event::Kind;

    #[tokio::test]
    async fn many_objects_of_one_watch_hold_up_no_other_watch() {
        let mut inbox = Inbox::default();
        let (many, one) = (inbox.sender(), inbox.sender());
        for _ in 0..OBJECTS {
            many.send(WatchEvent::Synced(Kind::Group)).await.unwrap();
        }
        one.send(WatchEvent::Synced(Kind::User)).await.unwrap();
        for _ in 0..3 {
            if let Some(WatchEvent::Synced(Kind::User)) = inbox.next().await {
                return;
            }
        }
        panic!("what was seen of a User waits for all Groups");
    }

    #[tokio::test]
    async fn it_ends_when_all_senders_are_gone() {
        let mut inbox = Inbox::default();
        inbox.sender().send(WatchEvent::Synced(Kind::User)).await.unwrap();
        assert!(inbox.next().await.is_some() && inbox.next().await.is_none());
    }
}
