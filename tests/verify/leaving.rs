//! A pod that leaves, at its real times.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{Join, PATIENCE, Pod, Signal, stream_for};

/// The most of these moments in any second, over what they are in a second on the average.
fn peak(moments: &[Duration]) -> f64 {
    let within = |from: &Duration| {
        let second = *from..*from + Duration::from_secs(1);
        moments.iter().filter(|moment| second.contains(*moment)).count()
    };
    let (first, last) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
    let most = moments.iter().map(within).max().unwrap();
    most as f64 * (*last - *first).as_secs_f64() / moments.len() as f64
}

/// The moments at which each viewer of a pod that leaves was asked, and at which it was closed, since the signal.
async fn released(count: usize) -> [Vec<Duration>; 2] {
    let pod = Pod::start(&[("FANFARE_DRAIN", "6s")]);
    let stream = stream_for("even");
    let mut all = join_all((0..count).map(|_| async { Join::new(&pod, &stream).open().await })).await;
    let begin = Instant::now();
    pod.signal(Signal::Term);
    let moments = join_all(all.drain(..).map(|mut viewer| async move {
        viewer.until("reconnect", |viewer| viewer.has("reconnect")).await;
        let asked = begin.elapsed();
        assert_eq!(viewer.until_closed().await, Some(1001));
        (asked, begin.elapsed())
    }));
    let (asked, closed) = moments.await.into_iter().unzip();
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
    println!("a drain of 6 s took {:.1?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(11), "6 s and the margin of 5 s: {:?}", begin.elapsed());
    [asked, closed]
}

/// G11: viewers are asked evenly, and so are closed evenly where they stay: in no second more than 1.5 times the mean.
#[tokio::test]
async fn g11_viewers_are_released_evenly() {
    for moments in released(300).await {
        let spread = *moments.iter().max().unwrap() - *moments.iter().min().unwrap();
        println!("{:.2} of the mean in one second, over {spread:.1?}", peak(&moments));
        assert!(
            (3_000..=5_500).contains(&spread.as_millis()),
            "a drain of 6 s keeps 2 s for leaving: {spread:?}"
        );
        assert!(peak(&moments) <= 1.5);
    }
}

#[test]
fn a_peak_is_found_wherever_a_second_begins() {
    let at = |times: [u64; 6]| peak(&times.map(Duration::from_millis));
    assert!((at([0, 1_000, 2_000, 3_000, 4_000, 5_000]) - 5.0 / 6.0).abs() < 1e-9);
    assert!((at([0, 900, 2_500, 2_600, 3_400, 5_000]) - 2.5).abs() < 1e-9);
}
