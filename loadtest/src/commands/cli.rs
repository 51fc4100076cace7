//! The command line: its commands.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use super::{
    ab::AbArgs,
    capacity::CapacityArgs,
    limit::LimitArgs,
    local::{LocalArgs, ServerArgs},
    sink::SinkArgs,
};
use crate::{
    drive::{args::RunArgs, scenario::Scenario},
    report::meta::VERSION,
};

/// Open-loop load tester for Fanfare, with its own reading of the protocol.
///
/// Exit code 0: every promise held and every objective was met; 1: not, or the target did not answer or was not trusted,
/// so that nothing was measured; 2: the run could not begin (arguments, limits of this machine).
#[derive(Debug, Parser)]
#[command(name = "loadtest", version = VERSION, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Opens viewers, posts by a fixed schedule, and checks what every viewer sees
    Run(Box<RunArgs>),
    /// The same over pods and Redis shards that it starts on this machine, and ends whatever happens
    Local(Box<LocalArgs>),
    /// Compares pods that hear what is watched with pods that hear everything: CPU, memory, messages
    Ab(Box<AbArgs>),
    /// Adds viewers until the objective breaks, and tells what each thing costs
    Capacity(Box<CapacityArgs>),
    /// Measures the kernel's own limit: a plain loop of `send` over loopback sockets
    Limit(LimitArgs),
    /// The receiving side of `limit`
    #[command(hide = true)]
    Sink(SinkArgs),
    /// Becomes a server that ends with the process that started it
    #[command(hide = true)]
    Leash(ServerArgs),
    /// One of several processes of a `run`, which speaks to it through its standard input and output
    #[command(hide = true)]
    Worker,
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Unclear {
    /// The flags are wrong, or help was asked for.
    Flags(clap::Error),
    /// The scenario file has these mistakes.
    Scenario(Vec<String>),
}

impl Cli {
    /// Reads a command line. A scenario's flags stand before those that were given, which so override them.
    ///
    /// # Errors
    /// What is wrong with it, or with the scenario file that it names.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, Unclear> {
        let words: Vec<OsString> = words.into_iter().collect();
        let first = Self::try_parse_from(&words).map_err(Unclear::Flags)?;
        let Some(args) = first.command.run() else { return Ok(first) };
        let Some(path) = &args.scenario else { return Ok(first) };
        let scenario = Scenario::read(path).map_err(Unclear::Scenario)?;
        let (head, tail) = words.split_at(words.len().min(2));
        let flags = scenario.flags.iter().map(OsString::from);
        let all = head.iter().cloned().chain(flags).chain(tail.iter().cloned());
        let mut cli = Self::try_parse_from(all).map_err(Unclear::Flags)?;
        if let Some(args) = cli.command.run_mut() {
            args.events = scenario.events;
            args.name = scenario.name;
        }
        Ok(cli)
    }
}

impl Command {
    fn run(&self) -> Option<&RunArgs> {
        match self {
            Self::Run(args) => Some(args),
            Self::Local(args) => Some(&args.run),
            _ => None,
        }
    }

    fn run_mut(&mut self) -> Option<&mut RunArgs> {
        match self {
            Self::Run(args) => Some(args),
            Self::Local(args) => Some(&mut args.run),
            _ => None,
        }
    }
}
