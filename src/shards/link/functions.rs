//! Calls of Fanfare's functions on the shard, and the library that they are in.

use std::{sync::Arc, time::Duration};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::Value,
};
use tokio::{sync::Mutex, time::Instant};
use tracing::{debug, error};

use super::{
    connection::command,
    faults::{Remedy, refuses_writes, remedy},
    wire::{Life, Wire},
};
use crate::shards::shard::Unavailable;

/// The functions' source, which a deployment may load instead of the pods.
const SOURCE: &str = include_str!("../../../deploy/redis/fanfare.lua");
/// How often the library is loaded, and an error logged, at most.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// The library of functions on one shard.
pub(super) struct Library {
    /// The shard's name, for the log.
    shard: String,
    /// When it was loaded last; held while it is being loaded, so that many callers load it once.
    loaded: Mutex<Option<Instant>>,
}

impl Library {
    pub(super) fn new(shard: String) -> Self {
        Self { shard, loaded: Mutex::default() }
    }

    /// Loads the library if the server has none, or an older one that lacks the functions which are called only when
    /// nothing can be loaded any more. A pod that may not load it leaves that to the deployment.
    pub(super) async fn offer(&self, client: &Client) {
        let args = vec!["LOAD", SOURCE];
        if let Err(error) = Box::pin(client.custom::<Value, _>(command("FUNCTION"), args)).await {
            debug!(%error, "the library of functions was not loaded, or is there already");
            let no_heads = call_of("fanfare_peek_heads", &[], Vec::new());
            let asked = Box::pin(client.custom::<Value, _>(command("FCALL"), no_heads)).await;
            if matches!(&asked, Err(error) if remedy(error) == Remedy::LoadFunctions) {
                self.renew(client).await;
            }
        }
    }

    /// Loads the library in place of one that lacks a function.
    async fn renew(&self, client: &Client) {
        let mut loaded = self.loaded.lock().await;
        if loaded.is_none_or(|at| at.elapsed() >= AT_MOST_EVERY) {
            *loaded = Some(Instant::now());
            let args = vec!["LOAD", "REPLACE", SOURCE];
            if let Err(error) = Box::pin(client.custom::<Value, _>(command("FUNCTION"), args)).await {
                error!(shard = self.shard, %error, "the shard lacks Fanfare's functions, and this pod could not load them");
            }
        }
    }
}

/// A wire on which functions are called.
pub(super) struct Caller {
    /// The wire.
    pub(super) wire: Wire,
    library: Arc<Library>,
    /// Whether the wire must lead to a server that takes writes.
    writes: bool,
    /// When an error was logged last.
    logged: parking_lot::Mutex<Option<Instant>>,
}

impl Caller {
    /// A caller of functions that write: its connection leaves a server that refuses them.
    pub(super) fn of_writes(wire: Wire, library: Arc<Library>) -> Self {
        Self { wire, library, writes: true, logged: parking_lot::Mutex::default() }
    }

    /// A caller whose connection stays at a server that refuses writes, since reading goes on there.
    pub(super) fn of_reads(wire: Wire, library: Arc<Library>) -> Self {
        Self { writes: false, ..Self::of_writes(wire, library) }
    }

    /// Calls a function, once; a second time only if the shard did not know it.
    pub(super) async fn call(&self, args: impl Fn() -> Vec<Value>) -> Result<Value, Unavailable> {
        let life = self.wire.life().await?;
        self.call_on(&life, &args).await.map_err(|error| self.unavailable(&life, &error))
    }

    /// Calls a function that reads and renews what it reads, or the one that only reads if the shard refuses writes.
    pub(super) async fn read(
        &self,
        args: impl Fn() -> Vec<Value>,
        read_only: impl Fn() -> Vec<Value>,
    ) -> Result<Value, Unavailable> {
        let life = self.wire.life().await?;
        let mut result = self.call_on(&life, &args).await;
        if matches!(&result, Err(error) if refuses_writes(error)) {
            result = self.call_on(&life, &read_only).await;
        }
        result.map_err(|error| self.unavailable(&life, &error))
    }

    async fn call_on(&self, life: &Life, args: &impl Fn() -> Vec<Value>) -> Result<Value, Error> {
        let result = Box::pin(life.client.custom::<Value, _>(command("FCALL"), args())).await;
        if matches!(&result, Err(error) if remedy(error) == Remedy::LoadFunctions) {
            self.library.renew(&life.client).await;
            return Box::pin(life.client.custom(command("FCALL"), args())).await;
        }
        result
    }

    fn unavailable(&self, life: &Life, error: &Error) -> Unavailable {
        match remedy(error) {
            Remedy::Reconnect => life.give_up(),
            Remedy::FindPrimary if self.writes => life.give_up(),
            _ => {}
        }
        self.log(error);
        Unavailable
    }

    fn log(&self, error: &Error) {
        // What waits for a connection that then ends is told of by the connection itself.
        if matches!(error.kind(), ErrorKind::Canceled | ErrorKind::IO) {
            return;
        }
        let mut logged = self.logged.lock();
        if logged.is_none_or(|at| at.elapsed() >= AT_MOST_EVERY) {
            *logged = Some(Instant::now());
            error!(shard = self.library.shard, %error, "the shard refused a call");
        }
    }
}

/// The arguments of a call, in the order that FCALL wants.
pub(super) fn call_of(function: &'static str, keys: &[String], args: Vec<Value>) -> Vec<Value> {
    let mut all = Vec::with_capacity(2 + keys.len() + args.len());
    all.push(Value::from_static_str(function));
    all.push(Value::Integer(i64::try_from(keys.len()).unwrap_or(0)));
    all.extend(keys.iter().map(|key| Value::from(key.as_str())));
    all.extend(args);
    all
}
