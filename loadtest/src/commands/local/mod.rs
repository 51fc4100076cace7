//! Pods and shards that the tester starts itself, and ends whatever happens.

mod args;
mod child_process;
mod die_with_parent;
mod error;
mod fleet;
mod measure;
mod pod;
mod redis;
mod table;
mod watch;

use serde::Serialize;

pub use args::{FleetArgs, LocalArgs};
pub(crate) use args::{Programs, run_args};
pub use die_with_parent::{ServerArgs, become_server};
pub use error::FleetError;
pub(crate) use fleet::Fleet;
pub use measure::{Measured, Member};
pub(crate) use measure::{measure, unless_interrupted};
pub use pod::PodCounts;
pub use redis::ShardCounts;
pub use table::table;
pub use watch::ProcessCost;

use crate::{
    drive::args::RunArgs,
    report::{print, progress::Progress},
};

/// A run over a fleet of its own that makes sense.
#[derive(Debug)]
pub struct Local {
    fleet: FleetArgs,
    programs: Programs,
    run: RunArgs,
}

/// What a run over a fleet of its own found.
#[derive(Debug, Serialize)]
pub struct LocalReport {
    /// Whether every promise held and every process lived.
    pub ok: bool,
    /// What was started: pods and shards.
    pub started: [u16; 2],
    /// The run, and what each process used for it.
    #[serde(flatten)]
    pub measured: Measured,
}

impl LocalArgs {
    /// Checks the flags, and that the programs are there.
    ///
    /// # Errors
    /// One sentence for each mistake.
    pub fn check(self) -> Result<Local, Vec<String>> {
        let Self { fleet, mut run } = self;
        let mut mistakes = fleet.mistakes();
        if !(run.url.is_empty() && run.rest_url.is_empty()) {
            mistakes.push("--url: `local` starts the pods itself; `run` aims at pods that run".to_owned());
        }
        // Where the pods will listen, nobody knows yet.
        run.url = vec!["ws://127.0.0.1:1".to_owned()];
        mistakes.extend(run.clone().plan().err().unwrap_or_default());
        match fleet.programs() {
            Ok(programs) if mistakes.is_empty() => Ok(Local { fleet, programs, run }),
            Ok(_) => Err(mistakes),
            Err(error) => Err(mistakes.into_iter().chain([error.to_string()]).collect()),
        }
    }
}

impl Local {
    /// Threads to work with.
    #[must_use]
    pub fn threads(&self) -> usize {
        usize::from(self.run.machine.threads)
    }

    /// Starts the fleet, makes the run, and ends the fleet.
    ///
    /// # Errors
    /// When the fleet cannot be had, or a signal asks to end. A process that dies is no error: the report says so.
    pub async fn run(self, on_progress: fn(&Progress)) -> Result<LocalReport, FleetError> {
        let Self { fleet: args, programs, run } = self;
        let started = [args.pods, args.shards];
        let measured = unless_interrupted(async {
            let mut fleet = Fleet::start(&args, &programs).await?;
            fleet.tell(print::note);
            let plan = fleet.aim(run).plan().map_err(FleetError::Flags)?;
            measure(&mut fleet, plan, on_progress).await
        });
        let measured = measured.await?;
        Ok(LocalReport { ok: measured.ok(), started, measured })
    }
}
