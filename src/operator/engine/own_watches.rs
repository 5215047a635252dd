//! Which objects have to be watched for their owners: those of a kind in a namespace in which somebody holds a right on
//! own objects by name. A decision of the namespace says so.

use std::collections::HashMap;

use tokio::sync::mpsc;

use crate::core::Name;
use crate::core::own_objects::Kinds;

/// A request to watch the objects of these kinds in a namespace, in place of all that was watched there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnWatch {
    /// The namespace.
    pub namespace: Name,
    /// Counts requests. Each event states that of its request, because events of an earlier one may be late.
    pub request: u64,
    /// The kinds; none ends the watches.
    pub kinds: Kinds,
}

#[derive(Debug, Default)]
pub(super) struct OwnWatches {
    current: HashMap<Name, OwnWatch>,
    requests: u64,
    out: Option<mpsc::UnboundedSender<OwnWatch>>,
}

impl OwnWatches {
    pub fn new(out: mpsc::UnboundedSender<OwnWatch>) -> Self {
        Self { out: Some(out), ..Self::default() }
    }

    /// A namespace needs these kinds. Returns whether other ones are watched from now on.
    pub fn need(&mut self, namespace: &Name, kinds: &Kinds) -> bool {
        let current = self.current.get(namespace).map(|watch| &watch.kinds);
        if current.unwrap_or(&Kinds::new()) == kinds {
            return false;
        }
        self.requests += 1;
        let watch = OwnWatch { namespace: namespace.clone(), request: self.requests, kinds: kinds.clone() };
        if let Some(out) = &self.out {
            let _ = out.send(watch.clone());
        }
        match kinds.is_empty() {
            true => drop(self.current.remove(namespace)),
            false => drop(self.current.insert(namespace.clone(), watch)),
        }
        true
    }

    /// Whether an event is of the newest request for its namespace.
    pub fn is_current(&self, namespace: &Name, request: u64) -> bool {
        self.current.get(namespace).is_some_and(|watch| watch.request == request)
    }
}
