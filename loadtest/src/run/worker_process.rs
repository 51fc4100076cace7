//! One of several processes of a run: a crew whose conductor speaks to it through standard input and output.

use std::{
    io::{self, BufRead},
    sync::Arc,
    thread,
};

use tokio::{runtime::Builder, sync::mpsc, task::JoinSet};

use super::{
    coordinator::write_line,
    worker,
    worker::{Order, Reply},
};
use crate::{
    base::proc,
    drive::context::{Brief, Context},
};

const QUEUE: usize = 16;

/// Serves until the input ends.
///
/// # Errors
/// When the first line is no brief, its roots cannot be read, or there is no runtime.
pub fn serve() -> Result<(), String> {
    proc::open_files_limit();
    let mut lines = io::stdin().lock().lines();
    let line = lines.next().and_then(Result::ok).unwrap_or_default();
    drop(lines);
    let brief: Brief = serde_json::from_str(&line).map_err(|error| format!("no brief: {error}"))?;
    let tls = brief.plan.tls()?;
    let threads = usize::from(brief.plan.threads);
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.worker_threads(threads).enable_all().build().map_err(|error| error.to_string())?;
    let (orders, theirs) = mpsc::channel(QUEUE);
    let (replies, said) = mpsc::channel(QUEUE);
    let spawn = |work: Box<dyn FnOnce() + Send>| thread::Builder::new().spawn(work);
    spawn(Box::new(move || read_orders(&orders))).map_err(|error| error.to_string())?;
    let writer = spawn(Box::new(move || write_replies(said))).map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut worker = JoinSet::new();
        worker.spawn(worker::serve(Arc::new(Context::new(brief, tls)), theirs, replies));
        worker.join_next().await
    });
    // A writer that panicked has nothing more to say.
    let _ = writer.join();
    Ok(())
}

/// Ends with the input: then the crew ends, too.
fn read_orders(orders: &mpsc::Sender<Order>) {
    for line in io::stdin().lock().lines() {
        let Some(order) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { return };
        if orders.blocking_send(order).is_err() {
            return;
        }
    }
}

fn write_replies(mut replies: mpsc::Receiver<Reply>) {
    let mut output = io::stdout().lock();
    while let Some(reply) = replies.blocking_recv() {
        if write_line(&mut output, &reply).is_err() {
            return;
        }
    }
}
