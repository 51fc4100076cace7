//! The driver of one shard's keeper: it owns the clock, the shard's calls and the hub, and decides nothing.

mod outage;

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Command, Completion, Keeper, Moment, ShardCall, TICK,
    inspector::InspectionRequest,
    stats::{KeeperStats, count},
};
use crate::{
    domain::StreamId,
    hub::Hub,
    shards::{
        audience::sync::AudienceSync,
        backend::{
            Shard,
            clock::Clock,
            types::{Event, Events},
        },
        routing::nudges::Dirty,
        settings::ShardSettings,
    },
};

/// The most events that are handled before anything else has its turn.
const BURST: usize = 256;

/// The parts that a keeper and its driver are made of.
pub(in crate::shards) struct KeeperParts {
    pub(in crate::shards) shard: Shard,
    pub(in crate::shards) clock: Clock,
    pub(in crate::shards) stats: Arc<KeeperStats>,
    pub(in crate::shards) census: AudienceSync,
}

/// Brings a keeper what happens, and executes its commands.
pub(in crate::shards) struct Driver {
    keeper: Keeper,
    shard: Shard,
    clock: Clock,
    hub: Hub,
    stats: Arc<KeeperStats>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Completion> + Send>>>,
}

impl Driver {
    pub(in crate::shards) fn new(parts: KeeperParts, hub: Hub, settings: &ShardSettings) -> Self {
        let KeeperParts { shard, clock, stats, census } = parts;
        let keeper = Keeper::new(census, Arc::clone(&stats), settings, Instant::now());
        Self { keeper, shard, clock, hub, stats, under_way: FuturesUnordered::new() }
    }

    /// Drives the keeper for ever. Returns only if the shard's events end.
    pub(in crate::shards) async fn run(
        mut self,
        mut events: Events,
        nudges: Dirty,
        mut asked: mpsc::Receiver<InspectionRequest>,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BURST);
        let hub = self.hub.clone();
        let viewers_here = |stream: &StreamId| hub.viewers_here(stream);
        let moment = || Moment { now: Instant::now(), random: rand::random(), viewers_here: &viewers_here };
        loop {
            tokio::select! {
                count = events.some(&mut batch, BURST) => {
                    if count == 0 {
                        return;
                    }
                    let moment = moment();
                    batch.drain(..).for_each(|event| self.event(event, &moment));
                }
                streams = nudges.take() => streams.iter().for_each(|stream| {
                    let moment = moment();
                    self.keeper.look(stream, &moment);
                    self.execute_all(&moment);
                }),
                Some(completion) = self.under_way.next() => {
                    let moment = moment();
                    self.keeper.completed(completion, &moment);
                    self.execute_all(&moment);
                }
                Some(InspectionRequest { stream, answer }) = asked.recv() => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.keeper.inspect(&stream, Instant::now()));
                }
                _ = tick.tick() => {
                    let is_up = self.shard.health().up && self.stats.connected.load(Relaxed);
                    self.keeper.tick(is_up, &moment());
                }
            }
            let moment = moment();
            self.keeper.act(&moment);
            self.execute_all(&moment);
        }
    }

    fn event(&mut self, event: Event, moment: &Moment<'_>) {
        if let Event::Probed(took) = event {
            self.hub.sli().probed(&self.stats.shard, took);
        } else {
            self.keeper.event(event, moment);
            self.execute_all(moment);
        }
    }

    fn execute_all(&mut self, moment: &Moment<'_>) {
        while let Some(command) = self.keeper.next_command() {
            self.execute(command, moment);
        }
    }

    fn execute(&mut self, command: Command, moment: &Moment<'_>) {
        match command {
            Command::Call(call) => self.under_way.push(Box::pin(perform(self.shard.clone(), call))),
            Command::Open { stream, floor, items } => self.hub.open(&stream, floor, items),
            Command::Deliver { stream, mut items } => {
                self.clock.age(&mut items, self.hub.sli());
                if !self.hub.deliver(&stream, items) {
                    count(&self.stats.unwatched);
                }
            }
            Command::Retire(stream) => {
                let is_forgotten = self.hub.retire(&stream);
                self.keeper.retired(&stream, is_forgotten, moment);
            }
            Command::TellViewers { stream, viewers } => self.hub.tell_viewers(&stream, viewers),
            Command::NoteElsewhere { stream, viewers } => self.hub.watched_elsewhere(&stream, viewers),
            Command::MeasureCarriage { at_ms } => {
                let sli = self.hub.sli();
                sli.carried(self.clock.since(at_ms, sli));
            }
            Command::LogOutage(notice) => self.log(notice),
        }
    }
}

async fn perform(shard: Shard, call: ShardCall) -> Completion {
    match call {
        ShardCall::Subscribe(streams) => {
            let answer = shard.subscribe(&streams).await;
            Completion::Subscribed(streams, answer)
        }
        ShardCall::Unsubscribe(streams) => {
            let answer = shard.unsubscribe(&streams).await;
            Completion::Unsubscribed(streams, answer)
        }
        ShardCall::Read(read) => {
            let slice = shard.read(&read.stream, read.span).await;
            Completion::Read(read, slice)
        }
        ShardCall::Heads(streams) => {
            let heads = shard.heads(&streams).await;
            Completion::Heads(streams, heads)
        }
        ShardCall::Count(call) => {
            let answer = shard.count(&call.counts, call.keeps).await;
            Completion::Counted(call, answer)
        }
    }
}
