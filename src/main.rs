//! Flags and environment → settings → a pod that runs → an exit code.

#![forbid(unsafe_code)]

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use fanfare::{
    app::{Addresses, App, ExitCause, Pod, ServingMode},
    config::{CommandLine, Tool, unknown_settings},
    telemetry::{PodIdentity, Telemetry, VERSION_AND_BUILD},
};
use tokio::signal::unix::{SignalKind, signal};

/// Wrong flags or settings.
const USAGE: u8 = 2;
/// The exit code of a process that a second signal ended at once.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let (CommandLine { tool, flags }, typed) = CommandLine::read();
    let fail = |code, text: &str| fail(code, &typed.in_words_of_user(text));
    if let Some(Tool::Token(wanted)) = tool {
        return wanted.mint().map_or_else(|faults| fail(USAGE, &faults.to_string()), |token| print(&token));
    }
    let config = match flags.check() {
        Ok(config) => config,
        Err(faults) => return fail(USAGE, &faults.to_string()),
    };
    let identity = PodIdentity { pod: config.shards.pod.clone(), track: config.track.clone() };
    let telemetry = match Telemetry::start(&identity, config.objectives) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(USAGE, &error),
    };
    for variable in unknown_settings() {
        tracing::warn!(variable, "no setting has this name, see --help");
    }
    let sli = telemetry.sli();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    let ended = runtime.block_on(async {
        let exit = exit_signal().map_err(|error| error.to_string())?;
        let pod = App::bind(config).map_err(|error| error.to_string())?.start(sli)?;
        announce(&pod);
        pod.run(exit).await
    });
    // What hangs must not hold the exit up.
    runtime.shutdown_background();
    telemetry.end();
    ended.map_or_else(|error| fail(1, &error), |()| ExitCode::SUCCESS)
}

fn fail(code: u8, text: &str) -> ExitCode {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(io::stderr(), "fanfare: {}", text.replace('\n', "\nfanfare: "));
    ExitCode::from(code)
}

fn print(text: &str) -> ExitCode {
    let printed = writeln!(io::stdout(), "{text}");
    if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says where to look; on a thread of its own, since nobody may be reading.
fn announce(pod: &Pod) {
    let Addresses { public, ops } = pod.addresses();
    let shards = match pod.shard_count() {
        0 => "the embedded shard".to_owned(),
        1 => "1 shard".to_owned(),
        shards => format!("{shards} shards"),
    };
    let ServingMode { open, demo, private } = pod.manner();
    let s = if private { "s" } else { "" };
    let whom = if open {
        "in open mode: anybody who reaches it may watch and post"
    } else {
        "for whom its keys let in"
    };
    let page = if demo { "page" } else { "rest" };
    let text = format!(
        "Fanfare {VERSION_AND_BUILD} on {shards}, {whom}.\n\
         \x20 {page}   http{s}://{public}/\n\
         \x20 watch  ws{s}://{public}/v1/streams/lobby/watch\n\
         \x20 ready  http://{ops}/ready\n"
    );
    std::thread::spawn(move || {
        // Nobody is left to tell if standard output is gone.
        let _ = io::stdout().write_all(text.as_bytes());
    });
}

/// Returns the cause of the exit at the first SIGTERM or SIGINT; a second one ends the process at once.
fn exit_signal() -> io::Result<impl Future<Output = ExitCause>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let tasks = fanfare::tasks::Tasks::default();
    Ok(async move {
        let cause = tokio::select! {
            _ = terminate.recv() => ExitCause::Ordered,
            // Ctrl-C; a SIGINT from an orchestrator (`STOPSIGNAL`) comes to a pod whose log is no terminal.
            _ = interrupt.recv() => if io::stderr().is_terminal() { ExitCause::Typed } else { ExitCause::Ordered },
        };
        tasks.core("second signal", async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(INTERRUPTED);
        });
        cause
    })
}
