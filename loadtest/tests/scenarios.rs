//! Scenarios: each kind of event against the fake, and the files that come with the tester.

use std::{collections::BTreeSet, fs, path::PathBuf};

use loadtest::{
    commands::cli::{Cli, Command, Unclear},
    drive::scenario::Scenario,
    report::Report,
};

use crate::{
    binary::loadtest,
    fake::{Fake, Fault},
    faults::{SHAPE, run_against},
};

/// A file that goes when it is dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loadtest-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A run of the small shape with these events.
async fn with_events(fault: Fault, name: &str, events: &str, flags: &str) -> Report {
    let (fake, file) = (Fake::start(fault), File::new(name, events));
    run_against(&fake.url, &format!("{SHAPE} --scenario {} {flags}", file.0.display())).await
}

#[tokio::test]
async fn those_who_come_late_see_all_from_then_on() {
    let events = "[[raid]]\nat = 0.1\nviewers = 10\n[[raid]]\nat = 0.2\nviewers = 5\nover = 0.1\n";
    let report = with_events(Fault::None, "raid", events, "").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.counts.joined, report.latencies.join.samples), (8 + 15, 8 + 15));
    // At most all 20 of a stream, at least those of the last tenth of a second.
    let late = report.deliveries.delivered - 160;
    assert!((15 * 4..=15 * 20).contains(&late), "{late}");
    assert_eq!(report.deliveries.expected, report.deliveries.delivered);
}

#[tokio::test]
async fn what_those_who_come_late_lose_is_seen() {
    let report =
        with_events(Fault::LoseForAll(19), "late-loss", "[[raid]]\nat = 0.05\nviewers = 10\n", "").await;
    assert_eq!(report.violations.get("lost"), Some(&18), "{:?}", report.violations);
}

#[tokio::test]
async fn a_crowd_comes_by_its_curve() {
    let events = "[curve]\njoins_a_minute = [[0, 6000], [0.2, 6000], [0.3, 0]]\n";
    let report = with_events(Fault::None, "curve", events, "").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!(report.counts.joined, 8 + 25);
}

#[tokio::test]
async fn all_come_back_from_a_storm_without_a_hole() {
    let report = with_events(Fault::None, "storm", "[[storm]]\nat = 0.2\n", "").await;
    assert!(report.ok, "{:?}", report.violations);
    assert_eq!((report.counts.resumed, report.latencies.join.samples), (6, 8 + 6));
    assert_eq!(report.deliveries.delivered, 160);
    let report = with_events(Fault::LosesOnResume, "bad-storm", "[[storm]]\nat = 0.2\n", "").await;
    assert!(report.deliveries.lost > 0, "{:?}", report.violations);
}

#[tokio::test]
async fn gifts_come_in_bursts() {
    let events =
        "gifts_per_second = 10\n[[gifts]]\nat = 0.1\ncount = 7\n[[gifts]]\nat = 0.2\ncount = 3\nover = 0.1\n";
    let report = with_events(Fault::None, "gifts", events, "").await;
    assert!(report.ok, "{:?}", report.violations);
    // Two streams of 20 comments, 4 gifts at the even rate, and 10 in bursts.
    assert_eq!((report.posts.offered, report.posts.acked), (68, 68));
    assert_eq!(report.deliveries.delivered, 4 * 68);
}

#[tokio::test]
async fn restless_viewers_are_checked_in_each_stream() {
    let events = "[churn]\nviewers = 5\nevery = 0.1\n";
    let report = with_events(Fault::None, "churn", events, "").await;
    assert!(report.ok, "{:?}", report.violations);
    let switches = report.counts.joined - 8 - 5;
    assert!((15..=20).contains(&switches), "{switches}");
    assert!(report.deliveries.delivered > 160, "{:?}", report.deliveries);
}

#[tokio::test]
async fn slow_viewers_lag_without_a_failure() {
    let events = "[slow]\nviewers = 2\nbytes_a_second = 1000\n";
    let report = with_events(Fault::None, "slow", events, "--rate 100 --seconds 1 --window-ms 5000").await;
    assert!(report.ok, "{:?}", report.violations);
    let slow = report.slow.unwrap();
    assert_eq!((slow.viewers, slow.lost), (2, 0));
    assert!((1..50).contains(&slow.delivered), "{slow:?}");
    assert_eq!(report.deliveries.delivered, 8 / 2 * 200, "the others see all");
    assert_eq!(report.latencies.delivery.samples, 8 / 2 * 200, "their lateness is not in the objective");
}

#[tokio::test]
async fn what_slow_viewers_lose_is_seen() {
    let events = "[slow]\nviewers = 1\nbytes_a_second = 1000000\n";
    // The first to join meets the fault: with REST that is the slow one.
    let report = with_events(Fault::Lose(5), "slow-loss", events, "--viewers 0 --streams 1 --rest").await;
    assert_eq!((report.violations.get("lost"), report.slow.unwrap().lost), (Some(&1), 1));
    let report =
        with_events(Fault::Duplicate(5), "slow-twice", events, "--viewers 0 --streams 1 --rest").await;
    assert_eq!(report.violations.get("duplicates"), Some(&1), "{:?}", report.violations);
    let report = with_events(Fault::Cut(5), "slow-cut", events, "--viewers 0 --streams 1 --rest").await;
    let slow = report.slow.unwrap();
    assert!(report.violations.is_empty() && slow.resumed == 1 && slow.lost == 0, "{slow:?}");
    assert_eq!(slow.drops.values().sum::<u64>(), 1);
}

#[test]
fn flags_override_the_file() {
    let file = File::new("override", "viewers = 7\nrate = 3\n[slo]\njoin_ms = 70\n");
    let words = format!("loadtest run --url ws://a:1 --scenario {} --viewers 9", file.0.display());
    let Command::Run(args) = Cli::read(words.split_whitespace().map(Into::into)).unwrap().command else {
        panic!()
    };
    assert_eq!((args.viewers, args.rate, args.slo.slo_join_ms), (9, 3.0, 70));
    assert!(args.name.contains("override"));
}

#[test]
fn a_file_with_mistakes_is_not_run() {
    let file = File::new("mistakes", "viewers = 0.5\n\n[[raid]]\nat = 1\nwho = 2\n");
    let output = loadtest(&format!("run --url ws://127.0.0.1:1 --scenario {}", file.0.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    for wanted in [
        "toml:1: viewers: a whole number from 0 to 1000000",
        "toml:3: raid.viewers: is missing",
        "toml:5: raid.who: is no setting of a scenario",
    ] {
        assert!(said.contains(wanted), "{said}");
    }
    let words = "loadtest run --url ws://a:1 --scenario /nowhere/x.toml";
    assert!(matches!(Cli::read(words.split_whitespace().map(Into::into)), Err(Unclear::Scenario(_))));
}

#[test]
fn the_files_that_come_with_it_are_good_and_listed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let scenario = Scenario::read(&path).unwrap();
            assert!(!scenario.about.is_empty());
            let words = format!("loadtest run --url ws://a:1 --scenario {}", path.display());
            let cli = Cli::read(words.split_whitespace().map(Into::into)).unwrap();
            let Command::Run(args) = cli.command else { panic!() };
            args.plan().unwrap();
            names.insert(format!("`{}`", path.file_name().unwrap().to_string_lossy()));
        }
    }
    let listed: BTreeSet<_> = names.iter().filter(|name| readme.contains(*name)).collect();
    assert!(names.len() >= 9 && listed.len() == names.len(), "{names:?}");
}
