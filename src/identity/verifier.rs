//! The keys that viewers' tokens are signed with, and the check of a token.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny},
};

use super::{
    Pass, Settings, provider,
    token::{BadToken, Claims, MAX_TOKEN_BYTES, Terms},
};
use crate::domain::{Object, read_object};

/// A secret is at least as long as its hash (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// RSA keys have 2,048 to 8,192 bits: weaker ones do not hold, longer ones cost too much time a token.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// What both algorithms on curves have: 256 bits a number.
const COORDINATE_BYTES: usize = 32;

/// Checks tokens by the keys of one file.
pub(super) struct Verifier {
    keys: Vec<Key>,
    terms: Terms,
}

/// A key, for one algorithm and nothing else.
struct Key {
    kid: String,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// The parts of a token's header that count (RFC 7515 section 4.1); keys and addresses in it are ignored.
#[derive(Deserialize)]
struct Header {
    #[serde(deserialize_with = "algorithm")]
    alg: Algorithm,
    kid: Option<String>,
    /// Whether it is there, whatever it says.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

/// A JWK Set (RFC 7517 section 5).
#[derive(Deserialize)]
struct File {
    keys: Vec<Object<Jwk>>,
}

/// The parts of a JWK that count; others are ignored. Never shown: one of them may be a secret.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    alg: Option<String>,
    pub(super) kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
    d: Option<IgnoredAny>,
}

/// The keys of a file's text.
pub(super) fn jwks(text: &[u8]) -> Result<Vec<Jwk>, Vec<String>> {
    // What serde would say could hold a part of a key.
    let file: File = read_object(text)
        .map_err(|error| vec![format!("line {}: no JWK Set: {{\"keys\":[…]}}", error.line())])?;
    if file.keys.is_empty() {
        Err(vec!["the file names no key".to_owned()])
    } else {
        Ok(file.keys.into_iter().map(|Object(key)| key).collect())
    }
}

impl Verifier {
    /// One that knows no key.
    pub(super) fn none() -> Self {
        Self { keys: Vec::new(), terms: Terms::default() }
    }

    /// Reads a file's text.
    pub(super) fn read(text: &[u8], settings: &Settings) -> Result<Self, Vec<String>> {
        provider::install();
        let mut faults = Vec::new();
        let mut kids = HashSet::new();
        let mut keys = Vec::new();
        for (number, jwk) in jwks(text)?.into_iter().enumerate() {
            let kid = jwk.kid.clone().unwrap_or_default();
            match Key::new(&jwk) {
                Ok(key) if kids.insert(kid) => keys.push(key),
                Ok(key) => faults.push(format!("key {}: another one has the kid {:?}", number + 1, key.kid)),
                Err(fault) => faults.push(format!("key {}: {fault}", number + 1)),
            }
        }
        if faults.is_empty() { Ok(Self { keys, terms: Terms::new(settings) }) } else { Err(faults) }
    }

    /// Makes a pass of a token, at a time in milliseconds since the Unix epoch.
    pub(super) fn check(&self, token: &str, now_ms: u64) -> Result<Pass, BadToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(BadToken::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(BadToken::Form)?;
        let (header, claims) = message.split_once('.').ok_or(BadToken::Form)?;
        let header: Header = decoded(header).ok_or(BadToken::Form)?;
        // RFC 7515 section 4.1.11: what is critical and not understood makes the token invalid.
        if header.crit {
            return Err(BadToken::Form);
        }
        let key = self.key_of(&header)?;
        if header.alg != key.algorithm {
            return Err(BadToken::WrongAlgorithm);
        }
        // The library's `decode` reads the header three times and the claims twice: a third of what a signature costs.
        match crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm) {
            Ok(true) => {}
            Ok(false) => return Err(BadToken::Signature),
            Err(_) => return Err(BadToken::Form),
        }
        let claims: Claims = decoded(claims).ok_or(BadToken::Claims)?;
        claims.pass(now_ms, &self.terms)
    }

    /// The key that the header names; without a name the only one.
    fn key_of(&self, header: &Header) -> Result<&Key, BadToken> {
        match (&header.kid, &self.keys[..]) {
            (None, [only]) => Ok(only),
            (None, _) => Err(BadToken::UnknownKey),
            (Some(kid), keys) => keys.iter().find(|key| key.kid == *kid).ok_or(BadToken::UnknownKey),
        }
    }
}

fn is_there<'de, D: Deserializer<'de>>(member: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(member).map(|_| true)
}

/// Reads an algorithm's name and nothing else: a derived enum also reads `{"HS256": null}`.
fn algorithm<'de, D: Deserializer<'de>>(member: D) -> Result<Algorithm, D::Error> {
    String::deserialize(member)?.parse().map_err(D::Error::custom)
}

/// A part of a token: a JSON object in base64url without padding.
fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    read_object(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

impl Key {
    fn new(jwk: &Jwk) -> Result<Self, String> {
        let kid = jwk.kid.clone().filter(|kid| !kid.is_empty()).ok_or("kid is absent")?;
        if jwk.d.is_some() {
            return Err("this is a private key: it belongs to the issuer alone".to_owned());
        }
        let alg = jwk.alg.as_deref().ok_or("alg is absent: each key is for one algorithm")?;
        let (algorithm, decoding) = match (alg, jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("HS256", "oct", _) => (Algorithm::HS256, secret(jwk)?),
            ("RS256", "RSA", _) => (Algorithm::RS256, rsa(jwk)?),
            ("ES256", "EC", Some("P-256")) => (Algorithm::ES256, point(jwk)?),
            ("EdDSA", "OKP", Some("Ed25519")) => (Algorithm::EdDSA, edwards_point(jwk)?),
            _ => {
                let known = "HS256 with oct, RS256 with RSA, ES256 with EC P-256, EdDSA with OKP Ed25519";
                return Err(format!("alg, kty and crv are none of: {known}"));
            }
        };
        Ok(Self { kid, algorithm, decoding })
    }
}

/// A part of a key, decoded.
pub(super) fn part(name: &str, text: Option<&String>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("{name} is absent"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("{name} is not base64url without padding"))
}

/// The bytes of an HMAC secret.
pub(super) fn secret_bytes(jwk: &Jwk) -> Result<Vec<u8>, String> {
    let secret = part("k", jwk.k.as_ref())?;
    if secret.len() < MIN_SECRET_BYTES { Err("k has less than 32 bytes".to_owned()) } else { Ok(secret) }
}

impl Jwk {
    /// Whether it is an HMAC secret.
    pub(super) fn is_secret(&self) -> bool {
        self.kty == "oct" && self.alg.as_deref() == Some("HS256")
    }
}

fn secret(jwk: &Jwk) -> Result<DecodingKey, String> {
    Ok(DecodingKey::from_secret(&secret_bytes(jwk)?))
}

fn rsa(jwk: &Jwk) -> Result<DecodingKey, String> {
    let number = |name, text| {
        part(name, text).map(|bytes| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>())
    };
    let (n, e) = (number("n", jwk.n.as_ref())?, number("e", jwk.e.as_ref())?);
    if !RSA_BYTES.contains(&n.len()) || e.is_empty() {
        return Err("an RSA key has 2048 to 8192 bits".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

fn coordinate(name: &str, text: Option<&String>) -> Result<Vec<u8>, String> {
    let bytes = part(name, text)?;
    if bytes.len() == COORDINATE_BYTES { Ok(bytes) } else { Err(format!("{name} has not 32 bytes")) }
}

/// An uncompressed point (SEC 1 section 2.3.3).
fn point(jwk: &Jwk) -> Result<DecodingKey, String> {
    let (x, y) = (coordinate("x", jwk.x.as_ref())?, coordinate("y", jwk.y.as_ref())?);
    Ok(DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat()))
}

fn edwards_point(jwk: &Jwk) -> Result<DecodingKey, String> {
    Ok(DecodingKey::from_ed_der(&coordinate("x", jwk.x.as_ref())?))
}
