//! What every [`HealStrategy`] has to do: the contract in its documentation, checked from outside.
//!
//! Owns the checks. The network, the chain and the staging area around the strategy are in memory and watched; time is
//! the given scheduler's, so the suite runs in virtual time for a strategy that works through seams only, and in real time
//! for one with threads of its own.

mod interruption;
mod watched;
mod world;

#[cfg(test)]
mod tests;

use super::{CheckResult, Failure, Report, equal, holds};
use crate::cascade::fixture::{MemoryNetwork, TicketFixture};
use crate::testkit::TestSigner;
use futures::future::join3;
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::AccountInfo;
use lampkeeper_api::heal::{HealError, HealStrategy, shadow_of};
use lampkeeper_api::network::Possession;
use lampkeeper_api::plugin::{PluginContext, PluginDescriptor};
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::signer::Signer;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use watched::Manner;
use world::{ACCOUNTS, Bench, HEAL_OP_ID, job};

/// The suite. `make` makes a new strategy from a context that grants `chain:read`, `network`, `staging`, `scheduler` and
/// an empty `store`; the scheduler is the given one.
///
/// ```no_run
/// use lampkeeper_plugin_sdk::api::heal::HealStrategy;
/// use lampkeeper_plugin_sdk::api::plugin::PluginContext;
/// use lampkeeper_plugin_sdk::testkit::{VirtualScheduler, conformance};
/// use std::sync::Arc;
///
/// # async fn my_strategy(_: PluginContext) -> Arc<dyn HealStrategy> { unimplemented!() }
/// let scheduler = VirtualScheduler::new(0);
/// let suite = conformance::heal_strategy(scheduler.handle(), async |context| my_strategy(context).await);
/// scheduler.block_on(suite).assert_passed();
/// ```
pub async fn heal_strategy(
    scheduler: Arc<dyn Scheduler>,
    make: impl AsyncFn(PluginContext) -> Arc<dyn HealStrategy>,
) -> Report {
    let bench = Bench { scheduler: &scheduler, make: &make };
    let mut report = Report::new("heal strategy");
    let small = Arc::new(TicketFixture::new("1", 300_000, 3));
    report.check("it has a name that fits into labels", name(&bench, &small)).await;
    report.check("what is lacking is staged, whatever the damage", damage(&bench, &small)).await;
    report.check("a ticket of many symbols is healed within the limits", limits(&bench)).await;
    report.check("what holders say of themselves is only a hint", hearsay(&bench, &small)).await;
    report.check("bytes that are not the ticket's are not believed", forged_bytes(&bench, &small)).await;
    report.check("a ticket with another file's hash is never sealed", another_file(&bench, &small)).await;
    report.check("documents that the creator did not sign are refused", unsigned(&bench, &small)).await;
    report.check("too much damage is a loss, until holders come back", loss(&bench, &small)).await;
    report.check("a network that fails may be tried again", failing_network(&bench, &small)).await;
    report.check("a disk that is full at any point may be tried again", full_disk(&bench, &small)).await;
    report.check("the same operation again gives the same", idempotence(&bench, &small)).await;
    report.check("operations at once do not touch each other", concurrency(&bench, &small)).await;
    report.check("it stops when it is cancelled while nobody answers", silence(&bench, &small)).await;
    let tiny = Arc::new(TicketFixture::new("1", 1_000, 3));
    report
        .check("cancelled at any await point, it leaves nothing half", interruption::cancelled(&bench, &tiny))
        .await;
    report
        .check("dropped at any await point, it leaves nothing half", interruption::dropped(&bench, &tiny))
        .await;
    report
}

/// [`heal_strategy`] for a plugin, whichever way its descriptor was come by. Its configuration is the default one.
pub async fn heal_strategy_plugin(scheduler: Arc<dyn Scheduler>, descriptor: &PluginDescriptor) -> Report {
    let construct = descriptor.construct;
    heal_strategy(scheduler, async |context| {
        #[expect(
            clippy::expect_used,
            reason = "a plugin that can't be made fails the check that asked for it"
        )]
        let provided = construct(context).await.expect("the plugin is made");
        #[expect(clippy::expect_used, reason = "as above")]
        provided.heal_strategy.expect("the plugin provides a heal strategy")
    })
    .await
}

/// What the checks need of a constructor.
trait Maker: AsyncFn(PluginContext) -> Arc<dyn HealStrategy> {}
impl<Make: AsyncFn(PluginContext) -> Arc<dyn HealStrategy>> Maker for Make {}

async fn name<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let world = bench.world(fixture).await;
    let name = world.strategy.name();
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    holds("lower-case words with hyphens", (1..=64).contains(&name.len()) && name.chars().all(fits))
}

async fn damage<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    type Damage = fn(&TicketFixture, &MemoryNetwork);
    let table: [(&str, Damage); 6] = [
        ("nothing is lost", |_, _| {}),
        ("a source and a repair symbol on one holder each", |fixture, network| {
            for esi in [1, 7] {
                let key = fixture.symbols[esi].key;
                network.remove_from(&network.replicas(&key)[1], &key);
            }
        }),
        ("all copies but one of a source symbol are corrupt", |fixture, network| {
            let key = fixture.symbols[2].key;
            network.replicas(&key).iter().skip(1).for_each(|account| network.corrupt(account, &key));
        }),
        ("all source symbols are gone, and one layout file", |fixture, network| {
            fixture.symbols[..5].iter().for_each(|symbol| network.remove(&symbol.key));
            network.remove(&fixture.id_files[6].key);
        }),
        ("a holder is wiped", |_, network| network.wipe("cat")),
        ("as few symbols as possible are left", |fixture, network| {
            fixture.symbols.iter().step_by(3).take(20).for_each(|symbol| network.remove(&symbol.key));
        }),
    ];
    for (what, damage) in table {
        let world = bench.world(fixture).await;
        damage(fixture, &world.network.holders);
        let named =
            |failure: Failure| Failure { expected: format!("{what}: {}", failure.expected), ..failure };
        let manifest = world.heals(HEAL_OP_ID).await.map_err(named)?;
        world.covers_what_is_lacking(&manifest).map_err(named)?;
    }
    Ok(())
}

async fn limits<Make: Maker>(bench: &Bench<'_, Make>) -> CheckResult {
    // 550 symbols: more than may be fetched at once.
    let fixture = Arc::new(TicketFixture::new("1", 6_000_000, 3));
    let world = bench.world(&fixture).await;
    world.network.holders.remove(&fixture.symbols[40].key);
    world.network.holders.remove(&fixture.symbols[300].key);
    let manifest = world.heals(HEAL_OP_ID).await?;
    world.covers_what_is_lacking(&manifest)
}

async fn hearsay<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    for word in [Possession::Intact, Possession::Absent, Possession::Corrupt, Possession::Unknown] {
        let world = bench.world(fixture).await;
        world.damage();
        world.network.set_manner(Manner::Saying(word));
        world.heals(HEAL_OP_ID).await?;
    }
    Ok(())
}

async fn forged_bytes<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let world = bench.world(fixture).await;
    world.network.set_manner(Manner::Forging);
    match world.run(HEAL_OP_ID).await? {
        Ok(made) => world.made_right(fixture, HEAL_OP_ID, Ok(made)).await.map(drop)?,
        Err(_) => world.nothing_sealed(HEAL_OP_ID).await?,
    }
    world.network.set_manner(Manner::Honest);
    world.heals(HEAL_OP_ID).await.map(drop)
}

async fn another_file<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let world = bench.world(fixture).await;
    let mut job = job(fixture, HEAL_OP_ID, &Cancel::new());
    job.ticket.data_hash = TicketFixture::new("1", 10, 9).ticket.data_hash;
    match world.run_job(job).await? {
        Err(HealError::WrongFile { .. } | HealError::InvalidTicket { .. }) => {
            world.nothing_sealed(HEAL_OP_ID).await
        }
        other => {
            Err(Failure { expected: "WrongFile or InvalidTicket".to_owned(), found: format!("{other:?}") })
        }
    }
}

async fn unsigned<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let stranger = TestSigner::new("somebody else");
    let creator = AccountInfo {
        address: fixture.creator.account().to_owned(),
        public_key: stranger.public_key(),
        public_key_type_url: stranger.public_key_type_url().to_owned(),
        ..AccountInfo::default()
    };
    let holders = MemoryNetwork::holding(&ACCOUNTS, fixture);
    let world = bench.world_of(fixture, holders, &[fixture.as_ref()], Some(creator)).await;
    match world.run(HEAL_OP_ID).await? {
        Err(error @ HealError::InvalidTicket { .. }) => {
            holds("nothing to try again", !error.is_transient())?;
            world.nothing_sealed(HEAL_OP_ID).await
        }
        other => Err(Failure { expected: "InvalidTicket".to_owned(), found: format!("{other:?}") }),
    }
}

async fn loss<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let world = bench.world(fixture).await;
    let need = fixture.file.len().div_ceil(65_528);
    fixture.symbols[need - 1..].iter().for_each(|symbol| world.network.holders.remove(&symbol.key));
    match world.run(HEAL_OP_ID).await? {
        Err(HealError::Lost { have, need: told, ticket_id }) => {
            equal("the ticket", ticket_id, fixture.ticket.ticket_id.clone())?;
            equal("symbols left and needed", (have, told), (need as u64 - 1, need as u64))?;
        }
        other => return Err(Failure { expected: "Lost".to_owned(), found: format!("{other:?}") }),
    }
    world.nothing_sealed(HEAL_OP_ID).await?;
    let symbol = fixture.symbols[need].clone();
    world.network.holders.put(&world.network.holders.replicas(&symbol.key)[0], symbol);
    world.heals(HEAL_OP_ID).await.map(drop)
}

async fn failing_network<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let world = bench.world(fixture).await;
    world.network.set_manner(Manner::Failing);
    match world.run(HEAL_OP_ID).await? {
        Err(error) if error.is_transient() => world.nothing_sealed(HEAL_OP_ID).await?,
        other => {
            return Err(Failure {
                expected: "an error that may be tried again".to_owned(),
                found: format!("{other:?}"),
            });
        }
    }
    world.network.set_manner(Manner::Honest);
    world.heals(HEAL_OP_ID).await.map(drop)
}

async fn full_disk<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    for writes in 0.. {
        let world = bench.world(fixture).await;
        world.damage();
        world.staging.fill_up_from(Some(writes));
        match world.run(HEAL_OP_ID).await? {
            // There was enough room for everything.
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() => world.nothing_sealed(HEAL_OP_ID).await?,
            Err(error) => {
                let expected = format!("full at write {writes}: an error that may be tried again");
                return Err(Failure { expected, found: format!("{error:?}") });
            }
        }
        world.staging.fill_up_from(None);
        world.heals(HEAL_OP_ID).await?;
    }
    Ok(())
}

async fn idempotence<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let world = bench.world(fixture).await;
    world.damage();
    let normal = |mut manifest: lampkeeper_api::staging::StagingManifest| {
        manifest.artifacts.sort_by_key(|artifact| artifact.key);
        manifest
    };
    let first = normal(world.heals(HEAL_OP_ID).await?);
    let second = normal(world.heals(HEAL_OP_ID).await?);
    holds("two runs of one operation seal the same", first == second)?;
    // A number of the shadow namespace is as good as any.
    let shadow = normal(world.heals(shadow_of(HEAL_OP_ID)).await?);
    holds("and so does a run under another number", shadow.artifacts == first.artifacts)
}

async fn concurrency<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let other = Arc::new(TicketFixture::new("2", 200_000, 4));
    let holders = MemoryNetwork::holding(&ACCOUNTS, fixture);
    for artifact in other.artifacts() {
        holders.replicas(&artifact.key).iter().for_each(|account| holders.put(account, artifact.clone()));
    }
    let world = bench.world_of(fixture, holders, &[fixture.as_ref(), other.as_ref()], None).await;
    world.damage();
    world.network.holders.remove(&other.symbols[1].key);
    let never = Cancel::new();
    let (first, second, third) = join3(
        world.run_job(job(fixture, 4, &never)),
        world.run_job(job(fixture, 5, &never)),
        world.run_job(job(&other, 6, &never)),
    )
    .await;
    // Three jobs share what is watched, so only what they made is looked at.
    for (fixture, heal_op_id, outcome) in [(fixture, 4, first), (fixture, 5, second), (&other, 6, third)] {
        outcome?
            .map_err(|error| Failure { expected: "a reconstruction".to_owned(), found: error.to_string() })?;
        match lampkeeper_api::staging::Staging::state(&world.staging.area, heal_op_id).await? {
            lampkeeper_api::staging::StagingState::Sealed(manifest) => {
                world.sealed_right(fixture, &manifest).await?;
            }
            other => return Err(Failure { expected: "sealed".to_owned(), found: format!("{other:?}") }),
        }
    }
    equal("directories touched", world.staging.touched(), BTreeSet::from([4, 5, 6]))
}

async fn silence<Make: Maker>(bench: &Bench<'_, Make>, fixture: &Arc<TicketFixture>) -> CheckResult {
    let world = bench.world(fixture).await;
    world.network.set_manner(Manner::Silent);
    let cancel = Cancel::new();
    let mut running = world.strategy.reconstruct(job(fixture, HEAL_OP_ID, &cancel));
    let begun = within(&*world.scheduler, Duration::from_secs(1), &mut running).await;
    holds("a job waits for a network that is silent", begun.is_none())?;
    cancel.cancel();
    equal("the job", world.stopped(running).await?, Err(HealError::Cancelled))?;
    world.nothing_sealed(HEAL_OP_ID).await
}
