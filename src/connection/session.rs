//! The task of one viewer.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{
    Context, Request,
    arrival::Arrival,
    catchup::{Catchup, Joining, Next},
    closing::{SessionEnd, close_session},
    expiry::{Credential, ExpiryEvent},
    keepalive::{Answered, Keepalive, KeepaliveAction},
    reader::{Allowance, FrameReader, Incoming},
    wire::Wire,
};
use crate::{
    domain::{Draft, Poster, Right, now_ms},
    hub::Drained,
    identity::{BadToken, VerifiedToken},
    limits::PostCharge,
    protocol::{self, ClientFrame, Close, Code, ReconnectReason, SharedFrame},
    release::Move,
};

/// The time in which a full socket must accept a byte. The receive window of a viewer that reads steadily reopens in
/// steps: at 4 KiB a second they are 16 to 30 s apart.
const STUCK: Duration = Duration::from_secs(36);

/// The close code of a viewer that said good-bye.
const BYE: u16 = 1000;
/// The code that stands for a connection that ended without a close (RFC 6455 section 7.4.1).
const GONE: u16 = 1006;

/// Work under way that is not reading or writing; in a box, since it takes more memory than the rest of the task.
type Job<'a, T> = Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>;

/// Serves one viewer until its socket is closed.
#[expect(clippy::manual_async_fn, reason = "an `async fn` has room for each of its arguments twice")]
pub(super) fn serve<'a>(
    context: &'a Context,
    wire: &'a Arc<Wire>,
    early: &'a mut Vec<u8>,
    request: &'a Request,
) -> impl Future<Output = ()> + Send {
    async move {
        let arrival = Arrival::new(&context.sli, Instant::now());
        let seat = context.hub.sit(&request.stream, wire.clone());
        context.shards.arrived(&request.stream, &request.verified.viewer().author.id);
        let joining = Joining { context, seat: &seat, request };
        let allowance = Allowance { limits: &context.limits, keys: &request.keys };
        let reader = FrameReader::new(wire, &seat, std::mem::take(early), allowance);
        let mut session = Session::new(&joining, wire, reader, arrival);
        let end = session.run().await;
        log(request, end);
        count(context, end);
        // In a box: a viewer's task would else have room for it all the time.
        Box::pin(close_session(wire, &seat, &mut session.reader, end)).await;
    }
}

fn log(request: &Request, end: SessionEnd) {
    let Request { stream, session, .. } = request;
    match end {
        SessionEnd::Close(close @ (Close::TooSlow | Close::NoPong)) => {
            tracing::info!(%stream, %session, code = close.code(), reason = close.reason(), "closing a viewer");
        }
        SessionEnd::Close(close) => {
            tracing::debug!(%stream, %session, code = close.code(), reason = close.reason(), "closing a viewer");
        }
        SessionEnd::Gone | SessionEnd::Bye => tracing::debug!(%stream, %session, "a viewer left"),
    }
}

fn count(context: &Context, end: SessionEnd) {
    match end {
        SessionEnd::Close(close) => context.sli.closed(close.code(), close.reason()),
        SessionEnd::Bye => context.sli.closed(BYE, "bye"),
        SessionEnd::Gone => context.sli.closed(GONE, "gone"),
    }
}

struct Session<'a> {
    joining: &'a Joining<'a>,
    wire: &'a Wire,
    reader: FrameReader<'a>,
    /// In a box: a task's memory comes in steps of 128 bytes, and this would make it one larger.
    keepalive: Box<Keepalive>,
    /// The next step towards the stream's present; none while one is under way, and when there are no more.
    catchup: Option<Catchup>,
    step: Job<'a, (Vec<SharedFrame>, Next)>,
    post: Job<'a, (SharedFrame, PostCharge)>,
    credential: Credential,
    arrival: Arrival<'a>,
    /// When a viewer that was asked to go is closed.
    leave_by: Option<Instant>,
}

impl<'a> Session<'a> {
    fn new(joining: &'a Joining<'a>, wire: &'a Wire, reader: FrameReader<'a>, arrival: Arrival<'a>) -> Self {
        let now = Instant::now();
        Self {
            joining,
            wire,
            reader,
            keepalive: Box::new(Keepalive::new(now)),
            catchup: Some(Catchup::Closed { told: false }),
            step: None,
            post: None,
            credential: Credential::new(joining.request.verified.clone(), now),
            arrival,
            leave_by: None,
        }
    }

    async fn run(&mut self) -> SessionEnd {
        let Context { identity, release, .. } = self.joining.context;
        let mut asked = pin!(release.asked());
        let mut revocations = pin!(identity.revocations_near(self.credential.token()));
        let mut timer = pin!(sleep_until(self.keepalive.due()));
        if identity.is_revoked(self.credential.token()) {
            return SessionEnd::Close(Close::TokenEnded);
        }
        loop {
            let full_since = match self.joining.seat.drain(Instant::now()) {
                Drained::All => {
                    self.written();
                    None
                }
                Drained::Held => None,
                Drained::Full(since) => Some(since),
                Drained::Shut(Some(close)) => return SessionEnd::Close(close),
                Drained::Shut(None) => return SessionEnd::Gone,
            };
            let due = self.due(full_since);
            // A timer that comes too early costs a look; setting it anew costs that each time.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            let may_read = self.post.is_none() && self.joining.seat.has_room();
            tokio::select! {
                (frames, next) = job(&mut self.step) => self.stepped(&frames, next),
                (answer, charge) = job(&mut self.post) => {
                    self.post = None;
                    self.reader.settle(charge);
                    self.joining.seat.push(&answer);
                }
                incoming = self.reader.next(), if may_read => {
                    if let Some(end) = self.incoming(incoming) {
                        return end;
                    }
                }
                () = writable(self.wire), if full_since.is_some() => {}
                () = self.joining.seat.woken() => {}
                () = &mut revocations => {
                    revocations.set(identity.revocations_near(self.credential.token()));
                    if identity.is_revoked(self.credential.token()) {
                        return SessionEnd::Close(Close::TokenEnded);
                    }
                }
                why = &mut asked, if self.leave_by.is_none() => self.ask_to_leave(why),
                () = &mut timer => {
                    if let Some(close) = self.overdue(full_since) {
                        return SessionEnd::Close(close);
                    }
                }
            }
        }
    }

    /// Everything that is due is written: the next step towards the stream's present begins.
    fn written(&mut self) {
        self.arrival.written();
        if let Some(catchup) = self.catchup.take() {
            let joining = self.joining;
            self.step = Some(Box::pin(joining.step(catchup)));
        }
    }

    fn stepped(&mut self, frames: &[SharedFrame], next: Next) {
        self.step = None;
        frames.iter().for_each(|frame| self.joining.seat.push(frame));
        self.arrival.stepped(frames.len(), &next);
        match next {
            Next::Step(catchup) => self.catchup = Some(catchup),
            Next::Live(mark) => self.joining.seat.enter(mark),
        }
    }

    fn incoming(&mut self, incoming: Incoming) -> Option<SessionEnd> {
        match incoming {
            Incoming::Text(text) => self.message(&text),
            Incoming::Control => {}
            Incoming::Pong(number) => {
                if let Some(Answered { took, limit }) = self.keepalive.answered(Instant::now(), number) {
                    self.joining.context.sli.answered(took);
                    self.joining.seat.limit(limit);
                }
            }
            Incoming::Bye => return Some(SessionEnd::Bye),
            Incoming::Gone => return Some(SessionEnd::Gone),
            Incoming::Broke(close) => return Some(SessionEnd::Close(close)),
        }
        None
    }

    fn message(&mut self, text: &str) {
        match ClientFrame::decode(text) {
            Ok(ClientFrame::Ping) => self.joining.seat.push(&protocol::pong(now_ms())),
            Ok(ClientFrame::Post { reference, draft }) => match self.reader.may_post() {
                Ok(()) => {
                    let (joining, verified) = (self.joining, self.credential.token().clone());
                    self.post = Some(Box::pin(post(joining, verified, reference, draft)));
                }
                Err(too_often) => {
                    self.joining.context.posting.count_refused();
                    self.joining.seat.push(&protocol::refused(reference.as_deref(), &too_often.into()));
                }
            },
            Ok(ClientFrame::Refresh { reference, token }) => {
                if let Err((code, message)) = self.refresh(token.reveal()) {
                    self.joining.seat.push(&protocol::error(reference.as_deref(), code, &message));
                }
            }
            Err(bad) => {
                tracing::debug!(why = bad.message, "a viewer's message was not understood");
                self.joining.seat.push(&protocol::error(
                    bad.reference.as_deref(),
                    Code::BadRequest,
                    bad.message,
                ));
            }
        }
    }

    /// Goes on with another token of the same user; if it is none, the old one stays.
    fn refresh(&mut self, token: &str) -> Result<(), (Code, String)> {
        let Joining { context, request, .. } = self.joining;
        let verified = context.identity.check(token).map_err(|bad| (code_of(bad), bad.to_string()))?;
        let viewer = verified.viewer();
        let not_allowed = |what: &str| Err((Code::NotAllowed, what.to_owned()));
        if viewer.author.id != self.credential.token().viewer().author.id {
            return not_allowed("the token is of another user");
        }
        if !viewer.streams.allow(&request.stream) || !viewer.rights.have(Right::Watch) {
            return not_allowed("the token does not allow to watch this stream");
        }
        self.credential.renew(verified, Instant::now());
        Ok(())
    }

    fn ask_to_leave(&mut self, why: Move) {
        let reason = match why {
            Move::Drain => ReconnectReason::Drain,
            Move::Rebalance => ReconnectReason::Rebalance,
        };
        let within_ms = self.joining.context.leave_within_ms;
        self.leave_by = Some(Instant::now() + Duration::from_millis(within_ms));
        // Before it is told to connect again.
        self.wire.retire();
        self.joining.seat.push(&protocol::reconnect(within_ms, reason));
    }

    /// When something may be overdue.
    fn due(&self, full_since: Option<Instant>) -> Instant {
        let stuck = full_since.map(|since| since + STUCK);
        // A post under way is answered first; it takes about a second at most.
        let leave_by = self.leave_by.filter(|_| self.post.is_none());
        [stuck, leave_by, self.credential.due()]
            .into_iter()
            .flatten()
            .fold(self.keepalive.due(), Instant::min)
    }

    fn overdue(&mut self, full_since: Option<Instant>) -> Option<Close> {
        let now = Instant::now();
        match self.credential.event(now) {
            ExpiryEvent::Over => return Some(Close::TokenEnded),
            ExpiryEvent::Expiring(in_ms) => self.joining.seat.push(&protocol::expiring(in_ms)),
            ExpiryEvent::Wait => {}
        }
        if full_since.is_some_and(|since| now >= since + STUCK) {
            return Some(Close::TooSlow);
        }
        if self.post.is_none() && self.leave_by.is_some_and(|leave_by| now >= leave_by) {
            return Some(Close::Restart);
        }
        match self.keepalive.beat(now, full_since.is_some(), || self.wire.take_heard()) {
            KeepaliveAction::Wait => {}
            KeepaliveAction::Ping(number) => {
                self.keepalive.pinged(now, self.joining.seat.push_counted(&protocol::ping(number)));
            }
            KeepaliveAction::Limit(bytes) => self.joining.seat.limit(Some(bytes)),
            KeepaliveAction::Dead => return Some(Close::NoPong),
        }
        None
    }
}

/// The code of a token that is refused.
fn code_of(bad: BadToken) -> Code {
    if bad.has_ended() { Code::TokenExpired } else { Code::BadToken }
}

async fn post(
    joining: &Joining<'_>,
    verified: VerifiedToken,
    reference: Option<String>,
    draft: Draft,
) -> (SharedFrame, PostCharge) {
    let Joining { context, request, .. } = joining;
    let answer = context.posting.post(Poster::Viewer(verified.viewer()), &request.stream, draft).await;
    let frame = match &answer {
        Ok(accepted) => protocol::posted(reference.as_deref(), accepted),
        Err(refusal) => protocol::refused(reference.as_deref(), refusal),
    };
    (frame, PostCharge::of(&answer))
}

/// Waits until the socket takes something; in a box, since few viewers ever wait for that.
async fn writable(wire: &Wire) {
    Box::pin(wire.writable()).await;
}

/// Waits for the job; for ever, if there is none.
async fn job<T>(job: &mut Job<'_, T>) -> T {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}
