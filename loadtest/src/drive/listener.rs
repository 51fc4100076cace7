//! Takes in what one socket reads: frames to the checker, acks to the outbox, pings to the reply buffer.

use std::{cell::RefCell, io, sync::Arc};

use serde::de::IgnoredAny;

use super::{
    context::{Class, Context},
    outbox::Outbox,
};
use crate::{
    base::rng::Rng,
    check::{
        checker::Checker,
        ledger::Ledger,
        recent::Recent,
        tally::{Tally, note},
    },
    protocol::{
        scan::{Entry, Frame, Kind, Malformed, scan},
        wire,
        wire::{Inbox, Message, WireError},
    },
};

/// Of frames that only one viewer gets, every so many of a tally one is given to `serde_json` as well, which checks
/// what the scanner skips.
const FULL_CHECK_EVERY: u64 = 1024;

thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Why the reading of a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The awaited phase came.
    Over,
    /// The server asked to connect again within so many milliseconds.
    Moved(u64),
    Closed(Option<u16>),
    Eof,
    Io(io::ErrorKind),
    Broken(WireError),
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Broken(error)
    }
}

impl End {
    /// The name under which a drop is counted.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Over | Self::Moved(_) => "by the tester".to_owned(),
            Self::Closed(Some(code)) => format!("close {code}"),
            Self::Closed(None) => "close without a code".to_owned(),
            Self::Eof => "end without a close".to_owned(),
            Self::Io(kind) => kind.to_string(),
            Self::Broken(error) => error.to_string(),
        }
    }
}

/// One socket's state above the wire, which outlives its connections.
pub(crate) struct Listener {
    ctx: Arc<Context>,
    books: (u32, Class),
    stream: u32,
    /// It resumes, so it remembers its position and follows `reconnect`.
    pub(crate) resumes: bool,
    pub(crate) checker: Checker,
    pub(crate) outbox: Option<Box<Outbox>>,
    /// Of the last ordered frame; only kept when it resumes.
    pub(crate) position: String,
    /// `hello` came on this connection.
    pub(crate) greeted: bool,
    /// Answers that go out next.
    pub(crate) reply: Vec<u8>,
    /// The number of the stream's frame that should come next.
    next_frame: u64,
    rng: Rng,
}

impl Listener {
    pub(crate) fn new(ctx: Arc<Context>, stream: u32, books: (u32, Class), rng: Rng) -> Self {
        let checker = Checker::new(ctx.run, stream);
        let (position, reply) = (String::new(), Vec::new());
        Self {
            ctx,
            books,
            stream,
            resumes: false,
            checker,
            outbox: None,
            position,
            greeted: false,
            reply,
            next_frame: 0,
            rng,
        }
    }

    /// Goes to another stream; with the account of the one that it leaves.
    pub(crate) fn move_to(&mut self, stream: u32) -> Checker {
        self.stream = stream;
        self.position.clear();
        let mut fresh = Checker::new(self.ctx.run, stream);
        fresh.joined_late(self.ctx.clock.now_us());
        std::mem::replace(&mut self.checker, fresh)
    }

    /// Takes in one read.
    pub(crate) fn absorb(&mut self, inbox: &mut Inbox, bytes: &[u8]) -> Result<(), End> {
        let now_us = self.ctx.clock.now_us();
        let ctx = Arc::clone(&self.ctx);
        let mut recent = ctx.recent(self.stream);
        let mut ledger = ctx.ledger(self.stream);
        let mut tally = ctx.tally(self.books);
        tally.counts.reads += 1;
        tally.counts.bytes += bytes.len() as u64;
        let end = inbox.feed(bytes, |message| match message {
            Message::Text(text) => match self.text(text, (&mut recent, &mut ledger), (&mut tally, now_us)) {
                Ok(None) => Ok(()),
                Ok(Some(within_ms)) => Err(End::Moved(within_ms)),
                Err(Malformed) => {
                    tally.counts.garbage += 1;
                    Ok(())
                }
            },
            Message::Ping(payload) => {
                wire::push_pong(&mut self.reply, payload, self.rng.mask());
                Ok(())
            }
            Message::Pong => Ok(()),
            Message::Close(code) => Err(End::Closed(code)),
        });
        if let Err(End::Broken(_)) = end {
            tally.counts.garbage += 1;
        }
        end
    }

    /// Takes in one text frame; with the time to move, if it asks for that.
    fn text(
        &mut self,
        text: &str,
        (recent, ledger): (&mut Recent, &mut Ledger),
        (tally, now_us): (&mut Tally, u64),
    ) -> Result<Option<u64>, Malformed> {
        tally.counts.frames += 1;
        if let Some(number) = recent.find(text, self.next_frame)
            && let Some((frame, entries)) = recent.get(number)
        {
            self.next_frame = number + 1;
            self.checker.ordered(&frame, entries, ledger, (tally, now_us))?;
            self.remember(&frame)?;
            return Ok(None);
        }
        if tally.counts.frames % FULL_CHECK_EVERY == 1 {
            serde_json::from_str::<IgnoredAny>(text).map_err(|_| Malformed)?;
        }
        ENTRIES.with_borrow_mut(|entries| {
            let frame = scan(text, entries)?;
            recent.keep(text, &frame, entries)?;
            match frame.kind {
                Kind::Comments | Kind::Removed | Kind::State | Kind::Skipped | Kind::Gap | Kind::Reset => {
                    self.checker.ordered(&frame, entries, ledger, (tally, now_us))?;
                    self.remember(&frame)?;
                }
                Kind::Hello => self.hello(&frame)?,
                Kind::Posted => self.outbox()?.acked(&frame, ledger, tally, now_us)?,
                Kind::Error if frame.reference.is_some() => self.outbox()?.refused(&frame, tally)?,
                Kind::Error => {
                    note(&mut tally.errors, &String::from_utf8_lossy(frame.code.unwrap_or_default()));
                }
                // A handshake that is refused on the WebSocket.
                Kind::Reconnect if !self.greeted => return Ok(frame.within_ms),
                Kind::Reconnect => {
                    tally.counts.moves += 1;
                    return Ok(frame.within_ms.filter(|_| self.resumes));
                }
                Kind::Notice => {}
                Kind::Unknown => tally.counts.unknown_frames += 1,
            }
            Ok(None)
        })
    }

    fn outbox(&mut self) -> Result<&mut Outbox, Malformed> {
        self.outbox.as_deref_mut().ok_or(Malformed)
    }

    fn hello(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        let resumed = frame.resumed.unwrap_or_default();
        let fits = match self.position.is_empty() {
            true => resumed == b"fresh",
            false => matches!(resumed, b"all" | b"gap" | b"reset"),
        };
        if self.greeted || !fits {
            return Err(Malformed);
        }
        self.greeted = true;
        // A position before the first entry: without it a drop before that entry could not be resumed.
        if self.position.is_empty() {
            self.remember(frame)?;
        }
        Ok(())
    }

    fn remember(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        if !self.resumes {
            return Ok(());
        }
        let position = frame.position.ok_or(Malformed)?;
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~-".contains(byte);
        if position.is_empty() || !position.iter().all(allowed) {
            return Err(Malformed);
        }
        self.position.clear();
        self.position.push_str(std::str::from_utf8(position).map_err(|_| Malformed)?);
        Ok(())
    }
}
