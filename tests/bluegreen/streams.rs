//! Viewers over HTTP/2 (RFC 8441), as browsers come to a gateway with TLS: each is a stream of the gateway's connection.

use std::{fs, net::SocketAddr, path::PathBuf, process::Child};

use hyper::{Method, Request};
use serde_json::{Value, json};
use testkit::{Authority, PATIENCE, Pod, RawFrame, Signal, browser::Tab, eventually, stream_for};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_util::bytes::Bytes;

use crate::envoy;

const COMMENTS: usize = 1_000;

/// An Envoy that speaks HTTP/2 to viewers and HTTP/1.1 to one pod.
struct Gateway {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Gateway {
    async fn to(pod: SocketAddr, tls: Option<&Authority>) -> Self {
        let folder = std::env::temp_dir().join(stream_for(&format!("fanfare-http2-{}", std::process::id())));
        fs::create_dir_all(&folder).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(folder.join("envoy.json"), bootstrap(port, pod, tls).to_string()).unwrap();
        let child = envoy::spawn(&folder);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("Envoy listens", PATIENCE, async || TcpStream::connect(address).await.ok()).await;
        Self { child, folder, address }
    }
}

impl Gateway {
    /// The value of one of its counters.
    async fn count(&self, counter: &str) -> u64 {
        let admin = fs::read_to_string(self.folder.join("admin")).unwrap().trim().parse().unwrap();
        let path = format!("/stats?filter=^{counter}$");
        let text = tokio::task::spawn_blocking(move || envoy::fetch(admin, &path)).await.unwrap();
        text.trim().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{counter}: {text}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn bootstrap(port: u16, pod: SocketAddr, tls: Option<&Authority>) -> Value {
    let at = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let connections = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "viewers",
        "codec_type": if tls.is_some() { "AUTO" } else { "HTTP2" },
        "http2_protocol_options": {"allow_connect": true},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s",
        "use_remote_address": true,
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "pod", "timeout": "0s"}}],
        }]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let mut chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": connections,
    }]});
    if let Some(authority) = tls {
        let certificate = json!({
            "certificate_chain": {"filename": authority.file("server.pem")},
            "private_key": {"filename": authority.file("server.key")},
        });
        chain["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [certificate]},
            },
        });
    }
    json!({
        "node": {"id": "gateway", "cluster": "viewers"},
        "admin": {"address": at(0)},
        "static_resources": {
            "listeners": [{"name": "viewers", "address": at(port), "filter_chains": [chain]}],
            "clusters": [{
                "name": "pod",
                "type": "STATIC",
                "load_assignment": {"cluster_name": "pod", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": at(pod.port())}},
                ]}]},
            }],
        },
    })
}

/// A complete frame of a server: its opcode and payload.
fn frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (header, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => panic!("a frame over 64 KiB"),
        short => (2, usize::from(short)),
    };
    if bytes.len() < header + length {
        return None;
    }
    let frame: Vec<u8> = bytes.drain(..header + length).collect();
    Some((frame[0] & 0x0f, frame[header..].to_vec()))
}

/// Symptom: a viewer over HTTP/2 that was 269 kB behind at SIGTERM got 98 of 403 frames and 1006. Cause: the pod ended its
/// side right after the close frame, and Envoy makes a reset of that, which drops what the viewer has not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_over_http2_comes_in_and_its_tail_and_close_arrive() {
    let settings =
        [("FANFARE_TRUSTED_PROXIES", "127.0.0.0/8"), ("RUST_LOG", "info,fanfare::connection=debug")];
    let pod = Pod::start(&settings);
    let (gateway, stream) = (Gateway::to(pod.public, None).await, stream_for("http2"));
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let mut client = client.ready().await.unwrap();
    eventually("Envoy takes extended CONNECT", PATIENCE, async || {
        client.is_extended_connect_protocol_enabled().then_some(())
    })
    .await;
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://{}/v1/streams/{stream}/watch", gateway.address))
        .header("sec-websocket-version", "13")
        .extension(h2::ext::Protocol::from_static("websocket"))
        .body(())
        .unwrap();
    let (answer, mut out) = client.send_request(request, false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let mut body = answer.into_body();
    pod.has_viewers(1).await;
    // Nothing is read, so that Envoy holds what is over 64 KiB.
    pod.fill(&stream, COMMENTS, &"x".repeat(250)).await;
    pod.signal(Signal::Term);
    pod.logged(&["closing a viewer"], PATIENCE).await;
    let (mut unread, mut comments, mut close) = (Vec::new(), 0, None);
    while let Some(Ok(bytes)) = body.data().await {
        body.flow_control().release_capacity(bytes.len()).unwrap();
        unread.extend_from_slice(&bytes);
        while let Some((opcode, payload)) = frame(&mut unread) {
            match opcode {
                0x1 => {
                    let json: Value = serde_json::from_slice(&payload).unwrap();
                    comments += json["comments"].as_array().map_or(0, Vec::len);
                }
                0x8 => {
                    close = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    let _ = out.send_data(Bytes::from(RawFrame::close(1000, "").bytes()), true);
                }
                _ => {}
            }
        }
    }
    assert_eq!((comments, close), (COMMENTS, Some(1001)));
    assert_eq!(pod.exit(PATIENCE).await, Some(0));
}

/// A browser behind an Envoy with TLS and `allow_connect` opens its WebSocket over the HTTP/2 connection that brought the
/// page; the page watches and posts.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_comes_in_over_http2_through_envoy() {
    let (pod, authority) = (Pod::start(&[("FANFARE_TRUSTED_PROXIES", "127.0.0.0/8")]), Authority::create());
    let (gateway, stream) = (Gateway::to(pod.public, Some(&authority)).await, stream_for("browser"));
    let tab = Tab::open(&format!("https://{}/?stream={stream}&name=Ann", gateway.address)).await;
    tab.until("live", "document.getElementById('state').dataset.state === 'live'").await;
    pod.has_viewers(1).await;
    pod.post(&stream, "by REST").await;
    let shown = |text: &str| {
        format!("[...document.querySelectorAll('#list .body')].some((p) => p.textContent === '{text}')")
    };
    tab.until("the comment", &shown("by REST")).await;
    tab.run(
        "document.getElementById('text').value = 'typed';
        document.getElementById('text').form.requestSubmit()",
    )
    .await;
    tab.until("its own comment", &shown("typed")).await;
    assert_eq!(gateway.count("http.viewers.downstream_cx_http1_total").await, 0);
    assert!(gateway.count("http.viewers.downstream_cx_http2_total").await >= 1);
    assert_eq!(gateway.count("http.viewers.downstream_cx_upgrades_total").await, 1);
    tab.close().await;
}
