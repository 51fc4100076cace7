//! The thread of the ops listener.

use std::{io, thread::JoinHandle};

use axum::Router;

use crate::{
    net::{self, Ending, HttpLimits, Listener, ListenerConfig},
    tasks::Tasks,
};

/// The most connections of the ops listener: probes, scrapers and people.
const MAX_CONNECTIONS: usize = 256;

/// The ops listener on a thread of its own, so that probes are answered while the workers are busy.
pub(super) struct OpsThread {
    ending: Ending,
    thread: JoinHandle<()>,
}

impl OpsThread {
    /// `beside` goes on beside the listener, for as long: what `/ready` tells must not wait for the workers either.
    pub(super) fn start(
        listener: std::net::TcpListener,
        router: Router,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let ending = Ending::default();
        let told = ending.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("ops".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let tasks = Tasks::default();
                // If it breaks, that is logged, and the gate closes for want of readings.
                tasks.core("readiness", beside);
                match Listener::from_std(listener) {
                    Ok(listener) => {
                        let listener_config = ListenerConfig {
                            listener,
                            ceiling: usize::MAX,
                            most: MAX_CONNECTIONS,
                            tls: None,
                            http: HttpLimits::default(),
                        };
                        net::serve(listener_config, router, tasks, told).await;
                    }
                    Err(error) => tracing::error!(%error, "the ops listener is lost"),
                }
            });
        })?;
        Ok(Self { ending, thread })
    }

    pub(super) fn stop(self) {
        self.ending.close();
        if self.thread.join().is_err() {
            tracing::error!("the ops thread panicked");
        }
    }
}
