//! The binary itself: exit codes, and the plain loop with its receivers.

use std::process::{Command, Output};

pub(crate) fn loadtest(flags: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(flags.split_whitespace()).output().unwrap()
}

#[test]
fn bad_arguments_end_with_2() {
    for flags in
        ["", "run", "run --url ws://nowhere", "run --url ws://127.0.0.1:1 --streams 0", "limit --rate fast"]
    {
        let output = loadtest(flags);
        assert_eq!(output.status.code(), Some(2), "{flags}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn too_few_descriptors_are_said_before_anything_is_opened() {
    let output = loadtest("run --url ws://127.0.0.1:1 --viewers 1000000 --streams 1000000 --posters 1000");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("open files"), "{output:?}");
    let output = loadtest("run --url ws://192.0.2.1:1 --viewers 900000");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ports: 900001 sockets need") && said.contains("--sources"), "{output:?}");
    assert_eq!(
        said.matches("open files").count() + said.matches("ports:").count(),
        2,
        "both are named: {said}"
    );
}

#[test]
fn a_process_that_is_not_there_is_said() {
    let output = loadtest(&format!("run --url ws://127.0.0.1:1 --pid {}", u32::MAX));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--pid"), "{output:?}");
}

#[test]
fn a_worker_without_a_brief_ends_with_2() {
    let output = loadtest("worker");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no brief"), "{output:?}");
}

/// Symptom: a load test whose target was dead printed "met" for all four objectives. Cause: a count of nothing is not
/// above what is allowed, and a share of nothing was 1.
#[test]
fn a_target_that_is_down_ends_with_1_and_a_report() {
    let path = std::env::temp_dir().join(format!("loadtest-report-{}.json", std::process::id()));
    let flags = format!("run --url ws://127.0.0.1:1 --viewers 3 --idle-ms 10 --json {}", path.display());
    let output = loadtest(&flags);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("join failures 4") && said.contains("nobody joined 1"), "{output:?}");
    assert_eq!((said.matches(": not measured").count(), said.matches(": met").count()), (4, 0), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((&report["ok"], &report["violations"]["join failures"]), (&false.into(), &4.into()));
    assert!(report["slo"].as_array().unwrap().iter().all(|judged| judged["met"].is_null()), "{report}");
    // Nothing that is tolerated makes it a test.
    let all = "refused,dropped,unanswered,signalled,errors,stuck,late,late joins";
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--url", "ws://127.0.0.1:1", "--viewers", "1", "--idle-ms", "10", "--tolerate", all])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// README and `--help` tell the exit codes in the same words.
#[test]
fn the_readme_and_help_agree_on_the_exit_codes() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let codes = |text: &str| {
        let text = words(text);
        let (_, after) = text.split_once("Exit code 0:").expect("the exit codes");
        let (codes, _) = after.split_once("(arguments, limits of this machine).").expect("code 2");
        codes.to_owned()
    };
    let readme = include_str!("../../README.md");
    let help = String::from_utf8(loadtest("--help").stdout).unwrap();
    assert_eq!(codes(readme), codes(&help));
}

/// The report names the tester's own build, whatever folder it is run in, and asks pods for theirs.
#[test]
fn the_report_names_the_builds_and_not_the_folder() {
    let path = std::env::temp_dir().join(format!("loadtest-builds-{}.json", std::process::id()));
    let flags = "run --url ws://127.0.0.1:1 --viewers 1 --idle-ms 10 --ops http://127.0.0.1:1 --json";
    let output = loadtest(&format!("{flags} {}", path.display()));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).expect("a report")).unwrap();
    std::fs::remove_file(&path).unwrap();
    let version = format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("BUILD_COMMIT"));
    assert_eq!(report["meta"]["tester"], version, "{output:?}");
    assert_eq!(report["meta"]["pods"][0], "127.0.0.1:1 did not tell its build");
    let said = String::from_utf8(loadtest("--version").stdout).unwrap();
    assert_eq!(said.trim(), format!("loadtest {version}"));
}

#[test]
fn the_plain_loop_is_measured() {
    for flags in ["--rate 100", "--rate 100 --frames-per-write 4", "--rate 0"] {
        let output = loadtest(&format!("limit --sockets 20 --seconds 0.3 {flags}"));
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text.contains("sender CPU") && !text.contains("deliveries               0 "), "{text}");
    }
}

#[test]
fn the_plain_loop_has_a_table_of_frames_a_write() {
    let output = loadtest("limit --sockets 20 --seconds 0.2 --rate 400 --table");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let rows: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()).collect();
    assert_eq!(rows, ["frames", "1", "4", "16"], "{text}");
}
