//! The page of a report: whole, of its own, and safe against what a server says.

use loadtest::report::html;

use crate::{
    fake::{Fake, Fault},
    faults::{SHAPE, run_against},
};

/// Every element that is opened is closed, in order.
fn assert_balanced(page: &str) {
    let mut open = Vec::new();
    for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        match tag {
            _ if tag.starts_with('!') || tag.ends_with('/') || name == "meta" => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "</{name}>"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn a_page_has_all_and_needs_nothing() {
    let fake = Fake::start(Fault::None);
    let pid = std::process::id();
    let flags = format!("{SHAPE} --seconds 1 --pid {pid} --redis-pid {pid}");
    let mut report = run_against(&fake.url, &flags).await;
    assert!(report.series.len() >= 4, "{:?}", report.series);
    let last = report.series.last().unwrap();
    assert_eq!((last.cores.len(), last.rss_mib.len(), report.watched_processes.len()), (2, 2, 2));
    assert!(
        report.series.iter().any(|sample| sample.delivered > 0.0 && sample.offered > 0.0 && sample.open == 8)
    );
    report.drops.insert("<script>alert(1)</script>".to_owned(), 3);
    let page = html::page(&report);
    assert_balanced(&page);
    assert_eq!(page.matches("<svg").count(), 6);
    for never in ["<script", "http:", "https:", "url(", "NaN", "inf "] {
        assert!(!page.contains(never), "{never}");
    }
    for wanted in [
        "&lt;script&gt;",
        "prefers-color-scheme:dark",
        "deliveries in time",
        "Redis 1",
        "pod 1",
        &report.meta.date,
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(page.len() < 150_000);
}

#[tokio::test]
async fn a_run_that_failed_has_a_page_too() {
    let report = run_against("ws://127.0.0.1:1", SHAPE).await;
    let page = html::page(&report);
    assert_balanced(&page);
    assert!(page.contains("broken") && page.contains("connect: connection refused"));
}
