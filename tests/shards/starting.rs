//! How a pod starts with a list of shards that is wrong, or that leads nowhere.

use testkit::{Cluster, Join, PATIENCE, Pod, RedisServer, eventually, post, stream_for};

/// The "Bad input": every fault of the list is named at once, with exit code 2 and without a password.
#[test]
fn every_fault_of_the_list_is_named_and_no_password() {
    let list = "a=http://u:secret-1@h,b=redis://h,b=redis://h,c=redis://h?weight=0,=redis://u:secret-2@h,\
                d=redis://u:secret-3@h:port,redis://secret-4@h,e=,f=redis://u:secret-5@h?colour=red";
    let Err(ended) = Pod::try_start(&[("FANFARE_SHARDS", list)]) else { panic!("it started") };
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let said = &ended.said;
    assert!(said.contains("FANFARE_SHARDS") && !said.contains("secret"), "{said}");
    for named in
        ["\"a\"", "\"b\" is named twice", "\"c\"", "not \"\"", "\"d\"", "no name", "\"e\"", "\"colour\""]
    {
        assert!(said.contains(named), "{named} is not in {said}");
    }
    let Err(also) = Pod::try_start(&[("FANFARE_SHARDS", "a=redis://h?weight=0"), ("FANFARE_LINGER", "soon")])
    else {
        panic!("it started")
    };
    assert!(also.said.contains("FANFARE_SHARDS") && also.said.contains("FANFARE_LINGER"), "{}", also.said);
}

/// A shard that cannot be reached at the start is no reason not to start: its streams wait for it and others work.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_away_at_the_start_is_waited_for() {
    let Cluster { pods, .. } = &Cluster::start(1, 2, &[]).await;
    let owner = |stream: String| async move {
        let told = pods[0].get(&format!("/v1/streams/{stream}")).await.json();
        (told["shard"].as_str().unwrap().to_owned(), stream)
    };
    let mut streams = std::collections::HashMap::new();
    while streams.len() < 2 {
        let (shard, stream) = owner(stream_for("away")).await;
        streams.insert(shard, stream);
    }
    let (away, there) = (&streams["a"], &streams["b"]);

    let mut servers = vec![RedisServer::start(), RedisServer::start()];
    servers[0].crash();
    let cluster = Cluster::on(servers, 1, &[]);
    let pod = &cluster.pods[0];
    assert_eq!(cluster.status(0, 0).await["up"], false);
    let mut other = Join::new(pod, there).open().await;
    other.say("fine").await;
    let mut waiting = Join::new(pod, away).connect().await.unwrap();
    waiting.until("an error", |viewer| viewer.has("error")).await;
    assert_eq!(waiting.log[0].json["code"], "shard_unavailable");
    let comment = serde_json::json!({"kind": "comment", "body": "x"});
    let path = format!("/v1/streams/{away}/comments");
    post(pod.public, &path, &comment).await.assert_problem(503, "shard_unavailable");
    pod.get(&path).await.assert_problem(503, "shard_unavailable");
    cluster.redis(0).restart();
    waiting.until("hello", |viewer| viewer.has("hello")).await;
    assert_eq!(waiting.all("error").count(), 1, "told once");
    let posted = eventually("a post", PATIENCE, async || {
        Some(post(pod.public, &path, &comment).await).filter(|answer| answer.status == 201)
    });
    let (_, ()) = tokio::join!(posted, waiting.comments(1));
    waiting.assert_contiguous(1);
}
