//! Permits that are given out in the order in which they were first waited for.

use lampkeeper_api::BoxFuture;
use lampkeeper_api::scheduler::{Permit, Permits};
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(super) struct FifoPermits {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

/// Nobody waits while a permit is free.
#[derive(Default)]
struct State {
    free: usize,
    waiters_started: u64,
    waiting: VecDeque<(u64, Waker)>,
    /// Waiters that were given a permit and have not taken it yet.
    granted: BTreeSet<u64>,
}

impl FifoPermits {
    /// `count` permits, at least one.
    pub(super) fn new(count: usize) -> Self {
        let state = State { free: count.max(1), ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }
}

impl Permits for FifoPermits {
    fn acquire(&self) -> BoxFuture<'static, Permit> {
        Box::pin(Acquire { shared: Arc::clone(&self.shared), waiter: None })
    }

    fn try_acquire(&self) -> Option<Permit> {
        let mut state = self.shared.lock();
        state.free = state.free.checked_sub(1)?;
        drop(state);
        Some(permit(&self.shared))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a permit on to whoever has waited longest.
    fn release(&self) {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        match &next {
            Some((waiter, _)) => {
                state.granted.insert(*waiter);
            }
            None => state.free += 1,
        }
        drop(state);
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

fn permit(shared: &Arc<Shared>) -> Permit {
    let shared = Arc::clone(shared);
    Permit::new(move || shared.release())
}

struct Acquire {
    shared: Arc<Shared>,
    waiter: Option<u64>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let mut state = self.shared.lock();
        let ready = match self.waiter {
            None if state.free > 0 => {
                state.free -= 1;
                true
            }
            None => false,
            Some(waiter) => state.granted.remove(&waiter),
        };
        if ready {
            drop(state);
            self.waiter = None;
            return Poll::Ready(permit(&self.shared));
        }
        let id = self.waiter.unwrap_or_else(|| {
            state.waiters_started += 1;
            state.waiters_started
        });
        match state.waiting.iter_mut().find(|(waiter, _)| *waiter == id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.waiting.push_back((id, context.waker().clone())),
        }
        drop(state);
        self.waiter = Some(id);
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(id) = self.waiter else { return };
        let mut state = self.shared.lock();
        state.waiting.retain(|(waiter, _)| *waiter != id);
        let had_been_granted = state.granted.remove(&id);
        drop(state);
        if had_been_granted {
            self.shared.release();
        }
    }
}
