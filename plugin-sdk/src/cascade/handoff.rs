//! A bounded queue from work that holds a thread to the task that waits for it.
//!
//! Owns the one difficulty of such a queue: the work may run on the very thread that should take its results, as it
//! does in virtual time. Work on a thread of its own waits while the queue is full; work in place never does, since
//! nobody could make room.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

/// The receiver has gone: nobody wants the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for the result any more")]
pub(super) struct HandoffClosed;

impl From<HandoffClosed> for std::io::Error {
    fn from(closed: HandoffClosed) -> Self {
        Self::new(std::io::ErrorKind::BrokenPipe, closed)
    }
}

struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    sender_gone: bool,
    receiver_gone: bool,
    /// The thread that polled the receiver last.
    receiver_thread: Option<ThreadId>,
    waker: Option<Waker>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    room: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The receiving half.
pub(super) struct Handoff<T> {
    shared: Arc<Shared<T>>,
}

/// The sending half, for blocking work.
pub(super) struct HandoffSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> Handoff<T> {
    /// A queue of at most `capacity` items, at least one.
    pub(super) fn new(capacity: usize) -> (HandoffSender<T>, Self) {
        let state = State {
            items: VecDeque::new(),
            capacity: capacity.max(1),
            sender_gone: false,
            receiver_gone: false,
            receiver_thread: None,
            waker: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), room: Condvar::new() });
        (HandoffSender { shared: Arc::clone(&shared) }, Self { shared })
    }

    /// The next item; `None` when the sender has gone and nothing is left.
    pub(super) async fn next(&self) -> Option<T> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        state.receiver_thread = Some(std::thread::current().id());
        if let Some(item) = state.items.pop_front() {
            self.shared.room.notify_one();
            return Poll::Ready(Some(item));
        }
        if state.sender_gone {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Handoff<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receiver_gone = true;
        let items = std::mem::take(&mut state.items);
        self.shared.room.notify_one();
        drop(state);
        drop(items);
    }
}

impl<T> HandoffSender<T> {
    /// Hands on an item, waiting for room unless that would wait for itself.
    ///
    /// # Errors
    /// The receiver has gone.
    pub(super) fn send(&self, item: T) -> Result<(), HandoffClosed> {
        let here = std::thread::current().id();
        let mut state = self.shared.lock();
        while !state.receiver_gone
            && state.items.len() >= state.capacity
            && state.receiver_thread != Some(here)
        {
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.receiver_gone {
            return Err(HandoffClosed);
        }
        state.items.push_back(item);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Drop for HandoffSender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.sender_gone = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::VirtualScheduler;
    use futures::future::join;
    use lampkeeper_api::scheduler::{Scheduler, blocking};

    #[test]
    fn work_in_place_is_not_held_back() {
        let scheduler = VirtualScheduler::new(0);
        let (sender, receiver) = Handoff::new(1);
        let seams: Arc<dyn Scheduler> = scheduler.handle();
        let work =
            blocking(&*seams, "work", move || (0..10).map(|item| sender.send(item)).collect::<Vec<_>>());
        let take = async {
            let mut taken = Vec::new();
            while let Some(item) = receiver.next().await {
                taken.push(item);
            }
            taken
        };
        // The receiver is polled first, as whoever uses a handoff has to see to.
        let (taken, sent) = scheduler.block_on(join(take, work));
        assert_eq!(taken, (0..10).collect::<Vec<_>>());
        assert!(sent.is_ok_and(|sent| sent.iter().all(Result::is_ok)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test is about real threads")]
    fn work_on_another_thread_waits_for_room_and_ends_with_the_receiver() {
        let (sender, receiver) = Handoff::new(2);
        let worker =
            std::thread::spawn(move || (0..1000).take_while(|item| sender.send(*item).is_ok()).count());
        let mut taken = Vec::new();
        while taken.len() < 5 {
            match receiver.poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(item) => taken.extend(item),
                Poll::Pending => std::thread::yield_now(),
            }
            assert!(receiver.shared.lock().items.len() <= 2);
        }
        assert_eq!(taken, [0, 1, 2, 3, 4]);
        drop(receiver);
        let sent = worker.join().unwrap();
        assert!((5..=8).contains(&sent), "{sent} items were sent to somebody who took 5");
    }
}
