//! Trouble between the nodes: partitions, slow links, lost and repeated messages, nodes that can't be reached, clocks.

use crate::sim::excuses::{Excuses, Touch};
use crate::sim::world::{Member, World};
use lampkeeper_transport_memory::{LinkQuality, MessageFault};
use std::time::Duration;

/// Messages that are lost or repeated in one bout.
const MESSAGE_FAULTS: u64 = 20;
/// How far a clock jumps at most, in milliseconds, either way.
const CLOCK_JUMP_MS_MAX: u64 = 120_000;

/// One trouble at a time, for some blocks.
#[derive(Default)]
pub struct NetworkStorm {
    until: Option<i64>,
}

impl NetworkStorm {
    /// What goes wrong before the next block.
    pub fn blow(&mut self, excuses: &mut Excuses, world: &mut World, height: i64) {
        if let Some(until) = self.until {
            touch_all(excuses, world, height);
            if height >= until {
                self.until = None;
                world.reset_links();
                let up = |member: &&Member| !member.is_down() && !member.has_crashed();
                world.members.iter().filter(up).for_each(|member| world.faults.bring_up(&member.account));
            }
            return;
        }
        if world.draw(6) != 0 {
            return;
        }
        // A clock alone excuses nobody: nothing but what a node writes down depends on it.
        if world.draw(5) == 0 {
            return jump_clock(world);
        }
        touch_all(excuses, world, height);
        self.until = Some(height + 2 + i64::try_from(world.draw(12)).unwrap_or_default());
        match world.draw(4) {
            0 => partition(world),
            1 => {
                let latency = Duration::from_millis(20 + world.draw(1500));
                world.faults.set_every_link(LinkQuality { latency, ..LinkQuality::default() });
                world.ledger.fault("slow networks");
            }
            2 => lose_messages(world),
            _ => {
                let member = &world.members[world.draw_index(world.members.len())];
                world.faults.take_down(&member.account);
                world.ledger.note(|| format!("{} is unreachable", member.name));
                world.ledger.fault("unreachable nodes");
            }
        }
    }
}

fn touch_all(excuses: &mut Excuses, world: &World, height: i64) {
    for member in &world.members {
        excuses.touch(&member.account, Touch::Network, height, height + 1);
    }
}

fn partition(world: &World) {
    let side: Vec<&str> =
        world.members.iter().filter(|_| world.draw(2) == 0).map(|member| member.account.as_str()).collect();
    world.faults.partition(&[&side]);
    world.ledger.note(|| format!("the network is cut: {} nodes on one side", side.len()));
    world.ledger.fault("partitions");
}

fn lose_messages(world: &World) {
    for _ in 0..MESSAGE_FAULTS {
        let from = &world.members[world.draw_index(world.members.len())];
        let to = &world.members[world.draw_index(world.members.len())];
        let fault = if world.draw(2) == 0 { MessageFault::Drop } else { MessageFault::Duplicate };
        world.faults.on_message(&from.account, &to.account, 1 + world.draw(20), fault);
    }
    world.ledger.note(|| "messages get lost and repeated".to_owned());
    world.ledger.fault("lossy links");
}

fn jump_clock(world: &mut World) {
    let index = world.draw_index(world.members.len());
    let skew_ms = world.draw(2 * CLOCK_JUMP_MS_MAX).cast_signed() - CLOCK_JUMP_MS_MAX.cast_signed();
    world.set_clock(index, skew_ms);
    world.ledger.note(|| format!("the clock of {} is {skew_ms} ms off", world.members[index].name));
    world.ledger.fault("clock jumps");
}
