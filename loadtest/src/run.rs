//! One run from the first connection to the report.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::lookup_host,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at},
};

use crate::{
    checker::{Balance, Stay},
    clock::micros,
    context::{Context, Phase},
    plan::{Plan, Posting, Target},
    proc::{self, Usage},
    report::{Account, Findings, Readings, Report},
    rest::{Sort, Worker},
    rng::Rng,
    stuck::{self, Cuts},
    viewer::{self, Departure, Role, Seat},
};

/// After all has arrived, wait so long for what should not arrive.
const QUIET: Duration = Duration::from_millis(200);
/// How often to look whether all has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the sockets have to end.
const ENDING: Duration = Duration::from_secs(10);

/// Why a run cannot begin.
#[derive(Debug)]
pub enum StartError {
    /// The limit of open files is too low.
    OpenFiles {
        /// What the run needs.
        needed: u64,
        /// What this process may have.
        limit: u64,
    },
    /// A target's name has no address.
    NoAddress(String),
    /// A process to watch is not there.
    NoProcess,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenFiles { needed, limit } => write!(
                f,
                "the run needs {needed} open files, and this process may have {limit}: raise `ulimit -n`, or spread the viewers over several testers"
            ),
            Self::NoAddress(target) => write!(f, "{target} has no address"),
            Self::NoProcess => f.write_str("a process given by --pid is not there, or may not be read"),
        }
    }
}

/// How a run is going.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Seconds since the run began.
    pub seconds: f64,
    /// Sockets that joined.
    pub joined: u64,
    /// Posts due so far.
    pub offered: u64,
    /// Posts acked so far.
    pub acked: u64,
    /// Deliveries so far.
    pub delivered: u64,
    /// 99 of 100 live deliveries were at most this late, in microseconds.
    pub p99_us: u64,
}

/// Makes the run; `on_progress` is called each second.
///
/// # Errors
/// When it cannot begin. A target that fails in any way is no error: the report says so.
pub async fn run(plan: Plan, on_progress: impl FnMut(&Progress)) -> Result<Report, StartError> {
    let (needed, limit) = (plan.descriptors(), proc::open_files_limit());
    if needed > limit {
        return Err(StartError::OpenFiles { needed, limit });
    }
    if !plan.pids.is_empty() && Usage::of(&plan.pids).is_none() {
        return Err(StartError::NoProcess);
    }
    let addresses = resolve(&plan.targets, plan.handshake).await?;
    let rest_addresses = resolve(&plan.rest_targets, plan.handshake).await?;
    let run = plan.run.unwrap_or_else(any_run);
    let ctx = Arc::new(Context::new(plan, [addresses, rest_addresses], run));
    let mut conductor = Conductor { crew: Crew::default(), readings: Readings::default(), on_progress, ctx };
    conductor.join().await;
    let offered = if conductor.readings.joined > 0 || conductor.ctx.plan.checked_sockets() == 0 {
        conductor.post().await
    } else {
        0
    };
    Ok(conductor.finish(offered).await)
}

/// A name for a run.
pub(crate) fn any_run() -> u32 {
    u32::try_from(Rng::new(Rng::fresh_seed()).next() >> 32).unwrap_or_default()
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

/// The tasks of a run; dropping them ends them.
#[derive(Default)]
struct Crew {
    viewers: JoinSet<Departure>,
    workers: JoinSet<()>,
    stuck: JoinSet<Cuts>,
    /// Joined sockets of each stream.
    audience: Vec<u64>,
}

struct Conductor<F> {
    ctx: Arc<Context>,
    crew: Crew,
    readings: Readings,
    on_progress: F,
}

/// The sockets of a run: viewers, then posters, then resumers.
fn seats(plan: &Plan) -> impl Iterator<Item = Seat> {
    let viewers = (0..plan.viewers).map(|number| (number % plan.watched, Role::Watch));
    let (posting, streams, times) = (plan.posting, plan.streams, plan.resume_times);
    let of = if let Posting::WebSocket { posters } = posting { posters } else { 0 };
    let posters =
        (0..of * streams).map(move |place| (place % streams, Role::Post { number: place / streams, of }));
    let resumers = (0..plan.resumers).map(move |number| (number % plan.watched, Role::Resume { times }));
    let all = viewers.chain(posters).chain(resumers);
    (0..).zip(all).map(|(socket, (stream, role))| Seat { socket, stream, role })
}

impl<F: FnMut(&Progress)> Conductor<F> {
    /// Opens all sockets, and measures the servers before and after.
    async fn join(&mut self) {
        let ctx = &self.ctx;
        let plan = &ctx.plan;
        self.readings.servers[0] = Usage::of(&plan.pids);
        self.crew.audience = vec![0; plan.streams as usize];
        let (joined, mut outcomes) = mpsc::channel(1024);
        for seat in seats(plan) {
            self.crew.viewers.spawn(viewer::live(Arc::clone(ctx), seat, joined.clone()));
        }
        drop(joined);
        let mut deadline = Instant::now() + plan.joins;
        loop {
            match timeout_at(deadline, outcomes.recv()).await {
                Ok(Some((stream, true))) => {
                    self.readings.joined += 1;
                    self.crew.audience[stream as usize] += 1;
                }
                Ok(Some((_, false))) => {}
                Ok(None) => break,
                // Those in flight have a deadline of their own; the others are not tried any more.
                Err(_) if !ctx.joins.is_closed() => {
                    ctx.joins.close();
                    deadline = Instant::now() + plan.handshake + QUIET;
                }
                Err(_) => break,
            }
        }
        if plan.stuck > 0 && !ctx.joins.is_closed() {
            self.crew.stuck.spawn(stuck::watch(Arc::clone(ctx), plan.checked_sockets()));
        }
        sleep(plan.idle).await;
        self.readings.servers[1] = Usage::of(&plan.pids);
    }

    /// Posts by the schedule, and waits for what is still missing; how many posts were due.
    async fn post(&mut self) -> u64 {
        let ctx = Arc::clone(&self.ctx);
        let begin_us = ctx.clock.now_us();
        self.readings.tester_cpu_us[0] = proc::own_cpu_us();
        self.readings.delivered[0] = ctx.total().counts.delivered;
        let start_us = begin_us + 50_000;
        for (sort, of) in
            [(Sort::Comments, ctx.plan.rest_connections), (Sort::Gifts, ctx.plan.rest_connections)]
        {
            let wanted = match sort {
                Sort::Comments => ctx.plan.posting == Posting::Rest && ctx.plan.rate > 0.0,
                Sort::Gifts => ctx.plan.gifts_per_second > 0.0,
            };
            for number in (0..of).filter(|_| wanted) {
                self.crew.workers.spawn(Worker { ctx: Arc::clone(&ctx), sort, number, of }.post_all());
            }
        }
        ctx.enter(Phase::Posting { start_us });
        let posting_us = micros(Duration::from_secs_f64(ctx.plan.seconds));
        let last_post = ctx.clock.at(start_us + posting_us);
        self.report_until(last_post, start_us).await;
        self.drain_until(last_post + ctx.plan.window, start_us).await;
        self.readings.servers[2] = Usage::of(&ctx.plan.pids);
        self.readings.tester_cpu_us[1] = proc::own_cpu_us();
        self.readings.delivered[1] = ctx.total().counts.delivered;
        self.readings.posting_us = posting_us;
        self.due_by(u64::MAX, start_us)
    }

    /// Reports progress each second until then.
    async fn report_until(&mut self, then: Instant, start_us: u64) {
        let ctx = Arc::clone(&self.ctx);
        let mut looks = interval(Duration::from_secs(1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while timeout_at(then, looks.tick()).await.is_ok() {
            let now_us = ctx.clock.now_us();
            let total = ctx.total();
            let now = Progress {
                seconds: Duration::from_micros(now_us).as_secs_f64(),
                joined: total.counts.joined,
                offered: self.due_by(now_us, start_us),
                acked: total.counts.acked,
                delivered: total.counts.delivered,
                p99_us: total.delivery.quantiles().p99_us,
            };
            (self.on_progress)(&now);
        }
    }

    /// Waits until then for what is still missing; less if nothing is.
    async fn drain_until(&self, then: Instant, start_us: u64) {
        let ctx = &self.ctx;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while timeout_at(then, looks.tick()).await.is_ok() {
            let total = ctx.total();
            let answered = total.counts.acked + total.refusals.values().sum::<u64>();
            if answered >= self.due_by(ctx.clock.now_us(), start_us) && total.counts.delivered >= self.owed()
            {
                sleep(QUIET).await;
                return;
            }
        }
    }

    /// Posts that are due at this time.
    fn due_by(&self, now_us: u64, start_us: u64) -> u64 {
        self.ctx.comments(start_us).due_by(now_us) + self.ctx.gifts(start_us).due_by(now_us)
    }

    /// Deliveries of what is acked so far.
    fn owed(&self) -> u64 {
        let streams = (0..).zip(&self.crew.audience);
        streams.map(|(stream, audience)| self.ctx.ledger(stream).acked() * audience).sum()
    }

    /// Ends all sockets and draws the balance.
    async fn finish(mut self, offered: u64) -> Report {
        let ctx = &self.ctx;
        ctx.enter(Phase::Finished);
        let deadline = Instant::now() + ENDING;
        let mut departures = Vec::with_capacity(self.crew.viewers.len());
        while let Ok(Some(departure)) = timeout_at(deadline, self.crew.viewers.join_next()).await {
            departures.extend(departure.ok());
        }
        let mut account = self.account(&departures);
        account.unfinished = u64::from(ctx.plan.checked_sockets()).saturating_sub(departures.len() as u64);
        while let Ok(Some(_)) = timeout_at(deadline, self.crew.workers.join_next()).await {}
        let cuts = timeout_at(deadline, self.crew.stuck.join_next()).await.ok().flatten();
        let cuts = cuts.and_then(Result::ok).unwrap_or_default();
        let (tally, run) = (ctx.total(), ctx.run);
        Findings { plan: &ctx.plan, run, offered, tally, account, cuts, readings: self.readings }.report()
    }

    fn account(&self, departures: &[Departure]) -> Account {
        let closed: Vec<_> =
            (0..self.ctx.plan.streams).map(|stream| self.ctx.ledger(stream).close()).collect();
        let mut account = Account {
            acked_unseen: closed.iter().map(|closed| closed.unseen_in_all()).sum(),
            ..Account::default()
        };
        for departure in departures.iter().filter(|departure| departure.joined) {
            let Balance { expected, lost, signalled, gifts_skipped } =
                departure.checker.balance(&closed[departure.stream as usize], departure.stay);
            account.left += u64::from(departure.stay == Stay::Left);
            account.balance.expected += expected;
            account.balance.lost += lost;
            account.losers += u64::from(lost > 0);
            account.most_lost = account.most_lost.max(lost);
            account.balance.signalled += signalled;
            account.balance.gifts_skipped += gifts_skipped;
        }
        account
    }
}
