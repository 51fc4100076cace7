//! Tokens for development: made with a secret of the file that pods read.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use super::{IdentitySettings, jwk, provider, verifier::Verifier};
use crate::domain::now_ms;

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The key to sign with; none: the first secret of the file.
    pub kid: Option<String>,
    /// The user's id.
    pub sub: String,
    /// The user's displayed name; none: the id.
    pub name: Option<String>,
    /// Patterns of streams.
    pub streams: Vec<String>,
    /// Names of rights.
    pub rights: Vec<String>,
    /// How long it counts.
    pub lives: Duration,
}

#[derive(Serialize)]
struct MintedClaims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    iat: u64,
    exp: u64,
    streams: &'a [String],
    rights: &'a [String],
}

/// Makes a token by the keys that the settings name. Only secrets (HS256) sign here; other keys are their issuer's.
///
/// # Errors
/// What is missing, or what a pod with these settings would refuse the token for.
pub fn mint(settings: &IdentitySettings, grant: &Grant) -> Result<String, String> {
    let path = settings.viewer_keys.as_ref().ok_or("FANFARE_VIEWER_KEYS names no file")?;
    let text =
        std::fs::read(path).map_err(|error| format!("FANFARE_VIEWER_KEYS: {}: {error}", path.display()))?;
    let named =
        |faults: Vec<String>| format!("FANFARE_VIEWER_KEYS: {}: {}", path.display(), faults.join("; "));
    let keys = jwk::members(&text).map_err(named)?;
    let is_it = |key: &&jwk::Jwk| key.is_secret() && (grant.kid.is_none() || key.kid == grant.kid);
    let key = keys
        .iter()
        .flatten()
        .find(is_it)
        .ok_or("the file has no such secret (HS256); other keys sign elsewhere")?;
    if grant.lives > settings.lifetime {
        return Err("a pod would end it sooner: it lives longer than FANFARE_TOKEN_LIFETIME".to_owned());
    }
    let secret = key.secret()?;
    provider::install();
    let now_s = now_ms() / 1_000;
    let claims = MintedClaims {
        iss: settings.issuer.as_deref(),
        aud: settings.audience.as_deref(),
        sub: &grant.sub,
        name: grant.name.as_deref(),
        iat: now_s,
        exp: now_s + grant.lives.as_secs(),
        streams: &grant.streams,
        rights: &grant.rights,
    };
    let header = Header { kid: key.kid.clone(), ..Header::new(Algorithm::HS256) };
    let token =
        encode(&header, &claims, &EncodingKey::from_secret(&secret)).map_err(|error| error.to_string())?;
    let checks = Verifier::read(&text, settings).map_err(named)?;
    checks.check(&token, now_ms()).map_err(|bad| format!("a pod would refuse it: {bad}"))?;
    Ok(token)
}
