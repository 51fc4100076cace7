//! Targets that cannot be tested: reported, never a hang or a panic.

use crate::{
    fake::{Fake, Fault},
    faults::run_against,
};

const SHAPE: &str =
    "--viewers 6 --streams 2 --rate 50 --seconds 0.3 --window-ms 300 --idle-ms 10 --handshake-ms 2000";

#[tokio::test]
async fn a_refused_port_fails_every_join() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let report = run_against(&url, SHAPE).await;
    assert_eq!(
        report.join_failures.get("connect: connection refused"),
        Some(&8),
        "{:?}",
        report.join_failures
    );
    assert!(!report.ok);
    assert_eq!(report.posts.offered, 0);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_fails_every_join_in_time() {
    let fake = Fake::start(Fault::Accepts);
    let report = run_against(&fake.url, SHAPE).await;
    assert_eq!(
        report.join_failures.get("no answer to the handshake in time"),
        Some(&8),
        "{:?}",
        report.join_failures
    );
}

#[tokio::test]
async fn joins_that_do_not_fit_in_their_time_are_not_tried() {
    let fake = Fake::start(Fault::Accepts);
    let report = run_against(&fake.url, &format!("{SHAPE} --in-flight 2 --joins-ms 300")).await;
    assert!(report.join_failures.contains_key("not tried in time"), "{:?}", report.join_failures);
    assert_eq!(report.join_failures.values().sum::<u64>(), 8);
    assert!(fake.connections() < 8);
}

#[tokio::test]
async fn a_server_without_hello_fails_every_join() {
    let fake = Fake::start(Fault::SaysNothingAfter101);
    let report = run_against(&fake.url, SHAPE).await;
    assert_eq!(report.join_failures.get("no hello in time"), Some(&8), "{:?}", report.join_failures);
}

#[tokio::test]
async fn a_refusal_is_named_by_its_status() {
    let fake = Fake::start(Fault::Status(503));
    let report = run_against(&fake.url, &format!("{SHAPE} --stuck 2")).await;
    assert_eq!(report.join_failures.get("status 503"), Some(&8), "{:?}", report.join_failures);
    assert_eq!(report.join_failures.get("stuck: status 503"), Some(&2), "{:?}", report.join_failures);
}

#[tokio::test]
async fn rest_without_a_server_leaves_every_post_unanswered() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let flags = "--viewers 0 --rest --rate 20 --seconds 0.3 --window-ms 100 --idle-ms 10 --request-ms 200";
    let report = run_against(&url, flags).await;
    assert_eq!((report.posts.offered, report.posts.unanswered), (6, 6));
    assert!(!report.ok);
}
