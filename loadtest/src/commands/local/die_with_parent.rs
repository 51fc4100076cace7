//! How a server is started: a process that binds itself to its parent's life, then becomes the server.
//!
//! The parent ends its servers itself. Should it be killed where it cannot, the kernel does it: prctl(2),
//! `PR_SET_PDEATHSIG`, which outlives the exec.

use std::{ffi::OsString, io, os::unix::process::CommandExt as _, process::Command};

use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::base::proc;

/// A server to become.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The process whose end is the server's
    #[arg(long)]
    pub parent: i32,
    /// The CPU that the server may use
    #[arg(long)]
    pub cpu: Option<u16>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub server: Vec<OsString>,
}

/// Becomes the server; returns only if that is not possible.
pub fn become_server(args: &ServerArgs) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != args.parent) {
        return io::Error::other("the parent is gone");
    }
    // A server with many viewers needs as many files as it may have.
    proc::open_files_limit();
    args.cpu.map(proc::pin);
    let Some((program, rest)) = args.server.split_first() else {
        return io::Error::other("no server is named");
    };
    let error = Command::new(program).args(rest).exec();
    io::Error::new(error.kind(), format!("{}: {error}", program.display()))
}
