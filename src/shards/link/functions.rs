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
    faults::{Remedy, remedy},
    wire::Wire,
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

    /// Loads the library if the server has none. A pod that may not load it leaves that to the deployment.
    pub(super) async fn offer(&self, client: &Client) {
        let args = vec!["LOAD", SOURCE];
        if let Err(error) = Box::pin(client.custom::<Value, _>(command("FUNCTION"), args)).await {
            debug!(%error, "the library of functions was not loaded, or is there already");
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
    /// When an error was logged last.
    logged: parking_lot::Mutex<Option<Instant>>,
}

impl Caller {
    /// A caller on a wire.
    pub(super) fn new(wire: Wire, library: Arc<Library>) -> Self {
        Self { wire, library, logged: parking_lot::Mutex::default() }
    }

    /// Calls a function, once; a second time only if the shard did not know it.
    pub(super) async fn call(&self, args: impl Fn() -> Vec<Value>) -> Result<Value, Unavailable> {
        let life = self.wire.life().await?;
        let mut result = Box::pin(life.client.custom::<Value, _>(command("FCALL"), args())).await;
        if matches!(&result, Err(error) if remedy(error) == Remedy::LoadFunctions) {
            self.library.renew(&life.client).await;
            result = Box::pin(life.client.custom(command("FCALL"), args())).await;
        }
        result.map_err(|error| {
            if remedy(&error) == Remedy::Reconnect {
                life.give_up();
            }
            self.log(&error);
            Unavailable
        })
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
