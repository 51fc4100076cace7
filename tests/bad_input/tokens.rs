//! Tokens that are none, not good, or not for this: a name, the token, and the answer to the handshake.

use serde_json::{Value, json};
use testkit::{
    Signs,
    issuer::{Issuer, claims, claims_with, encode, header, hs256, now_s},
};

/// A name, a token, and the status and code of the answer.
pub(super) type Case = (String, String, (u16, &'static str));

const NOBODY: (u16, &str) = (401, "bad_token");
const ENDED: (u16, &str) = (401, "token_expired");
const FORBIDDEN: (u16, &str) = (403, "not_allowed");

fn cases<const N: usize>(answer: (u16, &'static str), tokens: [(&str, String); N]) -> Vec<Case> {
    tokens.map(|(name, token)| (name.to_owned(), token, answer)).into()
}

/// All of them, in a stream whose name is given.
pub(super) fn all(issuer: &Issuer, stream: &str) -> Vec<Case> {
    let mut all = forms(issuer);
    all.extend(confusions(issuer));
    all.extend(signatures(issuer));
    all.extend(headers(issuer));
    all.extend(times(issuer));
    all.extend(claims_of(issuer));
    all.extend(scopes(issuer, stream));
    all
}

fn forms(issuer: &Issuer) -> Vec<Case> {
    let good = issuer.token_for("eve");
    let parts: Vec<_> = good.split('.').collect();
    let of = |header: &str, claims: &str| issuer.token_of(Signs::Hs256, header, claims);
    let (head, body) = (header(Signs::Hs256).to_string(), claims("eve").to_string());
    let long = issuer.good(&claims_with("eve", &json!({"x": "y".repeat(4_096)})));
    // Symptom: these were a header and claims. Cause: serde reads a struct from a list of its fields as well.
    let all = claims("eve");
    let fields = ["iss", "aud", "sub", "name", "iat", "exp", "nbf", "streams", "rights"];
    let listed = json!(fields.map(|name| &all[name])).to_string();
    cases(
        NOBODY,
        [
            ("a word", "token".into()),
            ("a dot", ".".into()),
            ("dots only", "..".into()),
            ("two parts", parts[..2].join(".")),
            ("four parts", format!("{good}.{}", parts[2])),
            ("a dot behind", format!("{good}.")),
            ("truncated", good[..good.len() - 10].to_owned()),
            ("truncated to half", good[..good.len() / 2].to_owned()),
            ("with padding", format!("{good}=")),
            ("with a quote", format!("\"{good}\"")),
            ("over 4 KiB", long),
            ("a header that is no JSON", of("no JSON", &body)),
            ("a header that is a list", of("[]", &body)),
            ("a header's values in a list", of(r#"["HS256","HS256",null]"#, &body)),
            ("claims that are no JSON", of(&head, "no JSON")),
            ("claims that are a list", of(&head, "[]")),
            ("claims' values in a list", of(&head, &listed)),
            ("claims 500 deep", of(&head, &format!("{}1{}", "[".repeat(500), "]".repeat(500)))),
            ("a JSON object instead", encode(&body)),
        ],
    )
}

/// What would pass if the token, and not its key, chose the algorithm.
fn confusions(issuer: &Issuer) -> Vec<Case> {
    let mut all = Vec::new();
    let message =
        |header: &Value| format!("{}.{}", encode(header.to_string()), encode(claims("eve").to_string()));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = message(&json!({"alg": none, "kid": "HS256"}));
        all.push((format!("alg {none:?} without a signature"), format!("{unsigned}."), NOBODY));
    }
    let unsigned = message(&json!({"alg": "none", "kid": "HS256"}));
    let signed = encode(hs256(&issuer.secret, unsigned.as_bytes()));
    all.push(("alg none with a signature".into(), format!("{unsigned}.{signed}"), NOBODY));
    for public in [Signs::Rs256, Signs::Es256, Signs::EdDsa] {
        let confused = message(&json!({"alg": "HS256", "kid": public.alg()}));
        let signed = encode(hs256(&issuer.public_bytes(public), confused.as_bytes()));
        all.push((
            format!("HS256 with the public {} key", public.alg()),
            format!("{confused}.{signed}"),
            NOBODY,
        ));
        let honest = message(&json!({"alg": public.alg(), "kid": public.alg()}));
        let signed = encode(hs256(&issuer.public_bytes(public), honest.as_bytes()));
        all.push((format!("{} with an HMAC", public.alg()), format!("{honest}.{signed}"), NOBODY));
    }
    for (signs, kid) in
        [(Signs::Rs256, "HS256"), (Signs::Es256, "EdDSA"), (Signs::EdDsa, "ES256"), (Signs::Hs256, "RS256")]
    {
        let token = issuer.token(signs, &json!({"alg": signs.alg(), "kid": kid}), &claims("eve"));
        all.push((format!("{} under the kid {kid}", signs.alg()), token, NOBODY));
    }
    for alg in ["HS384", "HS512", "RS512", "PS256", "ES384", "ES512", "hs256", "HS256 "] {
        let token = issuer.token(Signs::Hs256, &json!({"alg": alg, "kid": "HS256"}), &claims("eve"));
        all.push((format!("alg {alg:?}"), token, NOBODY));
    }
    all
}

fn signatures(issuer: &Issuer) -> Vec<Case> {
    let mut all = Vec::new();
    for signs in Signs::ALL {
        let good = issuer.token(signs, &header(signs), &claims("eve"));
        let (message, signature) = good.rsplit_once('.').unwrap();
        let length = issuer.sign(signs, b"x").len();
        let with = |bytes: &[u8]| format!("{message}.{}", encode(bytes));
        let alg = signs.alg();
        let (head, body) = message.split_once('.').unwrap();
        let forged =
            encode(claims_with("eve", &json!({"rights": ["watch", "post", "moderate"]})).to_string());
        all.extend([
            (format!("{alg}: no signature"), format!("{message}."), NOBODY),
            (format!("{alg}: zeroes"), with(&vec![0; length]), NOBODY),
            (
                format!("{alg}: a byte more"),
                with(&[&issuer.sign(signs, message.as_bytes())[..], &[0]].concat()),
                NOBODY,
            ),
            (format!("{alg}: of another message"), with(&issuer.sign(signs, b"another")), NOBODY),
            (format!("{alg}: other claims"), format!("{head}.{forged}.{signature}"), NOBODY),
            (
                format!("{alg}: another header"),
                {
                    let other = encode(json!({"alg": alg, "kid": alg, "typ": "JWT", "x": 1}).to_string());
                    format!("{other}.{body}.{signature}")
                },
                NOBODY,
            ),
        ]);
        let stranger = Issuer::stranger().token(signs, &header(signs), &claims("eve"));
        all.push((format!("{alg}: of a stranger"), stranger, NOBODY));
    }
    let message =
        format!("{}.{}", encode(header(Signs::Hs256).to_string()), encode(claims("eve").to_string()));
    for (name, secret) in [("an empty secret", &b""[..]), ("a guessed secret", b"secret")] {
        let signed = encode(hs256(secret, message.as_bytes()));
        all.push((format!("HS256 with {name}"), format!("{message}.{signed}"), NOBODY));
    }
    all
}

fn headers(issuer: &Issuer) -> Vec<Case> {
    let with = |changes: Value| {
        let mut head = header(Signs::Hs256);
        for (name, value) in changes.as_object().unwrap() {
            head[name] = value.clone();
        }
        issuer.token(Signs::Hs256, &head, &claims("eve"))
    };
    let stranger = Issuer::stranger();
    let own = json!({"alg": "ES256", "jwk": stranger.jwk(Signs::Es256)});
    let elsewhere = json!({"alg": "ES256", "kid": "theirs", "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/"});
    let twice = r#"{"alg":"HS256","kid":"HS256","kid":"ES256"}"#;
    cases(
        NOBODY,
        [
            (
                "no kid, of another issuer",
                Issuer::create().token(Signs::Hs256, &json!({"alg": "HS256"}), &claims("eve")),
            ),
            ("kid unknown", with(json!({"kid": "other"}))),
            ("kid empty", with(json!({"kid": ""}))),
            ("kid a number", with(json!({"kid": 1}))),
            ("kid a path", with(json!({"kid": "../../../../dev/null"}))),
            ("kid a statement", with(json!({"kid": "x' UNION SELECT 'key"}))),
            ("kid twice", issuer.token_of(Signs::Hs256, twice, &claims("eve").to_string())),
            ("no alg", issuer.token(Signs::Hs256, &json!({"kid": "HS256"}), &claims("eve"))),
            ("alg a list", with(json!({"alg": ["HS256"]}))),
            ("alg an object", with(json!({"alg": {"HS256": null}}))),
            ("crit", with(json!({"crit": ["b64"], "b64": false}))),
            ("crit empty", with(json!({"crit": []}))),
            ("crit null", with(json!({"crit": null}))),
            ("a key of its own", stranger.token(Signs::Es256, &own, &claims("eve"))),
            ("keys elsewhere", stranger.token(Signs::Es256, &elsewhere, &claims("eve"))),
        ],
    )
}

fn times(issuer: &Issuer) -> Vec<Case> {
    let with = |changes: Value| issuer.good(&claims_with("eve", &changes));
    let now = now_s();
    let twice = claims("eve").to_string().replacen("\"exp\"", "\"exp\":9999999999,\"exp\"", 1);
    let huge = claims("eve").to_string().replacen(&(now + 3_600).to_string()[..9], "1e400, \"z\":1", 1);
    let mut all = cases(
        ENDED,
        [
            ("expired an hour ago", with(json!({"iat": now - 7_200, "exp": now - 3_600}))),
            ("expired a second ago", with(json!({"iat": now - 60, "exp": now - 1}))),
            ("exp 0", with(json!({"exp": 0}))),
            ("ends before it begins", with(json!({"exp": now - 3_600}))),
            ("of two days ago, for a month", with(json!({"iat": now - 172_800, "exp": now + 30 * 86_400}))),
        ],
    );
    all.extend(cases(
        NOBODY,
        [
            ("exp missing", with(json!({"exp": null}))),
            ("exp a text", with(json!({"exp": (now + 60).to_string()}))),
            ("exp negative", with(json!({"exp": -1}))),
            ("exp true", with(json!({"exp": true}))),
            ("exp 1e300", with(json!({"exp": 1e300}))),
            ("exp 1e400", issuer.token_of(Signs::Hs256, &header(Signs::Hs256).to_string(), &huge)),
            ("exp twice", issuer.token_of(Signs::Hs256, &header(Signs::Hs256).to_string(), &twice)),
            ("iat missing", with(json!({"iat": null}))),
            ("iat a text", with(json!({"iat": "now"}))),
            ("iat in an hour", with(json!({"iat": now + 3_000}))),
            ("nbf in an hour", with(json!({"nbf": now + 3_000}))),
            ("nbf a text", with(json!({"nbf": "later"}))),
        ],
    ));
    all
}

fn claims_of(issuer: &Issuer) -> Vec<Case> {
    let with = |changes: Value| issuer.good(&claims_with("eve", &changes));
    cases(
        NOBODY,
        [
            ("iss missing", with(json!({"iss": null}))),
            ("another iss", with(json!({"iss": "https://evil.example"}))),
            ("an iss that begins so", with(json!({"iss": "https://app.example.evil"}))),
            ("iss a number", with(json!({"iss": 1}))),
            ("aud missing", with(json!({"aud": null}))),
            ("another aud", with(json!({"aud": "shop"}))),
            ("other auds", with(json!({"aud": ["shop", "bank"]}))),
            ("aud empty", with(json!({"aud": []}))),
            ("sub missing", with(json!({"sub": null}))),
            ("sub empty", with(json!({"sub": ""}))),
            ("sub a number", with(json!({"sub": 7}))),
            ("sub of controls", with(json!({"sub": "eve\nann"}))),
            ("sub that turns text around", with(json!({"sub": "\u{202e}eve"}))),
            ("sub of 129 bytes", with(json!({"sub": "e".repeat(129)}))),
            ("streams missing", with(json!({"streams": null}))),
            ("streams a text", with(json!({"streams": "*"}))),
            ("streams of numbers", with(json!({"streams": [1]}))),
            ("a star in the middle", with(json!({"streams": ["a*b"]}))),
            ("an expression", with(json!({"streams": [".*"]}))),
            ("rights missing", with(json!({"rights": null}))),
            ("rights a text", with(json!({"rights": "watch"}))),
            ("rights an object", with(json!({"rights": {"watch": true}}))),
        ],
    )
}

fn scopes(issuer: &Issuer, stream: &str) -> Vec<Case> {
    let with = |changes: Value| issuer.good(&claims_with("eve", &changes));
    cases(
        FORBIDDEN,
        [
            ("no stream", with(json!({"streams": []}))),
            ("another stream", with(json!({"streams": ["elsewhere"]}))),
            ("a stream that begins so", with(json!({"streams": [format!("{stream}2")]}))),
            ("a name that the stream begins with", with(json!({"streams": [&stream[..stream.len() - 1]]}))),
            ("another beginning", with(json!({"streams": ["elsewhere-*", format!("x{stream}*")]}))),
            ("other letters", with(json!({"streams": [stream.to_uppercase()]}))),
            ("no right", with(json!({"rights": []}))),
            ("to post alone", with(json!({"rights": ["post", "moderate"]}))),
            ("rights that nobody knows", with(json!({"rights": ["WATCH", "admin", "*"]}))),
        ],
    )
}
