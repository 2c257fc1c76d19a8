//! Hands out seams: to each plugin what it was granted, and nothing else.

use crate::account::{AccountGate, Panics};
use crate::registry::HOST_PROVIDER;
use crate::resolve::Grants;
use crate::telemetry::{PluginScheduler, PluginTelemetry};
use lampkeeper_api::chain::ChainReader;
use lampkeeper_api::guard::{Border, Cross as _, Guarded};
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
///
/// For a native plugin there is a border: what this program provides itself has none yet, other than what plugins do.
pub(super) fn granted(
    grants: &Grants,
    available: &Available,
    telemetry: &PluginTelemetry,
    abroad: Option<&Border>,
) -> Provided {
    let mut seams = Provided::default();
    for (seam, provider) in grants {
        let Some(provided) = available.get(provider) else { continue };
        match abroad.filter(|_| provider == HOST_PROVIDER) {
            Some(border) => {
                grant(*seam, &provided.clone().cross(border), &mut seams, telemetry, abroad);
            }
            None => grant(*seam, provided, &mut seams, telemetry, abroad),
        }
    }
    seams
}

fn grant(
    seam: Seam,
    from: &Provided,
    to: &mut Provided,
    telemetry: &PluginTelemetry,
    abroad: Option<&Border>,
) {
    match seam {
        Seam::ChainRead => to.chain_reader = reader(from),
        Seam::ChainSubmit => to.chain.clone_from(&from.chain),
        Seam::Store => to.store.clone_from(&from.store),
        Seam::Staging => to.staging.clone_from(&from.staging),
        Seam::Journal => to.journal.clone_from(&from.journal),
        Seam::Transport => to.transport.clone_from(&from.transport),
        Seam::Network => to.network.clone_from(&from.network),
        Seam::Scheduler => {
            let scheduler = from.scheduler.as_ref();
            to.scheduler = scheduler.map(|scheduler| own_scheduler(scheduler, telemetry, abroad));
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
    abroad: Option<&Border>,
) -> Arc<dyn Scheduler> {
    let named: Arc<dyn Scheduler> = Arc::new(PluginScheduler::new(Arc::clone(scheduler), telemetry.clone()));
    // Only the polls of its work are measured: a scheduler knows what to do about a task that panics.
    let gate = AccountGate::new(telemetry.clone(), None, Panics::LeftToTheRunner);
    let border = match abroad {
        Some(border) => border.clone().with_arguments(Arc::new(gate)),
        None => Border::given(Arc::new(gate)),
    };
    Arc::new(Guarded::new(named, border))
}

fn reader(from: &Provided) -> Option<Arc<dyn ChainReader>> {
    let chain = || from.chain.clone().map(|chain| chain as Arc<dyn ChainReader>);
    from.chain_reader.clone().or_else(chain)
}
