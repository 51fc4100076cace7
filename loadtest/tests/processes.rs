//! Several processes of the tester give the account that one gives.

use std::{path::PathBuf, time::Duration};

use loadtest::{
    commands::cli::{Cli, Command},
    report::Report,
    run,
    run::StartError,
};
use tokio::time::timeout;

use crate::fake::{Fake, Fault};

/// Two streams, nine viewers over three processes, 20 comments each within 0.4 s.
const SHAPE: &str = "--viewers 9 --streams 2 --rate 50 --seconds 0.4 --window-ms 2000 --idle-ms 10 --processes 3 \
    --slo-deliver-ms 60000 --slo-join-ms 60000";

async fn run_of(program: &str, url: &str, flags: &str) -> Result<Report, StartError> {
    let words = format!("loadtest run --url {url} {SHAPE} {flags}");
    let cli = Cli::read(words.split_whitespace().map(Into::into)).unwrap();
    let Command::Run(args) = cli.command else { panic!() };
    let mut plan = args.plan().unwrap();
    plan.program = Some(PathBuf::from(program));
    timeout(Duration::from_secs(60), run::run(plan, |_| {})).await.expect("a run ends")
}

async fn with(fault: Fault, flags: &str) -> Report {
    let fake = Fake::start(fault);
    run_of(env!("CARGO_BIN_EXE_loadtest"), &fake.url, flags).await.unwrap()
}

#[tokio::test]
async fn a_good_server_is_reported_clean() {
    let report = with(Fault::None, "").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.processes, report.posts.offered, report.posts.acked), (3, 40, 40));
    assert_eq!(
        (report.counts.joined, report.deliveries.expected, report.deliveries.delivered),
        (11, 220, 220)
    );
    assert_eq!((report.latencies.delivery.samples, report.latencies.ack.samples), (220, 40));
    assert!(report.tester.cpu_us > 0);
}

#[tokio::test]
async fn loss_is_seen_whichever_process_saw_the_rest() {
    // At once: a run that misses something waits for it.
    let runs =
        tokio::join!(with(Fault::Lose(5), ""), with(Fault::Lose(20), ""), with(Fault::LoseForAll(20), ""));
    for (report, lost) in [(runs.0, 2), (runs.1, 2), (runs.2, 11)] {
        assert_eq!(report.violations.get("lost"), Some(&lost), "{:?}", report.violations);
    }
}

#[tokio::test]
async fn duplicates_and_forgeries_are_seen() {
    let report = with(Fault::Duplicate(7), "").await;
    assert_eq!(report.violations.get("duplicates"), Some(&2), "{:?}", report.violations);
    let report = with(Fault::Forge(7), "").await;
    assert!(report.violations.contains_key("foreign"), "{:?}", report.violations);
    assert!(report.violations.contains_key("disagreements"), "{:?}", report.violations);
}

#[tokio::test]
async fn rest_gifts_and_resumers_are_shared() {
    let report = with(Fault::None, "--rest --gifts-per-second 10 --resumers 3 --seconds 1").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.posts.offered, report.counts.resumed), (120, 9));
    assert_eq!(report.deliveries.delivered, 12 * 60);
}

#[tokio::test]
async fn a_target_that_is_down_is_reported() {
    let report = run_of(env!("CARGO_BIN_EXE_loadtest"), "ws://127.0.0.1:1", "").await.unwrap();
    assert_eq!(report.violations.get("join failures"), Some(&11), "{:?}", report.violations);
}

#[tokio::test]
async fn a_process_that_fails_ends_the_run_with_a_reason() {
    let fake = Fake::start(Fault::None);
    for (program, wanted) in
        [("/bin/false", "ended early"), ("/bin/cat", "process"), ("/nowhere", "cannot be started")]
    {
        let error = run_of(program, &fake.url, "").await.unwrap_err().to_string();
        assert!(error.contains(wanted), "{program}: {error}");
    }
}
