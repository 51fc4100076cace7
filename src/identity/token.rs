//! What a token says, and what is wrong with one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::Deserialize;
use serde_json::Value;

use super::{IdentitySettings, VerifiedToken, verified_token::LEEWAY_MS};
use crate::domain::{Right, StreamPatterns, Viewer};

/// The largest token, in bytes; a request's line and headers hold 16 KiB by default.
pub const MAX_TOKEN_BYTES: usize = 4 * 1024;

/// Why a token is none. Only whoever sent it is told, and only this: what the token says is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is too long to be looked at.
    #[error("the token is over 4 KiB")]
    TooLong,
    /// It is no signed JWT, or its header has something in it that must be understood and is not.
    #[error("this is no JSON Web Token with a header that is understood")]
    Form,
    /// Its `kid` is absent or not among the keys.
    #[error("the token's kid names no key")]
    UnknownKey,
    /// Its `alg` is not that of its key.
    #[error("the token's alg is not its key's")]
    WrongAlgorithm,
    /// Its signature is not of its key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is absent, or has not its documented form.
    #[error("a claim of the token is absent or has another form")]
    Claims,
    /// It is of another issuer.
    #[error("the token's iss is not this server's issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token's aud is not this server")]
    Audience,
    /// It is for later.
    #[error("the token does not count yet")]
    NotYet,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// Its user was revoked after it was issued.
    #[error("the token was revoked")]
    Revoked,
}

impl BadToken {
    /// Whether it was good, so that a new one helps.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked)
    }
}

/// What this server asks of each token.
#[derive(Default)]
pub(super) struct Terms {
    issuer: Option<String>,
    audience: Option<String>,
    /// How long a token counts at the most, whatever its `exp` says.
    lifetime_ms: u64,
    /// Whether it was logged that a token's `exp` is later than that.
    is_shortening_told: AtomicBool,
}

impl Terms {
    pub(super) fn new(settings: &IdentitySettings) -> Self {
        let lifetime_ms = u64::try_from(settings.lifetime.as_millis()).unwrap_or(u64::MAX);
        let (issuer, audience) = (settings.issuer.clone(), settings.audience.clone());
        Self { issuer, audience, lifetime_ms, ..Self::default() }
    }

    /// The end of a token that says this of its issue and its end.
    fn end_of(&self, issued_at_ms: u64, ends_at_ms: u64) -> u64 {
        let latest_ms = issued_at_ms.saturating_add(self.lifetime_ms);
        if ends_at_ms > latest_ms && !self.is_shortening_told.swap(true, Relaxed) {
            tracing::warn!("tokens with a later exp are taken until FANFARE_TOKEN_LIFETIME after their iat");
        }
        ends_at_ms.min(latest_ms)
    }
}

/// The claims that count; each comes once, and others are ignored.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    iss: Value,
    #[serde(default)]
    aud: Value,
    sub: String,
    /// Any value but a text is no name.
    #[serde(default)]
    name: Value,
    iat: f64,
    exp: f64,
    nbf: Option<f64>,
    streams: Vec<String>,
    rights: Vec<String>,
}

impl Claims {
    /// Verifies claims that a good signature stands under, at a time in milliseconds since the Unix epoch.
    pub(super) fn verified(self, now_ms: u64, terms: &Terms) -> Result<VerifiedToken, BadToken> {
        if terms.issuer.as_ref().is_some_and(|issuer| self.iss != **issuer) {
            return Err(BadToken::Issuer);
        }
        if !is_for(&self.aud, terms.audience.as_deref()) {
            return Err(BadToken::Audience);
        }
        let issued_at_ms = milliseconds(self.iat)?;
        // Some issuers write "never" as the largest number that they have, and "always" as the first day of their calendar.
        let exp = if self.exp <= NEVER { self.exp.min(MOST_SECONDS) } else { self.exp };
        let ends_at_ms = terms.end_of(issued_at_ms, milliseconds(exp)?);
        let begins_at_ms =
            self.nbf.map_or(Ok(issued_at_ms), |nbf| milliseconds(nbf.clamp(0.0, MOST_SECONDS)))?;
        if ends_at_ms <= now_ms {
            return Err(BadToken::Expired);
        }
        if issued_at_ms.max(begins_at_ms) > now_ms + LEEWAY_MS {
            return Err(BadToken::NotYet);
        }
        let rights = self.rights.iter().filter_map(|name| Right::named(name)).collect();
        let streams = StreamPatterns::parse(&self.streams).map_err(|_| BadToken::Claims)?;
        let viewer =
            Viewer::vouched(self.sub, self.name.as_str(), rights, streams).map_err(|_| BadToken::Claims)?;
        Ok(VerifiedToken::of_token(viewer, issued_at_ms, ends_at_ms))
    }
}

/// Whether an `aud`, one name or a list of them, names this server; a token for somebody is not for a server without a
/// name (RFC 7519 section 4.1.3).
fn is_for(aud: &Value, audience: Option<&str>) -> bool {
    match (aud, audience) {
        (aud, None) => aud.is_null(),
        (Value::Array(names), Some(audience)) => names.iter().any(|name| name == audience),
        (name, Some(audience)) => name == audience,
    }
}

/// The largest number of 64 bits with a sign, which is "never" in several languages.
const NEVER: f64 = 9_223_372_036_854_775_807.0;
/// The latest time that is told from the one before it: milliseconds are counted exactly to here.
const MOST_SECONDS: f64 = 9e12;

/// A NumericDate (RFC 7519 section 2): seconds since the Unix epoch, perhaps with a fraction.
fn milliseconds(seconds: f64) -> Result<u64, BadToken> {
    if (0.0..=MOST_SECONDS).contains(&seconds) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
        let milliseconds = (seconds * 1_000.0) as u64;
        Ok(milliseconds)
    } else {
        Err(BadToken::Claims)
    }
}
