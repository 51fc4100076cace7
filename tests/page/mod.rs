//! The page in a browser: what a person sees while the network and the server behave, and while they do not.

mod losses;
mod origins;
mod over_http2;

use std::net::SocketAddr;

use serde_json::{Value, json};
use testkit::{
    Issuer, Join, PATIENCE, Pod,
    browser::Tab,
    eventually,
    issuer::{keyed, keyed_private, service_key},
    post, request, stream_for,
};

/// The page, which joins a stream at once.
async fn join(address: SocketAddr, stream: &str, name: &str) -> Tab {
    let tab = Tab::open(&format!("http://{address}/?stream={stream}&name={name}")).await;
    live(&tab).await;
    tab
}

async fn live(tab: &Tab) {
    tab.until("live", "document.getElementById('state').dataset.state === 'live'").await;
}

/// Waits until a comment with this text is in the list.
async fn shown(tab: &Tab, text: &str) {
    let expression = format!(
        "[...document.querySelectorAll('#list .body')].some((p) => p.textContent === {})",
        json!(text)
    );
    tab.until(text, &expression).await;
}

/// The texts of all comments in the list, or of whatever the selector finds.
async fn texts(tab: &Tab, selector: &str) -> Vec<String> {
    let script = format!("return [...document.querySelectorAll('{selector}')].map((p) => p.textContent)");
    serde_json::from_value(tab.run(&script).await).unwrap()
}

async fn comments(tab: &Tab) -> Vec<String> {
    texts(tab, "#list .body").await
}

/// Has the page keep every state that it shows from now on, as `states`.
async fn record_states(tab: &Tab) {
    tab.run(
        "window.states = [];
        new MutationObserver(() => states.push(document.getElementById('state').dataset.state))
            .observe(document.getElementById('state'), { attributes: true })",
    )
    .await;
}

/// Goes to the composer by keyboard, types a comment and posts it.
async fn say(tab: &Tab, text: &str) {
    for _ in 0..12 {
        if tab.run("return document.activeElement.id").await == "text" {
            return tab.press(&format!("{text}{ENTER_KEY}")).await;
        }
        tab.press(&TAB_KEY.to_string()).await;
    }
    panic!("the composer cannot be reached by keyboard");
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

const TAB_KEY: char = '\u{E004}';
const ENTER_KEY: char = '\u{E007}';

/// The page, used by keyboard alone: two tabs see each other's comments, and how many they are.
#[tokio::test]
async fn two_tabs_see_each_others_comments() {
    let (pod, stream) = (Pod::shared(), stream_for("tabs"));
    let ann = Tab::open(&format!("http://{}/", pod.public)).await;
    ann.press(&format!("{TAB_KEY}{stream}{TAB_KEY}Ann{ENTER_KEY}")).await;
    live(&ann).await;
    let ben = join(pod.public, &stream, "Ben").await;
    for (from, to, text) in [(&ann, &ben, "hello Ben"), (&ben, &ann, "hello Ann")] {
        say(from, text).await;
        shown(to, text).await;
        shown(from, text).await;
        let outline = "return getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(from.run(outline).await, "solid", "the focus is visible");
    }
    for tab in [&ann, &ben] {
        tab.until("two viewers", "document.getElementById('viewers').textContent === '2'").await;
        assert_eq!(comments(tab).await, ["hello Ben", "hello Ann"]);
    }
    let measured = "document.querySelectorAll('#chart rect').length === 1 \
         && /^[0-9.,]+ m?s$/.test(document.getElementById('last').textContent)";
    ann.until("the time from post to screen", measured).await;
    ann.close().await;
    ben.close().await;
}

/// Behind TLS the page watches and posts over wss with a token, by WebSocket and by REST; without one it is kept out.
#[tokio::test]
async fn the_page_shows_a_token_over_wss() {
    let (issuer, stream) = (Issuer::create(), stream_for("wss"));
    let pod = keyed_private(&issuer, &[]);
    let url = format!("https://{}/?stream={stream}", pod.public);
    let nobody = Tab::open(&url).await;
    let ann = Tab::open(&format!("{url}#token={}", issuer.token_for("ann"))).await;
    live(&ann).await;
    say(&ann, "typed over wss").await;
    shown(&ann, "typed over wss").await;
    let mut ben = Join::new(&pod, &stream).bearing(issuer.token_for("ben")).open().await;
    ben.say("from ben").await;
    shown(&ann, "from ben").await;
    assert_eq!(texts(&ann, "#list .entry bdi").await, ["ANN", "BEN"]);
    // REST knows the token too: a user may not post what services post.
    ann.run("document.getElementById('follow').click()").await;
    let fault = "document.querySelector('#room .fault')?.textContent.includes('not_allowed')";
    ann.until("an answer by REST", fault).await;
    nobody.until("a refusal", "document.getElementById('banner').textContent.includes('1006')").await;
    assert_eq!(texts(&nobody, "#list .entry").await, [""; 0]);
    pod.has_viewers(2).await;
    ann.close().await;
    nobody.close().await;
}

/// Gifts, follows and missions go by REST, look different from comments and from each other, and say what they are.
#[tokio::test]
async fn gifts_follows_and_missions_look_different() {
    let (pod, stream) = (Pod::shared(), stream_for("kinds"));
    let (ann, ben) = (join(pod.public, &stream, "Ann").await, join(pod.public, &stream, "Ben").await);
    ann.run("document.getElementById('amount').value = 3; document.querySelector('#gift button').click()")
        .await;
    ann.run("document.getElementById('follow').click()").await;
    ann.run("document.getElementById('mission').click()").await;
    pod.post(&stream, "a comment").await;
    for tab in [&ann, &ben] {
        tab.until("all four", "document.querySelectorAll('#list .entry').length === 4").await;
        for (kind, says) in [("gift", "3 × Rose"), ("follow", "follows the stream"), ("mission", "+50")] {
            let entries = texts(tab, &format!("#list .entry.{kind}")).await;
            assert!(entries.len() == 1 && entries[0].contains(says), "{entries:?}");
        }
        let looks = "return new Set([...document.querySelectorAll('#list .entry')]
            .map((entry) => getComputedStyle(entry).backgroundColor)).size";
        assert_eq!(tab.run(looks).await, 4);
    }
    ann.close().await;
    ben.close().await;
}

/// What is stored is text, and the page shows it as text, wherever it stands.
#[tokio::test]
async fn markup_in_a_comment_stays_text() {
    let (pod, stream) = (Pod::shared(), stream_for("markup"));
    let markup = "<img src=x onerror='window.hit = 1'><script>window.hit = 1</script><b>bold</b>";
    let path = format!("/v1/streams/{stream}/comments");
    let author = json!({"id": markup, "name": "<b>Eve</b>"});
    let said = json!({"kind": "comment", "author": author, "body": markup});
    let given = json!({"kind": "gift", "author": author, "data": {"item": markup, "amount": 1}});
    for entry in [&said, &given] {
        assert!(matches!(post(pod.public, &path, entry).await.status, 201 | 422));
    }
    let tab = join(pod.public, &stream, "Ann").await;
    pod.post(&stream, &format!("{markup} live")).await;
    shown(&tab, &format!("{markup} live")).await;
    assert_eq!(tab.run("return document.querySelectorAll('#list :is(img, script, b)').length").await, 0);
    assert_eq!(tab.run("return window.hit ?? null").await, Value::Null);
    tab.close().await;
}

/// However many comments come, the list keeps the newest few hundred, and a reader further up stays where it is.
#[tokio::test]
async fn ten_thousand_comments_leave_a_few_hundred_rows() {
    let (pod, stream) = (Pod::shared(), stream_for("many"));
    let tab = join(pod.public, &stream, "Ann").await;
    for thousand in 0..10 {
        // In turns: at full speed this would show how fast the machine is.
        let tail = format!(" of {thousand}");
        pod.fill(&stream, 1_000, &tail).await;
        shown(&tab, &format!("999{tail}")).await;
    }
    let rows = texts(&tab, "#list > li").await;
    assert!((100..=400).contains(&rows.len()), "{} rows", rows.len());
    let comments = comments(&tab).await;
    let newest = numbers(1_000 - comments.len()..1_000);
    assert_eq!(comments, newest.iter().map(|number| format!("{number} of 9")).collect::<Vec<_>>());
    tab.run("document.getElementById('scroll').scrollTop = 100").await;
    // Two frames: the page has seen that the reader went up.
    tab.run(
        "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))",
    )
    .await;
    pod.post(&stream, "below").await;
    tab.until("the count of new comments", "!document.getElementById('more').hidden").await;
    assert_eq!(tab.run("return document.getElementById('scroll').scrollTop").await, 100);
    tab.run("document.getElementById('more').click()").await;
    shown(&tab, "below").await;
    tab.close().await;
}

/// The token comes in the address's fragment or is typed in; the page posts with it, and keeps it out of the address.
#[tokio::test]
async fn a_token_is_taken_from_the_fragment_or_the_door_and_shown_to_nobody() {
    let (issuer, stream) = (Issuer::create(), stream_for("door"));
    let pod = keyed(&issuer, &[("RUST_LOG", "trace")]);
    let (ann, ben) = (issuer.token_for("ann"), issuer.token_for("ben"));
    let by_fragment = Tab::open(&format!("http://{}/?stream={stream}#token={ann}", pod.public)).await;
    live(&by_fragment).await;
    let typed = Tab::open(&format!("http://{}/", pod.public)).await;
    typed.press(&format!("{TAB_KEY}{stream}{TAB_KEY}{TAB_KEY}{ben}{ENTER_KEY}")).await;
    live(&typed).await;
    say(&by_fragment, "from ann").await;
    say(&typed, "from ben").await;
    for tab in [&by_fragment, &typed] {
        shown(tab, "from ann").await;
        shown(tab, "from ben").await;
        assert_eq!(texts(tab, "#list .entry bdi").await, ["ANN", "BEN"]);
        let address = tab.run("return location.href + JSON.stringify(sessionStorage)").await;
        assert!(!address.as_str().unwrap().contains("eyJ"), "{address}");
    }
    // Who is revoked is told so, and the page does not come back by itself.
    let bearer = format!("Bearer {}", service_key("all"));
    let revoked = request(pod.public, "DELETE", "/v1/viewers/ann", &[("authorization", &bearer)], b"").await;
    assert_eq!(revoked.status, 204);
    by_fragment.until("the end", "document.getElementById('banner').textContent.includes('3000')").await;
    let mut watcher = Join::new(&pod, &stream).bearing(&ben).open().await;
    watcher.comments(2).await;
    by_fragment.close().await;
    typed.close().await;
    eventually("both are gone", PATIENCE, async || {
        (pod.probe("/ready").await.json()["viewers"] == 1).then_some(())
    })
    .await;
    assert!(pod.log_lines().iter().all(|line| !line.contains("eyJ")));
}

/// The page is one file: the browser asks for nothing else.
#[tokio::test]
async fn the_page_fetches_nothing_from_elsewhere() {
    let (pod, stream) = (Pod::shared(), stream_for("alone"));
    let tab = join(pod.public, &stream, "Ann").await;
    let asked = "return performance.getEntriesByType('resource').map((entry) => entry.name)";
    assert_eq!(tab.run(asked).await, json!([]));
    tab.close().await;
    let page = pod.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for outside in ["src=\"http", "href=\"http", "url(http", "import("] {
        assert!(!page.body.contains(outside), "{outside}");
    }
}
