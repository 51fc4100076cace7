//! The keys of a JWK Set (RFC 7517): those for viewers' tokens, and those that are passed over.
//!
//! A set may hold keys for other purposes and of kinds that are not known here; section 5 has them ignored. A private key
//! is refused with the whole set: it would lie on every pod.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use crate::domain::Object;

/// A secret is at least as long as its hash (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// RSA keys have 2,048 to 8,192 bits: weaker ones do not hold, longer ones cost too much time a token.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// What both algorithms on curves have: 256 bits a number.
const COORDINATE_BYTES: usize = 32;
/// The keys that are known here.
const KNOWN: &str = "HS256 with oct, RS256 with RSA, ES256 with EC P-256, EdDSA with OKP Ed25519";

/// A key, for one algorithm and nothing else.
pub(super) struct VerifyingKey {
    /// `None`: any token may be signed with it.
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The keys of a set.
pub(super) struct KeySet {
    /// At least one.
    pub(super) usable: Vec<VerifyingKey>,
    /// The others, each with the reason.
    pub(super) passed_over: Vec<String>,
}

/// The parts of a JWK that count; others are ignored. Never shown: one of them may be a secret.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    alg: Option<String>,
    pub(super) kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
    d: Option<IgnoredAny>,
}

/// Reads the members of a JWK Set, each by itself: `None` for one that has not the form of a key.
pub(super) fn members(text: &[u8]) -> Result<Vec<Option<Jwk>>, Vec<String>> {
    // What serde would say could hold a part of a key.
    let mut set: Map<String, Value> = serde_json::from_slice(text)
        .map_err(|error| vec![format!("line {}: no JWK Set: {{\"keys\":[…]}}", error.line())])?;
    let Some(Value::Array(keys)) = set.remove("keys") else {
        return Err(vec!["no JWK Set: {\"keys\":[…]}".to_owned()]);
    };
    if keys.is_empty() {
        return Err(vec!["the file names no key".to_owned()]);
    }
    let jwk = |key| serde_json::from_value(key).ok().map(|Object(jwk)| jwk);
    Ok(keys.into_iter().map(jwk).collect())
}

impl KeySet {
    /// Reads a JWK Set.
    ///
    /// # Errors
    /// No set, a private key in it, or no usable key.
    pub(super) fn read(text: &[u8]) -> Result<Self, Vec<String>> {
        let (mut usable, mut passed_over, mut private) = (Vec::new(), Vec::new(), Vec::new());
        for (number, jwk) in members(text)?.into_iter().enumerate() {
            let named = |fault: String| format!("key {}: {fault}", number + 1);
            match jwk {
                None => passed_over.push(named("a member of it has another type".to_owned())),
                Some(jwk) if jwk.d.is_some() => {
                    private.push(named("this is a private key: it belongs to the issuer alone".to_owned()));
                }
                Some(jwk) => match VerifyingKey::new(jwk) {
                    Ok(key) => usable.push(key),
                    Err(reason) => passed_over.push(named(reason)),
                },
            }
        }
        if !private.is_empty() {
            return Err(private);
        }
        if usable.is_empty() {
            passed_over.insert(0, "the file has no key that is for viewers' tokens".to_owned());
            return Err(passed_over);
        }
        Ok(Self { usable, passed_over })
    }
}

/// The algorithm of this name; `Ed25519` is the newer name of `EdDSA` with that curve (RFC 9864).
pub(super) fn algorithm_named(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" | "Ed25519" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

impl VerifyingKey {
    /// A key, or the reason why it is not for viewers' tokens.
    fn new(jwk: Jwk) -> Result<Self, String> {
        if jwk.r#use.as_ref().is_some_and(|of| of != "sig") {
            return Err("its use is not sig".to_owned());
        }
        if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err("its key_ops are without verify".to_owned());
        }
        let algorithm = jwk.algorithm().ok_or_else(|| format!("alg, kty and crv are none of: {KNOWN}"))?;
        let decoding = match algorithm {
            Algorithm::HS256 => DecodingKey::from_secret(&jwk.secret()?),
            Algorithm::RS256 => jwk.rsa()?,
            Algorithm::ES256 => jwk.point()?,
            _ => DecodingKey::from_ed_der(&coordinate("x", jwk.x.as_ref())?),
        };
        Ok(Self { kid: jwk.kid.filter(|kid| !kid.is_empty()), algorithm, decoding })
    }
}

impl Jwk {
    /// The one algorithm that the key's type and curve allow, if that is what it says, or if it says none.
    fn algorithm(&self) -> Option<Algorithm> {
        let allowed = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => Algorithm::HS256,
            ("RSA", _) => Algorithm::RS256,
            ("EC", Some("P-256")) => Algorithm::ES256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDSA,
            _ => return None,
        };
        self.alg.as_deref().map_or(Some(allowed), algorithm_named).filter(|algorithm| *algorithm == allowed)
    }

    /// Whether it is an HMAC secret.
    pub(super) fn is_secret(&self) -> bool {
        self.algorithm() == Some(Algorithm::HS256)
    }

    /// The bytes of an HMAC secret.
    pub(super) fn secret(&self) -> Result<Vec<u8>, String> {
        let secret = part("k", self.k.as_ref())?;
        if secret.len() < MIN_SECRET_BYTES { Err("k has less than 32 bytes".to_owned()) } else { Ok(secret) }
    }

    fn rsa(&self) -> Result<DecodingKey, String> {
        let number = |name, text| {
            part(name, text).map(|bytes| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>())
        };
        let (n, e) = (number("n", self.n.as_ref())?, number("e", self.e.as_ref())?);
        if !RSA_BYTES.contains(&n.len()) || e.is_empty() {
            return Err("an RSA key has 2048 to 8192 bits".to_owned());
        }
        Ok(DecodingKey::from_rsa_raw_components(&n, &e))
    }

    /// An uncompressed point (SEC 1 section 2.3.3).
    fn point(&self) -> Result<DecodingKey, String> {
        let (x, y) = (coordinate("x", self.x.as_ref())?, coordinate("y", self.y.as_ref())?);
        Ok(DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat()))
    }
}

/// A part of a key, decoded.
fn part(name: &str, text: Option<&String>) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("{name} is absent"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("{name} is not base64url without padding"))
}

fn coordinate(name: &str, text: Option<&String>) -> Result<Vec<u8>, String> {
    let bytes = part(name, text)?;
    if bytes.len() == COORDINATE_BYTES { Ok(bytes) } else { Err(format!("{name} has not 32 bytes")) }
}
