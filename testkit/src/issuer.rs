//! Whoever signs tokens: keys of all four kinds, the files that pods read, and tokens, good ones and bad ones.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};

use crate::Pod;

/// An RSA key, in PKCS #8 or #1 by the version of openssl; ring makes none.
static RSA: LazyLock<Vec<u8>> = LazyLock::new(rsa);
/// The same of somebody else.
static OTHER_RSA: LazyLock<Vec<u8>> = LazyLock::new(rsa);

fn rsa() -> Vec<u8> {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    made.stdout
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// HMAC with SHA-256, of the shared secret.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Signs {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in a token's header.
    pub fn alg(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// An issuer, whose keys are in files of its own until it is dropped.
pub struct Issuer {
    folder: PathBuf,
    /// The secret of HS256.
    pub secret: [u8; 32],
    ecdsa: EcdsaKeyPair,
    edwards: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

/// What every service's key here begins with.
pub const SERVICE_KEY: &str = "c4nary-key-";

/// Encodes bytes as tokens have them: base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since the Unix epoch.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Issuer {
    /// One whose viewers' keys are of all four kinds, and whose service `shop` may do everything.
    pub fn create() -> Self {
        Self::with(&RSA)
    }

    /// Another issuer, none of whose keys is an ordinary one's.
    pub fn stranger() -> Self {
        Self::with(&OTHER_RSA)
    }

    fn with(rsa: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let random = SystemRandom::new();
        let ecdsa = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let edwards = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let name = format!("fanfare-keys-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let issuer = Self {
            folder: std::env::temp_dir().join(name),
            secret: ring::rand::generate(&random).unwrap().expose(),
            ecdsa: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ecdsa.as_ref(), &random)
                .unwrap(),
            edwards: Ed25519KeyPair::from_pkcs8(edwards.as_ref()).unwrap(),
            rsa: RsaKeyPair::from_pkcs8(rsa).or_else(|_| RsaKeyPair::from_der(rsa)).unwrap(),
        };
        fs::create_dir_all(&issuer.folder).unwrap();
        issuer.write_viewer_keys(&issuer.jwks());
        issuer.write_service_keys(&[service(
            "shop",
            "all",
            &["comment", "gift", "follow", "mission"],
            &["*"],
        )]);
        issuer
    }

    /// The path of the file of viewers' keys.
    pub fn viewer_keys(&self) -> String {
        self.folder.join("viewers.json").to_str().unwrap().to_owned()
    }

    /// The path of the file of services' keys.
    pub fn service_keys(&self) -> String {
        self.folder.join("services.json").to_str().unwrap().to_owned()
    }

    /// Writes the file of viewers' keys.
    pub fn write_viewer_keys(&self, jwks: &Value) {
        fs::write(self.viewer_keys(), jwks.to_string()).unwrap();
    }

    /// Writes the file of services' keys.
    pub fn write_service_keys(&self, keys: &[Value]) {
        fs::write(self.service_keys(), json!({"keys": keys}).to_string()).unwrap();
    }

    /// The settings of a pod that knows these keys.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("FANFARE_VIEWER_KEYS", self.viewer_keys()),
            ("FANFARE_SERVICE_KEYS", self.service_keys()),
            ("FANFARE_TOKEN_ISSUER", "https://app.example".to_owned()),
            ("FANFARE_TOKEN_AUDIENCE", "fanfare".to_owned()),
            ("FANFARE_DEMO", "true".to_owned()),
        ]
    }

    /// The public keys, and the secret.
    pub fn jwks(&self) -> Value {
        json!({"keys": Signs::ALL.map(|signs| self.jwk(signs))})
    }

    /// The key of one algorithm, as a JSON Web Key.
    pub fn jwk(&self, signs: Signs) -> Value {
        match signs {
            Signs::Hs256 => json!({"kty": "oct", "kid": "HS256", "alg": "HS256", "k": encode(self.secret)}),
            Signs::Es256 => {
                let (x, y) = self.ecdsa.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": "ES256", "alg": "ES256", "x": encode(x), "y": encode(y)})
            }
            Signs::EdDsa => {
                let x = encode(self.edwards.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "alg": "EdDSA", "x": x})
            }
            Signs::Rs256 => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = self.rsa.public().into();
                json!({"kty": "RSA", "kid": "RS256", "alg": "RS256", "use": "sig", "n": encode(n), "e": encode(e)})
            }
        }
    }

    /// A public key's bytes, which somebody may take for a secret.
    pub fn public_bytes(&self, signs: Signs) -> Vec<u8> {
        match signs {
            Signs::Hs256 => panic!("a secret has none"),
            Signs::Es256 => self.ecdsa.public_key().as_ref().to_vec(),
            Signs::EdDsa => self.edwards.public_key().as_ref().to_vec(),
            Signs::Rs256 => self.rsa.public().as_ref().to_vec(),
        }
    }

    /// Signs a message.
    pub fn sign(&self, signs: Signs, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match signs {
            Signs::Hs256 => hs256(&self.secret, message),
            Signs::Es256 => self.ecdsa.sign(&random, message).unwrap().as_ref().to_vec(),
            Signs::EdDsa => self.edwards.sign(message).as_ref().to_vec(),
            Signs::Rs256 => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// Any token with a proper signature.
    pub fn token(&self, signs: Signs, header: &Value, claims: &Value) -> String {
        self.token_of(signs, &header.to_string(), &claims.to_string())
    }

    /// A token of texts that may be no JSON.
    pub fn token_of(&self, signs: Signs, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(self.sign(signs, message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// A good token of these claims.
    pub fn good(&self, claims: &Value) -> String {
        self.token(Signs::Hs256, &header(Signs::Hs256), claims)
    }

    /// A good token for a user, who may watch and post everywhere for an hour.
    pub fn token_for(&self, user: &str) -> String {
        self.good(&claims(user))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Signs a message with a secret.
pub fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

/// A token's header.
pub fn header(signs: Signs) -> Value {
    json!({"alg": signs.alg(), "kid": signs.alg(), "typ": "JWT"})
}

/// The claims of a good token.
pub fn claims(user: &str) -> Value {
    json!({
        "iss": "https://app.example", "aud": "fanfare", "sub": user, "name": user.to_uppercase(),
        "iat": now_s() - 1, "exp": now_s() + 3_600, "streams": ["*"], "rights": ["watch", "post"],
    })
}

/// The same with some claims changed; null takes one away.
pub fn claims_with(user: &str, changes: &Value) -> Value {
    let mut claims = claims(user);
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// A service's key of this tail.
pub fn service_key(tail: &str) -> String {
    format!("{SERVICE_KEY}{tail}")
}

/// A line of the file of services' keys.
pub fn service(name: &str, tail: &str, kinds: &[&str], streams: &[&str]) -> Value {
    let hash = digest(&SHA256, service_key(tail).as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"name": name, "sha256": hash, "kinds": kinds, "streams": streams})
}

/// A pod that knows the issuer's keys, with further settings.
pub fn keyed(issuer: &Issuer, more: &[(&str, &str)]) -> Pod {
    with_keys(Pod::start, issuer, more)
}

/// The same behind TLS.
pub fn keyed_private(issuer: &Issuer, more: &[(&str, &str)]) -> Pod {
    with_keys(Pod::start_private, issuer, more)
}

fn with_keys(start: fn(&[(&str, &str)]) -> Pod, issuer: &Issuer, more: &[(&str, &str)]) -> Pod {
    let settings = issuer.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    start(&[&settings, more].concat())
}
