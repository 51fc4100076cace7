//! Viewers that shake hands and then never read again, and the watch over when the server cuts them.
//!
//! A zero window hides the server's FIN behind unread data, and writing would make the viewer look alive. So the
//! watch looks at the socket's error, and on one machine at the kernel's table of connections; only at the very
//! end does it write, to notice a cut that could not be seen otherwise.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::context::{Class, Context, Phase};
use crate::{
    base::{
        proc::{TcpState, tcp_table},
        rng::Rng,
    },
    check::tally::note,
    protocol::{
        dial,
        dial::{Route, Upgrade},
        stream::Stream,
        wire,
    },
};

/// The smallest receive buffer that Linux gives.
const RECEIVE_BYTES: u32 = 2304;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a reset may take to come after the last write.
const LAST_LOOK: Duration = Duration::from_millis(300);

struct Stuck {
    stream: Stream,
    ends: Option<(SocketAddr, SocketAddr)>,
    since_us: u64,
    /// The last look did not find the server's end in the table, which is no snapshot: one miss proves nothing.
    missed: bool,
}

/// What became of the stuck viewers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cuts {
    /// After how many microseconds each one was cut that was seen being cut.
    pub(crate) after_us: Vec<u64>,
    /// Cut at an unknown time: only the last write told.
    pub(crate) unnoticed: u32,
    /// Still connected at the end.
    pub(crate) alive: u32,
    /// How they were noticed.
    pub(crate) signs: BTreeMap<String, u64>,
}

impl Cuts {
    pub(crate) fn add(&mut self, other: Self) {
        self.after_us.extend(other.after_us);
        self.unnoticed += other.unnoticed;
        self.alive += other.alive;
        for (sign, count) in other.signs {
            *self.signs.entry(sign).or_default() += count;
        }
    }
}

/// Opens the stuck viewers and watches them until the run is over. Sockets are numbered from `first` on.
pub(crate) async fn watch(ctx: Arc<Context>, first: u32) -> Cuts {
    let mut cuts = Cuts::default();
    let mut open = open_all(&ctx, first).await;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !ctx.is_finished() && !open.is_empty() {
        let mut phase = ctx.phase();
        tokio::select! {
            _ = ticks.tick() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Finished) => {}
        }
        look(&ctx, &mut open, &mut cuts).await;
    }
    let mut rng = Rng::new(u64::from(ctx.run));
    for stuck in &mut open {
        let mut ping = Vec::new();
        wire::push_pong(&mut ping, b"", rng.mask());
        // An error shows below as well.
        let _ = stuck.stream.send_last(&ping);
    }
    sleep(LAST_LOOK).await;
    let cut = |stuck: &&Stuck| stuck.stream.tcp().take_error().ok().flatten().is_some();
    cuts.unnoticed = u32::try_from(open.iter().filter(cut).count()).unwrap_or(u32::MAX);
    cuts.alive = u32::try_from(open.len()).unwrap_or(u32::MAX) - cuts.unnoticed;
    cuts
}

async fn open_all(ctx: &Arc<Context>, first: u32) -> Vec<Stuck> {
    let mut opening = JoinSet::new();
    for number in 0..ctx.plan.stuck {
        opening.spawn(open(Arc::clone(ctx), first + number, number % ctx.plan.watched));
    }
    opening.join_all().await.into_iter().flatten().collect()
}

async fn open(ctx: Arc<Context>, socket: u32, stream: u32) -> Option<Stuck> {
    let permit = ctx.joins.acquire().await;
    let (target, address) = ctx.target(socket);
    let source = ctx.source(socket);
    let deadline = Instant::now() + ctx.plan.handshake;
    let route = Route { address, source, receive_bytes: Some(RECEIVE_BYTES), deadline, tls: ctx.tls(target) };
    let path = format!("{}/v1/streams/{}/watch", target.prefix, ctx.stream_name(stream));
    let nonce = Rng::new(u64::from(socket)).nonce();
    let upgrade = Upgrade { authority: &target.authority, path: &path, headers: &ctx.plan.headers, nonce };
    let opened = if permit.is_ok() { dial::open(route, upgrade).await } else { return None };
    match opened {
        Ok((stream, _)) => {
            let ends = stream.tcp().local_addr().ok().zip(stream.tcp().peer_addr().ok());
            Some(Stuck { stream, ends, since_us: ctx.clock.now_us(), missed: false })
        }
        Err(error) => {
            note(&mut ctx.tally((socket, Class::Steady)).join_failures, &format!("stuck: {error}"));
            None
        }
    }
}

/// Moves those that were cut from `open` to `cuts`.
async fn look(ctx: &Context, open: &mut Vec<Stuck>, cuts: &mut Cuts) {
    // Off this thread: with 10,000 connections the kernel takes milliseconds to print its table.
    let reading = tokio::task::spawn_blocking(tcp_table);
    let table = timeout(Duration::from_secs(5), reading).await.ok().and_then(Result::ok).flatten();
    let now_us = ctx.clock.now_us();
    open.retain_mut(|stuck| {
        let state = |ends| table.as_ref().and_then(|table| table.get(&ends).copied());
        let here = stuck.ends.and_then(state);
        let there = stuck.ends.and_then(|(local, peer)| state((peer, local)));
        let sign = match (stuck.stream.tcp().take_error(), here, there) {
            (Ok(Some(error)) | Err(error), ..) => error.kind().to_string(),
            (_, Some(TcpState::Other), _) => "the server's FIN".to_owned(),
            (_, Some(_), Some(TcpState::Other)) => "the server closed, data unread".to_owned(),
            // The peer's end is gone, though this kernel knows both addresses: it is no other machine's.
            (_, Some(_), None) if is_local(stuck) && stuck.missed => "the server's end is gone".to_owned(),
            (_, Some(_), None) => {
                stuck.missed = true;
                return true;
            }
            _ => {
                stuck.missed = false;
                return true;
            }
        };
        cuts.after_us.push(now_us.saturating_sub(stuck.since_us));
        note(&mut cuts.signs, &sign);
        false
    });
}

fn is_local(stuck: &Stuck) -> bool {
    stuck.ends.is_some_and(|(_, peer)| peer.ip().is_loopback() && peer.is_ipv4())
}
