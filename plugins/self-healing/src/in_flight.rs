//! Which operations this node works on at present, so that nothing is done twice at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// On which side of an operation this node works. Reconstructing, claiming and publishing share one side, so that the
/// finalizer never races with the healer of the same operation (wire 5.11, *Known weakness*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Healing,
    Verifying,
    /// Asking holders about this node's tickets; not about an operation.
    Looking,
}

/// The set of operations that are worked on. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight {
    operations: Arc<Mutex<BTreeSet<(u64, Side)>>>,
}

impl InFlight {
    /// Whether somebody works on it.
    pub(crate) fn contains(&self, heal_op_id: u64, side: Side) -> bool {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).contains(&(heal_op_id, side))
    }

    /// The right to work on an operation, unless somebody does already.
    pub(crate) fn begin(&self, heal_op_id: u64, side: Side) -> Option<InFlightGuard> {
        let operation = (heal_op_id, side);
        let is_new = self.operations.lock().unwrap_or_else(PoisonError::into_inner).insert(operation);
        is_new.then(|| InFlightGuard { in_flight: self.clone(), operation })
    }
}

/// The right to work on an operation; given back when dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    in_flight: InFlight,
    operation: (u64, Side),
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.in_flight.operations.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.operation);
    }
}
