//! Stopping a strategy at each of its await points, by its signal and by dropping it.

use super::super::{CheckResult, Failure};
use super::Maker;
use super::world::{ACCOUNTS, Bench, HEAL_OP_ID, World, job};
use crate::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::heal::HealError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// More await points than a job on a file of one source symbol may have.
const AWAIT_POINTS_MAX: usize = 5_000;

/// Polls the future this often at most; `None` if it was not done then.
async fn polled_at_most<F: Future + Unpin>(polls: usize, future: &mut F) -> Option<F::Output> {
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match Pin::new(&mut *future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The next number of polls to try: every one of the first, then ever fewer.
const fn next(polls: usize) -> usize {
    polls + 1 + polls / 64
}

async fn world<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> World {
    let world =
        bench.world_of(fixture, MemoryNetwork::holding(&ACCOUNTS, fixture), &[fixture.as_ref()], None).await;
    world.damage();
    world
}

fn at(polls: usize) -> impl FnOnce(Failure) -> Failure {
    move |failure| Failure {
        expected: format!("stopped after {polls} polls: {}", failure.expected),
        ..failure
    }
}

/// What is left is not half sealed, and the operation can be done again.
async fn recovers(world: &World) -> CheckResult {
    world.sealed_right_or_not_at_all(HEAL_OP_ID).await?;
    let manifest = world.heals(HEAL_OP_ID).await?;
    world.covers_what_is_lacking(&manifest)
}

pub(super) async fn cancelled<Make: Maker>(
    bench: &Bench<'_, Make>,
    fixture: &Arc<TicketFixture>,
) -> CheckResult {
    let mut polls = 0;
    while polls < AWAIT_POINTS_MAX {
        let world = world(bench, fixture).await;
        let cancel = Cancel::new();
        let mut running = world.strategy.reconstruct(job(fixture, HEAL_OP_ID, &cancel));
        if polled_at_most(polls, &mut running).await.is_some() {
            return Ok(());
        }
        cancel.cancel();
        match world.stopped(running).await.map_err(at(polls))? {
            Err(HealError::Cancelled) => {}
            Ok(made) => {
                world.made_right(fixture, HEAL_OP_ID, Ok(made)).await.map_err(at(polls))?;
            }
            Err(other) => {
                let found = format!("{other:?}");
                return Err(at(polls)(Failure { expected: "Cancelled or Ok".to_owned(), found }));
            }
        }
        recovers(&world).await.map_err(at(polls))?;
        polls = next(polls);
    }
    Err(endless())
}

pub(super) async fn dropped<Make: Maker>(
    bench: &Bench<'_, Make>,
    fixture: &Arc<TicketFixture>,
) -> CheckResult {
    let mut polls = 0;
    while polls < AWAIT_POINTS_MAX {
        let world = world(bench, fixture).await;
        let mut running = world.strategy.reconstruct(job(fixture, HEAL_OP_ID, &Cancel::new()));
        if polled_at_most(polls, &mut running).await.is_some() {
            return Ok(());
        }
        drop(running);
        recovers(&world).await.map_err(at(polls))?;
        polls = next(polls);
    }
    Err(endless())
}

fn endless() -> Failure {
    Failure {
        expected: format!("a small file is healed within {AWAIT_POINTS_MAX} polls"),
        found: "it goes on".to_owned(),
    }
}
