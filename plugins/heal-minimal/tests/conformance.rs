//! The plugin passes the conformance suite of heal strategies.

use lampkeeper_plugin_sdk::testkit::{VirtualScheduler, conformance};

#[test]
fn it_keeps_the_contract_of_heal_strategies() {
    let scheduler = VirtualScheduler::new(11);
    let descriptor = lampkeeper_heal_minimal::descriptor();
    scheduler.block_on(conformance::heal_strategy_plugin(scheduler.handle(), &descriptor)).assert_passed();
}
