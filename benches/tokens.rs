//! What the check of a token costs, beside ring's bare verification of the same signature: `cargo bench --bench tokens`.
//!
//! Both in turns, so that a busy machine slows both; the medians are compared. It fails if ES256 takes more than 1.2.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails if it cannot run"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fanfare::identity::{DEFAULT_LIFETIME, Identity, IdentitySettings};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, UnparsedPublicKey,
    },
};
use serde_json::{Value, json};

const ROUNDS: usize = 60;
const CHECKS: u32 = 100;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key, a token that it signed, and ring's own check of it.
struct Case {
    name: &'static str,
    jwk: Value,
    token: String,
    bare: Box<dyn Fn() -> bool>,
}

impl Case {
    fn new(
        name: &'static str,
        jwk: Value,
        sign: impl Fn(&[u8]) -> Vec<u8>,
        bare: impl Fn(&[u8], &[u8]) -> bool + 'static,
    ) -> Self {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"alg": name, "kid": "k", "typ": "JWT"}).to_string();
        let claims = json!({
            "iss": "https://app.example", "aud": "fanfare", "sub": "u1234567", "name": "Ann", "iat": now_s,
            "exp": now_s + 3_600, "streams": ["live-*", "lobby"], "rights": ["watch", "post"],
        });
        let message = format!("{}.{}", encode(header), encode(claims.to_string()));
        let signature = sign(message.as_bytes());
        let token = format!("{message}.{}", encode(&signature));
        Self { name, jwk, token, bare: Box::new(move || bare(message.as_bytes(), &signature)) }
    }

    fn identity(&self) -> Identity {
        let path =
            std::env::temp_dir().join(format!("fanfare-bench-{}-{}.json", std::process::id(), self.name));
        std::fs::write(&path, json!({"keys": [self.jwk]}).to_string()).unwrap();
        let identity = Identity::load(IdentitySettings {
            viewer_keys: Some(path.clone()),
            service_keys: None,
            issuer: Some("https://app.example".to_owned()),
            audience: Some("fanfare".to_owned()),
            lifetime: DEFAULT_LIFETIME,
        });
        std::fs::remove_file(path).unwrap();
        identity.unwrap()
    }
}

fn cases() -> [Case; 3] {
    let random = SystemRandom::new();
    let ecdsa = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ecdsa = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ecdsa.as_ref(), &random).unwrap();
    let point = ecdsa.public_key().as_ref().to_vec();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    let edwards =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
    let edwards_point = edwards.public_key().as_ref().to_vec();
    let secret = [7; 32];
    [
        Case::new(
            "ES256",
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": x, "y": y}),
            |message| ecdsa.sign(&random, message).unwrap().as_ref().to_vec(),
            move |message, signature| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).verify(message, signature).is_ok()
            },
        ),
        Case::new(
            "EdDSA",
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": encode(&edwards_point)}),
            |message| edwards.sign(message).as_ref().to_vec(),
            move |message, signature| {
                UnparsedPublicKey::new(&ED25519, &edwards_point).verify(message, signature).is_ok()
            },
        ),
        Case::new(
            "HS256",
            json!({"kty": "oct", "alg": "HS256", "kid": "k", "k": encode(secret)}),
            |message| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message).as_ref().to_vec(),
            move |message, signature| {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message, signature).is_ok()
            },
        ),
    ]
}

fn time(check: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    for _ in 0..CHECKS {
        assert!(black_box(check()));
    }
    began.elapsed() / CHECKS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    println!("| algorithm | ring alone | the whole check | ratio | target |\n|---|---|---|---|---|");
    for case in cases() {
        let identity = case.identity();
        let (mut bare, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(time(&case.bare));
            whole.push(time(|| identity.check(&case.token).is_ok()));
        }
        let (bare, whole) = (median(bare), median(whole));
        let ratio = whole.as_secs_f64() / bare.as_secs_f64();
        let target = if case.name == "ES256" { "≤ 1.2" } else { "–" };
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "| {} | {:.1} µs | {:.1} µs | {ratio:.3} | {target} |",
            case.name,
            micros(bare),
            micros(whole)
        );
        assert!(case.name != "ES256" || ratio <= 1.2, "{ratio:.3}");
    }
}
