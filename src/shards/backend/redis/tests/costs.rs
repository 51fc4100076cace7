//! What each act costs a Redis: `docs/capacity.md` says it, and INFO commandstats agrees.

use std::collections::BTreeMap;

use super::*;

const DOCUMENT: &str = include_str!("../../../../../docs/capacity.md");
/// How often an act is done: what the links do by themselves meanwhile, some commands a second, is lost in rounding.
const TIMES: u64 = 60;

/// What the document says of an act: the second cell of its row.
fn documented(act: &str) -> &'static str {
    let row = DOCUMENT.lines().find_map(|line| line.strip_prefix(&format!("| {act} | ")));
    row.unwrap_or_else(|| panic!("docs/capacity.md has no row {act:?}")).split(" | ").next().unwrap()
}

/// How often each command was called.
fn calls(server: &RedisServer) -> BTreeMap<String, u64> {
    let stats = server.cli(&["INFO", "commandstats"]);
    let call = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = rest.split(',').next()?.parse().ok()?;
        Some((name.replace('|', " ").to_uppercase(), calls))
    };
    stats.lines().filter_map(call).collect()
}

/// What each of so many acts cost, in words: the commands by name, those within functions among them.
async fn cost<F: Future>(server: &RedisServer, mut act: impl FnMut(u64) -> F) -> String {
    let before = calls(server);
    for number in 0..TIMES {
        act(number).await;
    }
    let word = |(name, after): (String, u64)| {
        let each = (after - before.get(&name).unwrap_or(&0) + TIMES / 2) / TIMES;
        match each {
            0 => None,
            1 => Some(name),
            more => Some(format!("{name} ×{more}")),
        }
    };
    calls(server).into_iter().filter_map(word).collect::<Vec<_>>().join(", ")
}

fn count(name: &str, viewers: u64, users: &[u64]) -> AudienceCount {
    AudienceCount { stream: stream(name), viewers, users: users.to_vec() }
}

/// Issue 9: posting and reading cost what the document says.
#[tokio::test(flavor = "multi_thread")]
async fn posts_and_reads_cost_what_the_document_says() {
    let server = RedisServer::start();
    let kept = Kept::up(&server).await;
    let (link, s) = (&kept.link, &stream("s"));
    let one = std::slice::from_ref(s);
    kept.post(s, "the first").await;
    link.publish(s, keyed("v:u1", "first", 1)).await.unwrap();
    let id = |number: u64| format!("id-{number}");
    let costs = [
        ("post", cost(&server, |_| kept.post(s, "hi")).await),
        ("post with an id", cost(&server, |n| link.publish(s, keyed("v:u1", &id(n), 1))).await),
        ("post that is repeated", cost(&server, |_| link.publish(s, keyed("v:u1", "first", 1))).await),
        ("history read", cost(&server, |_| kept.all(s)).await),
        ("audit", cost(&server, |_| link.heads(one)).await),
        ("unsubscribe", {
            link.subscribe(one).await.unwrap();
            cost(&server, |_| link.unsubscribe(one)).await
        }),
        ("time, asked", cost(&server, |_| server_time(&kept)).await),
        ("heartbeat", cost(&server, |n| beat(&kept, n)).await),
    ];
    for (act, cost) in costs {
        assert_eq!(documented(act), cost, "{act}");
    }
}

async fn server_time(kept: &Kept) {
    let life = kept.link.0.reading.wire.life().await.unwrap();
    let _time: Value =
        fred::interfaces::ClientLike::custom(&life.client, connection::command("TIME"), Vec::<&str>::new())
            .await
            .unwrap();
}

async fn beat(kept: &Kept, number: u64) {
    // Three pods in turn.
    let pod = usize::try_from(number % 3).unwrap();
    kept.link.beat(&fleet::heartbeat(pod, 0.5, LeaseRequest::Stay), 1).await.unwrap();
}

/// Counts on two pods, until the peaks of both are confirmed.
async fn count_until_confirmed(server: &RedisServer, links: [&Link; 2], counts: &[AudienceCount]) {
    for link in links {
        link.count(counts, false).await.unwrap();
    }
    while server.cli(&["EXISTS", "ff:peaks"]) != "0" {
        for link in links {
            link.count(&[], false).await.unwrap();
        }
    }
}

/// Issue 9: viewers and their counts cost what the document says, on two pods.
#[tokio::test(flavor = "multi_thread")]
async fn viewers_cost_what_the_document_says() {
    let server = RedisServer::start();
    let kept = &Kept::up(&server).await;
    let other = keep(server.url(), "pod-2");
    other.wait_up().await;
    let link = &kept.link;
    let many = |viewers: u64| (0..200).map(|n| count(&format!("s{n}"), viewers, &[])).collect::<Vec<_>>();
    count_until_confirmed(&server, [link, &other.link], &many(100)).await;
    let opened = |number: u64| {
        let name = format!("opened-{number}");
        async move {
            let opened = stream(&name);
            link.subscribe(std::slice::from_ref(&opened)).await.unwrap();
            link.count(&[count(&name, 1, &[])], false).await.unwrap();
            kept.all(&opened).await;
        }
    };
    let renewed = |_| async {
        link.heads(&[stream("s0")]).await.unwrap();
        link.count(&[count("s0", 100, &[])], true).await.unwrap();
    };
    let shown = |_| async {
        link.tally(&stream("s0")).await.unwrap();
        link.audience(&stream("s0")).await.unwrap();
    };
    kept.post(&stream("s0"), "hi").await;
    let costs = async {
        [
            ("first viewer of a stream on a pod", cost(&server, opened).await),
            ("count, nothing changed", cost(&server, |_| link.count(&[], false)).await),
            ("count, 200 streams changed", {
                let changes: Vec<_> = (0..2).map(|n| many(10 + n)).collect();
                let changes = |n: u64| &changes[usize::try_from(n % 2).unwrap()];
                cost(&server, |n| link.count(changes(n), false)).await
            }),
            (
                "count, somebody came",
                cost(&server, |n| async move { link.count(&[count("s0", 50 + n % 2, &[n])], false).await })
                    .await,
            ),
            ("watched stream is renewed", cost(&server, renewed).await),
            ("attributes", cost(&server, shown).await),
        ]
    };
    // The other pod must not seem dead on a busy machine, however long this takes; that it lives is lost in rounding.
    let mut ticks = tokio::time::interval(Duration::from_secs(3));
    let lives = async {
        loop {
            ticks.tick().await;
            other.link.count(&[], false).await.unwrap();
        }
    };
    let costs = tokio::select! {
        costs = costs => costs,
        () = lives => unreachable!("it lives for ever"),
    };
    for (act, cost) in costs {
        assert_eq!(documented(act), cost, "{act}");
    }
}

/// Issue 9: a pod that connects costs what the document says.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_connects_costs_what_the_document_says() {
    let server = RedisServer::start();
    let connected = cost(&server, |_| async {
        let mut kept = keep(server.url(), "pod-1");
        kept.wait_up().await;
        kept.connected().await;
        let clients = || async { (server.cli(&["CLIENT", "LIST"]).lines().count() == 4).then_some(()) };
        eventually("three connections", SOON, clients).await;
        drop(kept);
        let gone = || async { (server.cli(&["CLIENT", "LIST"]).lines().count() == 1).then_some(()) };
        eventually("no connection", SOON, gone).await;
    })
    .await;
    // Not what the test asks, nor what the hearts say, the oftener the longer it takes.
    let own = connected.split(", ").filter(|word| !word.starts_with("CLIENT LIST"));
    let hearts = ["PING", "PUBLISH", "TIME"];
    let own: Vec<_> = own.filter(|word| !hearts.iter().any(|heart| word.starts_with(heart))).collect();
    assert_eq!(documented("connections of a pod"), own.join(", "));
}
