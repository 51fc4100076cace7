//! One socket's life: join, listen, post or what else its role wants, until the run is over.

use std::{sync::Arc, time::Duration};

use tokio::{
    pin, select,
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    context::{Context, Phase, Presence},
    listener::{End, Listener},
    outbox::Outbox,
    seats::{Role, Seat},
    turns,
    turns::{Turn, What},
    visit::{Departure, Visit},
};
use crate::{
    base::rng::Rng,
    check::{
        checker::Stay,
        tally::{RUN_ENDED, note},
    },
    protocol::{
        dial,
        dial::{DialError, Route, Upgrade},
        link::Link,
        wire,
        wire::Inbox,
    },
};

/// A viewer that could not resume for so long gives up.
const RESUME_FOR: Duration = Duration::from_secs(20);
/// The longest time that a request to move is put off.
const MOVE_WITHIN_MS: u64 = 5000;
/// How often a slow viewer reads.
const SIP_EVERY: Duration = Duration::from_millis(100);
/// The kernel's receive buffer of a slow viewer: it must not read ahead for it.
const SLOW_READ_BUFFER_BYTES: u32 = 4096;

struct Viewer {
    ctx: Arc<Context>,
    seat: Seat,
    listener: Listener,
    link: Option<(Link, Presence)>,
    inbox: Inbox,
    rng: Rng,
    /// What it is to do, latest first.
    turns: Vec<Turn>,
    visits: Vec<Visit>,
}

/// Lives one socket's life; tells `joined` once its stream, and whether it got in.
pub(crate) async fn live(ctx: Arc<Context>, seat: Seat, joined: mpsc::Sender<(Seat, bool)>) -> Departure {
    let mut viewer = Viewer::new(ctx, seat);
    let is_in = match seat.role {
        Role::Late { after_us } => {
            // Nobody waits for it.
            drop(joined);
            viewer.come_late(after_us).await
        }
        _ => {
            let is_in = viewer.join().await;
            // The receiver counts; once it has stopped counting nobody needs the answer.
            let _ = joined.send((seat, is_in)).await;
            // The last one to answer ends the counting.
            drop(joined);
            is_in
        }
    };
    let stay = if is_in && viewer.stay().await.is_ok() { Stay::ToTheEnd } else { Stay::Left };
    viewer.depart(is_in, stay)
}

/// The viewer is gone for good; it was counted why.
struct Gone;

/// How a viewer goes about connecting again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// After a moment, as clients should.
    Jittered,
    /// With all others; counted as a join that was due at this time.
    AtOnce(u64),
}

impl Viewer {
    fn new(ctx: Arc<Context>, seat: Seat) -> Self {
        let mut rng = Rng::new(u64::from(ctx.run) << 32 | u64::from(seat.socket));
        let mut listener = Listener::new(Arc::clone(&ctx), seat.stream, seat.books(), Rng::new(rng.next()));
        let stays = matches!(seat.role, Role::Watch | Role::Late { .. } | Role::Churn { .. });
        listener.resumes = ctx.plan.reconnect || !stays || turns::in_a_storm(&ctx, seat);
        if let Role::Post { number, of } = seat.role {
            let outbox = Outbox::new(ctx.run, seat.stream, (number, of), ctx.plan.body_bytes);
            listener.outbox = Some(Box::new(outbox));
        }
        let (inbox, turns, visits) = (Inbox::default(), Vec::new(), Vec::new());
        Self { ctx, seat, listener, link: None, inbox, rng, turns, visits }
    }

    async fn join(&mut self) -> bool {
        let ctx = Arc::clone(&self.ctx);
        let opened = match ctx.joins.acquire().await {
            Ok(_permit) => self.connect(ctx.clock.now_us()).await.map_err(|error| error.to_string()),
            Err(_) => Err("not tried in time".to_owned()),
        };
        if *ctx.phase().borrow() != Phase::Joining {
            self.listener.checker.joined_late(ctx.clock.now_us());
        }
        self.count_join(opened)
    }

    /// Joins at its time; how long that took counts from then.
    async fn come_late(&mut self, after_us: u64) -> bool {
        let ctx = Arc::clone(&self.ctx);
        let mut phase = ctx.phase();
        let begun = phase.wait_for(|phase| *phase != Phase::Joining).await.map(|phase| *phase);
        let Ok(Phase::Posting { start_us }) = begun else { return false };
        let due_us = start_us + after_us;
        if timeout_at(ctx.clock.at(due_us), phase.wait_for(|phase| *phase == Phase::Finished)).await.is_ok() {
            return false;
        }
        self.listener.checker.joined_late(ctx.clock.now_us());
        let opened = self.connect(due_us).await.map_err(|error| error.to_string());
        // A run that ends meanwhile does not tell whether it would have got in.
        if opened.is_err() && ctx.is_finished() { false } else { self.count_join(opened) }
    }

    fn count_join(&self, opened: Result<u64, String>) -> bool {
        let mut tally = self.ctx.tally(self.seat.books());
        match opened {
            Ok(took_us) => {
                tally.counts.joined += 1;
                tally.join.record(took_us);
                true
            }
            Err(reason) => {
                note(&mut tally.join_failures, &reason);
                false
            }
        }
    }

    /// Opens a connection and waits for `hello`; how long after `since_us` that was, in microseconds.
    async fn connect(&mut self, since_us: u64) -> Result<u64, DialError> {
        self.part();
        let ctx = Arc::clone(&self.ctx);
        let deadline = Instant::now() + ctx.plan.handshake;
        let (target, address) = ctx.target(self.seat.target);
        let source = ctx.source(self.seat.socket);
        let path = self.path(&target.prefix);
        let upgrade = Upgrade {
            authority: &target.authority,
            path: &path,
            headers: &ctx.plan.headers,
            nonce: self.rng.nonce(),
        };
        let slow_read = self.slow_read_bytes();
        let route = Route {
            address,
            source,
            receive_bytes: slow_read.map(|_| SLOW_READ_BUFFER_BYTES),
            deadline,
            tls: ctx.tls(target),
        };
        // On the heap: what a handshake needs is not to be held by every viewer for its whole life.
        let (stream, rest) = Box::pin(dial::open(route, upgrade)).await?;
        let link = Link::new(stream);
        let link = if let Some(bytes) = slow_read { link.reading_slowly(bytes) } else { link };
        self.link = Some((link, ctx.enter_presence()));
        self.inbox = Inbox::default();
        self.listener.greeted = false;
        let mut greeting =
            if rest.is_empty() { Ok(()) } else { self.listener.absorb(&mut self.inbox, &rest) };
        while greeting.is_ok() && !self.listener.greeted {
            greeting = match timeout_at(deadline, self.turn()).await {
                Ok(turn) => turn,
                Err(_) => return Err(DialError::TimedOut("hello")),
            };
        }
        match greeting {
            Ok(()) => Ok(ctx.clock.now_us().saturating_sub(since_us)),
            Err(End::Moved(_)) => Err(DialError::Dropped("asked to come later".to_owned())),
            Err(end) => Err(DialError::Dropped(end.reason())),
        }
    }

    /// What a slow viewer reads at once.
    fn slow_read_bytes(&self) -> Option<usize> {
        let Role::Slow { bytes_a_second } = self.seat.role else { return None };
        Some((bytes_a_second / 10).max(1) as usize)
    }

    fn path(&self, prefix: &str) -> String {
        let mut query = Vec::new();
        // In open mode the name is the author, whom idempotency ids belong to: it must outlive a connection.
        if let Role::Post { number, .. } = self.seat.role {
            query.push(format!("name=poster-{number}"));
        }
        if !self.listener.position.is_empty() {
            query.push(format!("after={}", self.listener.position));
        }
        let mark = if query.is_empty() { "" } else { "?" };
        let stream = self.ctx.stream_name(self.seat.stream);
        format!("{prefix}/v1/streams/{stream}/watch{mark}{}", query.join("&"))
    }

    /// Reads once, and takes that in.
    async fn turn(&mut self) -> Result<(), End> {
        let Some((link, _)) = &mut self.link else { return Err(End::Eof) };
        link.out.append(&mut self.listener.reply);
        match link.turn(|bytes| self.listener.absorb(&mut self.inbox, bytes)).await {
            Ok(Some(taken)) => taken,
            Ok(None) => Err(End::Eof),
            Err(error) => Err(End::Io(error.kind())),
        }
    }

    /// Listens until the connection ends or the run is where `until` wants it.
    async fn watch(&mut self, until: fn(&Phase) -> bool) -> End {
        let mut phase = self.ctx.phase();
        let over = phase.wait_for(until);
        pin!(over);
        loop {
            select! {
                biased;
                turn = self.turn() => if let Err(end) = turn { return end },
                _ = &mut over => return End::Over,
            }
            if self.slow_read_bytes().is_some() && timeout(SIP_EVERY, &mut over).await.is_ok() {
                return End::Over;
            }
        }
    }

    /// Stays until the run is over.
    async fn stay(&mut self) -> Result<(), Gone> {
        let mut begun = false;
        loop {
            let end = match begun {
                false => self.watch(|phase| *phase != Phase::Joining).await,
                true => self.attend().await,
            };
            match end {
                End::Over if self.ctx.is_finished() => return Ok(()),
                End::Over if begun => self.take_turn().await?,
                End::Over => {
                    self.begin();
                    begun = true;
                }
                End::Moved(within_ms) => {
                    let within = Duration::from_millis(self.rng.below(within_ms.min(MOVE_WITHIN_MS)));
                    // Still listens meanwhile; whatever ends that, the next connection goes on from there.
                    let _ = timeout(within, self.watch(|phase| *phase == Phase::Finished)).await;
                    self.resume(Again::Jittered).await?;
                }
                dropped => {
                    note(&mut self.ctx.tally(self.seat.books()).drops, &dropped.reason());
                    self.link = None;
                    let is_viewer =
                        matches!(self.seat.role, Role::Watch | Role::Late { .. } | Role::Churn { .. });
                    if !self.ctx.plan.reconnect && is_viewer {
                        return Err(Gone);
                    }
                    self.resume(Again::Jittered).await?;
                }
            }
        }
    }

    /// Posting begins.
    fn begin(&mut self) {
        let Phase::Posting { start_us } = *self.ctx.phase().borrow() else { return };
        if let Some(outbox) = &mut self.listener.outbox {
            outbox.begin(self.ctx.comments(start_us));
        }
        self.turns = turns::of(&self.ctx, self.seat, start_us, &mut self.rng);
    }

    /// Listens and does what the role wants; `Over` when the run is finished, or a turn is due.
    async fn attend(&mut self) -> End {
        let finished: fn(&Phase) -> bool = |phase| *phase == Phase::Finished;
        loop {
            let posts_us = self.listener.outbox.as_ref().and_then(|outbox| outbox.next_due_us());
            let Some(due_us) = posts_us.or_else(|| self.turns.last().map(|turn| turn.due_us)) else {
                return self.watch(finished).await;
            };
            let due = self.ctx.clock.at(due_us);
            if let Ok(end) = timeout_at(due, self.watch(finished)).await {
                return end;
            }
            if posts_us.is_none() {
                return End::Over;
            }
            self.post_due();
        }
    }

    async fn take_turn(&mut self) -> Result<(), Gone> {
        let Some(Turn { due_us, what }) = self.turns.pop() else { return Ok(()) };
        match what {
            What::Drop => self.resume(Again::Jittered).await,
            What::Storm => self.resume(Again::AtOnce(due_us)).await,
            What::Switch(stream) => self.switch(due_us, stream).await,
        }
    }

    fn post_due(&mut self) {
        let (Some((link, _)), Some(outbox)) = (&mut self.link, &mut self.listener.outbox) else { return };
        let now_us = self.ctx.clock.now_us();
        let mut ledger = self.ctx.ledger(self.seat.stream);
        let mut tally = self.ctx.tally(self.seat.books());
        outbox.post_due(now_us, &mut link.out, &mut self.rng, (&mut ledger, &mut tally));
    }

    /// Leaves its stream for another one.
    async fn switch(&mut self, due_us: u64, stream: u32) -> Result<(), Gone> {
        self.part();
        let left = std::mem::replace(&mut self.seat.stream, stream);
        let checker = self.listener.move_to(stream);
        self.visits.push(Visit { stream: left, checker, stay: Stay::Left });
        let opened = self.connect(due_us).await.map_err(|error| error.to_string());
        if opened.is_err() && self.ctx.is_finished() {
            return Err(Gone);
        }
        if self.count_join(opened) { Ok(()) } else { Err(Gone) }
    }

    /// Connects again from the last position, to any of the targets; tries for a while.
    async fn resume(&mut self, again: Again) -> Result<(), Gone> {
        // Half of them go without a word, as a phone in a tunnel does; in a storm all do.
        if again != Again::Jittered || self.rng.below(2) == 0 {
            self.link = None;
        }
        self.part();
        let give_up = Instant::now() + RESUME_FOR;
        let (mut pause_ms, mut tried) = (20, false);
        loop {
            if again == Again::Jittered || tried {
                sleep(Duration::from_millis(pause_ms / 2 + self.rng.below(pause_ms))).await;
                pause_ms = (pause_ms * 2).min(1000);
            }
            self.seat.target = u32::try_from(self.rng.below(1 << 31)).unwrap_or(0);
            let since_us = if let Again::AtOnce(due_us) = again { due_us } else { self.ctx.clock.now_us() };
            let reason = match self.connect(since_us).await {
                Ok(took_us) => {
                    self.resumed(again, took_us);
                    break;
                }
                Err(error) => error.to_string(),
            };
            tried = true;
            if self.ctx.is_finished() || Instant::now() >= give_up {
                note(&mut self.ctx.tally(self.seat.books()).resume_failures, &reason);
                return Err(Gone);
            }
        }
        if self.ctx.is_finished() {
            // Too late to hear what it missed.
            note(&mut self.ctx.tally(self.seat.books()).resume_failures, RUN_ENDED);
            return Err(Gone);
        }
        if let (Some((link, _)), Some(outbox)) = (&mut self.link, &self.listener.outbox) {
            outbox.repeat(&mut link.out, &mut self.rng);
        }
        Ok(())
    }

    fn resumed(&self, again: Again, took_us: u64) {
        let mut tally = self.ctx.tally(self.seat.books());
        if !self.ctx.is_finished() {
            tally.counts.resumed += 1;
        }
        if again != Again::Jittered {
            tally.join.record(took_us);
        }
    }

    /// Says goodbye, if there is somebody to say it to.
    fn part(&mut self) {
        if let Some((mut link, _)) = self.link.take() {
            wire::push_close(&mut link.out, 1000, self.rng.mask());
            link.part();
        }
    }

    fn depart(mut self, joined: bool, stay: Stay) -> Departure {
        self.part();
        let Self { seat, listener, mut visits, .. } = self;
        visits.push(Visit { stream: seat.stream, checker: listener.checker, stay });
        Departure { seat, joined, visits }
    }
}
