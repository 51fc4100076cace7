//! The calls of keepers to shards: executed after a while, answered after another, or neither.

use rand::RngExt as _;

use super::{
    parts::{CallAnswer, OpenCall},
    world::{Happening, SimulatedWorld},
};
use crate::shards::{
    backend::types::{ConnectionId, Event, Unavailable},
    keeper::{Completion, ShardCall},
};

/// How long a call may take, in milliseconds; it may be executed later still.
const CALL_MS: u64 = 1_000;

impl SimulatedWorld {
    pub(super) fn send(&mut self, (pod, shard): (usize, usize), call: ShardCall) {
        self.numbers += 1;
        let number = self.numbers;
        let loses = self.net.links[pod][shard].loses_until > self.now_ms;
        let is_lost = loses && self.random.random_bool(0.25);
        let loses_answer = loses && self.random.random_bool(0.3);
        let delay = self.delay(shard);
        let link = &mut self.net.links[pod][shard];
        let mut at = self.now_ms + delay;
        if matches!(call, ShardCall::Subscribe(_) | ShardCall::Unsubscribe(_)) {
            // These take the one connection, in order.
            at = at.max(link.commands_ms);
            link.commands_ms = at;
        }
        let connection = link.id;
        if !is_lost {
            self.at(at, Happening::Execute { call: number, connection });
        }
        self.net.calls.insert(number, OpenCall { pod, shard, call, loses_answer });
        self.after(CALL_MS, Happening::TimeOut { call: number });
    }

    /// How long something is under way to a shard, or from it.
    pub(super) fn delay(&mut self, shard: usize) -> u64 {
        let is_slow = self.net.servers[shard].slow_until > self.now_ms;
        let most = if is_slow || self.random.random_bool(0.05) { 800 } else { 10 };
        self.random.random_range(0..most)
    }

    pub(super) fn execute(&mut self, number: u64, connection: u64) {
        // A call that timed out at its pod is executed all the same: it was on its way.
        let Some(OpenCall { pod, shard, call, loses_answer }) = self.net.calls.get(&number) else { return };
        let (pod, shard, loses_answer, call) = (*pod, *shard, *loses_answer, call.clone());
        let answer = if self.net.servers[shard].is_up {
            self.executed((pod, shard), connection, &call)
        } else {
            CallAnswer::Unavailable
        };
        if !loses_answer {
            let (delay, process) = (self.delay(shard), self.net.servers[shard].process);
            self.after(delay, Happening::Answer { call: number, process, answer });
        }
    }

    fn executed(&mut self, (pod, shard): (usize, usize), connection: u64, call: &ShardCall) -> CallAnswer {
        let (server, link) = (&mut self.net.servers[shard], &mut self.net.links[pod][shard]);
        let is_same = link.is_up && link.id == connection;
        match call {
            ShardCall::Subscribe(streams) if is_same => {
                link.subscribed.extend(streams.iter().cloned());
                CallAnswer::Subscribed(ConnectionId(connection))
            }
            ShardCall::Unsubscribe(streams) if is_same => {
                streams.iter().for_each(|stream| _ = link.subscribed.remove(stream));
                CallAnswer::Unsubscribed
            }
            ShardCall::Subscribe(_) | ShardCall::Unsubscribe(_) => CallAnswer::Unavailable,
            ShardCall::Read(read) => CallAnswer::HistorySlice(server.store().read(&read.stream, read.span)),
            ShardCall::Heads(streams) => CallAnswer::Heads(server.store().heads(streams)),
            ShardCall::Count(call) => {
                let (counted, told) = server.count(pod, &call.counts);
                for (other, streams) in told {
                    if self.net.links[other][shard].is_up {
                        self.deliver((other, shard), Event::Elsewhere(streams));
                    }
                }
                CallAnswer::Counted(counted)
            }
        }
    }

    /// An answer arrives, unless the process that gave it ended meanwhile.
    pub(super) fn answer(&mut self, number: u64, process: u64, answer: CallAnswer) {
        let shard = self.net.calls.get(&number).map(|call| call.shard);
        let is_gone = shard.is_some_and(|shard| self.net.servers[shard].process != process);
        self.complete(number, if is_gone { CallAnswer::Unavailable } else { answer });
    }

    pub(super) fn complete(&mut self, number: u64, answer: CallAnswer) {
        let Some(call) = self.net.calls.get_mut(&number) else { return };
        let OpenCall { pod, shard, call, .. } = call;
        let (pod, shard, completion) = (*pod, *shard, completion(call.clone(), answer));
        // One that timed out stays known, for its execution; a call without an execution is bounded by the history.
        if !self.net.done.insert(number) {
            return;
        }
        let acts = self.random.random_bool(0.7);
        self.give((pod, shard), acts, |keeper, moment| keeper.completed(completion, moment));
    }
}

fn completion(call: ShardCall, answer: CallAnswer) -> Completion {
    match (call, answer) {
        (ShardCall::Subscribe(streams), CallAnswer::Subscribed(id)) => {
            Completion::Subscribed(streams, Ok(id))
        }
        (ShardCall::Subscribe(streams), _) => Completion::Subscribed(streams, Err(Unavailable)),
        (ShardCall::Unsubscribe(streams), CallAnswer::Unsubscribed) => {
            Completion::Unsubscribed(streams, Ok(()))
        }
        (ShardCall::Unsubscribe(streams), _) => Completion::Unsubscribed(streams, Err(Unavailable)),
        (ShardCall::Read(read), CallAnswer::HistorySlice(slice)) => Completion::Read(read, Ok(slice)),
        (ShardCall::Read(read), _) => Completion::Read(read, Err(Unavailable)),
        (ShardCall::Heads(streams), CallAnswer::Heads(heads)) => Completion::Heads(streams, Ok(heads)),
        (ShardCall::Heads(streams), _) => Completion::Heads(streams, Err(Unavailable)),
        (ShardCall::Count(call), CallAnswer::Counted(counted)) => Completion::Counted(call, Ok(counted)),
        (ShardCall::Count(call), _) => Completion::Counted(call, Err(Unavailable)),
    }
}
