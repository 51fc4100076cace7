//! Shards behind TLS: `rediss://`, and the roots that the system trusts.

use std::net::{SocketAddr, TcpListener};

use testkit::{Authority, Join, PATIENCE, Pod, RedisServer, Relay, TempFile, Viewer, eventually, stream_for};

/// A shard with TLS, and the list that names it.
fn a_shard(authority: &Authority) -> (RedisServer, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (key, certificate, roots) =
        (authority.file("server.key"), authority.file("server.pem"), authority.file("ca.pem"));
    let files = ["--tls-key-file", &key, "--tls-cert-file", &certificate, "--tls-ca-cert-file", &roots];
    let options = ["--save", "", "--tls-port", &port, "--tls-auth-clients", "no"];
    let server = RedisServer::with(&[&options[..], &files[..]].concat());
    (server, format!("a=rediss://127.0.0.1:{port}"))
}

#[tokio::test]
async fn a_shard_behind_tls_is_used_if_the_system_trusts_it() {
    let authority = Authority::create();
    let (server, shards) = a_shard(&authority);
    let pod = Pod::start(&[("FANFARE_SHARDS", &shards), ("SSL_CERT_FILE", &authority.file("ca.pem"))]);
    let stream = stream_for("tls");
    let mut viewer: Viewer = Join::new(&pod, &stream).open().await;
    viewer.say("over TLS").await;
    viewer.comments(1).await;
    assert_eq!(viewer.seen[0].body, "over TLS");
    assert_eq!(server.cli(&["PUBSUB", "NUMSUB", &format!("ff:{{{stream}}}")]), format!("ff:{{{stream}}}\n1"));
}

/// Symptom: a shard's URL got `rediss://`, and pods went on without TLS for as long as their connections lived. Cause: what
/// was compared was the host and the port.
#[tokio::test]
async fn a_shard_that_gets_tls_is_followed() {
    let authority = Authority::create();
    let (server, private) = a_shard(&authority);
    let private: SocketAddr = private.trim_start_matches("a=rediss://").parse().unwrap();
    let place = Relay::to_port(server.port()).await;
    let list = |scheme: &str| format!("a={scheme}://{}", place.address);
    let file = TempFile::with(&list("redis"));
    let pod =
        Pod::start(&[("FANFARE_SHARDS_FILE", file.path()), ("SSL_CERT_FILE", &authority.file("ca.pem"))]);
    let connections = |port: u16| {
        let clients = server.cli(&["CLIENT", "LIST"]);
        let came_to = format!("laddr=127.0.0.1:{port} ");
        clients.lines().filter(|line| line.contains(&came_to) && line.contains("resp=3")).count()
    };
    let three = async |port: u16, other: u16| {
        let there = async || ((connections(port), connections(other)) == (3, 0)).then_some(());
        eventually(&format!("three connections to {port}"), PATIENCE, there).await;
    };
    three(server.port(), private.port()).await;
    let mut viewer: Viewer = Join::new(&pod, "gets-tls").open().await;
    place.lead_to(private);
    std::fs::write(file.path(), format!("{}\nb=redis://127.0.0.1:1", list("rediss"))).unwrap();
    three(private.port(), server.port()).await;
    pod.logged(&["the list of shards changed and was not taken", "added, removed"], PATIENCE).await;
    viewer.say("over TLS").await;
    viewer.comments(1).await;
}

#[tokio::test]
async fn a_shard_whose_certificate_nobody_vouches_for_is_not_used() {
    let (authority, stranger) = (Authority::create(), Authority::create());
    let (_server, shards) = a_shard(&authority);
    let pod = Pod::start(&[("FANFARE_SHARDS", &shards), ("SSL_CERT_FILE", &stranger.file("ca.pem"))]);
    pod.logged(&["shard outage began"], PATIENCE).await;
    let up = async || (pod.probe("/ready").await.json()["shards"]["a"]["up"] == false).then_some(());
    eventually("the shard is not up", PATIENCE, up).await;
}
