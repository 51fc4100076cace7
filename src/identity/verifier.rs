//! The keys that viewers' tokens are signed with, and the check of a token.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::crypto;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{
    IdentitySettings, VerifiedToken,
    jwk::{KeySet, VerifyingKey, algorithm_named},
    provider,
    token::{BadToken, Claims, MAX_TOKEN_BYTES, Terms},
};
use crate::domain::read_object;

/// The most keys that are tried for one token, where several have its `kid`, or none.
const MOST_TRIED: usize = 8;

/// Checks tokens by the keys of one file.
pub(super) struct Verifier {
    keys: Vec<VerifyingKey>,
    passed_over: Vec<String>,
    terms: Terms,
}

/// The parts of a token's header that count (RFC 7515 section 4.1); keys and addresses in it are ignored.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Whether it is there, whatever it says.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

impl Verifier {
    /// One that knows no key.
    pub(super) fn none() -> Self {
        Self { keys: Vec::new(), passed_over: Vec::new(), terms: Terms::default() }
    }

    /// Reads a file's text.
    pub(super) fn read(text: &[u8], settings: &IdentitySettings) -> Result<Self, Vec<String>> {
        provider::install();
        let KeySet { usable, passed_over } = KeySet::read(text)?;
        Ok(Self { keys: usable, passed_over, terms: Terms::new(settings) })
    }

    /// The keys of the file that are not for viewers' tokens, each with the reason.
    pub(super) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Verifies a token at a time in milliseconds since the Unix epoch.
    pub(super) fn check(&self, token: &str, now_ms: u64) -> Result<VerifiedToken, BadToken> {
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
        self.check_signature(&header, message, signature)?;
        let claims: Claims = decoded(claims).ok_or(BadToken::Payload)?;
        claims.verified(now_ms, &self.terms)
    }

    fn check_signature(&self, header: &Header, message: &str, signature: &str) -> Result<(), BadToken> {
        let mut named = self.keys_for(header.kid.as_deref()).peekable();
        named.peek().ok_or(BadToken::UnknownKey)?;
        let algorithm = algorithm_named(&header.alg).ok_or(BadToken::WrongAlgorithm)?;
        let mut refusal = BadToken::WrongAlgorithm;
        for key in named.filter(|key| key.algorithm == algorithm).take(MOST_TRIED) {
            // The library's `decode` reads the header three times and the claims twice: a third of what a signature costs.
            match crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm) {
                Ok(true) => return Ok(()),
                Ok(false) => refusal = BadToken::Signature,
                Err(_) => return Err(BadToken::Form),
            }
        }
        Err(refusal)
    }

    /// The keys that a token with this `kid` may be signed with. A token without one may be signed with any, as during a
    /// rotation it is; a key without one may be any token's.
    fn keys_for(&self, kid: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter().filter(move |key| match (&key.kid, kid) {
            (None, _) | (_, None) => true,
            (Some(own), Some(kid)) => own == kid,
        })
    }
}

fn is_there<'de, D: Deserializer<'de>>(member: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(member).map(|_| true)
}

/// A part of a token: a JSON object in base64url without padding.
fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    read_object(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
