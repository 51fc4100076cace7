//! What happens in a history from outside: viewers, posts and faults, each at its time.

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// The time in which things happen, in milliseconds: a virtual minute.
pub(super) const HISTORY_MS: u64 = 60_000;
/// More comments than a history of the simulator has.
const WHOLE: usize = 5_000;

/// A history to simulate. The same plan gives the same history.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides what the plan leaves open: every delay, and which messages a fault concerns.
    pub seed: u64,
    /// The pods, shards and streams, and their settings.
    pub shape: Shape,
    /// What happens, each with its time in milliseconds, in order.
    pub steps: Vec<(u64, PlanStep)>,
}

/// The things that a history has.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many pods there are.
    pub pods: usize,
    /// How many shards there are.
    pub shards: usize,
    /// How many streams there are; the first belongs to the first shard, and so on in turn.
    pub streams: usize,
    /// How many viewers there are; the first watches the first stream, and so on in turn.
    pub viewers: usize,
    /// How many comments a history holds.
    pub history_comments: usize,
    /// How long a subscription outlives its last viewer, in milliseconds.
    pub linger_ms: u64,
    /// Whether every connection ends while each stream's last comment is on its way: nothing comes after what is lost.
    pub cuts_last: bool,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanStep {
    /// A viewer comes to a pod; where it was before, it goes on.
    Join(usize, usize),
    /// A viewer goes.
    Leave(usize),
    /// A viewer's socket takes so many bytes more, and then nothing for so long.
    Lag(usize, usize, u64),
    /// A comment is posted to a stream by way of a pod.
    Post(usize, usize),
    /// The connection of a pod to a shard ends, and is made anew after so long.
    Cut(usize, usize, u64),
    /// For so long messages from a shard to a pod are lost, late, repeated and reordered.
    Garble(usize, usize, u64),
    /// For so long half of the calls of a pod to a shard, or their answers, are lost.
    LoseCalls(usize, usize, u64),
    /// A shard stops for so long, and executes afterwards what came meanwhile.
    Freeze(usize, u64),
    /// A shard's process ends and is back after so long.
    Crash(usize, u64, Return),
    /// A shard's process is back.
    Restart(usize),
    /// The pods give up their connections to a shard that is frozen.
    Deafen(usize),
    /// The copy of a shard is brought up to date.
    Replicate(usize),
    /// A shard refuses posts for so long.
    RefuseWrites(usize, u64),
    /// A shard answers slowly for so long.
    Slow(usize, u64),
    /// A pod stops for so long: its clock jumps.
    Pause(usize, u64),
    /// A pod's clock is set: it is so many milliseconds ahead from then on.
    SetClock(usize, i64),
}

/// What a shard remembers after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Everything.
    Whole,
    /// Nothing.
    Empty,
    /// What its copy had.
    Copy,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let streams = random.random_range(1..=4);
        let shape = Shape {
            pods: random.random_range(1..=3),
            shards: random.random_range(1..=2),
            streams,
            viewers: random.random_range(streams..=3 * streams),
            history_comments: [5, 20, 100, WHOLE][random.random_range(0..4)],
            linger_ms: [0, 500, 3_000][random.random_range(0..3)],
            cuts_last: random.random_bool(0.3),
        };
        let mut steps: Vec<_> =
            (0..shape.viewers).map(|viewer| (0, PlanStep::Join(viewer, viewer % shape.pods))).collect();
        let posts_every = random.random_range(150..2_000_u64);
        let faults_every = random.random_range(500..8_000_u64);
        for (every, is_post) in [(posts_every, true), (faults_every, false)] {
            let mut at = 0;
            loop {
                at += random.random_range(0..2 * every);
                if at >= HISTORY_MS {
                    break;
                }
                // Comments come in bursts as well: numbers that are near each other are what faults mix up.
                let burst = if is_post && random.random_bool(0.2) { random.random_range(2..8) } else { 1 };
                for _ in 0..burst {
                    if is_post {
                        steps.push((at, shape.post(&mut random)));
                    } else {
                        let (viewer, pod) =
                            (random.random_range(0..shape.viewers), random.random_range(0..shape.pods));
                        let trouble = shape.trouble((viewer, pod), &mut random);
                        steps.push((at, trouble));
                        // A second end of a connection comes while streams are subscribed to again.
                        if let PlanStep::Cut(pod, shard, ms) = trouble {
                            let again = at + ms + random.random_range(1..400);
                            steps.push((again, PlanStep::Cut(pod, shard, 0)));
                        }
                        // A viewer that comes and goes meanwhile changes what is subscribed to.
                        if random.random_bool(0.5) {
                            steps.push((at + random.random_range(0..100), PlanStep::Leave(viewer)));
                            steps.push((at + random.random_range(0..1_500), PlanStep::Join(viewer, pod)));
                        }
                    }
                }
            }
        }
        steps.retain(|(at, _)| *at < HISTORY_MS);
        steps.sort_by_key(|(at, _)| *at);
        Self { seed, shape, steps }
    }
}

impl Shape {
    fn post(&self, random: &mut SmallRng) -> PlanStep {
        PlanStep::Post(random.random_range(0..self.streams), random.random_range(0..self.pods))
    }

    fn trouble(&self, (viewer, pod): (usize, usize), random: &mut SmallRng) -> PlanStep {
        let shard = random.random_range(0..self.shards);
        let long = [20, 300, 1_200, 4_000, 12_000][random.random_range(0..5)];
        match random.random_range(0..22) {
            0..=3 => PlanStep::Leave(viewer),
            4..=7 => PlanStep::Join(viewer, pod),
            8 => PlanStep::Lag(viewer, random.random_range(0..2_000), 2 * long),
            9 | 10 => PlanStep::Cut(pod, shard, long / 4),
            11 | 12 => PlanStep::Garble(pod, shard, long),
            13 | 14 => PlanStep::LoseCalls(pod, shard, long),
            15 => PlanStep::Freeze(shard, long / 2),
            16 => PlanStep::Crash(shard, long / 4, Return::Whole),
            17 => {
                let is_copy = random.random_bool(0.8);
                PlanStep::Crash(shard, long / 4, if is_copy { Return::Copy } else { Return::Empty })
            }
            18 => PlanStep::Replicate(shard),
            19 => PlanStep::RefuseWrites(shard, long),
            20 => PlanStep::Slow(shard, long),
            _ if random.random_bool(0.5) => PlanStep::Pause(pod, long / 4),
            _ => PlanStep::SetClock(pod, random.random_range(-600_000..600_000)),
        }
    }
}
