//! The page in a browser that has chosen HTTP/2: its WebSocket is a stream of the connection that brought the page.

use serde_json::json;
use testkit::{Join, PATIENCE, Pod, RedisServer, Relay, Signal, browser::Tab, stream_for};

use super::{comments, live, numbers, record_states, say, shown};

/// Opens the page; it must have come over HTTP/2.
async fn open(url: &str) -> Tab {
    let tab = Tab::open(url).await;
    live(&tab).await;
    let protocol = tab.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol").await;
    assert_eq!(protocol, "h2");
    tab
}

/// The page watches and posts over the one connection that it has, and another tab's viewer shares it.
#[tokio::test]
async fn the_page_watches_and_posts_over_http2() {
    let pod = Pod::start_private(&[("RUST_LOG", "info,fanfare::http=debug")]);
    let stream = stream_for("browser");
    let relay = Relay::to(pod.public).await;
    let url = format!("https://{}/?stream={stream}", relay.address);
    let ann = open(&format!("{url}&name=Ann")).await;
    let ben = open(&format!("{url}&name=Ben")).await;
    for (from, text) in [(&ann, "from Ann"), (&ben, "from Ben")] {
        say(from, text).await;
        shown(&ann, text).await;
        shown(&ben, text).await;
    }
    let line = pod.logged(&["a viewer's handshake was accepted", &stream], PATIENCE).await;
    assert!(line.contains("HTTP/2.0"), "{line}");
    let all = pod.log_lines();
    let handshakes = all.iter().filter(|line| line.contains("a viewer's handshake was accepted"));
    assert!(
        handshakes.clone().count() >= 2 && handshakes.clone().all(|line| line.contains("HTTP/2.0")),
        "{all:?}"
    );
    // The other routes go over it as well.
    ann.run("document.getElementById('follow').click()").await;
    ann.until("a follow", "document.querySelector('#list .entry.follow')").await;
    // What was lost with the connection is resumed.
    relay.cut_off();
    pod.fill(&stream, 5, " meanwhile").await;
    relay.lead_to(pod.public);
    shown(&ann, "4 meanwhile").await;
    shown(&ben, "4 meanwhile").await;
    let expected = ["from Ann", "from Ben"].map(str::to_owned).into_iter();
    let expected: Vec<_> = expected.chain((0..5).map(|number| format!("{number} meanwhile"))).collect();
    for tab in [&ann, &ben] {
        let bodies: Vec<_> = comments(tab).await.into_iter().filter(|body| expected.contains(body)).collect();
        assert_eq!(bodies, expected);
    }
    ann.close().await;
    ben.close().await;
}

/// G11 over HTTP/2: at a drain the connection is retired, so that the page's new socket leads to another pod, and the page
/// is never without one.
#[tokio::test]
async fn g11_the_page_moves_over_http2_without_a_gap() {
    let (redis, stream) = (RedisServer::start(), stream_for("move"));
    let shards = format!("a={}", redis.url());
    let pod = |name| {
        Pod::start_private(&[("FANFARE_SHARDS", &shards), ("FANFARE_POD", name), ("FANFARE_DRAIN", "18s")])
    };
    let (old, new) = (pod("pod-old"), pod("pod-new"));
    let relay = Relay::to(old.public).await;
    let tab = open(&format!("https://{}/?stream={stream}&name=Ann", relay.address)).await;
    record_states(&tab).await;
    relay.lead_to(new.public);
    old.signal(Signal::Term);
    new.has_viewers(1).await;
    for number in 0..20 {
        new.post(&stream, &number.to_string()).await;
    }
    tab.until("the page has moved", "document.getElementById('pod').textContent === 'pod-new'").await;
    shown(&tab, "19").await;
    assert_eq!(comments(&tab).await, numbers(0..20));
    assert_eq!(tab.run("return [...new Set(states)]").await, json!(["moving", "live"]));
    assert_eq!(old.exit(PATIENCE).await, Some(0));
    let mut other = Join::new(&new, &stream).open().await;
    other.say("on the new pod").await;
    shown(&tab, "on the new pod").await;
    tab.close().await;
}
