//! The pod: puts the rooms together, and takes them apart again in phases.

mod exit;
mod ops_thread;
mod pod;

use std::{io, net::SocketAddr, num::NonZeroUsize, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use exit::leave_within_ms;
use ops_thread::OpsThread;

pub use exit::ExitCause;
pub use pod::{Addresses, Pod, ServingMode};

use crate::{
    config::{Config, ListenerAddresses},
    connection::{Connections, Context},
    domain::Posting,
    http::{self, Api, Ops, Parts, SocketRefusals},
    hub::{Fanout, Hub, Totals},
    identity::Identity,
    limits::Limits,
    net::{self, Acceptor, Ending, Listener, ListenerConfig},
    readiness::{Capacity, FleetMember, Gate, Readiness, Reason},
    release::Release,
    shards::{Nudges, Shards},
    tasks::Tasks,
    telemetry::{Figures, Sli},
};

/// How often a timer is looked at.
const LAG_EVERY: Duration = Duration::from_millis(100);

/// A pod that listens.
pub struct App {
    config: Config,
    public: Listener,
    ops: std::net::TcpListener,
    addresses: Addresses,
}

impl App {
    /// Takes the addresses that the settings name.
    ///
    /// # Errors
    /// An address that cannot be had, with its setting's name.
    pub fn bind(config: Config) -> io::Result<Self> {
        let named = |name: &'static str, address: SocketAddr| {
            move |error: io::Error| io::Error::new(error.kind(), format!("{name}: {address}: {error}"))
        };
        let ListenerAddresses { public, ops } = config.listeners;
        let public_listener = net::bind(public).map_err(named("FANFARE_LISTEN", public))?;
        let ops_listener = net::bind(ops).and_then(Listener::into_std);
        let ops_listener = ops_listener.map_err(named("FANFARE_OPS_LISTEN", ops))?;
        let addresses = Addresses { public: public_listener.local_addr()?, ops: ops_listener.local_addr()? };
        Ok(Self { config, public: public_listener, ops: ops_listener, addresses })
    }

    /// Starts everything; when this returns, the pod takes viewers.
    ///
    /// # Errors
    /// What could not be started.
    pub fn start(self, sli: Sli) -> Result<Pod, String> {
        let Self { config, public, ops, addresses } = self;
        let acceptor = config.edge.tls.clone().map(Acceptor::new).transpose()?;
        let identity = Identity::load(config.identity.clone()).map_err(|faults| faults.join("\n"))?;
        let (tasks, release) = (Tasks::default(), Release::default());
        let readiness = Readiness::new(config.readiness);
        let gate = readiness.gate();
        let nudges = Nudges::new(&config.shards.list);
        let hub = start_hub(config.fanout_window, nudges.clone(), sli.clone(), &tasks);
        let shards = Shards::start(&config.shards, &hub, &nudges, &tasks)?;
        let (posting, limits) = (Posting::new(shards.clone(), sli.clone()), Limits::new(config.edge.limits));
        let member = member(&config, &shards, &tasks, &release);
        let connections = Connections::new(Context {
            hub: hub.clone(),
            posting: posting.clone(),
            shards: shards.clone(),
            limits: limits.clone(),
            identity: identity.clone(),
            release: release.clone(),
            sli: sli.clone(),
            pod: config.shards.pod.clone(),
            track: config.track.clone(),
            leave_within_ms: leave_within_ms(config.exit.drain),
        });
        sli.look_at(figures(&gate, &hub, &shards));
        tasks.core("lag", watch_lag(sli.clone(), gate.clone()));
        keep_up(&identity, &shards, &tasks);
        tasks.core("shards file", shards.clone().follow_file(config.shards_file, config.shards.list));
        let ops_router = http::ops_router(Ops {
            gate: gate.clone(),
            hub: hub.clone(),
            shards: shards.clone(),
            sli,
            pod: config.shards.pod,
            track: config.track,
        });
        let api = Api::new(Parts {
            connections,
            posting,
            shards: shards.clone(),
            hub,
            tasks: tasks.clone(),
            gate: gate.clone(),
            socket_refusals: SocketRefusals::new(&gate.capacity()),
            limits,
            proxies: config.edge.proxies,
            origins: config.edge.origins,
            identity,
            demo: config.edge.demo,
        });
        let (ending, private) = (Ending::default(), acceptor.is_some());
        let Capacity { requests: ceiling, connections: most, .. } = gate.capacity();
        let listener_config =
            ListenerConfig { listener: public, ceiling, most, tls: acceptor, http: config.edge.http };
        open(listener_config, api, &tasks, &ending);
        let decide = readiness.run(member);
        let ops =
            OpsThread::start(ops, ops_router, decide).map_err(|error| format!("the ops thread: {error}"))?;
        gate.open(Reason::Starting);
        let manner = ServingMode { open: config.identity.is_open(), demo: config.edge.demo, private };
        Ok(Pod { addresses, shards, manner, gate, tasks, release, ending, ops, exit: config.exit })
    }
}

/// The hub, and a lane for each worker.
fn start_hub(window: Duration, nudges: Nudges, sli: Sli, tasks: &Tasks) -> Hub {
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (hub, lanes) = Hub::new(Fanout::new(workers, window), nudges, sli);
    lanes.into_iter().for_each(|lane| tasks.core("lane", lane.run()));
    hub
}

/// Keys that change, and users who are revoked, on whichever pod that was.
fn keep_up(identity: &Identity, shards: &Shards, tasks: &Tasks) {
    tasks.core("keys", identity.clone().keep_up());
    let told = identity.clone();
    tasks.core("revocations", shards.clone().tell_revocations(move |user, at_ms| told.revoke(user, at_ms)));
}

/// The pod as a member of its fleet.
fn member(config: &Config, shards: &Shards, tasks: &Tasks, release: &Release) -> FleetMember<Shards> {
    let (pod, track) = (config.shards.pod.clone(), config.track.clone());
    FleetMember { fleet: shards.clone(), pod, track, tasks: tasks.clone(), release: release.clone() }
}

/// Takes connections, from now on.
fn open(listener_config: ListenerConfig, api: Api, tasks: &Tasks, ending: &Ending) {
    if let Some(acceptor) = listener_config.tls.clone() {
        tasks.core("certificate", acceptor.follow());
    }
    let accept = net::serve(listener_config, http::router(api), tasks.clone(), ending.clone());
    tasks.core("listener", until_refused(accept));
}

/// What the meters read from other rooms.
fn figures(gate: &Gate, hub: &Hub, shards: &Shards) -> impl Fn() -> Figures + Send + Sync + use<> {
    let (gate, hub, shards) = (gate.clone(), hub.clone(), shards.clone());
    move || {
        let Totals { viewers, streams } = hub.totals();
        let shards = shards.status().into_iter().map(Into::into).collect();
        let gate = gate.state();
        let cpu = gate.reading.map_or(0.0, |reading| reading.cpu);
        let draining = gate.reasons.contains(&Reason::Draining);
        Figures { viewers, streams, ready: gate.ready, draining, cpu, shards }
    }
}

/// Measures how late timers fire on the workers: when these have too much to do, everything waits so long.
async fn watch_lag(sli: Sli, gate: Gate) {
    let mut tick = interval(LAG_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = tick.tick().await;
        sli.fired_late(due.elapsed());
        gate.worked();
    }
}

/// The listener ends when it is told to refuse; as a core task it then waits for the pod's end.
async fn until_refused(accept: impl Future<Output = ()>) {
    accept.await;
    std::future::pending::<()>().await;
}
