//! The phases in which a pod leaves.

use std::time::Duration;

use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout_at},
};

use super::pod::Pod;
use crate::{readiness::Reason, release::Release, tasks::Tasks};

/// What an exit may take beyond the times for load balancers and viewers, whatever hangs; telemetry takes two seconds
/// more at the most, which makes the five that are promised.
const EXIT_MARGIN: Duration = Duration::from_secs(3);
/// How long HTTP requests that are under way may take at the end.
const LAST_REQUESTS: Duration = Duration::from_secs(2);
/// The longest time that a viewer has to leave after it was asked to.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// How often viewers are asked to go at the end: often enough to be even.
const RELEASE_EVERY: Duration = Duration::from_millis(20);

/// The cause of an exit, which decides whether the pod serves for the whole settle time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCause {
    /// The pod was told to end by an orchestrator, by `kill` or by a fault of its own: a load balancer may send clients
    /// until it has noticed, so that the pod serves them for the whole settle time.
    Ordered,
    /// SIGINT while standard error is a terminal (Ctrl-C): the pod waits for the viewers that it has, and for nothing else.
    Typed,
}

impl Pod {
    /// Runs until `exit` is ready or a core task breaks, then leaves in phases.
    ///
    /// # Errors
    /// The name of the core task that broke.
    pub async fn run(self, exit: impl Future<Output = ExitCause>) -> Result<(), String> {
        let (cause, broken) = select! {
            cause = exit => (cause, None),
            name = self.tasks.broken() => (ExitCause::Ordered, Some(name)),
        };
        self.leave(cause).await;
        broken.map_or(Ok(()), |name| Err(format!("the task {name:?} broke")))
    }

    /// Runs the phases of the exit. All of them end at one deadline.
    async fn leave(self, cause: ExitCause) {
        let deadline = Instant::now() + time_for_exit(self.exit.settle, self.exit.drain);
        if timeout_at(deadline, self.phases(cause)).await.is_err() {
            tracing::warn!(viewers = self.tasks.sockets(), "the time for the exit is over");
        }
        self.ops.stop();
        tracing::info!("the pod has left");
    }

    async fn phases(&self, cause: ExitCause) {
        self.gate.close(Reason::Draining);
        self.ending.announce();
        tracing::info!(viewers = self.tasks.sockets(), "exit: announcing");
        // Posts, history and handshakes are served meanwhile: a balancer that has not noticed yet still sends them.
        select! {
            () = sleep(self.exit.settle) => {}
            () = self.tasks.sockets_gone(), if cause == ExitCause::Typed => {}
        }
        self.ending.refuse();
        tracing::info!(viewers = self.tasks.sockets(), "exit: refusing new connections, releasing viewers");
        self.release.drain();
        release_evenly(&self.tasks, &self.release, self.exit.drain).await;
        // A request that is under way is answered.
        self.ending.close();
        if timeout_at(Instant::now() + LAST_REQUESTS, self.tasks.requests_gone()).await.is_err() {
            tracing::warn!(requests = self.tasks.requests(), "exit: some requests were not finished");
        }
        self.shards.leave().await;
        self.tasks.stop().await;
    }
}

/// Asks viewers to go, so many in each moment that the last one is asked when there is just time for it to leave.
async fn release_evenly(tasks: &Tasks, release: &Release, drain: Duration) {
    let begin = Instant::now();
    let viewers = tasks.sockets();
    let window = drain - LEAVE_WITHIN.min(drain / 3);
    let mut asked = 0;
    let mut tick = interval(RELEASE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        select! {
            _ = tick.tick() => {}
            () = tasks.sockets_gone() => return,
        }
        let due = share(viewers, begin.elapsed(), window);
        release.ask(due.saturating_sub(asked));
        asked = asked.max(due);
        if asked >= viewers {
            // Those whose handshake was under way when the counting began.
            release.ask(release.waiting());
            tasks.sockets_gone().await;
            return;
        }
    }
}

pub(super) fn leave_within_ms(drain: Duration) -> u64 {
    u64::try_from(LEAVE_WITHIN.min(drain / 3).as_millis()).unwrap_or(u64::MAX)
}

/// How long an exit may take, whatever hangs: each phase has its time, and none takes another's.
fn time_for_exit(settle: Duration, drain: Duration) -> Duration {
    settle + drain + EXIT_MARGIN
}

/// How many of the viewers are due after a time.
fn share(viewers: usize, elapsed: Duration, window: Duration) -> usize {
    let all = viewers as u128;
    let due = (all * elapsed.as_micros()).checked_div(window.as_micros()).unwrap_or(all);
    usize::try_from(due.min(all)).unwrap_or(viewers)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// G11: 300 viewers who stay to their last moment are asked in the 4 s that a drain of 6 s has for it, as many in
    /// each tenth of a second as in any other.
    #[tokio::test(start_paused = true)]
    async fn viewers_are_asked_evenly() {
        let (tasks, release, begin) = (Tasks::default(), Release::default(), Instant::now());
        let asked = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..300 {
            let (release, asked) = (release.clone(), Arc::clone(&asked));
            tasks.socket(tasks.place(), async move {
                release.asked().await;
                asked.lock().push(begin.elapsed());
                sleep(Duration::from_secs(2)).await;
            });
        }
        release_evenly(&tasks, &release, Duration::from_secs(6)).await;
        let asked = asked.lock();
        assert_eq!(asked.len(), 300);
        for tenth in 0..40 {
            let span = Duration::from_millis(100) * tenth..Duration::from_millis(100) * (tenth + 1);
            let count = asked.iter().filter(|moment| span.contains(*moment)).count();
            assert!((6..=9).contains(&count), "{count} of 300 in {span:?}");
        }
    }

    /// Symptom: with a long time for load balancers viewers were cut without a word. Cause: it was taken from theirs.
    #[test]
    fn settling_takes_nothing_from_the_drain() {
        let (settle, drain) = (Duration::from_secs(600), Duration::from_secs(30));
        assert!(time_for_exit(settle, drain) > settle + drain + LAST_REQUESTS);
    }

    #[test]
    fn shares_are_even_and_complete() {
        let window = Duration::from_secs(10);
        let shares: Vec<_> = (0..=10).map(|s| share(1_000, Duration::from_secs(s), window)).collect();
        assert_eq!(shares, (0..=10).map(|s| s * 100).collect::<Vec<_>>());
        assert_eq!(share(7, Duration::ZERO, Duration::ZERO), 7);
        assert_eq!(share(7, Duration::from_secs(99), window), 7);
    }
}
