//! How a viewer comes to the stream's present: `hello`, what it missed, and then the tape.
//!
//! Each step yields frames; the next step is taken when they are written, so that a slow viewer holds one page at most.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{After, Context, Request, keepalive::PING_EVERY};
use crate::{
    domain::{Position, now_ms},
    hub::{Located, Mark, Seat},
    identity::SessionSecret,
    protocol::{self, Code, Hello, ReconnectWait, Resumed, SharedFrame},
    shards::{Past, Unavailable},
};

/// How long a viewer waits for its stream in silence; after that it is told, and waits on.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long until a place that is on its way to this pod is looked for again.
const AGAIN: Duration = Duration::from_millis(20);

/// Where a joining viewer stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Catchup {
    /// The stream's place in its order is not known here yet.
    Closed {
        /// Whether the viewer was told.
        told: bool,
    },
    /// It has no `hello` yet, and what it may have missed is in the history.
    Begin {
        /// The place that it came with.
        after: Option<Position>,
        /// Whether it was told that the history cannot be read.
        told: bool,
    },
    /// It has everything up to this place, which is before the tape begins.
    Behind(Position),
    /// It has everything up to this mark of the tape.
    OnTape(Mark),
}

/// What follows a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// Another step, when the frames are written.
    Step(Catchup),
    /// The lane, from this mark on.
    Live(Mark),
}

type CatchUpStep = (Vec<SharedFrame>, Next);

/// A viewer that joins.
pub(super) struct Joining<'a> {
    pub(super) context: &'a Context,
    pub(super) seat: &'a Seat,
    pub(super) request: &'a Request,
}

impl Joining<'_> {
    pub(super) async fn step(&self, catchup: Catchup) -> CatchUpStep {
        match catchup {
            Catchup::Closed { told } => self.wait(told).await,
            Catchup::Begin { after, told } => self.begin(after, told).await,
            Catchup::Behind(position) => self.behind(position).await,
            Catchup::OnTape(mark) => self.on_tape(mark),
        }
    }

    async fn wait(&self, told: bool) -> CatchUpStep {
        if told {
            self.seat.opened().await;
        } else if timeout(PATIENCE, self.seat.opened()).await.is_err() {
            return (vec![unavailable()], Next::Step(Catchup::Closed { told: true }));
        }
        match self.request.after {
            After::Nothing => self.fresh(),
            After::Unknown => (Vec::new(), Next::Step(Catchup::Begin { after: None, told })),
            After::Place(after) => match self.seat.locate(&after) {
                Some(Located::Here(mark)) => {
                    (vec![self.hello(after, Resumed::All)], Next::Step(Catchup::OnTape(mark)))
                }
                _ => (Vec::new(), Next::Step(Catchup::Begin { after: Some(after), told })),
            },
        }
    }

    fn fresh(&self) -> CatchUpStep {
        match self.seat.opening() {
            Some(opening) => {
                let mut frames = vec![self.hello(opening.position, Resumed::Fresh)];
                frames.extend(opening.page);
                (frames, Next::Step(Catchup::OnTape(opening.end)))
            }
            None => (Vec::new(), Next::Step(Catchup::Closed { told: false })),
        }
    }

    /// The tape does not know the place that the viewer came with: the shard has the last word on it.
    async fn begin(&self, after: Option<Position>, told: bool) -> CatchUpStep {
        let stream = &self.request.stream;
        // A place that nobody knows is of no history at all.
        let place = after.unwrap_or_else(|| Position::start_of(crate::domain::Epoch::random()));
        let past = match self.context.shards.past(stream, &place).await {
            Ok(past) => past,
            Err(Unavailable) => {
                sleep(PATIENCE).await;
                let frames = if told { Vec::new() } else { vec![unavailable()] };
                return (frames, Next::Step(Catchup::Begin { after, told: true }));
            }
        };
        match past {
            Past::End => (vec![self.hello(place, Resumed::All)], Next::Step(Catchup::Behind(place))),
            Past::Page(page, end) => {
                (vec![self.hello(place, Resumed::All), page], Next::Step(Catchup::Behind(end)))
            }
            Past::Trimmed(from, to) => {
                let frames = vec![self.hello(place, Resumed::Gap), protocol::gap(from, to.seq, to)];
                (frames, Next::Step(Catchup::Behind(to)))
            }
            Past::Elsewhere(start) => {
                let frames = vec![self.hello(start, Resumed::Reset), protocol::reset(start)];
                (frames, Next::Step(Catchup::Behind(start)))
            }
        }
    }

    async fn behind(&self, position: Position) -> CatchUpStep {
        if let Some(Located::Here(mark)) = self.seat.locate(&position) {
            return (Vec::new(), Next::Step(Catchup::OnTape(mark)));
        }
        match self.context.shards.past(&self.request.stream, &position).await {
            Ok(Past::Page(page, end)) => (vec![page], Next::Step(Catchup::Behind(end))),
            Ok(Past::Trimmed(from, to)) => {
                (vec![protocol::gap(from, to.seq, to)], Next::Step(Catchup::Behind(to)))
            }
            Ok(Past::Elsewhere(start)) => (vec![protocol::reset(start)], Next::Step(Catchup::Behind(start))),
            Ok(Past::End) | Err(Unavailable) => {
                // The newest comment is on its way to this pod, or the shard is away: it will be on the tape.
                sleep(AGAIN).await;
                (Vec::new(), Next::Step(Catchup::Behind(position)))
            }
        }
    }

    fn on_tape(&self, mark: Mark) -> CatchUpStep {
        match self.seat.history(mark) {
            Some((frame, after)) => (vec![frame], Next::Step(Catchup::OnTape(after))),
            None => (Vec::new(), Next::Live(mark)),
        }
    }

    fn hello(&self, position: Position, resumed: Resumed) -> SharedFrame {
        let Request { stream, verified, session, secret, .. } = self.request;
        protocol::hello(&Hello {
            stream,
            session: session.as_str(),
            session_secret: secret.as_ref().map(SessionSecret::reveal),
            position,
            resumed,
            viewers: self.seat.viewers(),
            rights: verified.viewer().rights.list(),
            slow_mode_ms: 0,
            closed: false,
            ping_ms: u64::try_from(PING_EVERY.as_millis()).unwrap_or(u64::MAX),
            reconnect: ReconnectWait::DEFAULT,
            pod: &self.context.pod,
            track: &self.context.track,
            server_time: now_ms(),
        })
    }
}

fn unavailable() -> SharedFrame {
    protocol::error(
        None,
        Code::ShardUnavailable,
        "the stream's shard does not answer; the stream follows when it does",
    )
}
