//! Each fault of the fake server is seen, and nothing else.

use std::time::Duration;

use loadtest::{
    commands::cli::{Cli, Command},
    report::Report,
    run,
};
use tokio::{join, task::JoinSet, time::timeout};

use crate::fake::{Fake, Fault};

/// Two streams, six viewers, 20 comments each within 0.4 s.
pub(crate) const SHAPE: &str =
    "--viewers 6 --streams 2 --rate 50 --seconds 0.4 --window-ms 2000 --idle-ms 10 --handshake-ms 20000";
/// A busy machine is no fault of the fake's.
const PATIENT: &str = "--slo-deliver-ms 60000 --slo-join-ms 60000";

pub(crate) async fn run_against(url: &str, flags: &str) -> Report {
    let words = format!("loadtest run --url {url} {PATIENT} {flags}");
    let cli = Cli::read(words.split_whitespace().map(Into::into)).unwrap();
    let Command::Run(args) = cli.command else { panic!() };
    let run = run::run(args.plan().unwrap(), |_| {});
    timeout(Duration::from_secs(180), run).await.expect("a run ends").unwrap()
}

pub(crate) async fn with(fault: Fault, flags: &str) -> Report {
    let fake = Fake::start(fault);
    run_against(&fake.url, &format!("{SHAPE} {flags}")).await
}

/// Asserts the violations of several runs as text. The runs are made at once: one that misses something waits for it.
async fn assert_violations<const N: usize>(runs: [(Fault, &str, &str); N]) {
    let mut running = JoinSet::new();
    for (fault, flags, expected) in runs {
        let (flags, expected) = (flags.to_owned(), expected.to_owned());
        running
            .spawn(async move { assert_eq!(violations(fault, &flags).await, expected, "{fault:?} {flags}") });
    }
    running.join_all().await;
}

/// The violations as text.
async fn violations(fault: Fault, flags: &str) -> String {
    let report = with(fault, flags).await;
    assert_eq!(report.ok, report.violations.is_empty());
    let rows: Vec<_> = report.violations.iter().map(|(name, count)| format!("{name} {count}")).collect();
    rows.join(", ")
}

#[tokio::test]
async fn a_good_server_is_reported_clean() {
    let fake = Fake::start(Fault::None);
    let report = run_against(&fake.url, SHAPE).await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.posts.offered, report.posts.acked), (40, 40));
    // Six viewers and two posters, four of them on each stream of 20 comments.
    assert_eq!((report.deliveries.expected, report.deliveries.delivered), (160, 160));
    assert_eq!((report.deliveries.lost, report.deliveries.signalled, report.deliveries.left), (0, 0, 0));
    assert_eq!((report.latencies.delivery.samples, report.latencies.join.samples), (160, 8));
    assert_eq!(fake.pongs(), 8, "every ping is answered");
}

#[tokio::test]
async fn loss_is_seen() {
    let lost = [5, 1, 20].map(|seq| (Fault::Lose(seq), "", "lost 2"));
    let ((), report) = join!(assert_violations(lost), with(Fault::LoseFrom(11), ""));
    let deliveries = report.deliveries;
    assert_eq!((deliveries.lost, deliveries.losers, deliveries.most_lost), (20, 2, 10));
}

#[tokio::test]
async fn what_nobody_gets_is_lost_for_all() {
    assert_violations([5, 20].map(|seq| (Fault::LoseForAll(seq), "", "lost 8"))).await;
}

#[tokio::test]
async fn duplicates_are_seen() {
    assert_eq!(violations(Fault::Duplicate(7), "").await, "duplicates 2");
}

#[tokio::test]
async fn inversions_are_seen() {
    assert_eq!(violations(Fault::Swap(7), "").await, "inversions 2");
}

#[tokio::test]
async fn late_frames_show_in_the_latency() {
    let report = with(Fault::Late(10, Duration::from_millis(150)), "").await;
    assert!(report.ok, "{:?}", report.violations);
    let delivery = report.latencies.delivery;
    // Only the first viewer of each stream is told late: a busy machine makes the others late as well.
    assert!(delivery.max_us >= 150_000 && delivery.p50_us < delivery.max_us, "{delivery:?}");
}

#[tokio::test]
async fn what_is_late_breaks_the_objective() {
    // Later than a busy machine makes anything.
    let late = |flags: &'static str| {
        let flags = format!("--window-ms 20000 --slo-deliver-ms 4900 {flags}");
        async move { with(Fault::Late(10, Duration::from_secs(5)), &flags).await }
    };
    let (report, share, tolerated) =
        join!(late(""), late("--slo-deliver-share 0.3"), late("--tolerate late"));
    // The frames behind it wait as well.
    assert!(report.violations["late"] >= 2 && report.violations.len() == 1, "{:?}", report.violations);
    let missed: Vec<_> =
        report.slo.iter().filter(|judged| judged.met == Some(false)).map(|judged| &judged.what).collect();
    assert_eq!(missed, ["deliveries in time"]);
    assert!(share.ok, "{:?}", share.violations);
    assert!(tolerated.ok && tolerated.tolerated["late"] >= 2, "{:?}", tolerated.tolerated);
}

#[tokio::test]
async fn slow_answers_break_the_objective_of_joins() {
    assert_eq!(
        violations(Fault::SlowHello(Duration::from_millis(100)), "--slo-join-ms 90").await,
        "late joins 8"
    );
    let report = with(Fault::SlowHello(Duration::from_millis(100)), "").await;
    assert!(report.ok && report.latencies.join.p50_us >= 100_000, "{:?}", report.latencies.join);
}

#[tokio::test]
async fn some_loss_and_duplicates_may_be_let_pass() {
    assert_violations([
        (Fault::Lose(5), "--slo-lost 1", "lost 2"),
        (Fault::Lose(5), "--slo-lost 2", ""),
        (Fault::Duplicate(7), "--slo-duplicates 2", ""),
    ])
    .await;
}

#[tokio::test]
async fn garbage_is_counted_and_survived() {
    assert_violations([
        (Fault::GarbageText(7), "", "garbage 2"),
        (Fault::MaskedFrame(7), "", "dropped 2, garbage 2"),
    ])
    .await;
}

#[tokio::test]
async fn dropped_connections_are_seen() {
    let tolerated = with(Fault::Close(7, 3008), "--tolerate dropped");
    let (report, tolerated) = join!(with(Fault::Cut(7), ""), tolerated);
    assert_eq!(report.violations.iter().next(), Some((&"dropped".to_owned(), &2)));
    assert_eq!((report.violations.len(), report.deliveries.left, report.deliveries.lost), (1, 2, 0));
    assert_eq!(tolerated.drops.get("close 3008"), Some(&2));
    assert!(tolerated.ok);
}

#[tokio::test]
async fn a_viewer_that_may_reconnect_loses_nothing() {
    let report = with(Fault::Cut(7), "--reconnect").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.counts.resumed, report.deliveries.delivered), (2, 160));
    assert!(report.counts.replayed >= 2, "what the connection died of comes as history");
}

#[tokio::test]
async fn what_is_skipped_is_signalled() {
    assert_violations([
        (Fault::Skip(7), "", "signalled 2"),
        (Fault::Skip(20), "", "signalled 2"),
        (Fault::Skip(7), "--tolerate signalled", ""),
    ])
    .await;
}

#[tokio::test]
async fn forgeries_are_seen() {
    let report = with(Fault::Forge(7), "").await;
    assert_eq!((report.violations.len(), report.counts.foreign), (2, 2), "{:?}", report.violations);
    // On each stream: one against those before, or each of those after against one.
    assert!((2..=6).contains(&report.counts.disagreements), "{:?}", report.violations);
}

#[tokio::test]
async fn another_history_without_a_reset_is_seen() {
    let report = with(Fault::SilentReset(7), "").await;
    assert_eq!(report.violations.get("silent resets"), Some(&2));
}

#[tokio::test]
async fn posts_without_an_answer_are_counted() {
    let counted = [(Fault::NoAcks, "", "unanswered 40"), (Fault::Refuses, "", "refused 40")];
    let ((), report) = join!(assert_violations(counted), with(Fault::Refuses, "--rest"));
    assert_eq!(report.refusals.get("rate_limited"), Some(&40));
}

#[tokio::test]
async fn rest_posts_and_gifts_arrive() {
    let report = with(Fault::None, "--rest --gifts-per-second 10").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.posts.offered, report.posts.acked), (48, 48));
    assert_eq!(report.deliveries.delivered, 6 * 24);
}

#[tokio::test]
async fn resumers_see_everything_once() {
    let report = with(Fault::None, "--seconds 1 --resumers 4 --resume-times 3 --window-ms 60000").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.counts.joined, report.counts.resumed), (12, 12));
    assert_eq!(report.deliveries.delivered, 12 * 50);
}

#[tokio::test]
async fn a_bad_resume_is_seen() {
    let flags = "--seconds 1 --resumers 4 --resume-times 3";
    let (twice, report) = join!(with(Fault::IgnoresAfter, flags), with(Fault::LosesOnResume, flags));
    assert!(twice.counts.duplicates > 0 && twice.deliveries.lost == 0, "{:?}", twice.violations);
    assert!(report.deliveries.lost > 0 && report.counts.duplicates == 0, "{:?}", report.violations);
}

#[tokio::test]
async fn a_post_that_died_with_its_connection_is_repeated_with_the_same_id() {
    let report = with(Fault::CutsPoster(7), "--reconnect").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.posts.acked, report.counts.acked_again), (40, 2));
}

#[tokio::test]
async fn stuck_viewers_are_seen_being_cut() {
    let flags = "--stuck 3 --rate 400 --seconds 3 --body-bytes 500 --window-ms 60000";
    let report = with(Fault::None, flags).await;
    assert!(report.ok, "{:?} {:?}", report.violations, report.stuck);
    assert_eq!((report.stuck.cut + report.stuck.cut_unnoticed, report.stuck.alive), (3, 0));
    assert!(report.stuck.after_ms.is_some(), "{:?}", report.stuck);
}

#[tokio::test]
async fn stuck_viewers_that_are_not_cut_are_a_failure() {
    assert_eq!(violations(Fault::None, "--stuck 3").await, "stuck 3");
}
