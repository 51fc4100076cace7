//! Why pods and shards cannot be had.

use std::{fmt, io, path::PathBuf};

use crate::run::StartError;

/// Why a fleet cannot be started, or did not last.
#[derive(Debug)]
pub enum FleetError {
    /// No program for the pods.
    NoPod(PathBuf),
    /// No program for the shards.
    NoRedis(PathBuf),
    /// A process could not be started, or ended at once.
    NotStarted {
        /// Its name.
        name: String,
        /// What became of it.
        why: String,
    },
    /// A process did not answer in time.
    Silent {
        /// Its name.
        name: String,
        /// What it said.
        why: String,
    },
    /// A process ended while it was needed.
    Died {
        /// Its name.
        name: String,
        /// How.
        why: String,
    },
    /// The pod that hears everything cannot be built.
    NotBuilt(String),
    /// A pod does not hear what it was told to.
    Deaf {
        /// Its name.
        name: String,
        /// Streams that it hears.
        hears: u64,
        /// Streams that it should hear.
        of: usize,
    },
    /// The flags do not make a run.
    Flags(Vec<String>),
    /// The run could not begin.
    Run(StartError),
    /// A signal asked this process to end.
    Interrupted,
    /// The system refused something else.
    Io(io::Error),
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPod(path) => write!(
                f,
                "there is no program {}: build it with `cargo build --release`, or name it with --pod",
                path.display()
            ),
            Self::NoRedis(path) => write!(
                f,
                "there is no program {}: install Redis (Debian: redis-server), name it with --redis, or say --shards 0",
                path.display()
            ),
            Self::NotStarted { name, why } => write!(f, "{name} did not start: it {why}"),
            Self::Silent { name, why } => write!(f, "{name} was not ready in time: it {why}"),
            Self::Died { name, why } => write!(f, "{name} died: it {why}"),
            Self::NotBuilt(why) => write!(f, "the pod that hears everything cannot be built: {why}"),
            Self::Deaf { name, hears, of } => write!(
                f,
                "{name} hears {hears} of {of} streams: is it built with `--features hear-everything`?"
            ),
            Self::Flags(mistakes) => f.write_str(&mistakes.join("; ")),
            Self::Run(error) => error.fmt(f),
            Self::Interrupted => f.write_str("interrupted; everything that was started is ended"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for FleetError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
