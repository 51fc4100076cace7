//! The crews of a run, in this process or in others, as one: orders go to all, answers come from all.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    worker,
    worker::{Look, Order, Outcome, Reply},
};
use crate::{
    check::ledger::{Closed, Ledger},
    drive::context::{Brief, Context, Share},
    protocol::tls::Tls,
};

/// Orders and words under way.
const QUEUE: usize = 16;
/// How long the crews have for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Ends its process when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All crews of a run; dropping it ends them.
pub(crate) struct Coordinator {
    orders: Vec<Sender<Order>>,
    replies: Receiver<(usize, Reply)>,
    /// Those that have said that all are there: how many are in each stream.
    joined: Vec<Option<Vec<u64>>>,
    _crews: JoinSet<()>,
    _processes: Vec<Process>,
}

/// A crew that is gone or silent, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost(pub(crate) String);

impl Coordinator {
    /// Starts one crew in this process.
    pub(crate) fn alone(brief: Brief, tls: Option<Tls>) -> Self {
        let (orders, theirs) = mpsc::channel(QUEUE);
        let (replies, said) = mpsc::channel(QUEUE);
        let (one, mut its_words) = mpsc::channel(QUEUE);
        let mut crews = JoinSet::new();
        crews.spawn(worker::serve(Arc::new(Context::new(brief, tls)), theirs, one));
        crews.spawn(async move {
            while let Some(reply) = its_words.recv().await {
                if replies.send((0, reply)).await.is_err() {
                    return;
                }
            }
        });
        Self {
            orders: vec![orders],
            replies: said,
            joined: vec![None],
            _crews: crews,
            _processes: Vec::new(),
        }
    }

    /// Starts several processes of this program, each with a crew.
    pub(crate) fn several(brief: &Brief, program: &Path, count: u16) -> Result<Self, Lost> {
        let (replies, said) = mpsc::channel(QUEUE);
        let (mut orders, mut processes) = (Vec::new(), Vec::new());
        for index in 0..count {
            let brief = Brief { share: Share { index, of: count }, ..brief.clone() };
            let (to, process) = start(program, &brief, replies.clone())
                .map_err(|error| Lost(format!("a process of the tester cannot be started: {error}")))?;
            orders.push(to);
            processes.push(process);
        }
        let joined = vec![None; orders.len()];
        Ok(Self { orders, replies: said, joined, _crews: JoinSet::new(), _processes: processes })
    }

    /// Whether all viewers are there who are to be there from the start; how many are in each stream.
    pub(crate) fn audience(&self) -> Option<Vec<u64>> {
        let all: Option<Vec<&Vec<u64>>> = self.joined.iter().map(Option::as_ref).collect();
        let mut sum: Vec<u64> = Vec::new();
        for audience in all? {
            sum.resize(audience.len().max(sum.len()), 0);
            sum.iter_mut().zip(audience).for_each(|(sum, count)| *sum += count);
        }
        Some(sum)
    }

    /// Asks all how it is going.
    pub(crate) async fn look(&mut self) -> Result<Look, Lost> {
        self.order(|_| Order::Look).await?;
        let mut total = Look::default();
        for look in
            self.answers(|reply| if let Reply::Looked(look) = reply { Ok(*look) } else { Err(reply) }).await?
        {
            total.tallies.add(&look.tallies);
            total.open += look.open;
            total.cpu_us += look.cpu_us;
            total.acked.resize(look.acked.len().max(total.acked.len()), 0);
            total.acked.iter_mut().zip(&look.acked).for_each(|(sum, count)| *sum += count);
        }
        Ok(total)
    }

    pub(crate) async fn post(&mut self, start_us: u64) -> Result<(), Lost> {
        self.order(|_| Order::Post { start_us }).await
    }

    /// Ends all sockets; each crew's ledgers.
    pub(crate) async fn finish(&mut self) -> Result<Vec<Vec<Ledger>>, Lost> {
        self.order(|_| Order::Finish).await?;
        self.answers(|reply| if let Reply::Ended(ledgers) = reply { Ok(ledgers) } else { Err(reply) }).await
    }

    /// Draws the balance: each crew over its own view of what all know.
    pub(crate) async fn settle(&mut self, mut closed: Vec<Vec<Closed>>) -> Result<Outcome, Lost> {
        self.order(|index| Order::Settle(closed.get_mut(index).map(std::mem::take).unwrap_or_default()))
            .await?;
        let mut total = Outcome::default();
        for outcome in self
            .answers(|reply| if let Reply::Settled(outcome) = reply { Ok(*outcome) } else { Err(reply) })
            .await?
        {
            total.tallies.add(&outcome.tallies);
            total.account.add(&outcome.account);
            total.cuts.add(outcome.cuts);
        }
        Ok(total)
    }

    async fn order(&mut self, mut order: impl FnMut(usize) -> Order) -> Result<(), Lost> {
        for (index, orders) in self.orders.iter().enumerate() {
            // One that is gone has said so, or will be missed.
            let _ = orders.send(order(index)).await;
        }
        Ok(())
    }

    /// One answer of each crew, in their order.
    async fn answers<T>(&mut self, wanted: impl Fn(Reply) -> Result<T, Reply>) -> Result<Vec<T>, Lost> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut answers: Vec<Option<T>> = self.orders.iter().map(|_| None).collect();
        while answers.iter().any(Option::is_none) {
            let Ok(reply) = timeout_at(deadline, self.replies.recv()).await else {
                return Err(Lost("a process of the tester does not answer".to_owned()));
            };
            let Some((index, reply)) = reply else { return Err(Lost("all processes are gone".to_owned())) };
            match wanted(reply) {
                Ok(answer) => answers[index] = Some(answer),
                Err(Reply::Joined(audience)) => self.joined[index] = Some(audience),
                Err(Reply::Failed(reason)) => return Err(Lost(reason)),
                // An answer to an order that was given up.
                Err(_) => {}
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

/// Starts a process with its two pipes, each carried by a thread: one line of JSON a message.
fn start(
    program: &Path,
    brief: &Brief,
    replies: Sender<(usize, Reply)>,
) -> std::io::Result<(Sender<Order>, Process)> {
    let mut command = Command::new(program);
    command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process(command.spawn()?);
    let (Some(mut input), Some(output)) = (process.0.stdin.take(), process.0.stdout.take()) else {
        return Err(std::io::ErrorKind::BrokenPipe.into());
    };
    // A process that ends at once is missed by the thread that listens to it.
    let _ = write_line(&mut input, brief);
    let (orders, theirs) = mpsc::channel(QUEUE);
    let index = usize::from(brief.share.index);
    thread::Builder::new().spawn(move || carry_orders(theirs, input))?;
    thread::Builder::new().spawn(move || carry_words(index, output, &replies))?;
    Ok((orders, process))
}

/// Writes one message as a line of JSON.
pub(crate) fn write_line(output: &mut impl Write, message: &impl serde::Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

fn carry_orders(mut orders: Receiver<Order>, mut input: ChildStdin) {
    while let Some(order) = orders.blocking_recv() {
        if write_line(&mut input, &order).is_err() {
            return;
        }
    }
}

fn carry_words(index: usize, output: ChildStdout, replies: &Sender<(usize, Reply)>) {
    let mut lines = BufReader::new(output).lines();
    loop {
        let reply = match lines.next() {
            Some(Ok(line)) => serde_json::from_str(&line)
                .unwrap_or_else(|error| Reply::Failed(format!("process {index} of the tester: {error}"))),
            _ => Reply::Failed(format!("process {index} of the tester ended early")),
        };
        let is_last = matches!(reply, Reply::Failed(_));
        if replies.blocking_send((index, reply)).is_err() || is_last {
            return;
        }
    }
}
