//! A signal that work should stop.
//!
//! Owns the flag and the wakers of those who wait for it, and nothing else: who cancels what, and how long a drain
//! may take, is the supervisor's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A cancellation signal; clones share it.
///
/// Cancelling is final. A child is cancelled with its parent, never the other way round.
#[derive(Clone, Default)]
pub struct Cancel {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    cancelled: bool,
    wakers: Vec<(u64, Waker)>,
    waiters_started: u64,
    children: Vec<std::sync::Weak<Mutex<Shared>>>,
}

impl Cancel {
    /// A signal that nobody has given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal to everyone who waits for it, and to all children.
    pub fn cancel(&self) {
        let mut pending = vec![Arc::clone(&self.shared)];
        while let Some(shared) = pending.pop() {
            let wakers = {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.cancelled = true;
                pending.extend(shared.children.drain(..).filter_map(|child| child.upgrade()));
                std::mem::take(&mut shared.wakers)
            };
            wakers.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// A signal that is also given when this one is.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        let mut shared = self.lock();
        if shared.cancelled {
            child.lock().cancelled = true;
        } else {
            shared.children.retain(|existing| existing.strong_count() > 0);
            shared.children.push(Arc::downgrade(&child.shared));
        }
        drop(shared);
        child
    }

    /// Completes when the signal is given; at once if it already was.
    #[must_use]
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { cancel: self.clone(), waiter: None }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cancel").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// The future of [`Cancel::cancelled`].
#[derive(Debug)]
pub struct Cancelled {
    cancel: Cancel,
    waiter: Option<u64>,
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.cancel.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.cancelled {
            return Poll::Ready(());
        }
        let id = self.waiter.unwrap_or_else(|| {
            shared.waiters_started += 1;
            shared.waiters_started
        });
        match shared.wakers.iter_mut().find(|(waiter, _)| *waiter == id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => shared.wakers.push((id, context.waker().clone())),
        }
        drop(shared);
        self.waiter = Some(id);
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(id) = self.waiter {
            self.cancel.lock().wakers.retain(|(waiter, _)| *waiter != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll_once(future: &mut Cancelled) -> Poll<()> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_child_follows_its_parent_and_not_the_other_way_round() {
        let parent = Cancel::new();
        let (first, second) = (parent.child(), parent.child());
        first.cancel();
        assert!(first.is_cancelled() && !parent.is_cancelled() && !second.is_cancelled());
        parent.cancel();
        assert!(second.is_cancelled());
        assert!(parent.child().is_cancelled(), "a child of a cancelled signal is born cancelled");
    }

    #[test]
    fn a_waiter_that_gives_up_leaves_nothing_behind() {
        let cancel = Cancel::new();
        let mut waiting = cancel.cancelled();
        assert_eq!(poll_once(&mut waiting), Poll::Pending);
        assert_eq!(cancel.lock().wakers.len(), 1);
        drop(waiting);
        assert!(cancel.lock().wakers.is_empty());
        cancel.cancel();
        assert_eq!(poll_once(&mut cancel.cancelled()), Poll::Ready(()));
    }
}
