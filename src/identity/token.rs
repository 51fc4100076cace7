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
    /// What it says is no object, or one with a claim twice.
    #[error("the token's payload is no JSON object with each claim once")]
    Payload,
    /// The claim of this name is absent, or has not its documented form.
    #[error("the token's {0} is absent or has another form")]
    Claim(&'static str),
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
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    iss: Value,
    aud: Value,
    sub: Value,
    /// Any value but a text is no name.
    name: Value,
    iat: Value,
    exp: Value,
    nbf: Value,
    streams: Value,
    rights: Value,
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
        let issued_at_ms = milliseconds("iat", number("iat", &self.iat)?)?;
        let exp = number("exp", &self.exp)?;
        // Some issuers write "never" as the largest number that they have, and "always" as the first day of their calendar.
        let exp = if exp <= NEVER { exp.min(MOST_SECONDS) } else { exp };
        let ends_at_ms = terms.end_of(issued_at_ms, milliseconds("exp", exp)?);
        let begins_at_ms = match &self.nbf {
            Value::Null => issued_at_ms,
            nbf => milliseconds("nbf", number("nbf", nbf)?.clamp(0.0, MOST_SECONDS))?,
        };
        let (streams, rights) = (texts("streams", &self.streams)?, texts("rights", &self.rights)?);
        let streams = StreamPatterns::parse(&streams).map_err(|_| BadToken::Claim("streams"))?;
        let Value::String(sub) = self.sub else { return Err(BadToken::Claim("sub")) };
        let rights = rights.into_iter().filter_map(Right::named).collect();
        // Of the two only the sub can be at fault: without a usable name, the sub is the name.
        let viewer =
            Viewer::vouched(sub, self.name.as_str(), rights, streams).map_err(|_| BadToken::Claim("sub"))?;
        if ends_at_ms <= now_ms {
            return Err(BadToken::Expired);
        }
        if issued_at_ms.max(begins_at_ms) > now_ms + LEEWAY_MS {
            return Err(BadToken::NotYet);
        }
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

/// The claim of this name, a NumericDate (RFC 7519 section 2): seconds since the Unix epoch, perhaps with a fraction.
fn number(claim: &'static str, value: &Value) -> Result<f64, BadToken> {
    value.as_f64().ok_or(BadToken::Claim(claim))
}

/// The claim of this name, a list of texts.
fn texts<'a>(claim: &'static str, value: &'a Value) -> Result<Vec<&'a str>, BadToken> {
    let list = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    list.ok_or(BadToken::Claim(claim))
}

fn milliseconds(claim: &'static str, seconds: f64) -> Result<u64, BadToken> {
    if (0.0..=MOST_SECONDS).contains(&seconds) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
        let milliseconds = (seconds * 1_000.0) as u64;
        Ok(milliseconds)
    } else {
        Err(BadToken::Claim(claim))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    /// Symptom: a backend's engineer was told "a claim of the token is absent or has another form", and not which.
    #[test]
    fn a_claim_of_another_form_is_named() {
        let terms = Terms { lifetime_ms: 60_000, ..Terms::default() };
        let verify = |claim: &str, value: Value| {
            let mut claims =
                json!({"sub": "u1", "iat": 1, "exp": 60, "streams": ["*"], "rights": ["watch"], "nbf": null});
            claims[claim] = value;
            from_value::<Claims>(claims).unwrap().verified(2_000, &terms).map(|_| ())
        };
        assert_eq!(verify("name", json!(7)), Ok(()), "any value but a text is no name");
        let cases = [
            ("sub", json!(7)),
            ("sub", json!("")),
            ("iat", json!("now")),
            ("iat", json!(-1)),
            ("exp", Value::Null),
            ("exp", json!(1e300)),
            ("nbf", json!("later")),
            ("streams", json!("*")),
            ("streams", json!(["a*b"])),
            ("rights", json!(["watch", 1])),
        ];
        for (claim, value) in cases {
            let told = format!("the token's {claim} is absent or has another form");
            assert_eq!(verify(claim, value.clone()).unwrap_err().to_string(), told, "{value}");
        }
    }
}
