//! Calls of Fanfare's functions on the shard, and the library that they are in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::Value,
};
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use tracing::{debug, error, info, warn};

use super::{
    connection::{Address, command},
    errors::{Remedy, refuses_writes, remedy},
    supervisor::{ConnectionEpoch, SupervisedConnection},
};
use crate::shards::backend::{
    condition::{Condition, Conditions},
    outage::{Notice, Outage},
    types::Unavailable,
};

/// The functions' source, which a deployment may load instead of the pods.
const SOURCE: &str = include_str!("../../../../deploy/redis/fanfare.lua");
/// The library's version, as its `LIBRARY_VERSION` says.
const VERSION: i64 = 2;
/// How often the library is loaded at most.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Refusals that follow each other within this time belong together: one line when they begin, and one when they end.
const QUIET: Duration = Duration::from_secs(10);

/// The library of functions on one shard.
pub(super) struct Library {
    /// The shard's name, for the log.
    shard: String,
    /// Its address, whose host and port are for the log.
    address: watch::Receiver<Address>,
    /// When it was loaded last; held while it is being loaded, so that many callers load it once.
    loaded: Mutex<Option<Instant>>,
}

impl Library {
    pub(super) fn new(shard: String, address: watch::Receiver<Address>) -> Self {
        Self { shard, address, loaded: Mutex::default() }
    }

    fn place(&self) -> String {
        self.address.borrow().place()
    }

    /// Logs the conditions of the server that came and those that went.
    pub(super) fn log_conditions(&self, before: Conditions, now: Conditions) {
        let (shard, address) = (&self.shard, self.place());
        for condition in Condition::ALL {
            match (before.has(condition), now.has(condition)) {
                (false, true) => {
                    warn!(
                        shard,
                        address,
                        condition = condition.name(),
                        "shard condition: {}",
                        condition.text()
                    );
                }
                (true, false) => info!(shard, address, condition = condition.name(), "shard condition ended"),
                _ => {}
            }
        }
    }

    /// Loads the library if the server has none or an older one: what a later version adds to an answer is missed by
    /// nobody, and some functions are called only when nothing can be loaded any more. A pod that may not load it leaves
    /// that to the deployment. Returns whether the server refuses every function all the same; none if it does not say.
    pub(super) async fn offer(&self, client: &Client) -> Option<bool> {
        let args = vec!["LOAD", SOURCE];
        if let Err(error) = Box::pin(client.custom::<Value, _>(command("FUNCTION"), args)).await {
            debug!(shard = self.shard, %error, "functions not loaded, or already there");
        }
        match call_one(client, "fanfare_version").await.map(|version| version.as_i64()) {
            Ok(Some(VERSION..)) => {}
            Ok(_) => self.renew(client).await,
            Err(error) if remedy(&error) == Remedy::LoadFunctions => self.renew(client).await,
            Err(_) => {}
        }
        self.is_refused(client).await
    }

    /// Returns whether the server refuses every function, where that can only be changed by a person; none if it does not
    /// say. Functions that are missing are loaded first.
    pub(super) async fn is_refused(&self, client: &Client) -> Option<bool> {
        let mut result = call_one(client, "fanfare_peek_heads").await;
        if matches!(&result, Err(error) if remedy(error) == Remedy::LoadFunctions) {
            self.renew(client).await;
            result = call_one(client, "fanfare_peek_heads").await;
        }
        match result {
            Ok(_) => Some(false),
            Err(error) => matches!(remedy(&error), Remedy::LoadFunctions | Remedy::Fatal).then_some(true),
        }
    }

    /// Loads the library in place of one that lacks a function.
    async fn renew(&self, client: &Client) {
        let mut loaded = self.loaded.lock().await;
        if loaded.is_none_or(|at| at.elapsed() >= AT_MOST_EVERY) {
            *loaded = Some(Instant::now());
            let args = vec!["LOAD", "REPLACE", SOURCE];
            if let Err(error) = Box::pin(client.custom::<Value, _>(command("FUNCTION"), args)).await {
                debug!(shard = self.shard, %error, "FUNCTION LOAD failed");
            }
        }
    }
}

/// Calls a function that reads one key, which nobody writes.
async fn call_one(client: &Client, function: &'static str) -> Result<Value, Error> {
    let args = call_of(function, &["ff:{}".to_owned()], Vec::new());
    Box::pin(client.custom(command("FCALL"), args)).await
}

/// A wire on which functions are called.
pub(super) struct FunctionCaller {
    /// The wire.
    pub(super) wire: SupervisedConnection,
    library: Arc<Library>,
    /// Whether the wire must lead to a server that takes writes.
    writes: bool,
    /// Whether calls are refused, as far as the log knows.
    is_refused: AtomicBool,
    refusals: parking_lot::Mutex<Refusals>,
}

/// Refusals that follow each other.
#[derive(Default)]
struct Refusals {
    outage: Outage,
    last: Option<Instant>,
}

impl FunctionCaller {
    /// A caller of functions that write: its connection leaves a server that refuses them.
    pub(super) fn of_writes(wire: SupervisedConnection, library: Arc<Library>) -> Self {
        let (is_refused, refusals) = (AtomicBool::new(false), parking_lot::Mutex::default());
        Self { wire, library, writes: true, is_refused, refusals }
    }

    /// A caller whose connection stays at a server that refuses writes, since reading goes on there.
    pub(super) fn of_reads(wire: SupervisedConnection, library: Arc<Library>) -> Self {
        Self { writes: false, ..Self::of_writes(wire, library) }
    }

    /// Calls a function, once; a second time only if the shard did not know it.
    pub(super) async fn call(&self, args: impl Fn() -> Vec<Value>) -> Result<Value, Unavailable> {
        let life = self.wire.life().await?;
        let result = self.call_on(&life, &args).await;
        self.judge(&life, result)
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
        self.judge(&life, result)
    }

    async fn call_on(&self, life: &ConnectionEpoch, args: &impl Fn() -> Vec<Value>) -> Result<Value, Error> {
        let result = Box::pin(life.client.custom::<Value, _>(command("FCALL"), args())).await;
        if matches!(&result, Err(error) if remedy(error) == Remedy::LoadFunctions) {
            self.library.renew(&life.client).await;
            return Box::pin(life.client.custom(command("FCALL"), args())).await;
        }
        result
    }

    fn judge(&self, life: &ConnectionEpoch, result: Result<Value, Error>) -> Result<Value, Unavailable> {
        match result {
            Ok(value) => {
                if self.is_refused.load(Relaxed) {
                    self.log_success();
                }
                Ok(value)
            }
            Err(error) => {
                match remedy(&error) {
                    Remedy::Reconnect => life.give_up(&error),
                    Remedy::FindPrimary if self.writes => life.give_up(&error),
                    _ => {}
                }
                self.log_refusal(&error);
                Err(Unavailable)
            }
        }
    }

    /// Logs a call that the shard refused, or the part of it that it refused.
    pub(super) fn log_refusal(&self, error: &Error) {
        // The line of the shard's outage tells of calls that were not answered.
        if matches!(error.kind(), ErrorKind::Canceled | ErrorKind::IO | ErrorKind::Timeout) {
            return;
        }
        let (now, shard, address) = (Instant::now(), &self.library.shard, self.library.place());
        self.is_refused.store(true, Relaxed);
        let mut refusals = self.refusals.lock();
        refusals.last = Some(now);
        match refusals.outage.goes_on(now) {
            Some(Notice::Began) => error!(shard, address, %error, "the shard refused a call"),
            Some(Notice::Lasts(time)) => {
                let lasts_s = time.as_secs();
                error!(shard, address, %error, lasts_s, "the shard goes on refusing calls");
            }
            Some(Notice::Ended(_)) | None => {}
        }
    }

    fn log_success(&self) {
        let mut refusals = self.refusals.lock();
        let is_quiet = |last: Instant| last.elapsed() >= QUIET;
        if let Some(last) = refusals.last.take_if(|last| is_quiet(*last)) {
            self.is_refused.store(false, Relaxed);
            if let Some(Notice::Ended(time)) = refusals.outage.is_over(last) {
                let (shard, address) = (&self.library.shard, self.library.place());
                info!(shard, address, lasted_s = time.as_secs(), "the shard refuses calls no more");
            }
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
