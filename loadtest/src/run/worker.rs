//! One process's share of a run: its sockets from the first connection to the balance, under the orders of a
//! conductor in the same process or in another one.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    select,
    sync::mpsc::{self, Receiver, Sender},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    base::proc,
    check::{
        checker::{Balance, Stay},
        ledger::{Closed, Ledger},
        tally::Tallies,
    },
    drive::{
        context::{Class, Context, Phase},
        non_reading,
        non_reading::Cuts,
        plan::Posting,
        rest::{RestPoster, Sort},
        seats::{Seat, seats},
        viewer,
        visit::Departure,
    },
    report::Account,
};

/// After the last deadline of a join, wait so long for its outcome.
const QUIET: Duration = Duration::from_millis(200);
/// How long the sockets have to end.
const ENDING: Duration = Duration::from_secs(10);

/// What a conductor wants.
#[derive(Serialize, Deserialize)]
pub(crate) enum Order {
    /// Say how it is going.
    Look,
    /// Post, beginning at this time of the run's clock.
    Post { start_us: u64 },
    /// End all sockets and hand over the ledgers.
    Finish,
    /// Draw the balance over what all processes know, a ledger a stream.
    Settle(Vec<Closed>),
}

/// What a crew answers.
#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    /// All who were to be there are, or could not come: how many are in each stream.
    Joined(Vec<u64>),
    Looked(Box<Look>),
    Ended(Vec<Ledger>),
    Settled(Box<Outcome>),
    /// The process is gone, for this reason.
    Failed(String),
}

/// How it is going.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) tallies: Tallies,
    /// Connections that are open.
    pub(crate) open: u64,
    /// Posts acked in each stream.
    pub(crate) acked: Vec<u64>,
    /// CPU of the process so far, in microseconds.
    pub(crate) cpu_us: u64,
}

/// What came of it.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) tallies: Tallies,
    pub(crate) account: Account,
    pub(crate) cuts: Cuts,
}

struct Worker {
    ctx: Arc<Context>,
    seats: usize,
    viewers: JoinSet<Departure>,
    workers: JoinSet<()>,
    stuck: JoinSet<Cuts>,
}

/// Does what it is told until the balance is drawn, or nobody gives orders any more.
pub(crate) async fn serve(ctx: Arc<Context>, mut orders: Receiver<Order>, replies: Sender<Reply>) {
    let seats = seats(&ctx.plan, ctx.share);
    let (viewers, workers, stuck) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut worker = Worker { ctx, seats: seats.len(), viewers, workers, stuck };
    let (joined, outcomes) = mpsc::channel(1024);
    for seat in seats {
        worker.viewers.spawn(viewer::live(Arc::clone(&worker.ctx), seat, joined.clone()));
    }
    drop(joined);
    let counting = count(Arc::clone(&worker.ctx), outcomes);
    tokio::pin!(counting);
    let mut departures = Vec::new();
    let mut is_counted = false;
    loop {
        let order = select! {
            order = orders.recv() => order,
            audience = &mut counting, if !is_counted => {
                is_counted = true;
                worker.watch_stuck();
                // An answer that nobody takes: the orders end, too.
                let _ = replies.send(Reply::Joined(audience)).await;
                continue;
            }
        };
        let reply = match order {
            Some(Order::Look) => Reply::Looked(Box::new(worker.look())),
            Some(Order::Post { start_us }) => {
                worker.post(start_us);
                continue;
            }
            Some(Order::Finish) => {
                departures = worker.finish().await;
                Reply::Ended(
                    (0..worker.ctx.plan.streams)
                        .map(|stream| std::mem::take(&mut *worker.ctx.ledger(stream)))
                        .collect(),
                )
            }
            Some(Order::Settle(closed)) => {
                Reply::Settled(Box::new(worker.settle(&departures, &closed).await))
            }
            None => return,
        };
        let _ = replies.send(reply).await;
    }
}

/// Waits until all who are to be there from the start are there, or could not come; how many are in each stream.
async fn count(ctx: Arc<Context>, mut outcomes: Receiver<(Seat, bool)>) -> Vec<u64> {
    let mut audience = vec![0; ctx.plan.streams as usize];
    let mut deadline = Instant::now() + ctx.plan.joins;
    loop {
        match timeout_at(deadline, outcomes.recv()).await {
            Ok(Some((seat, true))) if seat.role.class() == Class::Steady => {
                audience[seat.stream as usize] += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) => return audience,
            // Those in flight have a deadline of their own; the others are not tried any more.
            Err(_) if !ctx.joins.is_closed() => {
                ctx.joins.close();
                deadline = Instant::now() + ctx.plan.handshake + QUIET;
            }
            Err(_) => return audience,
        }
    }
}

impl Worker {
    fn watch_stuck(&mut self) {
        let ctx = &self.ctx;
        if ctx.plan.stuck > 0 && ctx.share.index == 0 && !ctx.joins.is_closed() {
            self.stuck.spawn(non_reading::watch(Arc::clone(ctx), ctx.plan.checked_sockets()));
        }
    }

    fn look(&self) -> Look {
        let ctx = &self.ctx;
        let acked = (0..ctx.plan.streams).map(|stream| ctx.ledger(stream).acked()).collect();
        Look { tallies: ctx.total(), open: ctx.open(), acked, cpu_us: proc::own_cpu_us() }
    }

    fn post(&mut self, start_us: u64) {
        let ctx = Arc::clone(&self.ctx);
        let by_rest = ctx.plan.posting == Posting::Rest && ctx.plan.rate > 0.0;
        let comments = by_rest.then_some(Sort::Comments);
        let gifts = (0..ctx.gifts(0).len()).map(Sort::Gifts).filter(|_| ctx.plan.has_gifts());
        let sorts = comments.into_iter().chain(gifts).filter(|_| ctx.share.index == 0);
        for sort in sorts {
            let of = ctx.plan.rest_connections;
            for number in 0..of {
                self.workers.spawn(RestPoster { ctx: Arc::clone(&ctx), sort, number, of }.post_all());
            }
        }
        ctx.enter(Phase::Posting { start_us });
    }

    /// Ends all sockets.
    async fn finish(&mut self) -> Vec<Departure> {
        self.ctx.enter(Phase::Finished);
        let deadline = Instant::now() + ENDING;
        let mut departures = Vec::with_capacity(self.viewers.len());
        while let Ok(Some(departure)) = timeout_at(deadline, self.viewers.join_next()).await {
            departures.extend(departure.ok());
        }
        while let Ok(Some(_)) = timeout_at(deadline, self.workers.join_next()).await {}
        departures
    }

    async fn settle(&mut self, departures: &[Departure], closed: &[Closed]) -> Outcome {
        let deadline = Instant::now() + ENDING;
        let cuts = timeout_at(deadline, self.stuck.join_next()).await.ok().flatten();
        let cuts = cuts.and_then(Result::ok).unwrap_or_default();
        let mut account =
            Account { unfinished: self.seats.saturating_sub(departures.len()) as u64, ..Account::default() };
        for departure in departures.iter().filter(|departure| departure.joined) {
            enter(&mut account, departure, closed);
        }
        Outcome { tallies: self.ctx.total(), account, cuts }
    }
}

/// Adds a viewer's balance to the account.
fn enter(account: &mut Account, departure: &Departure, closed: &[Closed]) {
    let is_slow = departure.seat.role.class() == Class::Slow;
    let mut all = Balance::default();
    for visit in &departure.visits {
        // A slow viewer is owed nothing after what it has read: the rest is still on its way.
        let stay = if is_slow { Stay::Left } else { visit.stay };
        let Some(closed) = closed.get(visit.stream as usize) else { continue };
        all.add(&visit.checker.balance(closed, stay));
    }
    if is_slow {
        account.slow.add(&all);
        return;
    }
    let left = departure.visits.last().is_some_and(|visit| visit.stay == Stay::Left);
    account.left += u64::from(left);
    account.losers += u64::from(all.lost > 0);
    account.most_lost = account.most_lost.max(all.lost);
    account.balance.add(&all);
}
