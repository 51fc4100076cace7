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

#[test]
fn a_target_that_is_down_ends_with_1_and_a_report() {
    let path = std::env::temp_dir().join(format!("loadtest-report-{}.json", std::process::id()));
    let flags = format!("run --url ws://127.0.0.1:1 --viewers 3 --idle-ms 10 --json {}", path.display());
    let output = loadtest(&flags);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("BROKEN: join failures 4"), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((&report["ok"], &report["violations"]["join failures"]), (&false.into(), &4.into()));
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
