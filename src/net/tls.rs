//! TLS: the certificate, which may change while the pod runs, and the handshake.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::RwLock;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{
        ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::{self, ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
        version::{TLS12, TLS13},
    },
};

use super::{
    cipher::RECORD_BYTES,
    socket::{HTTP2, Socket},
    steady::SteadyStream,
};

/// How long a client may take to begin: until its whole first message is here.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a handshake that has begun may take, the wait for its turn not counted: two ways there and back.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The most handshakes that are calculated or wait for their client's answer; others wait for their turn. Each holds
/// about 16 KiB, and two processors answer so many within a second.
const MAX_HANDSHAKES: usize = 1_024;
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the certificate and its key are; both are PEM, the certificate with its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of this server first, then those that vouch for it.
    pub certificate: PathBuf,
    /// The key of the first: PKCS#8, PKCS#1 or SEC1; RSA, ECDSA or Ed25519.
    pub key: PathBuf,
}

/// What the files held at a moment.
struct Loaded {
    key: Arc<CertifiedKey>,
    /// Tells whether they hold something else now, without keeping the secret a second time.
    digest: u64,
}

impl TlsFiles {
    /// Checks that the files hold a certificate and its key.
    ///
    /// # Errors
    /// What is wrong with them, for a person; never a part of the key.
    pub fn check(&self) -> Result<(), String> {
        self.load(&ring::default_provider()).map(|_| ())
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn load(&self, provider: &CryptoProvider) -> Result<Loaded, String> {
        let (chain, key) = self.read()?;
        let digest = digest_of(&chain, &key);
        let name = self.certificate.display();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{name}: {error}"))?;
        if chain.is_empty() {
            return Err(format!("{name}: no certificate in it"));
        }
        // The error of a key that cannot be read says where, not what.
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| format!("{}: no private key: {error}", self.key.display()))?;
        let key = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| format!("{name} and {}: {error}", self.key.display()))?;
        Ok(Loaded { key: Arc::new(key), digest })
    }
}

fn digest_of(chain: &[u8], key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (chain, key).hash(&mut hasher);
    hasher.finish()
}

/// Makes connections private. Cloning shares it.
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    provider: CryptoProvider,
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    handshakes: Semaphore,
}

/// The certificate that new connections are shown.
struct Current {
    /// Guards what the files held when they were last good; held to copy or to replace it.
    loaded: RwLock<Loaded>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.loaded.read().key))
    }
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, for a person.
    pub fn new(files: TlsFiles) -> Result<Self, String> {
        let provider = ring::default_provider();
        let current = Arc::new(Current { loaded: RwLock::new(files.load(&provider)?) });
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider.clone()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        // Who comes back is known by its ticket: no certificate, no signature, and nothing kept here for it.
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        config.send_tls13_tickets = 1;
        let handshakes = Semaphore::new(MAX_HANDSHAKES);
        Ok(Self(Arc::new(Inner { files, provider, config: Arc::new(config), current, handshakes })))
    }

    /// Takes new certificates from the files for as long as it runs; open connections go on as they are.
    pub async fn follow(self) {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complaint = String::new();
        loop {
            tick.tick().await;
            // Said once: files that are half written now are good at the next look.
            if let Err(error) = self.look() {
                if error != complaint {
                    tracing::warn!(%error, "the new certificate is not taken; the one before stays");
                }
                complaint = error;
            } else {
                complaint.clear();
            }
        }
    }

    fn look(&self) -> Result<(), String> {
        let Inner { files, provider, current, .. } = &*self.0;
        let (chain, key) = files.read()?;
        if digest_of(&chain, &key) == current.loaded.read().digest {
            return Ok(());
        }
        *current.loaded.write() = files.load(provider)?;
        tracing::info!("a new certificate was taken");
        Ok(())
    }

    /// Makes a connection private; none if the client does not come to it in time.
    ///
    /// What is held until a client's first message is whole costs little and needs no turn, so that clients who never
    /// finish it hold up nobody else.
    pub async fn accept(&self, socket: TcpStream) -> Option<Socket> {
        let begin = LazyConfigAcceptor::new(server::Acceptor::default(), SteadyStream::new(socket));
        let begun = timeout(HELLO_WITHIN, begin).await.ok()?;
        let begun = begun.inspect_err(|error| tracing::trace!(%error, "no TLS handshake")).ok()?;
        let _turn = timeout(HELLO_WITHIN, self.0.handshakes.acquire()).await.ok()?.ok()?;
        let accept = begun.into_stream(Arc::clone(&self.0.config));
        let accepted = timeout(ANSWER_WITHIN, accept).await.ok()?;
        let mut stream =
            accepted.inspect_err(|error| tracing::trace!(%error, "a TLS handshake failed")).ok()?;
        stream.get_mut().1.set_buffer_limit(Some(RECORD_BYTES));
        Some(Socket::Private(Box::new(stream)))
    }
}
