//! The public listener behind TLS: who gets in, with which versions, and what a new certificate changes.
//!
//! That watching, posting and REST are the same over it is shown by the tests of these, which run on this backend too.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use testkit::{Authority, Join, PATIENCE, Pod, eventually, in_time, shake, stream_for};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Both versions are spoken; what is older is not.
#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let pod = Pod::start_private(&[]);
    let version = |old| shake(pod.public, pod.authority(), old);
    assert_eq!(version(false).await.unwrap().version, "TLSv1_3");
    assert_eq!(version(true).await.unwrap().version, "TLSv1_2");
    let roots = pod.authority().file("ca.pem");
    let with_openssl = |version: &str| {
        let address = pod.public.to_string();
        let args =
            ["s_client", "-connect", &address, "-CAfile", &roots, version, "-cipher", "ALL:@SECLEVEL=0"];
        let said = Command::new("openssl").args(args).stdin(std::process::Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        said.contains("Cipher is ") && !said.contains("Cipher is (NONE)")
    };
    assert!(with_openssl("-tls1_2"), "the check itself works");
    for old in ["-tls1", "-tls1_1"] {
        assert!(!with_openssl(old), "{old}");
    }
}

/// A new certificate is taken from the files without a restart; open sockets go on, and half a file changes nothing.
#[tokio::test]
async fn a_new_certificate_is_taken_and_no_socket_is_dropped() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("renewed"));
    let authority = pod.authority();
    let shown = async || shake(pod.public, authority, false).await.unwrap().certificate;
    let mut viewer = Join::new(&pod, &stream).open().await;
    let first = shown().await;
    std::fs::write(authority.file("server.pem"), "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    pod.logged(&["the new certificate is not taken"], PATIENCE).await;
    assert_eq!(shown().await, first, "the one before stays");
    authority.issue("second");
    authority.replace_with("second");
    let second = eventually("the new certificate", PATIENCE, async || {
        Some(shown().await).filter(|certificate| *certificate != first)
    })
    .await;
    pod.logged(&["a new certificate was taken"], PATIENCE).await;
    viewer.say("on the old socket").await;
    let mut newcomer = Join::new(&pod, &stream).open().await;
    newcomer.comments(1).await;
    assert!(viewer.closed.is_none() && shown().await == second);
    let told = pod.log_lines().join("\n");
    assert!(!told.contains("PRIVATE") && !told.contains("half"), "{told}");
}

/// A key that is not the certificate's is told at the start, and nothing of the key.
#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_told_at_the_start() {
    let authority = Authority::create();
    authority.issue("other");
    let (certificate, key) = (authority.file("server.pem"), authority.file("other.key"));
    let files = [("FANFARE_TLS_CERT", certificate.as_str()), ("FANFARE_TLS_KEY", key.as_str())];
    let ended = Pod::try_start(&files).err().expect("no start");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.said.contains("FANFARE_TLS_CERT, FANFARE_TLS_KEY"), "{ended:?}");
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(secret.lines().filter(|line| line.len() > 20).all(|line| !ended.said.contains(line)));
}

/// The first message of a TLS handshake (RFC 8446 section 4.1.2), whole.
fn hello() -> Vec<u8> {
    let extension = |kind: u16, body: &[u8]| {
        [&kind.to_be_bytes()[..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    };
    let extensions = [
        // TLS 1.3; P-256 and X25519; ECDSA with P-256; and a point of X25519 that is as good as any.
        extension(43, &[2, 3, 4]),
        extension(10, &[0, 4, 0, 0x17, 0, 0x1d]),
        extension(13, &[0, 2, 4, 3]),
        extension(51, &[&[0, 36, 0, 0x1d, 0, 32][..], &[9; 32]].concat()),
    ]
    .concat();
    let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 0x01], &[1, 0], &length, &extensions].concat();
    let message = [&[1, 0][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
    [&[22, 3, 1][..], &u16::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
}

/// Sends at once, then a byte a second; returns what came and how long it took to the end.
async fn drip(address: SocketAddr, at_once: &[u8], then: &[u8]) -> (Vec<u8>, Duration) {
    let begin = Instant::now();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(at_once).await.unwrap();
    let (mut heard, mut then) = (Vec::new(), then.iter());
    loop {
        match timeout(Duration::from_secs(1), socket.read_buf(&mut heard)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return (heard, begin.elapsed()),
            Err(_) => {
                if let Some(byte) = then.next() {
                    let _ = socket.write_all(&[*byte]).await;
                }
            }
        }
        assert!(begin.elapsed() < PATIENCE, "still open, and the bound is 8 s");
    }
}

/// Its name; what is sent at once and what follows byte by byte; whether it takes a deadline; how the answer begins.
type Case<'a> = (&'a str, &'a [u8], &'a [u8], bool, &'a [u8]);

/// G14: who does not come to an end with the handshake is closed, however the bytes drip; and so is who speaks otherwise.
#[tokio::test]
async fn g14_tls_handshakes() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("hands"));
    let mut control = Join::new(&pod, &stream).open().await;
    control.say("before").await;
    let hello = hello();
    let half = hello.len() / 2;
    let alert = &[21, 3][..];
    // Data that cannot be decrypted may be early data of an older session (RFC 8446 section 4.2.10), which is passed over.
    let early = [&hello[..], &[23, 3, 3, 0, 2, 1, 2]].concat();
    let plain = testkit::Peer::handshake(&stream);
    let cases: [Case<'_>; 12] = [
        ("silence", b"", b"", true, b""),
        ("a byte, then silence", &hello[..1], b"", true, b""),
        ("half a hello, then silence", &hello[..half], b"", true, b""),
        ("half a hello, then a byte a second", &hello[..half], &hello[half..], true, b""),
        ("a hello, then silence", &hello, b"", true, &[22, 3, 3]),
        ("a hello and what may be early data", &early, b"", true, &[22, 3, 3]),
        ("plain HTTP", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", false, alert),
        ("a plain handshake", plain.as_bytes(), b"", false, alert),
        ("zeroes", &[0; 64], b"", false, alert),
        ("a record over 16 KiB", &[22, 3, 1, 255, 255, 1], b"", false, alert),
        ("SSL 2", &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10], b"", false, alert),
        ("a finished end without a beginning", &[20, 3, 3, 0, 1, 1], b"", false, b""),
    ];
    join_all(cases.map(|(name, at_once, then, waits, answer)| async move {
        let try_it = async || {
            let (heard, took) = drip(pod.public, at_once, then).await;
            assert!(heard.starts_with(answer), "{name}: {heard:?}");
            assert!(!answer.is_empty() || heard.is_empty(), "{name}: {heard:?}");
            took
        };
        if waits {
            let took = try_it().await;
            assert!(took > Duration::from_millis(2_500), "{name}: {took:?}");
        } else {
            in_time(name, Duration::from_millis(2_500), try_it).await;
        }
    }))
    .await;
    control.say("after").await;
    control.comments(2).await;
    assert_eq!(pod.probe("/ready").await.json()["counts"]["panics"], 0);
    println!("TLS handshakes: {} cases", cases.len());
}

/// Handshakes that are begun and never finished wait for their turn beyond the cap: others come in all the same.
#[tokio::test]
async fn handshakes_that_are_never_finished_keep_nobody_out() {
    let (pod, stream) = (Pod::start_private(&[]), stream_for("crowd"));
    let mut control = Join::new(&pod, &stream).open().await;
    let hello = hello();
    let stuck = join_all((0..1_500).map(|_| async {
        let mut socket = TcpStream::connect(pod.public).await.unwrap();
        socket.write_all(&hello).await.unwrap();
        socket
    }))
    .await;
    control.say("beside them").await;
    // Whose turn does not come within 5 s is closed without an answer.
    Join::new(&pod, &stream).open().await;
    let ended = async |mut socket: TcpStream| {
        let mut heard = Vec::new();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut heard)).await.expect("an end");
    };
    join_all(stuck.into_iter().map(ended)).await;
    control.say("after them").await;
}
