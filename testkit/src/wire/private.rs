//! TLS as tests speak it: an authority of their own, and connections to pods that have a certificate of it.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use ::ring::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        version::{TLS12, TLS13},
    },
};

use crate::stream_for;

/// The key of every authority's first certificate: a browser is told at its start which keys to take.
static SERVER_KEY: LazyLock<Vec<u8>> = LazyLock::new(new_key);

fn new_key() -> Vec<u8> {
    openssl(Path::new("."), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")
}

/// How the authority makes a server's certificate.
const SIGNED: &str = "-CA ca.pem -CAkey ca.key -addext subjectAltName=IP:127.0.0.1 \
                      -addext basicConstraints=critical,CA:FALSE";

/// Runs openssl in a folder; returns what it writes.
fn openssl(folder: &Path, args: &str) -> Vec<u8> {
    let made = Command::new("openssl").args(args.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

/// A certificate authority of this test's own, and a certificate of it for 127.0.0.1. Dropping it removes the files.
pub struct Authority(PathBuf);

impl Authority {
    /// Makes an authority and its first certificate.
    pub fn create() -> Self {
        let folder = std::env::temp_dir().join(stream_for(&format!("fanfare-tls-{}", std::process::id())));
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Self(folder);
        authority.certify("ca", &new_key(), "");
        authority.certify("server", &SERVER_KEY, SIGNED);
        authority
    }

    /// Makes one more certificate, of a key of its own: files with this name, `.pem` and `.key`.
    pub fn issue(&self, name: &str) {
        self.certify(name, &new_key(), SIGNED);
    }

    fn certify(&self, name: &str, key: &[u8], how: &str) {
        std::fs::write(self.file(&format!("{name}.key")), key).unwrap();
        let args = format!("req -x509 -days 2 -subj /CN={name} -key {name}.key -out {name}.pem {how}");
        openssl(&self.0, &args);
    }

    /// The pin of the first certificate's key (RFC 7469 section 2.4), which is every authority's.
    pub fn pin(&self) -> String {
        let key = openssl(&self.0, "pkey -in server.key -pubout -outform DER");
        STANDARD.encode(digest(&SHA256, &key))
    }

    /// The path of one of its files.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Puts another certificate where the server's is, as a mounted secret changes.
    pub fn replace_with(&self, name: &str) {
        for kind in ["pem", "key"] {
            std::fs::rename(self.file(&format!("{name}.{kind}")), self.file(&format!("server.{kind}")))
                .unwrap();
        }
    }

    /// A client that trusts this authority, and speaks these versions.
    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A connection, plain or private.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How to speak to the addresses where pods speak TLS. Guards the list; held for a look.
static PRIVATE: Mutex<Option<HashMap<SocketAddr, Known>>> = Mutex::new(None);

/// How to speak to an address.
#[derive(Clone)]
struct Known {
    connector: TlsConnector,
    /// Whether viewers come over HTTP/2.
    is_http2: bool,
}

fn private<T>(look: impl FnOnce(&mut HashMap<SocketAddr, Known>) -> T) -> T {
    look(PRIVATE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// From now on everything that the tests send to this address goes over TLS.
pub fn speak_tls(address: SocketAddr, authority: &Authority) {
    let connector = authority.client(&[&TLS13, &TLS12]);
    private(|known| known.insert(address, Known { connector, is_http2: false }));
}

/// From now on viewers come to this address over HTTP/2.
pub fn watch_over_http2(address: SocketAddr) {
    private(|known| known.get_mut(&address).expect("an address of TLS").is_http2 = true);
}

/// Whether viewers come to this address over HTTP/2.
pub(super) fn is_watched_over_http2(address: SocketAddr) -> bool {
    private(|known| known.get(&address).is_some_and(|known| known.is_http2))
}

/// The address is somebody else's now.
pub(crate) fn speak_plainly(address: SocketAddr) {
    private(|known| known.remove(&address));
}

/// Connects to a pod as it wants it.
pub(super) async fn dial(address: SocketAddr) -> io::Result<Box<dyn Stream>> {
    dial_from(TcpSocket::new_v4()?, address).await
}

/// Connects, in several attempts if need be: a server ends a handshake of TLS for which a busy machine takes too long.
pub(super) async fn patiently<T>(dial: impl AsyncFn() -> io::Result<T>) -> T {
    for _ in 0..5 {
        match dial().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            result => return result.unwrap(),
        }
    }
    panic!("five handshakes were not answered in time");
}

/// Connects a socket of the test's own.
pub(super) async fn dial_from(socket: TcpSocket, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
    let socket = socket.connect(address).await?;
    socket.set_nodelay(true)?;
    match private(|known| known.get(&address).cloned()) {
        None => Ok(Box::new(socket)),
        Some(Known { connector, .. }) => {
            Ok(Box::new(connector.connect(ServerName::from(address.ip()), socket).await?))
        }
    }
}

/// Connects a socket of the test's own, and chooses HTTP/2 in the handshake of TLS (RFC 9113 section 3.2).
pub(super) async fn dial_http2(socket: TcpSocket, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
    let known = private(|known| known.get(&address).cloned()).expect("an address of TLS");
    let mut config = ClientConfig::clone(known.connector.config());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = socket.connect(address).await?;
    socket.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::from(address.ip()), socket).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the server speaks HTTP/2");
    Ok(Box::new(stream))
}

/// What one handshake was like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaken {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// The server's certificate.
    pub certificate: Vec<u8>,
}

/// Shakes hands with one version, as a new client.
pub async fn shake(address: SocketAddr, authority: &Authority, old: bool) -> io::Result<Shaken> {
    let versions: &[&'static SupportedProtocolVersion] = if old { &[&TLS12] } else { &[&TLS13] };
    let socket = TcpStream::connect(address).await?;
    let stream = authority.client(versions).connect(ServerName::from(address.ip()), socket).await?;
    let session = stream.get_ref().1;
    Ok(Shaken {
        version: format!("{:?}", session.protocol_version().unwrap()),
        certificate: session.peer_certificates().unwrap()[0].to_vec(),
    })
}
