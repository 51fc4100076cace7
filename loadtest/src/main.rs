//! Flags → plan → run → exit code.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::ExitCode,
};

use loadtest::{
    base::proc,
    commands::{
        ab,
        ab::AbArgs,
        capacity,
        capacity::CapacityArgs,
        cli::{Cli, Command, Unclear},
        limit,
        limit::LimitArgs,
        limit_table, local,
        local::LocalArgs,
        sink,
        sink::SinkArgs,
    },
    drive::args::RunArgs,
    report::{Report, html, print, table},
    run,
    run::worker_process,
};
use serde::Serialize;
use tokio::runtime::Builder;

/// The arguments are wrong, or the run cannot begin.
const CANNOT_BEGIN: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Unclear::Flags(error)) => error.exit(),
        Err(Unclear::Scenario(mistakes)) => return cannot_begin(&mistakes),
    };
    let done = match cli.command {
        Command::Run(args) => run(*args),
        Command::Worker => worker_process::serve().map(|()| ExitCode::SUCCESS).map_err(|error| vec![error]),
        Command::Limit(args) => measure_limit(&args),
        Command::Sink(args) => receive(&args),
        Command::Local(args) => run_local(*args),
        Command::Ab(args) => compare(*args),
        Command::Capacity(args) => measure_capacity(*args),
        Command::Leash(args) => Err(vec![local::become_server(&args).to_string()]),
    };
    match done {
        Ok(code) => code,
        Err(mistakes) => cannot_begin(&mistakes),
    }
}

fn cannot_begin(mistakes: &[String]) -> ExitCode {
    mistakes.iter().for_each(|mistake| print::mistake(mistake));
    ExitCode::from(CANNOT_BEGIN)
}

fn run(args: RunArgs) -> Result<ExitCode, Vec<String>> {
    let plan = args.plan()?;
    let places = [&plan.json, &plan.html, &plan.reports].map(Clone::clone);
    let threads = plan.prepare_threads();
    let report =
        block_on(threads, run::run(plan, print::progress))?.map_err(|error| vec![error.to_string()])?;
    print::result(&table::report(&report));
    keep(places, &report, &report)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_local(args: LocalArgs) -> Result<ExitCode, Vec<String>> {
    let places = [&args.run.json, &args.run.html, &args.run.reports].map(Clone::clone);
    let local = args.check()?;
    let report =
        block_on(local.threads(), local.run(print::progress))?.map_err(|error| vec![error.to_string()])?;
    print::result(&local::table(&report));
    keep(places, &report.measured.run, &report)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes a run's page, and the whole of what was found as JSON: to the files that are named, and into the folder.
fn keep(
    [json, html, folder]: [Option<PathBuf>; 3],
    run: &Report,
    whole: &impl Serialize,
) -> Result<(), Vec<String>> {
    let [mut json, mut pages] = [json, html].map(|path| path.into_iter().collect::<Vec<_>>());
    if let Some(folder) = folder {
        let stem = run.meta.file_stem();
        json.push(folder.join(format!("{stem}.json")));
        pages.push(folder.join(format!("{stem}.html")));
    }
    json.iter().try_for_each(|path| write_json(path, whole))?;
    pages.iter().try_for_each(|path| write(path, html::page(run).as_bytes()))
}

fn compare(args: AbArgs) -> Result<ExitCode, Vec<String>> {
    let json = args.json.clone();
    let ab = args.check()?;
    let report = block_on(1, ab.run(print::progress))?.map_err(|error| vec![error.to_string()])?;
    print::result(&ab::table(&report));
    json.map(|path| write_json(&path, &report)).transpose()?;
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure_capacity(args: CapacityArgs) -> Result<ExitCode, Vec<String>> {
    let json = args.json.clone();
    let capacity = args.check()?;
    let report = block_on(1, capacity.run(print::progress))?.map_err(|error| vec![error.to_string()])?;
    print::result(&capacity::table(&report));
    json.map(|path| write_json(&path, &report)).transpose()?;
    // That it breaks is what is looked for; that it never held is not.
    Ok(if report.held() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure_limit(args: &LimitArgs) -> Result<ExitCode, Vec<String>> {
    if args.table {
        let reports = limit::series(args).map_err(|error| vec![error.to_string()])?;
        print::result(&limit_table::limits(&reports));
        args.json.as_ref().map(|path| write_json(path, &reports)).transpose()?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = limit::limit(args).map_err(|error| vec![error.to_string()])?;
    print::result(&limit_table::limit(&report));
    args.json.as_ref().map(|path| write_json(path, &report)).transpose()?;
    Ok(ExitCode::SUCCESS)
}

fn receive(args: &SinkArgs) -> Result<ExitCode, Vec<String>> {
    args.cpu.map(proc::pin);
    let report = block_on(1, sink::sink(args))?.map_err(|error| vec![error.to_string()])?;
    print::result(&serde_json::to_string(&report).map_err(|error| vec![error.to_string()])?);
    Ok(ExitCode::SUCCESS)
}

fn block_on<T>(threads: usize, work: impl Future<Output = T>) -> Result<T, Vec<String>> {
    // With one thread no other has to be woken, which makes a delivery cheaper.
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.worker_threads(threads).enable_all().build();
    Ok(runtime.map_err(|error| vec![format!("no runtime: {error}")])?.block_on(work))
}

fn write_json(path: &Path, report: &impl Serialize) -> Result<(), Vec<String>> {
    let json = serde_json::to_vec_pretty(report).map_err(|error| vec![error.to_string()])?;
    write(path, &json)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Vec<String>> {
    fs::write(path, bytes).map_err(|error| vec![format!("{}: {error}", path.display())])
}
