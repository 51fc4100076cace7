//! Watched messages: from the shards' sockets through link, keeper, chain, hub and lane to a seat in each stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use fanfare::{domain::StreamId, shards::ShardStatus};
use testkit::{Console, RedisServer};
use tokio::time::sleep;

use crate::rig::{Rig, until};

const STREAMS: usize = 120;
const RATES: [u64; 8] = [50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000];
const STEP: Duration = Duration::from_secs(3);
/// How often a shard's generator publishes what is due.
const EVERY: Duration = Duration::from_millis(5);
/// What is not there this long after a step's end is lost.
const SETTLE: Duration = Duration::from_secs(2);

/// Publishes one entry after another in each of a shard's streams, from inside Redis, so that no client stands in the
/// way. ARGV: the number of the last entry, and how many follow in each stream. The entries are a true chain (the
/// stream's own epoch, numbers without a hole, each with its predecessor's id), and meta tells of them afterwards.
const GENERATOR: &str = r#"
local streams = redis.call('LRANGE', 'bench:streams', 0, -1)
local last, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local heads = {}
for n, name in ipairs(streams) do
  heads[n] = '1 1 ' .. string.match(redis.call('GET', name .. ':m'), '^%S+') .. ' '
end
local body = '"kind":"comment","author":{"id":"v:u1","name":"Ann"},"body":"' .. string.rep('x', 200) .. '"'
local id = string.format('%016d', last)
for seq = last + 1, last + count do
  local previous = seq == 1 and '~' or id
  id = string.format('%016d', seq)
  local rest = seq .. ' ' .. id .. ' ' .. previous .. ' 1700000000123 1700000000100 comment\n"id":"' .. id .. '",' .. body
  for n, name in ipairs(streams) do redis.call('PUBLISH', name, heads[n] .. rest) end
end
for _, name in ipairs(streams) do
  local meta, head = name .. ':m', '%1 ' .. (last + count) .. ' ' .. id
  redis.call('SET', meta, (string.gsub(redis.call('GET', meta), '^(%S+) %S+ %S+', head)), 'KEEPTTL')
end
return last + count
"#;

/// One shard's generator.
struct Generator {
    console: Console,
    script: String,
    streams: u64,
    /// The number of the last entry in each stream.
    last: u64,
}

/// What became of a step.
struct Step {
    offered_per_second: f64,
    pod_us: f64,
    shards_us: f64,
    faults: Vec<String>,
}

pub(crate) async fn measure() {
    for shards in [1, 3] {
        let rig = Rig::start(shards, Duration::from_secs(1)).await;
        let streams: Vec<StreamId> = (0..STREAMS).map(|n| format!("hear-{n}").parse().unwrap()).collect();
        for stream in &streams {
            rig.watch(stream).await;
        }
        let mut generators = Generator::of_each_shard(&rig, &streams);
        let mut best: Option<Step> = None;
        for rate in RATES {
            let mut step;
            (step, generators) = step_at(&rig, generators, rate).await;
            if !step.faults.is_empty() {
                // Once more: something else on the machine may have been in the way.
                eprintln!("  {shards} shards, {rate}/s, once more after: {}", step.faults.join(", "));
                sleep(SETTLE).await;
                (step, generators) = step_at(&rig, generators, rate).await;
            }
            let Step { offered_per_second, pod_us, shards_us, ref faults } = step;
            let verdict = if faults.is_empty() { "all there".to_owned() } else { faults.join(", ") };
            eprintln!(
                "  {shards} shards, {rate}/s: offered {offered_per_second:.0}/s, pod {pod_us:.2} µs, \
                 shards {shards_us:.2} µs a message: {verdict}"
            );
            if !faults.is_empty() {
                break;
            }
            let is_slow = offered_per_second < 0.75 * rate as f64;
            // A later step may offer less, where the machine was busy meanwhile.
            if best.as_ref().is_none_or(|best| best.offered_per_second < offered_per_second) {
                best = Some(step);
            }
            if is_slow {
                eprintln!("  the shards themselves publish no faster here");
                break;
            }
        }
        let best = best.expect("nothing was lost at the lowest rate");
        let rate = best.offered_per_second;
        println!("| messages from {shards} shards, none lost | {rate:.0} messages/s | ≥ 200,000 |");
        println!(
            "| a message from {shards} shards at that rate, CPU of the pod | {:.2} µs | – |",
            best.pod_us
        );
        rig.end().await;
    }
}

async fn step_at(rig: &Rig, generators: Vec<Generator>, rate: u64) -> (Step, Vec<Generator>) {
    let (before, delivered) = (sum(&rig.shards.status()), rig.sli.counts().deliveries);
    let (pod, shards) = rig.cpu_seconds();
    let began = Instant::now();
    let (over, published) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let rate_each = rate / generators.len() as u64;
    let threads: Vec<_> = generators
        .into_iter()
        .map(|generator| {
            let (over, published) = (Arc::clone(&over), Arc::clone(&published));
            thread::spawn(move || generator.publish(rate_each, &over, &published))
        })
        .collect();
    sleep(STEP).await;
    over.store(true, Relaxed);
    until("the generators end", || threads.iter().all(|thread| thread.is_finished())).await;
    let spent = began.elapsed().as_secs_f64();
    let generators = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let published = published.load(Relaxed);
    let arrived = || rig.sli.counts().deliveries - delivered;
    let end = Instant::now() + SETTLE;
    while arrived() < published && Instant::now() < end {
        sleep(Duration::from_millis(5)).await;
    }
    let (pod_now, shards_now) = rig.cpu_seconds();
    let us_each = |seconds: f64| seconds * 1e6 / published as f64;
    let after = sum(&rig.shards.status());
    let mut faults: Vec<String> = ["overruns", "filled", "gaps", "resets"]
        .iter()
        .zip(after.iter().zip(before))
        .filter(|(_, (after, before))| *after > before)
        .map(|(name, (after, before))| format!("{} {name}", after - before))
        .collect();
    if arrived() != published {
        faults.push(format!("{} of {published} delivered", arrived()));
    }
    let step = Step {
        offered_per_second: published as f64 / spent,
        pod_us: us_each(pod_now - pod),
        shards_us: us_each(shards_now - shards),
        faults,
    };
    (step, generators)
}

/// Overruns, filled holes, gaps, resets.
fn sum(status: &[ShardStatus]) -> [u64; 4] {
    status.iter().fold([0; 4], |sum, shard| {
        [sum[0] + shard.overruns, sum[1] + shard.filled, sum[2] + shard.gaps, sum[3] + shard.resets]
    })
}

impl Generator {
    /// One for each shard, with the streams that it owns.
    fn of_each_shard(rig: &Rig, streams: &[StreamId]) -> Vec<Self> {
        let of_shard = |(status, server): (&ShardStatus, &RedisServer)| {
            let own = streams.iter().filter(|stream| rig.shards.owner(stream) == status.name);
            let names: Vec<_> = own.map(|stream| format!("ff:{{{stream}}}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            server.cli(&[&["RPUSH", "bench:streams"], &names[..]].concat());
            let script = server.cli(&["SCRIPT", "LOAD", GENERATOR]);
            Self { console: server.console(), script, streams: names.len() as u64, last: 0 }
        };
        rig.shards.status().iter().zip(&rig.servers).map(of_shard).collect()
    }

    /// Publishes at a rate until it is over. A shard that does not keep up is offered less, not a burst later.
    fn publish(mut self, per_second: u64, over: &AtomicBool, published: &AtomicU64) -> Self {
        // Counted in millionths of a message, so that nothing is lost in rounding.
        let a_turn = u128::from(per_second) * EVERY.as_micros();
        let a_round = u128::from(self.streams) * 1_000_000;
        let mut due = 0;
        let mut looked = Instant::now();
        while !over.load(Relaxed) {
            due += u128::from(per_second) * looked.elapsed().as_micros();
            looked = Instant::now();
            due = due.min(4 * a_turn.max(a_round));
            let count = u64::try_from(due / a_round).unwrap();
            if count > 0 {
                due %= a_round;
                let Self { script, last, .. } = &self;
                let answer = self.console.ask(&format!("EVALSHA {script} 0 {last} {count}"));
                self.last += count;
                assert_eq!(answer.trim_end(), format!(":{}", self.last));
                published.fetch_add(count * self.streams, Relaxed);
            }
            thread::park_timeout(EVERY.saturating_sub(looked.elapsed()));
        }
        self
    }
}
