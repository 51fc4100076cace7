//! One socket's life: join, listen, post or drop and resume as its role says, until the run is over.

use std::{sync::Arc, time::Duration};

use tokio::{
    pin, select,
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    checker::{Checker, Stay},
    context::{Context, Phase},
    dial::{self, DialError, Route, Upgrade},
    link::Link,
    listener::{End, Listener},
    outbox::Outbox,
    rng::Rng,
    tally::note,
    wire::{self, Inbox},
};

/// A viewer that could not resume for so long gives up.
const RESUME_FOR: Duration = Duration::from_secs(20);
/// The longest time that a request to move is put off.
const MOVE_WITHIN_MS: u64 = 5000;

/// What a socket does besides listening.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    Watch,
    /// Posts as the `number`th of `of` posters of its stream.
    Post {
        number: u32,
        of: u32,
    },
    /// Drops its connection so often, spread over the posting.
    Resume {
        times: u32,
    },
}

/// A socket to open.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    /// Its number among all sockets: chooses target, source address and tally.
    pub(crate) socket: u32,
    pub(crate) stream: u32,
    pub(crate) role: Role,
}

/// What is left of a viewer at the end.
pub(crate) struct Departure {
    pub(crate) stream: u32,
    pub(crate) checker: Checker,
    pub(crate) joined: bool,
    pub(crate) stay: Stay,
}

struct Viewer {
    ctx: Arc<Context>,
    seat: Seat,
    listener: Listener,
    link: Option<Link>,
    inbox: Inbox,
    rng: Rng,
    /// When it is to drop its connection, latest first.
    drops_us: Vec<u64>,
}

/// Lives one socket's life; tells `joined` once its stream, and whether it got in.
pub(crate) async fn live(ctx: Arc<Context>, seat: Seat, joined: mpsc::Sender<(u32, bool)>) -> Departure {
    let mut rng = Rng::new(u64::from(ctx.run) << 32 | u64::from(seat.socket));
    let resumes = ctx.plan.reconnect || !matches!(seat.role, Role::Watch);
    let place = (seat.socket, seat.stream);
    let mut listener = Listener::new(Arc::clone(&ctx), place, Rng::new(rng.next()));
    listener.resumes = resumes;
    let inbox = Inbox::default();
    let mut viewer = Viewer { ctx, seat, listener, link: None, inbox, rng, drops_us: Vec::new() };
    if let Role::Post { number, of } = viewer.seat.role {
        let outbox =
            Outbox::new(viewer.ctx.run, viewer.seat.stream, (number, of), viewer.ctx.plan.body_bytes);
        viewer.listener.outbox = Some(Box::new(outbox));
    }
    let is_in = viewer.join().await;
    // The receiver counts; once it has stopped counting nobody needs the answer.
    let _ = joined.send((viewer.seat.stream, is_in)).await;
    // The last one to answer ends the counting.
    drop(joined);
    let stay = if is_in && viewer.stay().await.is_ok() { Stay::ToTheEnd } else { Stay::Left };
    viewer.part();
    Departure { stream: viewer.seat.stream, checker: viewer.listener.checker, joined: is_in, stay }
}

/// The viewer is gone for good; it was counted why.
struct Gone;

impl Viewer {
    async fn join(&mut self) -> bool {
        let ctx = Arc::clone(&self.ctx);
        let opened = match ctx.joins.acquire().await {
            Ok(_permit) => self.connect().await.map_err(|error| error.to_string()),
            Err(_) => Err("not tried in time".to_owned()),
        };
        if *ctx.phase().borrow() != Phase::Joining {
            self.listener.checker.joined_late(ctx.clock.now_us());
        }
        let mut tally = ctx.tally(self.seat.socket);
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

    /// Opens a connection and waits for `hello`; how long that took in microseconds.
    async fn connect(&mut self) -> Result<u64, DialError> {
        self.part();
        let ctx = Arc::clone(&self.ctx);
        let started_us = ctx.clock.now_us();
        let deadline = Instant::now() + ctx.plan.handshake;
        let (target, address) = ctx.target(self.seat.socket);
        let sources = &ctx.plan.sources;
        let source = sources.get(self.seat.socket as usize % sources.len().max(1)).copied();
        let path = self.path(&target.prefix);
        let upgrade = Upgrade {
            authority: &target.authority,
            path: &path,
            headers: &ctx.plan.headers,
            nonce: self.rng.nonce(),
        };
        let route = Route { address, source, receive_bytes: None, deadline };
        // On the heap: what a handshake needs is not to be held by every viewer for its whole life.
        let (stream, rest) = Box::pin(dial::open(route, upgrade)).await?;
        self.link = Some(Link::new(stream));
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
            Ok(()) => Ok(ctx.clock.now_us() - started_us),
            Err(end) => Err(DialError::Dropped(end.reason())),
        }
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
        let Some(link) = &mut self.link else { return Err(End::Eof) };
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
                End::Over if begun => self.resume().await?,
                End::Over => {
                    self.begin();
                    begun = true;
                }
                End::Moved(within_ms) => {
                    let within = Duration::from_millis(self.rng.below(within_ms.min(MOVE_WITHIN_MS)));
                    // Still listens meanwhile; whatever ends that, the next connection goes on from there.
                    let _ = timeout(within, self.watch(|phase| *phase == Phase::Finished)).await;
                    self.resume().await?;
                }
                dropped => {
                    note(&mut self.ctx.tally(self.seat.socket).drops, &dropped.reason());
                    self.link = None;
                    if !self.ctx.plan.reconnect && matches!(self.seat.role, Role::Watch) {
                        return Err(Gone);
                    }
                    self.resume().await?;
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
        if let Role::Resume { times } = self.seat.role {
            let length_us = crate::clock::micros(Duration::from_secs_f64(self.ctx.plan.seconds));
            let slice_us = length_us / u64::from(times.max(1));
            // One at a random place of each slice, none in the last eighth of it.
            let places =
                (0..times).rev().map(|slice| u64::from(slice) * slice_us + self.rng.below(slice_us / 8 * 7));
            self.drops_us = places.map(|place_us| start_us + place_us).collect();
        }
    }

    /// Listens and does what the role wants; `Over` when the run is finished, or a planned drop is due.
    async fn attend(&mut self) -> End {
        let finished: fn(&Phase) -> bool = |phase| *phase == Phase::Finished;
        loop {
            let posts_us = self.listener.outbox.as_ref().and_then(|outbox| outbox.next_due_us());
            let Some(due_us) = posts_us.or_else(|| self.drops_us.last().copied()) else {
                return self.watch(finished).await;
            };
            let due = self.ctx.clock.at(due_us);
            if let Ok(end) = timeout_at(due, self.watch(finished)).await {
                return end;
            }
            if posts_us.is_none() {
                self.drops_us.pop();
                return End::Over;
            }
            self.post_due();
        }
    }

    fn post_due(&mut self) {
        let (Some(link), Some(outbox)) = (&mut self.link, &mut self.listener.outbox) else { return };
        let now_us = self.ctx.clock.now_us();
        let mut ledger = self.ctx.ledger(self.seat.stream);
        let mut tally = self.ctx.tally(self.seat.socket);
        outbox.post_due(now_us, &mut link.out, &mut self.rng, (&mut ledger, &mut tally));
    }

    /// Connects again from the last position; tries for a while.
    async fn resume(&mut self) -> Result<(), Gone> {
        // Half of them go without a word, as a phone in a tunnel does.
        if self.rng.below(2) == 0 {
            self.link = None;
        }
        self.part();
        let give_up = Instant::now() + RESUME_FOR;
        let mut pause_ms = 20;
        loop {
            sleep(Duration::from_millis(pause_ms / 2 + self.rng.below(pause_ms))).await;
            let reason = match self.connect().await {
                Ok(_) => break,
                Err(error) => error.to_string(),
            };
            pause_ms = (pause_ms * 2).min(1000);
            if self.ctx.is_finished() || Instant::now() >= give_up {
                note(&mut self.ctx.tally(self.seat.socket).resume_failures, &reason);
                return Err(Gone);
            }
        }
        if self.ctx.is_finished() {
            // Too late to hear what it missed.
            note(&mut self.ctx.tally(self.seat.socket).resume_failures, "not before the end of the run");
            return Err(Gone);
        }
        self.ctx.tally(self.seat.socket).counts.resumed += 1;
        if let (Some(link), Some(outbox)) = (&mut self.link, &self.listener.outbox) {
            outbox.repeat(&mut link.out, &mut self.rng);
        }
        Ok(())
    }

    /// Says goodbye, if there is somebody to say it to.
    fn part(&mut self) {
        if let Some(mut link) = self.link.take() {
            wire::push_close(&mut link.out, 1000, self.rng.mask());
            link.part();
        }
    }
}
