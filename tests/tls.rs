//! Shards behind TLS: `rediss://`, and the roots that the system trusts.

use std::{net::TcpListener, path::PathBuf, process::Command};

use crate::world::{Join, PATIENCE, Pod, RedisServer, Viewer, eventually, stream_for};

/// A certificate authority of this test's own, and a certificate of it for 127.0.0.1. Dropping it removes the files.
struct Authority(PathBuf);

impl Authority {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(stream_for(&format!("fanfare-tls-{}", std::process::id())));
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Self(folder);
        authority.openssl("-subj /CN=authority -keyout ca.key -out ca.pem");
        authority.openssl(
            "-subj /CN=shard -keyout shard.key -out shard.pem -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE",
        );
        authority
    }

    fn openssl(&self, args: &str) {
        let common = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        let args = common.split_whitespace().chain(args.split_whitespace());
        let made = Command::new("openssl").args(args).current_dir(&self.0).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A shard with TLS, and the list that names it.
fn a_shard(authority: &Authority) -> (RedisServer, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (key, certificate, roots) =
        (authority.file("shard.key"), authority.file("shard.pem"), authority.file("ca.pem"));
    let files = ["--tls-key-file", &key, "--tls-cert-file", &certificate, "--tls-ca-cert-file", &roots];
    let options = ["--save", "", "--tls-port", &port, "--tls-auth-clients", "no"];
    let server = RedisServer::with(&[&options[..], &files[..]].concat());
    (server, format!("a=rediss://127.0.0.1:{port}"))
}

#[tokio::test]
async fn a_shard_behind_tls_is_used_if_the_system_trusts_it() {
    let authority = Authority::new();
    let (server, shards) = a_shard(&authority);
    let pod = Pod::start(&[("FANFARE_SHARDS", &shards), ("SSL_CERT_FILE", &authority.file("ca.pem"))]);
    let stream = stream_for("tls");
    let mut viewer: Viewer = Join::new(&pod, &stream).open().await;
    viewer.say("over TLS").await;
    viewer.comments(1).await;
    assert_eq!(viewer.seen[0].body, "over TLS");
    assert_eq!(server.cli(&["PUBSUB", "NUMSUB", &format!("ff:{{{stream}}}")]), format!("ff:{{{stream}}}\n1"));
}

#[tokio::test]
async fn a_shard_whose_certificate_nobody_vouches_for_is_not_used() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (_server, shards) = a_shard(&authority);
    let pod = Pod::start(&[("FANFARE_SHARDS", &shards), ("SSL_CERT_FILE", &stranger.file("ca.pem"))]);
    pod.logged(&["the shard cannot be reached"], PATIENCE).await;
    let up = async || (pod.probe("/ready").await.json()["shards"]["a"]["up"] == false).then_some(());
    eventually("the shard is not up", PATIENCE, up).await;
}
