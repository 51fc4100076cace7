//! A token, as it comes and behind a good signature: the first counts never, the second only by what is documented.
//!
//! The first line is the header and what follows it the claims, both signed with the secret that the pod knows too.
#![no_main]

use std::{
    collections::HashMap,
    fmt,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fanfare::identity::{BadToken, Identity, IdentitySettings, MAX_TOKEN_BYTES, VerifiedToken};
use ring::hmac;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

const SECRET: &[u8; 32] = b"the fuzzer's, which nobody keeps";
/// Known to everybody: as a secret it must open nothing.
const PUBLIC_KEY: &[u8; 32] = &[7; 32];
const ISSUER: &str = "https://app.example";
const AUDIENCE: &str = "fanfare";
/// So long that the corpus does not grow old.
const LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
const LEEWAY_S: f64 = 30.0;

/// Two pods: one with two keys, an issuer and an audience, one with the secret alone.
struct Pods {
    strict: Identity,
    plain: Identity,
}

static PODS: LazyLock<Pods> = LazyLock::new(|| {
    let secret = json!({"kty": "oct", "alg": "HS256", "kid": "dev", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let x = URL_SAFE_NO_PAD.encode(PUBLIC_KEY);
    let public = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "ed", "x": x});
    let named = (Some(ISSUER.to_owned()), Some(AUDIENCE.to_owned()));
    let pods =
        Pods { strict: load(&json!([public, secret]), named), plain: load(&json!([secret]), (None, None)) };
    // The oracles below are worth something only if tokens pass at all.
    let claims = r#"{"sub":"u","iat":1000000000,"exp":4000000000,"streams":["*"],"rights":["post"]"#;
    assert!(
        pods.plain.check(&signed(SECRET, br#"{"alg":"HS256"}"#, format!("{claims}}}").as_bytes())).is_ok()
    );
    let claims = format!(r#"{claims},"iss":"{ISSUER}","aud":["{AUDIENCE}","shop"]}}"#);
    assert!(pods.strict.check(&signed(SECRET, br#"{"alg":"HS256","kid":"dev"}"#, claims.as_bytes())).is_ok());
    pods
});

fn load(keys: &Value, (issuer, audience): (Option<String>, Option<String>)) -> Identity {
    let path = std::env::temp_dir().join(format!("fanfare-fuzz-{}.json", std::process::id()));
    std::fs::write(&path, json!({"keys": keys}).to_string()).unwrap();
    let viewer_keys = Some(path.clone());
    let loaded = Identity::load(IdentitySettings {
        viewer_keys,
        service_keys: None,
        issuer,
        audience,
        lifetime: LIFETIME,
    });
    std::fs::remove_file(path).unwrap();
    loaded.unwrap()
}

fn signed(secret: &[u8], header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// An object's members of some names, which say when one comes twice.
struct Members(HashMap<String, Vec<Value>>);

impl Members {
    /// Reads these; the rest may be as deep and as odd as it likes.
    fn read(json: &[u8], names: &[&str]) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let members = deserializer.deserialize_map(Named(names))?;
        deserializer.end().map(|()| Self(members))
    }

    /// The one of this name; null is none.
    fn get(&self, name: &str) -> Option<&Value> {
        let values = self.0.get(name)?;
        assert_eq!(values.len(), 1, "{name} comes twice");
        values.first().filter(|value| !value.is_null())
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.get(name).map(|value| value.as_f64().expect(name))
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        self.get(name)
            .and_then(Value::as_array)
            .expect(name)
            .iter()
            .map(|text| text.as_str().expect(name))
            .collect()
    }

    /// Whether it is this text, or a list that holds it.
    fn names(&self, name: &str, text: &str) -> bool {
        match self.get(name) {
            Some(Value::Array(values)) => values.iter().any(|value| value == text),
            value => value.is_some_and(|value| value == text),
        }
    }
}

struct Named<'a>(&'a [&'a str]);

impl<'de> Visitor<'de> for Named<'_> {
    type Value = HashMap<String, Vec<Value>>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Self::Value::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.0.contains(&&*name) {
                members.entry(name).or_default().push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(members)
    }
}

/// What a header says that was accepted.
fn header_holds(json: &[u8], needs_kid: bool) {
    let header = Members::read(json, &["alg", "kid", "crit"]).unwrap();
    assert!(header.names("alg", "HS256") && header.get("alg").unwrap().is_string());
    assert!(header.get("crit").is_none());
    match header.get("kid") {
        Some(kid) => assert_eq!(kid, "dev"),
        None => assert!(!needs_kid),
    }
}

/// What claims say that were accepted, and that the pass says it too.
fn claims_hold(json: &[u8], pass: &VerifiedToken, before_s: f64) {
    let names = ["sub", "name", "iat", "exp", "nbf", "streams", "rights"];
    let claims = Members::read(json, &names).unwrap();
    let author = &pass.viewer().author;
    assert_eq!(claims.get("sub").unwrap(), author.id.as_str());
    assert!((1..=128).contains(&author.id.len()) && !author.id.chars().any(char::is_control));
    assert!((1..=256).contains(&author.name.len()) && !author.name.chars().any(char::is_control));
    let (issued, ends) = (claims.number("iat").unwrap(), claims.number("exp").unwrap());
    assert!(issued >= 0.0 && ends > before_s && ends - issued < LIFETIME.as_secs_f64() + 0.01);
    assert!(issued.max(claims.number("nbf").unwrap_or(0.0)) <= now_s() + LEEWAY_S + 0.01);
    assert!(pass.time_left().unwrap().as_secs_f64() <= ends - before_s);
    let rights = claims.texts("rights");
    for right in pass.viewer().rights.list() {
        assert!(rights.iter().any(|name| json!(right) == *name));
    }
    let patterns = claims.texts("streams");
    assert_eq!(pass.viewer().streams.are_all(), patterns.contains(&"*"));
}

/// A text, or a list of them (RFC 7519 section 4.1.3).
fn is_audience(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|values| values.iter().all(Value::is_string))
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Pods { strict, plain } = &*PODS;
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(strict.check(text).is_err() && plain.check(text).is_err());
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (header, claims) = (&bytes[..end], &bytes[end + 1..]);
    let forged = signed(PUBLIC_KEY, header, claims);
    assert!(strict.check(&forged).is_err() && plain.check(&forged).is_err());
    let token = signed(SECRET, header, claims);
    for (pod, is_strict) in [(strict, true), (plain, false)] {
        let before_s = now_s() - 0.001;
        match pod.check(&token) {
            Ok(pass) => {
                assert!(token.len() <= MAX_TOKEN_BYTES);
                header_holds(header, is_strict);
                claims_hold(claims, &pass, before_s);
                if is_strict {
                    let claims = Members::read(claims, &["iss", "aud"]).unwrap();
                    assert!(claims.names("iss", ISSUER) && claims.names("aud", AUDIENCE));
                } else if let Ok(claims) = Members::read(claims, &["aud"]) {
                    assert!(!claims.get("aud").is_some_and(is_audience));
                }
            }
            Err(fault) => {
                // It is good, but for the other key.
                let is_for = |name| Members::read(header, &["alg"]).unwrap().names("alg", name);
                assert!(fault != BadToken::Signature || is_for("EdDSA"));
                assert_eq!(fault == BadToken::TooLong, token.len() > MAX_TOKEN_BYTES);
            }
        }
    }
});
