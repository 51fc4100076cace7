//! One run from the first connection to the report: the conductor of the workers.

mod builds;
mod coordinator;
mod preflight;
mod sampler;
mod worker;
pub mod worker_process;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    net::lookup_host,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout, timeout_at},
};

use self::{
    coordinator::{Coordinator, Lost},
    preflight::Limits,
    sampler::{Sampler, step_s},
    worker::{Look, Outcome},
};
use crate::{
    base::{
        clock::{Clock, micros},
        proc,
        proc::Usage,
        rng::Rng,
    },
    check::ledger::{Closed, Ledger, Misfits},
    drive::{
        context::{Brief, Share},
        plan::{Plan, Target},
        schedule::Schedule,
    },
    report::{
        Findings, Readings, Report,
        meta::Meta,
        progress::{Progress, Stage},
    },
};

/// After all has arrived, wait so long for what should not arrive.
const QUIET: Duration = Duration::from_millis(200);
/// How often to look whether all has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Viewers that came late are let alone only when nothing has reached them for so many looks.
const STILL_LOOKS: u32 = 10;
/// Posting begins so long after it was ordered, when there are several processes to order.
const HEAD_START_US: [u64; 2] = [50_000, 400_000];

/// Why a run cannot begin, or cannot go on.
#[derive(Debug)]
pub enum StartError {
    /// Limits of this machine are in the way: each with what to do.
    Limits(Vec<String>),
    /// There is no root to trust, so no server behind TLS can be asked.
    NoRoots(String),
    /// A target's name has no address.
    NoAddress(String),
    /// A process to watch is not there.
    NoProcess,
    /// A process of the tester is gone.
    Lost(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limits(mistakes) => f.write_str(&mistakes.join("\n          ")),
            Self::NoRoots(reason) | Self::Lost(reason) => f.write_str(reason),
            Self::NoAddress(target) => write!(f, "{target} has no address"),
            Self::NoProcess => {
                f.write_str("a process given by --pid or --redis-pid is not there, or may not be read")
            }
        }
    }
}

impl From<Lost> for StartError {
    fn from(Lost(reason): Lost) -> Self {
        Self::Lost(reason)
    }
}

/// Makes the run; `on_progress` is called several times a second.
///
/// # Errors
/// When it cannot begin, or a process of the tester is gone. A target that fails in any way is no error: the
/// report says so.
pub async fn run(plan: Plan, on_progress: impl FnMut(&Progress)) -> Result<Report, StartError> {
    let tls = plan.tls().map_err(StartError::NoRoots)?;
    let meta = Meta { pods: builds::ask(&plan.ops, tls.as_ref()).await, ..Meta::gather(&plan.name) };
    for pids in [&plan.pids, &plan.redis_pids] {
        if !pids.is_empty() && Usage::of(pids).is_none() {
            return Err(StartError::NoProcess);
        }
    }
    let addresses = resolve(&plan.targets, plan.handshake).await?;
    let rest_addresses = resolve(&plan.rest_targets, plan.handshake).await?;
    let limits = Limits::of_this_machine();
    let (plan, processes) = preflight::prepare(plan, &addresses, limits).map_err(StartError::Limits)?;
    let run = plan.run.unwrap_or_else(any_run);
    let (epoch_us, share) = (proc::monotonic_us(), Share { index: 0, of: 1 });
    let before = [Usage::of(&plan.pids), Usage::of(&plan.redis_pids)];
    let brief = Brief { plan: plan.clone(), addresses, rest_addresses, run, epoch_us, share };
    let coordinator = match (processes, &plan.program) {
        (1, _) => Coordinator::alone(brief, tls),
        (_, Some(program)) => Coordinator::several(&brief, program, processes)?,
        (_, None) => Coordinator::several(&brief, &own_program()?, processes)?,
    };
    let (clock, sampler) = (Clock::since(epoch_us), Sampler::new(&plan));
    let mut conductor =
        Conductor { plan, clock, coordinator, processes, sampler, on_progress, stage: Stage::Joining };
    let mut readings = Readings::default();
    [readings.servers[0], readings.redis[0]] = before;
    let audience = conductor.join(&mut readings).await?;
    let offered = conductor.post(&audience, &mut readings).await?;
    let outcome = conductor.finish().await?;
    let Outcome { tallies, account, cuts } = outcome;
    let series = conductor.sampler.samples;
    let plan = &conductor.plan;
    Ok(Findings { plan, meta, run, processes, offered, tallies, account, cuts, readings, series }.report())
}

/// A name for a run.
pub(crate) fn any_run() -> u32 {
    u32::try_from(Rng::new(Rng::fresh_seed()).next() >> 32).unwrap_or_default()
}

fn own_program() -> Result<PathBuf, StartError> {
    std::env::current_exe().map_err(|error| StartError::Lost(format!("this program has no path: {error}")))
}

async fn resolve(targets: &[Target], within: Duration) -> Result<Vec<SocketAddr>, StartError> {
    let mut addresses = Vec::new();
    for Target { authority, .. } in targets {
        let found = timeout(within, lookup_host(authority)).await.ok().and_then(Result::ok);
        let first = found.and_then(|mut found| found.next());
        addresses.push(first.ok_or_else(|| StartError::NoAddress(authority.clone()))?);
    }
    Ok(addresses)
}

struct Conductor<F> {
    plan: Plan,
    clock: Clock,
    coordinator: Coordinator,
    processes: u16,
    sampler: Sampler,
    on_progress: F,
    stage: Stage,
}

impl<F: FnMut(&Progress)> Conductor<F> {
    /// Waits until all sockets are open that are to be; how many are in each stream.
    async fn join(&mut self, readings: &mut Readings) -> Result<Vec<u64>, StartError> {
        let mut looks = ticks(Duration::from_millis(100));
        let audience = loop {
            looks.tick().await;
            let look = self.coordinator.look().await?;
            self.report(&look, None);
            if let Some(audience) = self.coordinator.audience() {
                readings.joined = joined(&look);
                break audience;
            }
        };
        sleep(self.plan.idle).await;
        readings.servers[1] = Usage::of(&self.plan.pids);
        readings.redis[1] = Usage::of(&self.plan.redis_pids);
        Ok(audience)
    }

    /// Posts by the schedule, and waits for what is still missing; how many posts were due.
    async fn post(&mut self, audience: &[u64], readings: &mut Readings) -> Result<u64, StartError> {
        if readings.joined == 0 && self.plan.all_sockets() > self.plan.late_viewers() + self.plan.stuck {
            return Ok(0);
        }
        let first = self.coordinator.look().await?;
        let start_us = self.clock.now_us() + HEAD_START_US[usize::from(self.processes > 1)];
        self.sampler.enter(&first, &self.plan, (self.clock.now_us(), Some(start_us)));
        self.coordinator.post(start_us).await?;
        self.stage = Stage::Posting;
        let posting_us = micros(Duration::from_secs_f64(self.plan.seconds));
        let last_post = self.clock.at(start_us + posting_us);
        let mut looks = ticks(Duration::from_secs_f64(step_s(&self.plan)));
        while timeout_at(last_post, looks.tick()).await.is_ok() {
            let look = self.coordinator.look().await?;
            self.sampler.enter(&look, &self.plan, (self.clock.now_us(), Some(start_us)));
            self.report(&look, Some(start_us));
        }
        self.stage = Stage::Draining;
        let last = self.drain(last_post + self.plan.window, start_us, audience).await?;
        readings.servers[2] = Usage::of(&self.plan.pids);
        readings.redis[2] = Usage::of(&self.plan.redis_pids);
        // The conductor of other processes costs, too.
        let own_us = if self.processes > 1 { proc::own_cpu_us() } else { 0 };
        readings.tester_cpu_us = last.cpu_us.saturating_sub(first.cpu_us) + own_us;
        readings.delivered = delivered(&last).saturating_sub(delivered(&first));
        readings.posting_us = posting_us;
        Ok(Schedule::all_due_by(&self.plan, start_us, u64::MAX))
    }

    /// Waits until then for what is still missing; less if nothing is.
    async fn drain(&mut self, then: Instant, start_us: u64, audience: &[u64]) -> Result<Look, StartError> {
        let mut looks = ticks(LOOK_EVERY);
        let (mut still, mut moved) = (0, 0);
        while timeout_at(then, looks.tick()).await.is_ok() {
            let look = self.coordinator.look().await?;
            let (steady, moving) = (&look.tallies.steady, &look.tallies.moving);
            let answered = steady.counts.acked + steady.refusals.values().sum::<u64>();
            let due = Schedule::all_due_by(&self.plan, start_us, self.clock.now_us());
            let owed: u64 = look.acked.iter().zip(audience).map(|(acked, audience)| acked * audience).sum();
            still = if moving.counts.delivered == moved { still + 1 } else { 0 };
            moved = moving.counts.delivered;
            let all_still = moved == 0 || still >= STILL_LOOKS;
            if answered >= due && steady.counts.delivered >= owed && all_still {
                sleep(QUIET).await;
                break;
            }
        }
        let last = self.coordinator.look().await?;
        self.sampler.enter(&last, &self.plan, (self.clock.now_us(), Some(start_us)));
        self.report(&last, Some(start_us));
        Ok(last)
    }

    fn report(&mut self, look: &Look, start_us: Option<u64>) {
        let now_us = self.clock.now_us();
        let counts = look.tallies.steady.counts;
        let posted = start_us.map_or(0, |start_us| now_us.saturating_sub(start_us));
        (self.on_progress)(&Progress {
            stage: self.stage,
            done: match self.stage {
                Stage::Joining => share(joined(look), u64::from(self.plan.checked_sockets())),
                Stage::Posting => share(posted, micros(Duration::from_secs_f64(self.plan.seconds))),
                Stage::Draining => 1.0,
            },
            seconds: Duration::from_micros(now_us).as_secs_f64(),
            joined: joined(look),
            offered: start_us.map_or(0, |start_us| Schedule::all_due_by(&self.plan, start_us, now_us)),
            acked: counts.acked,
            delivered: delivered(look),
            p99_us: look.tallies.steady.delivery.quantiles().p99_us,
        });
    }

    /// Ends all sockets and draws the balance.
    async fn finish(&mut self) -> Result<Outcome, StartError> {
        let parts = self.coordinator.finish().await?;
        let (closed, misfits, forged) = close(&parts);
        let unseen = closed.iter().map(Closed::unseen_in_all).sum();
        let views = parts
            .iter()
            .map(|part| closed.iter().zip(part).map(|(closed, ledger)| closed.in_order_of(ledger)).collect());
        let mut outcome = self.coordinator.settle(views.collect()).await?;
        outcome.account.acked_unseen = unseen;
        let counts = &mut outcome.tallies.steady.counts;
        counts.disagreements += misfits.disagreements;
        counts.stored_twice += misfits.stored_twice;
        counts.foreign += forged;
        Ok(outcome)
    }
}

/// What all workers together know of each stream, and what does not fit together.
fn close(parts: &[Vec<Ledger>]) -> (Vec<Closed>, Misfits, u64) {
    let (mut misfits, mut forged) = (Misfits::default(), 0);
    if let [alone] = parts {
        return (alone.iter().map(Ledger::close).collect(), misfits, forged);
    }
    let streams = parts.iter().map(Vec::len).max().unwrap_or(0);
    let closed = (0..streams).map(|stream| {
        let mut whole = Ledger::default();
        // First who knows of posts, then who has only seen them.
        for part in parts.iter().filter_map(|part| part.get(stream)) {
            whole.absorb_posts(part);
        }
        for part in parts.iter().filter_map(|part| part.get(stream)) {
            let Misfits { disagreements, stored_twice } = whole.absorb_sightings(part);
            misfits.disagreements += disagreements;
            misfits.stored_twice += stored_twice;
        }
        forged += whole.forged();
        whole.close()
    });
    (closed.collect(), misfits, forged)
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn joined(look: &Look) -> u64 {
    let tallies = &look.tallies;
    tallies.steady.counts.joined + tallies.moving.counts.joined + tallies.slow.counts.joined
}

fn delivered(look: &Look) -> u64 {
    let tallies = &look.tallies;
    tallies.steady.counts.delivered + tallies.moving.counts.delivered + tallies.slow.counts.delivered
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { (part as f64 / whole as f64).min(1.0) }
}
