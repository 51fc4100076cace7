//! Facts about fred and Redis on which the link is built; a new version of either that changes one fails here.

use std::net::SocketAddr;

use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::config::Config,
};
use tokio::sync::broadcast::error::RecvError;

use super::{
    connection::{Connection, command},
    *,
};

async fn connect(server: &RedisServer, backlog: usize) -> Connection {
    let peer = SocketAddr::from(([127, 0, 0, 1], server.port()));
    Address::parse(&server.url()).unwrap().connect(peer, backlog).await.unwrap()
}

/// The server's id of a connection.
async fn id_of(connection: &Connection) -> i64 {
    connection.client.custom(command("CLIENT"), vec!["ID"]).await.unwrap()
}

/// A thousand messages in one go, from the server itself.
fn burst(server: &RedisServer, channel: &str) {
    let script = format!("for i = 1, 1000 do redis.call('PUBLISH', '{channel}', i) end");
    server.cli(&["EVAL", &script, "0"]);
}

/// fred: a slow receiver of messages loses all but the backlog, and is told once how many.
#[tokio::test]
async fn fred_loses_what_exceeds_its_backlog() {
    let server = RedisServer::start();
    let Connection { client, mut messages, router: _router, .. } = connect(&server, 32).await;
    set_interest(&client, SubscriptionChange::Begin, vec!["c".into()]).await.unwrap();
    burst(&server, "c");
    // A command answered after them on the same connection: they have all come.
    let _pong: String = client.ping(None).await.unwrap();
    assert!(matches!(messages.recv().await, Err(RecvError::Lagged(968))));
    assert_eq!(messages.recv().await.unwrap().value.as_str().as_deref(), Some("969"));
    assert_eq!(Client::new(Config::default(), None, None, None).perf_config().broadcast_channel_capacity, 32);
}

/// The link: the same loss is told as one overrun, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn s6_what_exceeds_the_backlog_is_told_as_one_overrun() {
    let server = RedisServer::start();
    let Connection { client, mut messages, router: _router, .. } = connect(&server, 32).await;
    set_interest(&client, SubscriptionChange::Begin, vec!["ff:{s}".into()]).await.unwrap();
    burst(&server, "ff:{s}");
    let _pong: String = client.ping(None).await.unwrap();
    let (events, mut heard) = mpsc::channel(BACKLOG);
    let liveness = Arc::new(Liveness::new());
    let listening = Listening {
        probe_channel: "ff:probe:p".into(),
        audience_channel: "ff:audience:p".into(),
        liveness: Arc::clone(&liveness),
        primary: Primary::new(),
        events,
    };
    tokio::select! {
        () = listening.route(&mut messages) => unreachable!("the connection lives"),
        () = async {
            for _ in 0..32 {
                assert!(matches!(heard.recv().await, Some(Event::Message { .. })));
            }
            assert!(matches!(heard.recv().await, Some(Event::Overrun)));
        } => {}
    }
    assert_eq!(liveness.overrun.load(Relaxed), 968);
}

/// fred: `subscribe` says Ok to a server that is frozen; the barrier does not.
#[tokio::test]
async fn fred_s_subscribe_is_no_answer_and_the_barrier_is() {
    let server = RedisServer::start();
    let Connection { client, messages: _messages, router: _router, .. } = connect(&server, 32).await;
    server.freeze();
    client.subscribe("c").await.unwrap();
    let barrier = set_interest(&client, SubscriptionChange::Begin, vec!["d".into()]).await;
    assert_eq!(*barrier.unwrap_err().kind(), ErrorKind::Timeout);
    server.thaw();
    set_interest(&client, SubscriptionChange::Begin, vec!["d".into()]).await.unwrap();
}

/// fred: `subscribe` says Ok where an ACL denies it; sent in one pipeline with the barrier, the denial goes there, and
/// the answers that are one off from then on are no barrier to anybody.
#[tokio::test]
async fn fred_s_subscribe_is_ok_when_denied_and_the_barrier_is_not() {
    let server = RedisServer::start();
    let Connection { client, messages: _messages, router: _router, .. } = connect(&server, 32).await;
    server.cli(&["ACL", "SETUSER", "default", "resetchannels"]);
    client.subscribe("c").await.unwrap();
    for _ in 0..50 {
        let deny = || set_interest(&client, SubscriptionChange::Begin, vec!["c".into()]);
        let denied = tokio::join!(deny(), deny(), deny());
        assert!(matches!(denied, (Err(_), Err(_), Err(_))), "{denied:?}");
    }
}

/// Redis: what was sent to a frozen server runs once it goes on, also when the sender has given up.
#[tokio::test]
async fn redis_runs_what_was_sent_while_it_was_frozen() {
    let server = RedisServer::start();
    let connection = connect(&server, 32).await;
    server.freeze();
    let unknown = connection.client.custom::<Value, _>(command("SET"), vec!["k", "v"]).await;
    assert_eq!(*unknown.unwrap_err().kind(), ErrorKind::Timeout);
    drop(connection);
    server.thaw();
    let ran = || async { (server.cli(&["GET", "k"]) == "v").then_some(()) };
    eventually("the command ran", SOON, ran).await;
}

/// Redis: a subscriber whose output buffer is full is cut, and the publisher sees only that nobody received.
#[tokio::test]
async fn redis_cuts_a_full_subscriber_and_publish_says_zero() {
    let server = RedisServer::start();
    server.cli(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 100000 0 0"]);
    let mut connection = connect(&server, 32).await;
    set_interest(&connection.client, SubscriptionChange::Begin, vec!["c".into()]).await.unwrap();
    assert_eq!(server.cli(&["PUBLISH", "c", "x"]), "1");
    // One script's messages cannot leave before it ends.
    let script = "for i = 1, 100 do redis.call('PUBLISH', 'c', string.rep('x', 10000)) end";
    server.cli(&["EVAL", script, "0"]);
    assert_eq!(server.cli(&["PUBLISH", "c", "x"]), "0");
    tokio::time::timeout(SOON, connection.router.ended()).await.expect("the subscriber sees the end");
}

/// Redis: a restarted server gives out its connection ids again, so that they cannot tell lives apart.
#[tokio::test]
async fn redis_gives_out_connection_ids_again() {
    let mut server = RedisServer::start();
    let before = id_of(&connect(&server, 32).await).await;
    server.crash();
    server.restart();
    let after = id_of(&connect(&server, 32).await).await;
    assert_eq!(before, after);
}

/// fred: what is in flight when a connection ends fails, and is not sent again.
#[tokio::test]
async fn fred_sends_nothing_twice_without_a_reconnect_policy() {
    let server = RedisServer::start();
    let connection = connect(&server, 32).await;
    let id = id_of(&connection).await;
    server.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let waiting = connection.client.custom::<Value, _>(command("INCR"), vec!["k"]);
    let kill = async {
        let sent = || async { server.cli(&["INFO", "clients"]).contains("blocked_clients:1").then_some(()) };
        eventually("the command waits", SOON, sent).await;
        server.cli(&["CLIENT", "KILL", "ID", &id.to_string()]);
    };
    let (failed, ()) = tokio::join!(waiting, kill);
    assert!(failed.is_err());
    server.cli(&["CLIENT", "UNPAUSE"]);
    assert_eq!(server.cli(&["GET", "k"]), "");
    assert!(connection.client.message_rx().is_empty());
}
