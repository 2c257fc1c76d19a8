//! `MsgApproveAction` (chain Appendix C).

use super::CASCADE_NAME;
use crate::api::chain::TicketState;
use crate::event::Event;
use crate::message::Response;
use crate::names;
use crate::refusal::{Refusal, action};
use crate::state::State;

impl State {
    pub(crate) fn approve_action(&mut self, action_id: &str, creator: &str) -> Result<Response, Refusal> {
        // Every failure arrives with the same code; where another code was wrapped, its text comes along.
        let Some(done) = self.action.actions.get(action_id) else {
            return Err(action::INVALID_STATE.because(format!("action {action_id} not found: not found")));
        };
        if done.state != TicketState::Done {
            return Err(action::INVALID_STATE.because(format!(
                "action {action_id} cannot be approved: current state {}",
                names::action_state(done.state)
            )));
        }
        if done.creator != creator {
            return Err(action::INVALID_STATE.because(format!(
                "only the creator {} can approve action {action_id}: unauthorized supernode",
                done.creator
            )));
        }
        self.action.actions.update(action_id, |action| action.state = TicketState::Approved);
        let event = Event::new("action_approved")
            .with("action_id", action_id)
            .with("creator", creator)
            .with("action_type", CASCADE_NAME);
        self.emit(event);
        let status = names::action_state(TicketState::Approved).to_owned();
        Ok(Response::Action { action_id: action_id.to_owned(), status })
    }
}
