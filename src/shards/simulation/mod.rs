//! Pods and shards in one thread and in virtual time, for `tests/simulation`: real keepers and hubs, the embedded shard's
//! histories, and everything between them simulated. The same plan gives the same history.

mod calls;
mod ending;
mod faults;
mod network;
mod parts;
mod plan;
mod pod;
mod posts;
mod server;
mod viewer;
mod visits;
mod world;

use std::{collections::HashMap, time::Duration};

use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    time::advance,
};

use self::world::SimulatedWorld;
pub use self::{
    parts::SimulatedPost,
    plan::{Plan, PlanStep, Return, Shape},
};
use crate::telemetry::Sli;

/// Simulates one history after the other.
pub struct Simulator {
    runtime: Runtime,
    sli: Sli,
}

/// What posters and viewers of a history saw. Times are since its beginning.
#[derive(Debug)]
pub struct SimulatedHistory {
    /// Every attempt to post.
    pub posts: Vec<SimulatedPost>,
    /// Every viewer's stream, and the frames that it was sent.
    pub viewers: Vec<(String, Vec<Value>)>,
    /// Streams whose shard forgot entries, and until when.
    pub forgotten: HashMap<String, Duration>,
    /// Whether a shard went back to its copy.
    pub rolled_back: bool,
    /// What each pod holds after everybody left: viewers, streams, subscriptions.
    pub rests: Vec<[u64; 3]>,
    /// How many things happened.
    pub events: u64,
}

impl Simulator {
    /// A simulator with a clock of its own.
    ///
    /// # Errors
    /// An error of the operating system.
    pub fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        Ok(Self { runtime, sli: Sli::default() })
    }

    /// Simulates a plan.
    #[must_use]
    pub fn run(&self, plan: &Plan) -> SimulatedHistory {
        let _context = self.runtime.enter();
        let mut world = SimulatedWorld::new(plan, &self.sli);
        while let Some(((at, number), happening)) = world.queue.pop_first() {
            if at > world.now_ms {
                self.runtime.block_on(advance(Duration::from_millis(at - world.now_ms)));
                world.now_ms = at;
            }
            if let Some(until) = world.stands_still(&happening) {
                // With its number: in the order in which it came.
                world.queue.insert((until, number), happening);
                continue;
            }
            world.happen(happening);
            world.events += 1;
            if world.is_over() {
                break;
            }
        }
        world.into_history()
    }
}
