//! What the chain says of a node that has just started (wire 9.5).
//!
//! Owns the order of the checks and which of them end the node. That a port can't be had, a key does not exist or a
//! configuration does not fit has ended it before. A chain that can't be asked ends nothing: the node's services wait for
//! it, too, and this check with them.

use crate::output::{Failure, Outcome};
use crate::plugins::LEP6_SERVICES;
use lampkeeper_api::chain::{ChainReader, Supernode, SupernodeState};
use lampkeeper_core::{Manifest, Node};
use std::sync::Arc;
use std::time::Duration;

/// The pause before the chain is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What is wrong with a node's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// Nothing.
    Fine,
    /// Something that the node can run with.
    Warning(String),
    /// Something that only an operator can mend.
    Fatal(String),
}

/// Asks the chain about the node's account, until it answers.
///
/// # Errors
/// If the account is not registered as a supernode, or is not to run, and the node has services that need it to.
pub async fn check(node: &Node, manifest: &Manifest) -> Outcome {
    // A node without these services is somebody's client, and needs no standing.
    if !LEP6_SERVICES.iter().any(|id| manifest.is_enabled(id)) {
        return Ok(());
    }
    let seams = node.seams();
    let of_client = || seams.chain.clone().map(|chain| chain as Arc<dyn ChainReader>);
    let Some(chain) = seams.chain_reader.clone().or_else(of_client) else { return Ok(()) };
    let account = &node.info().account;
    let scheduler = node.scheduler();
    let answer = loop {
        match chain.supernode(account).await {
            Ok(supernode) => break Some(supernode),
            Err(error) if error.is_not_found() => break None,
            Err(error) => {
                tracing::warn!("the chain can't be asked about this node: {error}; it is asked again");
                scheduler.sleep(ASK_AGAIN).await;
            }
        }
    };
    match finding(answer.as_ref(), account, &node.info().chain_id, node.local_address().as_deref()) {
        Finding::Fine => tracing::info!("{account} is registered as a supernode"),
        Finding::Warning(words) => tracing::warn!("{words}"),
        Finding::Fatal(words) => return Err(Failure::failed(words)),
    }
    Ok(())
}

fn finding(answer: Option<&Supernode>, account: &str, chain_id: &str, listens_at: Option<&str>) -> Finding {
    let Some(supernode) = answer else {
        return Finding::Fatal(format!(
            "{account} is not registered as a supernode on {chain_id}: register it, or name the key of the account that \
             is (`lampkeeper keys show FILE`; the same words give an account of the EVM another address than an ordinary one)"
        ));
    };
    match supernode.state {
        SupernodeState::Active | SupernodeState::StorageFull | SupernodeState::Unspecified => {}
        SupernodeState::Postponed => {
            return Finding::Warning(format!(
                "{account} is POSTPONED on {chain_id}: it gets work again when its reports show that it is well"
            ));
        }
        state => {
            return Finding::Fatal(format!(
                "{account} is {} on {chain_id}: start it there first, then this node",
                state.name()
            ));
        }
    }
    let port = |address: &str| address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match (port(&supernode.latest_address), listens_at.and_then(port)) {
        (Some(registered), Some(own)) if registered != own => Finding::Warning(format!(
            "peers look for this node at {}, and it listens on port {own}: update its registration, or `listen`",
            supernode.latest_address
        )),
        _ => Finding::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_operator_has_to_mend_ends_the_node() {
        let at = |state, latest_address: &str| {
            Some(Supernode { state, latest_address: latest_address.to_owned(), ..Supernode::default() })
        };
        use SupernodeState::*;
        let table = [
            (None, "fatal", "not registered"),
            (at(Active, "192.0.2.7:4444"), "fine", ""),
            (at(Active, "192.0.2.7"), "fine", ""),
            (at(StorageFull, ""), "fine", ""),
            (at(Unspecified, ""), "fine", ""),
            (at(Postponed, ""), "warning", "POSTPONED"),
            (at(Disabled, ""), "fatal", "DISABLED"),
            (at(Stopped, ""), "fatal", "STOPPED"),
            (at(Penalized, ""), "fatal", "PENALIZED"),
            (at(Active, "192.0.2.7:4000"), "warning", "192.0.2.7:4000"),
        ];
        for (answer, kind, words) in table {
            let found = finding(answer.as_ref(), "lumera1own", "test-1", Some("0.0.0.0:4444"));
            let (found_kind, found_words) = match &found {
                Finding::Fine => ("fine", ""),
                Finding::Warning(words) => ("warning", words.as_str()),
                Finding::Fatal(words) => ("fatal", words.as_str()),
            };
            assert_eq!(found_kind, kind, "{answer:?}");
            assert!(found_words.contains(words), "{found_words}");
        }
    }
}
