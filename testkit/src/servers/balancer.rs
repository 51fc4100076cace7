//! A balancer: connections in turn to the pods whose `/ready` says so, as a Service of Kubernetes spreads them.

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{Pod, wire::http};

/// How often pods are probed.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// How long a probe may take.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// A balancer on a thread of its own; dropping it cuts every connection.
pub struct Balancer {
    /// Where viewers connect.
    pub address: SocketAddr,
    backends: Backends,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
struct Backend {
    public: SocketAddr,
    ops: SocketAddr,
    is_ready: bool,
}

/// Behind the balancer; shared with its thread.
type Backends = Arc<Mutex<Vec<Backend>>>;

impl Balancer {
    /// In front of these pods.
    pub fn of<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let backends = Backends::default();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&backends);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = probe(&shared) => {}
                    () = balance(&listener, &shared) => {}
                    _ = stopped => {}
                }
            });
        });
        let balancer = Self { address, backends, stop: Some(stop), thread: Some(thread) };
        pods.into_iter().for_each(|pod| balancer.add(pod));
        balancer
    }

    /// Puts a pod behind it, which is ready.
    pub fn add(&self, pod: &Pod) {
        let backend = Backend { public: pod.public, ops: pod.ops, is_ready: true };
        self.backends.lock().unwrap_or_else(PoisonError::into_inner).push(backend);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn probe(backends: &Backends) {
    loop {
        let now: Vec<Backend> = backends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = join_all(now.iter().map(|backend| async {
            let answer = http::try_request(backend.ops, "GET", "/ready", &[], b"");
            timeout(PROBE_WITHIN, answer).await.ok().flatten().is_some_and(|answer| answer.status == 200)
        }));
        let ready = ready.await;
        note(backends, &ready);
        sleep(PROBE_EVERY).await;
    }
}

fn note(backends: &Backends, ready: &[bool]) {
    let mut backends = backends.lock().unwrap_or_else(PoisonError::into_inner);
    backends.iter_mut().zip(ready).for_each(|(backend, is_ready)| backend.is_ready = *is_ready);
}

async fn balance(listener: &TcpListener, backends: &Backends) {
    let turn = RefCell::new(0);
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => {
                let next = next(backends, &mut turn.borrow_mut());
                connections.push(carry(socket, next));
            }
            Some(()) = connections.next() => {}
        }
    }
}

/// The next pod that is ready, in turn.
fn next(backends: &Backends, turn: &mut usize) -> Option<SocketAddr> {
    let backends = backends.lock().unwrap_or_else(PoisonError::into_inner);
    let ready: Vec<_> = backends.iter().filter(|backend| backend.is_ready).collect();
    *turn += 1;
    ready.get(*turn % ready.len().max(1)).map(|backend| backend.public)
}

async fn carry(mut socket: TcpStream, to: Option<SocketAddr>) {
    let Some(to) = to else { return };
    if let Ok(mut pod) = TcpStream::connect(to).await {
        let _ = (socket.set_nodelay(true), pod.set_nodelay(true));
        let _ = copy_bidirectional(&mut socket, &mut pod).await;
    }
}
