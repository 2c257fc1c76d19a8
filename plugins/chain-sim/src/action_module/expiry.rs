//! What EndBlock does to actions that nobody finalised (chain Appendix C, "Expiry").

use super::CASCADE_NAME;
use super::finalize::top_ten_metadata;
use crate::address;
use crate::api::chain::TicketState;
use crate::event::Event;
use crate::state::State;
use crate::state::bank::ACTION_MODULE;
use crate::state::evidence::EvidenceType;

impl State {
    pub(crate) fn expire_actions(&mut self) {
        for action_id in self.action.actions.lapsed(self.block_time_ms.div_euclid(1000)) {
            self.expire_action(&action_id);
        }
    }

    fn expire_action(&mut self, action_id: &str) {
        let Some(lapsed) = self.action.actions.get(action_id).cloned() else { return };
        let module = address::module_account(ACTION_MODULE);
        // A planted action may not have been paid for; then there is nothing to return.
        let refund = lapsed.price_ulume.min(self.bank.balance_ulume(&module));
        let paid = self.bank.transfer(&module, &lapsed.creator, refund);
        debug_assert!(paid, "the refund was cut to the balance");
        self.action.actions.update(action_id, |action| action.state = TicketState::Expired);
        let top = self.top_finalizers(lapsed.block_height);
        let metadata = top_ten_metadata(&top);
        for (_, account) in top.iter().filter(|(_, account)| address::is_account(account)) {
            let recorded =
                self.create_evidence(&module, account, action_id, EvidenceType::ActionExpired, &metadata);
            debug_assert!(recorded.is_ok(), "the subject is an address and the module reports");
        }
        let event = Event::new("action_expired")
            .with("action_id", action_id)
            .with("creator", &lapsed.creator)
            .with("action_type", CASCADE_NAME);
        self.emit(event);
    }
}
