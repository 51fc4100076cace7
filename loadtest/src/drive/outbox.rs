//! A WebSocket poster's part: which posts are due, which wait for their ack, and what came of them.

use std::collections::BTreeMap;

use super::schedule::Schedule;
use crate::{
    base::rng::Rng,
    check::{
        ledger::{Fit, Ledger},
        tally::{Tally, note},
    },
    protocol::{
        mark::{Mark, PostId, hex},
        scan::{Frame, Malformed},
        wire,
    },
};

/// While more than this waits to be written, due posts wait too, and their latency grows.
const MAX_WAITING_BYTES: usize = 4 << 20;

struct Pending {
    due_us: u64,
    /// The greatest seq acked before it was sent: its own must be greater.
    floor: u64,
}

/// One poster's share of one stream's posts: every `stride`th from its own number on.
pub(crate) struct Outbox {
    pub(crate) run: u32,
    pub(crate) stream: u32,
    pub(crate) stride: u32,
    pub(crate) body_bytes: usize,
    next: u32,
    schedule: Option<Schedule>,
    pending: BTreeMap<u32, Pending>,
}

impl Outbox {
    pub(crate) fn new(run: u32, stream: u32, (number, stride): (u32, u32), body_bytes: usize) -> Self {
        Self { run, stream, stride, body_bytes, next: number, schedule: None, pending: BTreeMap::new() }
    }

    pub(crate) fn begin(&mut self, schedule: Schedule) {
        self.schedule = Some(schedule);
    }

    /// When the next post is due; `None` when all are made.
    pub(crate) fn next_due_us(&self) -> Option<u64> {
        Some(self.schedule?.of_stream(self.stream, self.next)?.due_us)
    }

    /// Appends every post that is due by now.
    pub(crate) fn post_due(
        &mut self,
        now_us: u64,
        out: &mut Vec<u8>,
        rng: &mut Rng,
        books: (&mut Ledger, &mut Tally),
    ) {
        let (ledger, tally) = books;
        while let Some(due_us) =
            self.next_due_us().filter(|due| *due <= now_us && out.len() < MAX_WAITING_BYTES)
        {
            ledger.offer(PostId::comment(self.next));
            tally.lateness.record(now_us - due_us);
            self.pending.insert(self.next, Pending { due_us, floor: ledger.highest_acked() });
            self.push(self.next, due_us, out, rng);
            self.next += self.stride;
        }
    }

    /// Appends again every post that is not answered: on a new connection, with the same idempotency ids.
    pub(crate) fn repeat(&self, out: &mut Vec<u8>, rng: &mut Rng) {
        for (number, pending) in &self.pending {
            self.push(*number, pending.due_us, out, rng);
        }
    }

    fn push(&self, number: u32, due_us: u64, out: &mut Vec<u8>, rng: &mut Rng) {
        let Self { run, stream, body_bytes, .. } = self;
        let body =
            Mark { run: *run, stream: *stream, post: PostId::comment(number), due_us }.body(*body_bytes);
        let post =
            format!(r#"{{"type":"post","ref":"{number:x}","id":"{run:x}-{number:x}","body":"{body}"}}"#);
        wire::push_text(out, post.as_bytes(), rng.mask());
    }

    /// Takes the post that an answer names off the list.
    fn take(&mut self, reference: &[u8]) -> Result<(u32, Pending), Malformed> {
        let number = hex(reference).and_then(|number| u32::try_from(number).ok()).ok_or(Malformed)?;
        Ok((number, self.pending.remove(&number).ok_or(Malformed)?))
    }

    /// Enters a `posted` frame.
    pub(crate) fn acked(
        &mut self,
        frame: &Frame<'_>,
        ledger: &mut Ledger,
        tally: &mut Tally,
        now_us: u64,
    ) -> Result<(), Malformed> {
        let (Some(reference), Some(id), Some(seq)) = (frame.reference, frame.id, frame.seq) else {
            return Err(Malformed);
        };
        let (number, pending) = self.take(reference)?;
        tally.counts.acked += 1;
        tally.counts.acked_again += u64::from(frame.duplicate);
        tally.ack.record(now_us.saturating_sub(pending.due_us));
        // A repeated post keeps its place, and after a reset seqs begin anew.
        if !frame.duplicate && ledger.epochs() <= 1 && seq <= pending.floor {
            tally.counts.inversions += 1;
        }
        if ledger.ack(PostId::comment(number), seq, id, now_us) != Fit::Agrees {
            tally.counts.disagreements += 1;
        }
        Ok(())
    }

    /// Enters an `error` frame that answers a post.
    pub(crate) fn refused(&mut self, frame: &Frame<'_>, tally: &mut Tally) -> Result<(), Malformed> {
        let (Some(reference), Some(code)) = (frame.reference, frame.code) else { return Err(Malformed) };
        self.take(reference)?;
        note(&mut tally.refusals, &String::from_utf8_lossy(code));
        Ok(())
    }
}
