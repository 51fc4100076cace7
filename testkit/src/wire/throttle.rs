//! A connection that is read at a bounded rate.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Interval, MissedTickBehavior, interval},
};

use super::private::Stream;

/// The time between two reads.
const TICK: Duration = Duration::from_millis(100);

/// A stream of which so many bytes are read each second on average, a tenth of them at a time. Writing is not bounded.
pub(super) struct Throttled {
    stream: Box<dyn Stream>,
    ticks: Interval,
    each: usize,
    left: usize,
}

impl Throttled {
    pub(super) fn new(stream: Box<dyn Stream>, bytes_a_second: usize) -> Self {
        let mut ticks = interval(TICK);
        // What a busy machine missed is made up for: the rate is the test's, not the machine's.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self { stream, ticks, each: bytes_a_second / 10, left: 0 }
    }
}

impl AsyncRead for Throttled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            ready!(self.ticks.poll_tick(cx));
            self.left = self.each;
        }
        let most = self.left.min(into.remaining());
        let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        into.advance(count);
        self.left -= count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Throttled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
