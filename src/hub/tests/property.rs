//! Whatever happens in whatever order: each viewer is told the stream's order, or what it misses of it.

use std::{ops::RangeInclusive, time::Duration};

use proptest::{option, prelude::*, sample::Index};
use tokio::time::{Instant, advance};

use super::{
    model::{Order, Step},
    rig::{Rig, Viewer, WINDOW, at, comments, gifts},
    wire::Wire,
};
use crate::{
    hub::{
        Drained, Item, Located, Mark,
        retained::{KEPT_ENTRIES, KEPT_FOR},
    },
    protocol::Close,
};

#[derive(Debug, Clone)]
enum Op {
    /// With the position of so many items ago, or with none.
    Join(Option<usize>),
    /// Some newcomers join and catch up at once.
    Crowd(usize),
    /// A joiner reads a page, or enters when there is none.
    Page(Index),
    Leave(Index),
    Deliver(u64),
    Gifts(u64),
    Gap(u64),
    Reset,
    TellViewers,
    /// The socket takes so many bytes more, or any number.
    Room(Index, Option<usize>),
    /// The viewer's path is slow: so many bytes may be written past those written; none: it is quick again.
    Limit(Index, Option<u64>),
    ReadInbox(Index),
    WriteSlice(Index, usize),
    Drain(Index),
    Own(Index),
    Advance(Duration),
}

fn op() -> impl Strategy<Value = Op> {
    let any_index = any::<Index>;
    prop_oneof![
        4 => option::of(0..200_usize).prop_map(Op::Join),
        3 => (1..8_usize).prop_map(Op::Crowd),
        8 => any_index().prop_map(Op::Page),
        3 => any_index().prop_map(Op::Leave),
        6 => (1..20_u64).prop_map(Op::Deliver),
        2 => (40..90_u64).prop_map(Op::Deliver),
        3 => (1..4_u64).prop_map(Op::Gifts),
        1 => (100..300_u64).prop_map(Op::Gifts),
        1 => (1..5_u64).prop_map(Op::Gap),
        1 => Just(Op::Reset),
        2 => Just(Op::TellViewers),
        4 => (any_index(), option::of(0..2_000_usize)).prop_map(|(viewer, room)| Op::Room(viewer, room)),
        2 => (any_index(), option::of(0..20_000_u64)).prop_map(|(viewer, most)| Op::Limit(viewer, most)),
        6 => any_index().prop_map(Op::ReadInbox),
        12 => (any_index(), 1..4_usize).prop_map(|(lane, seats)| Op::WriteSlice(lane, seats)),
        8 => any_index().prop_map(Op::Drain),
        2 => any_index().prop_map(Op::Own),
        3 => (1..20_u64).prop_map(|seconds| Op::Advance(Duration::from_secs(seconds))),
        3 => (1..60_u64).prop_map(|millis| Op::Advance(Duration::from_millis(millis))),
    ]
}

struct Watcher {
    viewer: Viewer,
    /// How far it reads its history; none once it has entered.
    joining: Option<Mark>,
    /// How many steps of the order it had before, and which number of viewers.
    began: usize,
    knew_viewers: u64,
    own: u64,
    /// Whether its task has to drain without being woken: the socket was full, or it is the task's own doing.
    is_due: bool,
    shut: bool,
}

struct World {
    rig: Rig,
    order: Order,
    epoch: char,
    seq: u64,
    gifts: u64,
    began: Instant,
    told_viewers: u64,
    watchers: Vec<Watcher>,
    gone: Vec<(Wire, usize)>,
}

impl World {
    fn new(rig: Rig) -> Self {
        let (order, watchers, gone) = (Order(Vec::new()), Vec::new(), Vec::new());
        let (gifts, began) = (0, Instant::now());
        Self { rig, order, epoch: 'a', seq: 0, gifts, began, told_viewers: 0, watchers, gone }
    }

    async fn apply(&mut self, op: Op) {
        match op {
            Op::Join(back) => self.join(back),
            Op::Crowd(newcomers) => {
                for _ in 0..newcomers {
                    self.join(None);
                    let newcomer = self.watchers.last_mut().unwrap();
                    while newcomer.joining.is_some() {
                        newcomer.page();
                    }
                    newcomer.drain();
                }
            }
            Op::Page(who) => self.with(who, Watcher::page),
            Op::Leave(who) => self.leave(who),
            Op::Deliver(n) => {
                let seqs = self.number(n, Step::Comment);
                self.rig.deliver(comments(self.epoch, seqs));
            }
            Op::Gifts(n) => {
                let seqs = self.number(n, Step::Gift);
                self.gifts += n;
                self.rig.deliver(gifts(self.epoch, seqs));
            }
            Op::Gap(width) => {
                let from = self.seq + 1;
                self.seq += width;
                let to = (self.epoch, self.seq);
                self.order.0.push(Step::Gap { from, to });
                self.rig.deliver([Item::gap(from, at(to))]);
            }
            Op::Reset => {
                self.epoch = char::from(u8::try_from(self.epoch).unwrap() + 1).min('z');
                self.seq = 0;
                self.order.0.push(Step::Reset((self.epoch, 0)));
                self.rig.deliver([Item::reset(at((self.epoch, 0)))]);
            }
            Op::TellViewers => {
                self.told_viewers += 1;
                self.rig.hub.tell_viewers(&self.rig.id, self.told_viewers);
            }
            Op::Room(who, room) => self.with(who, |watcher| match room {
                Some(bytes) => watcher.viewer.wire.take(bytes),
                None => watcher.viewer.wire.take_all(),
            }),
            Op::Limit(who, most) => self.with(who, |watcher| watcher.limit(most)),
            Op::ReadInbox(lane) => self.rig.lanes[lane.index(2)].read_inbox(Instant::now()),
            Op::WriteSlice(lane, seats) => {
                let _ = self.rig.lanes[lane.index(2)].write_slice(seats, Instant::now());
            }
            Op::Drain(who) => self.with(who, Watcher::drain),
            Op::Own(who) => self.with(who, |watcher| {
                watcher.own += 1;
                watcher.viewer.push_own(watcher.own);
                watcher.is_due = true;
            }),
            Op::Advance(time) => advance(time).await,
        }
    }

    /// Puts so many more entries into the order; returns their numbers.
    fn number(&mut self, entries: u64, step: impl Fn((char, u64)) -> Step) -> RangeInclusive<u64> {
        let seqs = self.seq + 1..=self.seq + entries;
        self.seq += entries;
        self.order.0.extend(seqs.clone().map(|seq| step((self.epoch, seq))));
        seqs
    }

    fn leave(&mut self, who: Index) {
        if !self.watchers.is_empty() {
            let left = self.watchers.swap_remove(who.index(self.watchers.len()));
            self.gone.push((left.viewer.wire.clone(), left.began));
        }
    }

    fn with(&mut self, who: Index, act: impl FnOnce(&mut Watcher)) {
        if !self.watchers.is_empty() {
            let who = who.index(self.watchers.len());
            act(&mut self.watchers[who]);
        }
    }

    fn join(&mut self, back: Option<usize>) {
        let viewer = self.rig.sit();
        let began = back.map(|back| self.order.0.len().saturating_sub(back));
        let located = began.map(|began| {
            let place = self.order.place(began);
            let located = viewer.seat.locate(&at(place)).unwrap();
            assert_eq!(located == Located::Elsewhere, place.0 != self.epoch, "{place:?}: {located:?}");
            located
        });
        let (mark, began) = if let (Some(Located::Here(mark)), Some(began)) = (located, began) {
            (mark, began)
        } else {
            let opening = viewer.seat.opening().unwrap();
            opening.page.iter().for_each(|page| viewer.seat.push(page));
            (opening.end, self.order.steps_before(&opening.position))
        };
        let joining = Some(mark);
        let knew_viewers = self.told_viewers;
        let watcher = Watcher { viewer, joining, began, knew_viewers, own: 0, is_due: true, shut: false };
        self.watchers.push(watcher);
    }

    /// Every socket takes everything; tasks come when they are due or woken, lanes until they rest.
    async fn settle(&mut self) {
        for watcher in &mut self.watchers {
            watcher.viewer.wire.take_all();
            watcher.viewer.seat.limit(None);
            watcher.is_due = true;
            while watcher.joining.is_some() {
                watcher.page();
            }
        }
        for _ in 0..3 {
            advance(WINDOW).await;
            self.rig.turn();
            for watcher in &mut self.watchers {
                if watcher.viewer.is_woken() || watcher.is_due {
                    watcher.drain();
                }
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let (mut live, mut skipped) = (0, 0);
        let mut ended = 0;
        for watcher in &self.watchers {
            let reading = self.order.read(watcher.began, &watcher.viewer.told())?;
            live += reading.live;
            skipped += reading.skipped;
            ended += u64::from(watcher.shut);
            // The tape keeps so many gifts for so long.
            let could_miss_gift = self.gifts > KEPT_ENTRIES as u64 || self.began.elapsed() > KEPT_FOR;
            if watcher.shut && !could_miss_gift {
                return Err(format!("shut for nothing: {reading:?} with {} gifts", self.gifts));
            }
            let viewers = if watcher.knew_viewers == self.told_viewers { 0 } else { self.told_viewers };
            let is_current =
                (reading.steps, reading.own, reading.viewers) == (self.order.0.len(), watcher.own, viewers);
            if !watcher.shut && (!is_current || watcher.viewer.wire.is_amid_frame()) {
                return Err(format!("left behind: {reading:?} of {} steps", self.order.0.len()));
            }
        }
        for (wire, began) in &self.gone {
            let reading = self.order.read(*began, &wire.told())?;
            live += reading.live;
            skipped += reading.skipped;
            ended += 1;
        }
        // Who left or was shut may have been written a part of a comment, and not yet been told of a skip.
        let counts = self.rig.sli.counts();
        let all_told = ended > 0 || counts.skips == skipped;
        // Behind TLS a whole record may be encrypted and not yet taken.
        let parts = if self.rig.is_private { 1_000 * ended } else { ended };
        if (live..=live + parts).contains(&counts.deliveries) && counts.skips >= skipped && all_told {
            Ok(())
        } else {
            Err(format!("{counts:?}, but {live} delivered and {skipped} skipped"))
        }
    }
}

impl Watcher {
    fn page(&mut self) {
        let Some(mark) = self.joining else { return };
        self.is_due = true;
        if let Some((page, after)) = self.viewer.seat.history(mark) {
            self.viewer.seat.push(&page);
            self.joining = Some(after);
        } else {
            self.viewer.seat.enter(mark);
            self.joining = None;
        }
    }

    fn limit(&mut self, most: Option<u64>) {
        self.viewer.seat.limit(most.map(|most| most + self.viewer.wire.bytes()));
        self.is_due = true;
    }

    fn drain(&mut self) {
        let drained = self.viewer.drain();
        self.is_due = matches!(drained, Drained::Full(_) | Drained::Held);
        self.shut = drained == Drained::Shut(Some(Close::TooSlow));
        assert_ne!(drained, Drained::Shut(None), "no wire was cut");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_viewer_is_told_the_order_or_what_it_misses(
        hot: bool,
        is_private: bool,
        ops in prop::collection::vec(op(), 1..100),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let rig = if hot { Rig::hot(2) } else { Rig::new(2) };
            let mut world = World::new(Rig { is_private, ..rig });
            for op in ops {
                world.apply(op).await;
            }
            world.settle().await;
            world.check().map_err(TestCaseError::fail)
        })?;
    }
}
