//! The keeper without a driver: what it says is to be done, and in which order.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    domain::{Author, Comment, EntryId, Epoch, Kind, Position, StreamId},
    protocol::{Entry, Fragment},
    shards::{
        ShardSettings,
        audience::{pending_users::PendingUsers, sync::AudienceSync},
        backend::types::{ConnectionId, Event, HistorySlice, Unavailable},
        keeper::{
            Command, Completion, Keeper, Moment, ShardCall, chain::Chain, reads::Read, stats::KeeperStats,
        },
    },
};

const LINGER: Duration = Duration::from_secs(10);

/// A keeper, and a pod with so many viewers of the one stream.
struct Machine {
    keeper: Keeper,
    stats: Arc<KeeperStats>,
    stream: StreamId,
    viewers: u64,
    now: Instant,
}

/// An entry of a history, as it comes from the shard.
fn entry(epoch: Epoch, seq: u64, previous: Option<EntryId>) -> Entry {
    let id = EntryId::random();
    let author = Author { id: "u".into(), name: "u".into() };
    let comment =
        Comment { id, kind: Kind::Comment, author, body: "hi".into(), data: None, accepted_at_ms: 0 };
    Entry {
        ring_epoch: 1,
        epoch,
        seq,
        id,
        previous,
        timeline: None,
        at_ms: 0,
        accepted_at_ms: 0,
        priority: false,
        trace: None,
        fragment: Fragment::of(&comment),
    }
}

/// A command in a word or two.
fn word(command: &Command) -> String {
    match command {
        Command::Call(ShardCall::Subscribe(streams)) => format!("subscribe {}", streams.len()),
        Command::Call(ShardCall::Unsubscribe(streams)) => format!("unsubscribe {}", streams.len()),
        Command::Call(ShardCall::Read(read)) => format!("read after {}", read.span.after_seq),
        Command::Call(ShardCall::Heads(streams)) => format!("heads {}", streams.len()),
        Command::Call(ShardCall::Count(call)) => format!("count {}", call.counts.len()),
        Command::Open { items, .. } => format!("open {}", items.len()),
        Command::Deliver { items, .. } => format!("deliver {}", items.len()),
        Command::Retire(_) => "retire".to_owned(),
        Command::TellViewers { viewers, .. } => format!("tell {viewers}"),
        Command::NoteElsewhere { viewers, .. } => format!("elsewhere {viewers}"),
        Command::MeasureCarriage { .. } => "measure".to_owned(),
        Command::LogOutage(notice) => format!("{notice:?}"),
    }
}

impl Machine {
    fn new() -> Self {
        let (now, stats) = (Instant::now(), Arc::new(KeeperStats::default()));
        let settings = ShardSettings {
            list: Vec::new(),
            ring_epoch: 1,
            pod: "pod".into(),
            history_comments: 500,
            history_ttl: Duration::from_secs(3_600),
            linger: LINGER,
        };
        let census = AudienceSync::new(PendingUsers::default(), now);
        let keeper = Keeper::new(census, Arc::clone(&stats), &settings, now);
        Self { keeper, stats, stream: "s".parse().unwrap(), viewers: 0, now }
    }

    /// Gives an input, lets the keeper act, and returns its commands.
    fn input(&mut self, give: impl FnOnce(&mut Keeper, &Moment<'_>)) -> Vec<Command> {
        let viewers = self.viewers;
        let viewers_here = |_: &StreamId| viewers;
        let moment = Moment { now: self.now, random: 1.0, viewers_here: &viewers_here };
        give(&mut self.keeper, &moment);
        self.keeper.act(&moment);
        std::iter::from_fn(|| self.keeper.next_command()).collect()
    }

    fn words(&mut self, give: impl FnOnce(&mut Keeper, &Moment<'_>)) -> Vec<String> {
        self.input(give).iter().map(word).collect()
    }

    fn event(&mut self, event: Event) -> Vec<String> {
        self.words(|keeper, moment| keeper.event(event, moment))
    }

    fn message(&mut self, entry: &Entry) -> Vec<String> {
        let payload: Bytes = entry.encode("comment");
        let stream = self.stream.clone();
        self.event(Event::Message { stream, payload })
    }

    fn completed(&mut self, completion: Completion) -> Vec<String> {
        self.words(|keeper, moment| keeper.completed(completion, moment))
    }

    fn look(&mut self, viewers: u64) -> Vec<String> {
        self.viewers = viewers;
        let stream = self.stream.clone();
        self.words(|keeper, moment| keeper.look(&stream, moment))
    }

    fn tick(&mut self, after: Duration) -> Vec<String> {
        self.now += after;
        self.words(|keeper, moment| keeper.tick(true, moment))
    }

    /// Returns the read among the commands of an input, if there is one.
    fn read(&mut self, give: impl FnOnce(&mut Keeper, &Moment<'_>)) -> Option<Read> {
        self.input(give).into_iter().find_map(|command| match command {
            Command::Call(ShardCall::Read(read)) => Some(read),
            _ => None,
        })
    }

    /// Watches and opens the stream at a place.
    fn open_at(&mut self, head: Position) {
        let streams = vec![self.stream.clone()];
        self.event(Event::Connected(ConnectionId(1)));
        assert_eq!(self.look(1), ["subscribe 1"]);
        let granted = Completion::Subscribed(streams, Ok(ConnectionId(1)));
        let read = self.read(|keeper, moment| keeper.completed(granted, moment)).unwrap();
        let slice = HistorySlice { head, former: Vec::new(), entries: Vec::new() };
        assert_eq!(self.completed(Completion::Read(read, Ok(slice))), ["open 0"]);
    }
}

#[test]
fn a_stream_is_subscribed_to_counted_read_and_opened_in_this_order() {
    let mut machine = Machine::new();
    let epoch = Epoch::random();
    assert!(machine.look(1).is_empty(), "there is no connection yet");
    assert_eq!(machine.event(Event::Connected(ConnectionId(1))), ["count 0", "subscribe 1"]);
    let streams = vec![machine.stream.clone()];
    let granted = Completion::Subscribed(streams, Ok(ConnectionId(1)));
    let commands = machine.input(|keeper, moment| keeper.completed(granted, moment));
    assert_eq!(commands.iter().map(word).collect::<Vec<_>>(), ["count 1", "read after 0"]);
    let Some(Command::Call(ShardCall::Read(read))) = commands.into_iter().next_back() else { panic!() };
    // What comes during the read waits for it.
    let first = entry(epoch, 1, None);
    assert_eq!(machine.message(&first), ["measure"]);
    let slice = HistorySlice { head: Position::start_of(epoch), former: Vec::new(), entries: Vec::new() };
    assert_eq!(machine.completed(Completion::Read(read, Ok(slice))), ["open 1"]);
    let second = entry(epoch, 2, Some(first.id));
    assert_eq!(machine.message(&second), ["measure", "deliver 1"]);
}

#[test]
fn a_failed_read_is_made_again_after_its_pause_and_not_before() {
    let mut machine = Machine::new();
    let epoch = Epoch::random();
    machine.open_at(Position::start_of(epoch));
    let third = entry(epoch, 3, Some(EntryId::random()));
    let stream = machine.stream.clone();
    let message = Event::Message { stream, payload: third.encode("comment") };
    let read = machine.read(|keeper, moment| keeper.event(message, moment)).unwrap();
    assert!(machine.completed(Completion::Read(read, Err(Unavailable))).is_empty());
    assert!(machine.tick(Duration::from_millis(49)).iter().all(|word| !word.starts_with("read")));
    assert!(machine.tick(Duration::from_millis(1)).contains(&"read after 0".to_owned()));
}

/// A read that was asked for before its stream was left and watched anew says nothing about the new one.
#[test]
fn a_read_of_an_earlier_stream_of_the_name_is_ignored() {
    let mut machine = Machine::new();
    let epoch = Epoch::random();
    machine.open_at(Position::start_of(epoch));
    let stream = machine.stream.clone();
    let hole = Event::Message {
        stream: stream.clone(),
        payload: entry(epoch, 3, Some(EntryId::random())).encode("comment"),
    };
    let late = machine.read(|keeper, moment| keeper.event(hole, moment)).unwrap();
    machine.look(0);
    assert!(machine.tick(LINGER * 2).contains(&"unsubscribe 1".to_owned()));
    let unsubscribed = Completion::Unsubscribed(vec![stream.clone()], Ok(()));
    assert_eq!(machine.completed(unsubscribed), ["retire"]);
    machine.words(|keeper, moment| keeper.retired(&stream, true, moment));
    machine.open_at(Position::start_of(epoch));
    let slice =
        HistorySlice { head: Position::start_of(Epoch::random()), former: Vec::new(), entries: Vec::new() };
    assert!(machine.completed(Completion::Read(late, Ok(slice))).is_empty());
    assert_eq!(machine.stats.resets.load(Relaxed), 0);
}

/// Symptom: after the last viewers of two pods had left together, the next one was told for up to seven seconds that
/// somebody watched elsewhere. Cause: the shard tells a pod nothing of a stream that nobody watches there, and the pod asked
/// in its next round.
#[test]
fn a_stream_that_is_watched_again_while_it_lingers_is_counted_at_once() {
    let mut machine = Machine::new();
    machine.open_at(Position::start_of(Epoch::random()));
    assert!(machine.look(0).is_empty());
    assert_eq!(machine.look(1), ["count 1"]);
}

#[test]
fn a_stream_that_is_watched_again_before_the_hub_forgot_it_is_looked_at_again() {
    let mut machine = Machine::new();
    machine.event(Event::Connected(ConnectionId(1)));
    assert_eq!(machine.look(0), ["retire"]);
    machine.viewers = 1;
    let stream = machine.stream.clone();
    assert_eq!(machine.words(|keeper, moment| keeper.retired(&stream, false, moment)), ["subscribe 1"]);
}

/// The path of every message: what the keeper adds to the decoding of an entry and its place in the chain is no allocation.
#[test]
fn a_message_costs_no_allocation_but_those_of_its_entry_and_item() {
    const MESSAGES: u64 = 100;
    let (mut machine, mut chain, epoch) = (Machine::new(), Chain::default(), Epoch::random());
    machine.open_at(Position::start_of(epoch));
    chain.check();
    chain.settle(&HistorySlice { head: Position::start_of(epoch), former: Vec::new(), entries: Vec::new() });
    let mut previous = None;
    let payloads: Vec<_> = (1..=2 * MESSAGES)
        .map(|seq| {
            let entry = entry(epoch, seq, previous);
            previous = Some(entry.id);
            entry.encode("comment")
        })
        .collect();
    let (Machine { keeper, stream, now, .. }, viewers_here) = (machine, |_: &StreamId| 1);
    let moment = Moment { now, random: 0.0, viewers_here: &viewers_here };
    let mut keeper = keeper;
    let mut messages = |payloads: &[Bytes]| {
        let mut delivered = 0;
        for payload in payloads {
            keeper.event(Event::Message { stream: stream.clone(), payload: payload.clone() }, &moment);
            while let Some(command) = keeper.next_command() {
                delivered += u64::from(matches!(command, Command::Deliver { .. }));
            }
        }
        assert_eq!(delivered, MESSAGES);
    };
    let mut links = |payloads: &[Bytes]| {
        let items =
            payloads.iter().map(|payload| chain.take(Entry::decode(payload).unwrap()).items.len() as u64);
        assert_eq!(items.sum::<u64>(), MESSAGES);
    };
    // Bytes that were never shared are allocated anew when they are shared first.
    let _shared = payloads.clone();
    let (first, second) = payloads.split_at(100);
    // The first messages begin what is kept for all.
    messages(first);
    links(first);
    let of_keeper = allocation_counter::measure(|| messages(second)).count_total;
    let of_chain = allocation_counter::measure(|| links(second)).count_total;
    assert_eq!(of_keeper, of_chain);
}

/// The same inputs give the same commands: nothing in the keeper depends on chance, time or the order of a hash map.
#[test]
fn equal_inputs_give_equal_commands() {
    let history = || {
        let mut machine = Machine::new();
        let streams: Vec<StreamId> = (0..50).map(|n| format!("s{n}").parse().unwrap()).collect();
        machine.viewers = 1;
        let mut said = Vec::new();
        let mut note = |commands: Vec<Command>| {
            let streams =
                |streams: &[StreamId]| streams.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            said.extend(commands.iter().map(|command| match command {
                Command::Call(ShardCall::Heads(of)) => format!("heads {}", streams(of)),
                Command::Call(ShardCall::Subscribe(of)) => format!("subscribe {}", streams(of)),
                Command::Call(ShardCall::Read(read)) => format!("read {}", read.stream),
                Command::TellViewers { stream, viewers } => format!("tell {stream} {viewers}"),
                command => word(command),
            }));
        };
        note(machine.input(|keeper, moment| keeper.event(Event::Connected(ConnectionId(1)), moment)));
        note(machine.input(|keeper, moment| streams.iter().for_each(|stream| keeper.look(stream, moment))));
        let granted = Completion::Subscribed(streams.clone(), Ok(ConnectionId(1)));
        note(machine.input(|keeper, moment| keeper.completed(granted, moment)));
        note(machine.input(|keeper, moment| keeper.event(Event::Overrun, moment)));
        machine.now += Duration::from_secs(2);
        note(machine.input(|keeper, moment| keeper.tick(true, moment)));
        said
    };
    let said = history();
    assert!(said.iter().any(|command| command.starts_with("tell ")), "{said:?}");
    for _ in 0..5 {
        assert_eq!(history(), said);
    }
}
