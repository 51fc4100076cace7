//! How fast a pod is towards its shards, measured through the crate's public door against real redis-server processes.
//!
//! ```text
//! cargo bench --bench shards                      # all of them, about four minutes
//! cargo bench --bench shards -- posts hearing     # some of them
//! ```
//!
//! | name | what it measures | target |
//! |---|---|---|
//! | `posts` | posts/s through one pod to one shard, and what one costs in Redis | ≥ 20,000/s, ≤ 15 µs |
//! | `hearing` | watched messages/s that link, keeper, chain, hub and lane take without loss | ≥ 200,000/s |
//! | `interest` | 50,000 streams watched and left at 5,000 changes/s | nothing stuck |
//!
//! The pod is this process: one thread on CPU 0, and the Redis processes on CPU 1, where the machine lets us. Its seats
//! have no sockets: what they are sent is counted and dropped. Every figure is a row of a Markdown table.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for people: it prints, and what fails here fails the measurement"
)]

mod hearing;
mod interest;
mod posts;
mod rig;

use testkit::process;
use tokio::runtime::Builder;

const NAMES: [&str; 3] = ["posts", "hearing", "interest"];

fn main() {
    let (flags, wanted): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let unknown = wanted.iter().any(|name| !NAMES.contains(&name.as_str()));
    if unknown || !flags.iter().any(|flag| flag == "--bench") {
        eprintln!("cargo bench --bench shards -- [{}]", NAMES.join(" | "));
        return;
    }
    if !process::pin(std::process::id(), process::POD_CPU) {
        eprintln!("not pinned: the figures are of a process that may use every CPU");
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    println!("| shards | figure | target |\n|---|---|---|");
    for name in NAMES.into_iter().filter(|name| is_wanted(name)) {
        // A runtime each: nothing of one measurement is left for the next.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        match name {
            "posts" => runtime.block_on(posts::measure()),
            "hearing" => runtime.block_on(hearing::measure()),
            _ => runtime.block_on(interest::measure()),
        }
    }
}
