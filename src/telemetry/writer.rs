//! Lines on their way to standard error: whoever logs never waits for whoever reads.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd as _,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{events::Signal, sli::Sli};

/// How many lines wait, at about 300 bytes each. When nobody reads, further ones are dropped and counted.
const LINES: usize = 1_024;
/// How long the last lines may take at the end.
const LAST_WITHIN: Duration = Duration::from_millis(400);
/// How often it is looked whether lines were left out.
const LOOK_EVERY: Duration = Duration::from_secs(1);

enum Written {
    Line(Vec<u8>),
    /// Everything before this is written.
    Mark(SyncSender<()>),
}

/// Where lines are put. Cloning shares it.
#[derive(Clone)]
pub(super) struct Pen {
    lines: SyncSender<Written>,
    sli: Sli,
}

impl Pen {
    /// Starts the thread that writes to standard error.
    pub(super) fn start(sli: &Sli) -> io::Result<Self> {
        // Not `io::stderr()`: its lock would be held for as long as nobody reads.
        Self::on(File::from(io::stderr().as_fd().try_clone_to_owned()?), sli)
    }

    fn on(paper: File, sli: &Sli) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(LINES);
        let told = sli.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(paper, &waiting, &told))?;
        Ok(Self { lines, sli: sli.clone() })
    }

    /// Waits until everything is written, but not for ever.
    pub(super) fn finish(&self) {
        let (written, when) = sync_channel(1);
        if self.lines.try_send(Written::Mark(written)).is_ok() {
            // Whoever does not read by now never will.
            let _ = when.recv_timeout(LAST_WITHIN);
        }
    }
}

fn write(mut paper: File, waiting: &Receiver<Written>, sli: &Sli) {
    let (mut told, mut told_at) = (0, Instant::now());
    loop {
        match waiting.recv_timeout(LOOK_EVERY) {
            // Nobody is left to tell if standard error is gone.
            Ok(Written::Line(line)) => drop(paper.write_all(&line)),
            Ok(Written::Mark(written)) => drop(written.send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let dropped = sli.lines_dropped();
        if dropped > told && told_at.elapsed() >= LOOK_EVERY {
            tracing::warn!(lines = dropped - told, "log lines were left out");
            (told, told_at) = (dropped, Instant::now());
        }
    }
}

impl<'a> MakeWriter<'a> for Pen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Takes a whole line at once, as the formatter writes it.
impl Write for Pen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Written::Line(line.to_vec())).is_err() {
            self.sli.dropped(Signal::Logs, 1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::fd::OwnedFd};

    use super::*;

    #[test]
    fn lines_that_nobody_reads_are_counted_and_the_others_are_written_later() {
        const SENT: u64 = 3_000;
        let (mut reader, mut full) = io::pipe().unwrap();
        // What a pipe holds (pipe(7)).
        full.write_all(&[b'x'; 65_536]).unwrap();
        let sli = Sli::default();
        let mut pen = Pen::on(File::from(OwnedFd::from(full)), &sli).unwrap();
        for _ in 0..SENT {
            pen.write_all(b"a line\n").unwrap();
        }
        let dropped = sli.lines_dropped();
        // One more than wait may be in the thread's hand.
        assert!((SENT - 1_025..=SENT - 1_024).contains(&dropped), "{dropped}");
        let told = format!("fanfare_telemetry_dropped_total{{signal=\"logs\"}} {dropped}");
        assert!(sli.prometheus().lines().any(|line| line == told), "{told}");
        drop(pen);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read.matches("a line\n").count() as u64, SENT - dropped);
    }
}
