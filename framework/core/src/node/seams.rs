//! Hands out seams: to each plugin what it was granted, and nothing else.

use crate::account::{AccountGate, Panics};
use crate::resolve::Grants;
use crate::telemetry::{PluginScheduler, PluginTelemetry};
use lampkeeper_api::chain::ChainReader;
use lampkeeper_api::guard::{Border, Guarded};
use lampkeeper_api::plugin::{Provided, Seam};
use lampkeeper_api::scheduler::Scheduler;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The seams that are there, by who provides them.
pub(super) type Available = BTreeMap<String, Provided>;

/// The granted seams, as handles that can do no more than was granted.
///
/// The scheduler is the plugin's own view of it, so that what it spawns carries its name in logs. A reader of the
/// chain is only that: who was granted `chain:read` can't submit, also where the provider could.
pub(super) fn granted(grants: &Grants, available: &Available, telemetry: &PluginTelemetry) -> Provided {
    let mut seams = Provided::default();
    for (seam, provider) in grants {
        if let Some(provided) = available.get(provider) {
            grant(*seam, provided, &mut seams, telemetry);
        }
    }
    seams
}

fn grant(seam: Seam, from: &Provided, to: &mut Provided, telemetry: &PluginTelemetry) {
    match seam {
        Seam::ChainRead => to.chain_reader = reader(from),
        Seam::ChainSubmit => to.chain.clone_from(&from.chain),
        Seam::Store => to.store.clone_from(&from.store),
        Seam::Staging => to.staging.clone_from(&from.staging),
        Seam::Journal => to.journal.clone_from(&from.journal),
        Seam::Transport => to.transport.clone_from(&from.transport),
        Seam::Network => to.network.clone_from(&from.network),
        Seam::Scheduler => {
            to.scheduler = from.scheduler.as_ref().map(|scheduler| own_scheduler(scheduler, telemetry));
        }
        Seam::Signer => to.signer.clone_from(&from.signer),
        Seam::HealStrategy => to.heal_strategy.clone_from(&from.heal_strategy),
        Seam::HealShadow => to.heal_shadow.clone_from(&from.heal_strategy),
        Seam::Challenger => to.challenger.clone_from(&from.challenger),
        // Never granted, and a seam that this version does not know can't have been declared.
        _ => {}
    }
}

/// The scheduler as one plugin sees it: what it spawns carries its name, and is on its account.
pub(super) fn own_scheduler(
    scheduler: &Arc<dyn Scheduler>,
    telemetry: &PluginTelemetry,
) -> Arc<dyn Scheduler> {
    let named: Arc<dyn Scheduler> = Arc::new(PluginScheduler::new(Arc::clone(scheduler), telemetry.clone()));
    // Only the polls of its work are measured: a scheduler knows what to do about a task that panics.
    let gate = AccountGate::new(telemetry.clone(), None, Panics::LeftToTheRunner);
    Arc::new(Guarded::new(named, Border::given(Arc::new(gate))))
}

fn reader(from: &Provided) -> Option<Arc<dyn ChainReader>> {
    let chain = || from.chain.clone().map(|chain| chain as Arc<dyn ChainReader>);
    from.chain_reader.clone().or_else(chain)
}
