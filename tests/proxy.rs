//! The fault proxy does what the tests of faults believe.

use std::time::{Duration, Instant};

use testkit::{Direction, Fault, Relay};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// Longer than anything passes, and short enough to wait for what must not come.
const MOMENT: Duration = Duration::from_millis(150);

/// A server that says what it is told, behind the proxy, and a connection to it.
async fn echo() -> (Relay, TcpStream, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::to_port(listener.local_addr().unwrap().port()).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (mut reading, mut writing) = split(socket);
            let _ = copy(&mut reading, &mut writing).await;
            let _ = writing.shutdown().await;
        }
    });
    let mut socket = TcpStream::connect(relay.address).await.unwrap();
    say(&mut socket, b"hello").await;
    assert_eq!(hear(&mut socket, 5).await, b"hello");
    (relay, socket, tasks)
}

async fn say(socket: &mut TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).await.unwrap();
}

/// So many bytes, or those that come before the end.
async fn hear(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = socket.take(count as u64).read_to_end(&mut bytes).await;
    bytes
}

#[tokio::test]
async fn a_delay_is_at_least_what_it_says() {
    let (relay, mut socket, _tasks) = echo().await;
    relay.inject(Direction::ToServer, Fault::Delay(MOMENT));
    relay.inject(Direction::ToClient, Fault::Delay(MOMENT));
    let begun = Instant::now();
    say(&mut socket, b"slow").await;
    assert_eq!(hear(&mut socket, 4).await, b"slow");
    assert!(begun.elapsed() >= 2 * MOMENT);
}

#[tokio::test]
async fn a_stall_holds_everything_and_loses_nothing() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (relay, mut socket, _tasks) = echo().await;
        relay.inject(direction, Fault::Stall);
        say(&mut socket, b"held").await;
        assert!(timeout(MOMENT, hear(&mut socket, 4)).await.is_err(), "{direction:?}");
        relay.clear();
        assert_eq!(hear(&mut socket, 4).await, b"held");
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let (relay, mut socket, _tasks) = echo().await;
    relay.inject(Direction::ToClient, Fault::Rate(1_000));
    let begun = Instant::now();
    say(&mut socket, &[b'x'; 500]).await;
    assert_eq!(hear(&mut socket, 500).await.len(), 500);
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_cut_is_at_the_byte_and_again_on_the_next_connection() {
    let (relay, mut socket, _tasks) = echo().await;
    relay.inject(Direction::ToClient, Fault::CutAfter(3));
    say(&mut socket, b"seven..").await;
    assert_eq!(hear(&mut socket, 7).await, b"sev");
    let mut next = TcpStream::connect(relay.address).await.unwrap();
    say(&mut next, b"again").await;
    assert_eq!(hear(&mut next, 5).await, b"aga");
}

#[tokio::test]
async fn a_half_close_ends_one_direction_only() {
    let (relay, mut socket, _tasks) = echo().await;
    relay.inject(Direction::ToServer, Fault::Stall);
    say(&mut socket, b"on its way").await;
    relay.inject(Direction::ToClient, Fault::HalfClose);
    assert_eq!(hear(&mut socket, 1).await, b"", "the end is told");
    relay.inject(Direction::ToServer, Fault::None);
    say(&mut socket, b"and this is still taken").await;
}

#[tokio::test]
async fn it_is_cut_and_led_elsewhere() {
    let (relay, mut socket, _tasks) = echo().await;
    relay.cut_off();
    assert_eq!(hear(&mut socket, 1).await, b"");
    let mut nowhere = TcpStream::connect(relay.address).await.unwrap();
    assert_eq!(hear(&mut nowhere, 1).await, b"", "nobody is there");
}
