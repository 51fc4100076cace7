//! The files of keys: what may stand in them, and that they are read again. The command that makes tokens.

use std::{fs, process::Command};

use serde_json::{Value, json};
use testkit::{
    Answer, Issuer, Join, PATIENCE, Pod, Signs, eventually,
    issuer::{claims, claims_with, encode, header, keyed, now_s, service, service_key},
    request, stream_for,
};

async fn post(pod: &Pod, stream: &str, key: &str, id: &str) -> Answer {
    let bearer = format!("Bearer {}", service_key(key));
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", id)];
    let path = format!("/v1/streams/{stream}/comments");
    request(pod.public, "POST", &path, &headers, br#"{"kind":"gift","data":{"n":1}}"#).await
}

async fn lets_in(pod: &Pod, stream: &str, token: &str) -> bool {
    match Join::new(pod, stream).bearing(token).attempt().await {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(refusal.unwrap().status, 401);
            false
        }
    }
}

/// A key that is put into the file counts, one that is taken out does not, and what is wrong changes nothing.
#[tokio::test]
async fn keys_are_exchanged_while_the_pod_runs() {
    let (issuer, newer, stream) = (Issuer::create(), Issuer::create(), stream_for("rotation"));
    let pod = keyed(&issuer, &[]);
    let old = issuer.token_for("ann");
    let mut new_key = newer.jwk(Signs::Es256);
    new_key["kid"] = "newer".into();
    let new = newer.token(Signs::Es256, &json!({"alg": "ES256", "kid": "newer"}), &claims("ann"));
    assert!(lets_in(&pod, &stream, &old).await && !lets_in(&pod, &stream, &new).await);
    let mut viewer = Join::new(&pod, &stream).bearing(&old).open().await;

    issuer.write_viewer_keys(&json!({"keys": [issuer.jwk(Signs::Hs256), new_key]}));
    let both = async || lets_in(&pod, &stream, &new).await.then_some(());
    eventually("the new key counts", PATIENCE, both).await;
    assert!(lets_in(&pod, &stream, &old).await, "and the old one still does");

    fs::write(issuer.viewer_keys(), "{\"keys\": [").unwrap();
    pod.logged(&["a file of keys is wrong"], PATIENCE).await;
    assert!(lets_in(&pod, &stream, &new).await && lets_in(&pod, &stream, &old).await);

    issuer.write_viewer_keys(&json!({"keys": [new_key]}));
    let gone = async || (!lets_in(&pod, &stream, &old).await).then_some(());
    eventually("the old key does not count", PATIENCE, gone).await;
    assert!(lets_in(&pod, &stream, &new).await);
    viewer.say("who is in stays in").await;
}

/// A service's key is exchanged without a pause, and what was posted with the old one is known to the new one.
#[tokio::test]
async fn a_services_old_and_new_key_count_together() {
    let (issuer, stream) = (Issuer::create(), stream_for("overlap"));
    let pod = keyed(&issuer, &[]);
    assert_eq!(post(&pod, &stream, "all", "order-1").await.status, 201);
    let all: &[&str] = &["gift"];
    issuer.write_service_keys(&[service("shop", "all", all, &["*"]), service("shop", "newer", all, &["*"])]);
    let newer =
        async || Some(post(&pod, &stream, "newer", "order-1").await).filter(|answer| answer.status != 401);
    let answer = eventually("the new key counts", PATIENCE, newer).await;
    assert_eq!((answer.status, &answer.json()["duplicate"]), (200, &json!(true)), "one poster by two keys");
    assert_eq!(post(&pod, &stream, "all", "order-2").await.status, 201);
    issuer.write_service_keys(&[service("shop", "newer", all, &["*"])]);
    let gone = async || (post(&pod, &stream, "all", "order-3").await.status == 401).then_some(());
    eventually("the old key does not count", PATIENCE, gone).await;
    assert_eq!(post(&pod, &stream, "newer", "order-4").await.status, 201);
}

/// Each fault of a file stops the start, is named, and repeats no part of a key.
#[test]
fn files_of_keys_that_are_wrong_stop_the_start() {
    let issuer = Issuer::create();
    let jwk = |signs: Signs, name: &str, value: Value| {
        let mut jwk = issuer.jwk(signs);
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value;
        }
        json!({"keys": [jwk]}).to_string()
    };
    let private =
        json!({"keys": [issuer.jwk(Signs::Hs256), {"kty": "RSA", "use": "enc", "d": "x"}]}).to_string();
    let short = encode([7; 31]);
    let cases = [
        (String::new(), "no JWK Set"),
        ("[]".to_owned(), "no JWK Set"),
        (format!("[[{}]]", issuer.jwk(Signs::Hs256)), "no JWK Set"),
        (
            format!(
                r#"{{"keys":[["oct","HS256","k",null,null,null,null,null,"{}",null]]}}"#,
                encode(issuer.secret)
            ),
            "a member of it has another type",
        ),
        ("{\"keys\":[]}".to_owned(), "the file names no key"),
        ("{\"keys\":{}}".to_owned(), "no JWK Set"),
        (private, "key 2: this is a private key"),
        (jwk(Signs::Hs256, "kid", 7.into()), "a member of it has another type"),
        (jwk(Signs::Es256, "use", "enc".into()), "its use is not sig"),
        (jwk(Signs::Hs256, "key_ops", json!(["sign"])), "key_ops"),
        (jwk(Signs::Hs256, "alg", "none".into()), "none of"),
        (jwk(Signs::Hs256, "alg", "ES256".into()), "none of"),
        (jwk(Signs::Hs256, "k", short.into()), "less than 32 bytes"),
        (jwk(Signs::Hs256, "k", "!".into()), "not base64url"),
        (jwk(Signs::Es256, "crv", "P-384".into()), "none of"),
        (jwk(Signs::Es256, "x", encode([1; 31]).into()), "x has not 32 bytes"),
        (jwk(Signs::Es256, "y", Value::Null), "y is absent"),
        (jwk(Signs::Es256, "d", encode([1; 32]).into()), "private key"),
        (jwk(Signs::EdDsa, "x", encode([1; 33]).into()), "x has not 32 bytes"),
        (jwk(Signs::Rs256, "n", encode([255; 128]).into()), "2048 to 8192 bits"),
        (jwk(Signs::Rs256, "e", Value::Null), "e is absent"),
    ];
    for (text, fault) in cases {
        fs::write(issuer.viewer_keys(), &text).unwrap();
        let settings = [("FANFARE_VIEWER_KEYS", issuer.viewer_keys())];
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let ended = Pod::try_start(&settings).err().unwrap_or_else(|| panic!("started with {text}"));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(
            ended.said.contains("FANFARE_VIEWER_KEYS: ") && ended.said.contains(fault),
            "{fault}: {ended:?}"
        );
        assert!(!ended.said.contains(&encode(issuer.secret)));
    }
}

/// Keys of kinds and for purposes that are not ours, as identity providers have them beside the ones that sign.
fn foreign_keys(issuer: &Issuer) -> Vec<Value> {
    let with = |signs: Signs, changes: Value| {
        let mut jwk = issuer.jwk(signs);
        for (name, value) in changes.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    };
    vec![
        with(Signs::Rs256, json!({"use": "enc", "alg": "RSA-OAEP", "kid": "encrypts"})),
        with(Signs::Rs256, json!({"use": "enc"})),
        with(Signs::Rs256, json!({"alg": "PS512", "kid": "pss"})),
        with(Signs::Rs256, json!({"n": encode([255; 128]), "kid": "weak"})),
        with(Signs::Es256, json!({"crv": "P-521", "alg": "ES512", "kid": "long"})),
        with(Signs::Es256, json!({"crv": "secp256k1", "alg": "ES256K", "kid": "coins"})),
        with(Signs::EdDsa, json!({"crv": "X25519", "alg": "ECDH-ES", "kid": "agrees"})),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "quantum", "pub": encode([7; 1_312])}),
        json!({"kty": "oct", "alg": "A128KW", "kid": "wraps", "k": encode([7; 16])}),
        json!({"kty": 7}),
        json!("x"),
    ]
}

/// Symptom: a pod exited with 2, and a running one refused every new key, since the identity provider's set held a key
/// for encryption. Cause: each key of the set had to be one of ours (RFC 7517 section 5 has the others ignored).
#[tokio::test]
async fn keys_that_are_not_for_us_are_passed_over_with_one_line() {
    let (issuer, newer, stream) = (Issuer::create(), Issuer::create(), stream_for("foreign"));
    let set = |own: Value| {
        let keys = [foreign_keys(&issuer), vec![own]].concat();
        json!({"keys": keys})
    };
    issuer.write_viewer_keys(&set(issuer.jwk(Signs::Rs256)));
    let pod = keyed(&issuer, &[]);
    let with = |issuer: &Issuer, signs: Signs| issuer.token(signs, &header(signs), &claims("ann"));
    assert!(lets_in(&pod, &stream, &with(&issuer, Signs::Rs256)).await);
    let line = pod.logged(&["keys that are not for viewers' tokens were passed over"], PATIENCE).await;
    assert!(line.contains("key 1: its use is not sig") && line.contains("key 11: "), "{line}");
    assert!(!line.contains(&encode([7; 16])), "no part of a key: {line}");
    issuer.write_viewer_keys(&set(newer.jwk(Signs::Es256)));
    let rotated = async || lets_in(&pod, &stream, &with(&newer, Signs::Es256)).await.then_some(());
    eventually("the new key counts", PATIENCE, rotated).await;
    eventually("one line each time that the file is read", PATIENCE, async || {
        let lines = pod.log_lines().iter().filter(|line| line.contains("were passed over")).count();
        assert!(lines <= 2, "{lines} lines");
        (lines == 2).then_some(())
    })
    .await;
}

/// Symptom: keys without `alg`, as several identity providers publish them, stopped the start. Cause: `alg` was required,
/// which RFC 7517 section 4.4 leaves optional. The type and the curve leave one algorithm.
#[tokio::test]
async fn a_key_without_alg_is_for_the_one_algorithm_that_its_type_allows() {
    let (issuer, stream) = (Issuer::create(), stream_for("no-alg"));
    let bare = |signs: Signs| {
        let mut jwk = issuer.jwk(signs);
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    issuer.write_viewer_keys(&json!({"keys": Signs::ALL.map(bare)}));
    let pod = keyed(&issuer, &[]);
    for signs in Signs::ALL {
        let token = issuer.token(signs, &header(signs), &claims("ann"));
        assert!(lets_in(&pod, &stream, &token).await, "{signs:?}");
    }
    let confused = issuer.token(Signs::Hs256, &json!({"alg": "HS256", "kid": "RS256"}), &claims("ann"));
    assert!(!lets_in(&pod, &stream, &confused).await);
    let newer_name = issuer.token(Signs::EdDsa, &json!({"alg": "Ed25519", "kid": "EdDSA"}), &claims("ann"));
    assert!(lets_in(&pod, &stream, &newer_name).await, "RFC 9864's name of EdDSA with Ed25519");
}

/// Symptom: a new file of keys that the pod could not read was never logged, and the old signing key counted on.
/// Cause: a file that could not be read was taken for one that is being exchanged, however long that lasted.
#[tokio::test]
async fn a_file_of_keys_that_stays_away_is_logged() {
    let issuer = Issuer::create();
    issuer.write_viewer_keys(&json!({"keys": [issuer.jwk(Signs::Es256)]}));
    let pod = keyed(&issuer, &[]);
    let path =
        issuer.settings().into_iter().find(|(name, _)| *name == "FANFARE_VIEWER_KEYS").unwrap().1.to_owned();
    fs::remove_file(&path).unwrap();
    pod.logged(&["file of keys unreadable", "FANFARE_VIEWER_KEYS"], PATIENCE).await;
    issuer.write_viewer_keys(&json!({"keys": [issuer.jwk(Signs::Es256)]}));
    pod.logged(&["file of keys readable again"], PATIENCE).await;
}

/// Symptom: two keys of one `kid`, or one without, stopped the start. Cause: `kid` was taken for a unique name, which
/// RFC 7517 section 4.5 makes neither required nor unique.
#[tokio::test]
async fn keys_may_share_a_kid_or_have_none() {
    let (issuer, newer, stream) = (Issuer::create(), Issuer::create(), stream_for("kids"));
    let mut nameless = newer.jwk(Signs::EdDsa);
    nameless.as_object_mut().unwrap().remove("kid");
    let keys = [issuer.jwk(Signs::Es256), newer.jwk(Signs::Es256), nameless];
    issuer.write_viewer_keys(&json!({"keys": keys}));
    let pod = keyed(&issuer, &[]);
    for signer in [&issuer, &newer] {
        let token = signer.token(Signs::Es256, &header(Signs::Es256), &claims("ann"));
        assert!(lets_in(&pod, &stream, &token).await);
    }
    for head in [json!({"alg": "EdDSA"}), json!({"alg": "EdDSA", "kid": "any"})] {
        assert!(lets_in(&pod, &stream, &newer.token(Signs::EdDsa, &head, &claims("ann"))).await, "{head}");
        assert!(!lets_in(&pod, &stream, &issuer.token(Signs::EdDsa, &head, &claims("ann"))).await);
    }
    // Symptom: a second key in the file locked out all whose tokens have no `kid`, as in each rotation.
    for (signer, is_ours) in [(&issuer, true), (&newer, true), (&Issuer::create(), false)] {
        let nameless = signer.token(Signs::Es256, &json!({"alg": "ES256"}), &claims("ann"));
        assert_eq!(lets_in(&pod, &stream, &nameless).await, is_ours);
    }
}

/// Symptom: tokens of issuers that write "never" and "always" as the ends of their calendars were refused.
/// Cause: times that cannot be counted in milliseconds, or lie before 1970, had another form.
#[tokio::test]
async fn a_token_without_an_end_or_a_beginning_counts_for_the_longest_life() {
    let (issuer, stream) = (Issuer::create(), stream_for("never"));
    let pod = keyed(&issuer, &[]);
    for times in
        [json!({"exp": i64::MAX}), json!({"nbf": -62_135_596_800_i64}), json!({"exp": 1e13, "nbf": 0})]
    {
        assert!(lets_in(&pod, &stream, &issuer.good(&claims_with("ann", &times))).await, "{times}");
    }
}

/// Symptom: tokens of an issuer that lets them live for a month were refused. Cause: a life above
/// `FANFARE_TOKEN_LIFETIME` made a token invalid, although the pod can end it sooner.
#[tokio::test]
async fn a_token_that_lives_too_long_counts_for_the_longest_life() {
    let (issuer, stream) = (Issuer::create(), stream_for("long"));
    let pod = keyed(&issuer, &[("FANFARE_TOKEN_LIFETIME", "1h")]);
    let month = |age_s: u64| {
        let times = json!({"iat": now_s() - age_s, "exp": now_s() + 30 * 86_400});
        issuer.good(&claims_with("ann", &times))
    };
    assert!(lets_in(&pod, &stream, &month(60)).await);
    assert!(!lets_in(&pod, &stream, &month(3_601)).await, "its hour is over");
    pod.logged(&["tokens with a later exp", "FANFARE_TOKEN_LIFETIME"], PATIENCE).await;
    let mut viewer = Join::new(&pod, &stream).bearing(month(3_594)).open().await;
    assert_eq!(viewer.until_closed().await, Some(3000));
    assert!(viewer.has("expiring"));
}

/// `fanfare token` makes what pods with the same settings take, and nothing that they would not.
#[tokio::test]
async fn the_command_makes_tokens_for_development() {
    let (issuer, stream) = (Issuer::create(), stream_for("minted"));
    let pod = keyed(&issuer, &[]);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
        command.env_clear().envs(issuer.settings().into_iter().filter(|(name, _)| *name != "FANFARE_DEMO"));
        command.arg("token").args(arguments).output().unwrap()
    };
    let made = run(&[
        "--sub=u7",
        "--name=Rui",
        &format!("--streams={stream},x-*"),
        "--rights=watch,post",
        "--lives=5m",
    ]);
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).unwrap();
    let mut viewer = Join::new(&pod, &stream).bearing(token.trim()).open().await;
    viewer.say("minted").await;
    viewer.comments(1).await;
    assert_eq!(viewer.seen[0].author, "u7");
    let elsewhere = Join::new(&pod, "elsewhere").bearing(token.trim()).attempt().await;
    assert_eq!(elsewhere.err().flatten().unwrap().status, 403);
    for (wrong, fault) in [
        (&["--sub=u7", "--lives=2d"][..], "lives longer"),
        (&["--sub=", "--lives=1h"], "the token's sub"),
        (&["--sub=u7", "--streams=a*b"], "the token's streams"),
        (&["--sub=u7", "--kid=ES256"], "no such secret"),
        (&["--sub=u7", "--rights=rule"], "rule"),
    ] {
        let refused = run(wrong);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && said.contains(fault), "{wrong:?}: {said}");
        assert!(refused.stdout.is_empty());
    }
}

/// The page is not served beside keys unless it is asked for.
#[tokio::test]
async fn a_pod_with_keys_serves_the_page_only_if_told_to() {
    let issuer = Issuer::create();
    let (with, mut settings) = (keyed(&issuer, &[]), issuer.settings());
    assert_eq!(with.get("/").await.status, 200);
    settings.retain(|(name, _)| *name != "FANFARE_DEMO");
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Pod::start(&settings).get("/").await.assert_problem(404, "not_found");
}
