//! The files of keys: what may stand in them, and that they are read again. The command that makes tokens.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::keyed;
use crate::world::{
    Answer, Issuer, Join, PATIENCE, Pod, Signs, eventually,
    issuer::{claims, encode, service, service_key},
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
    let (issuer, newer, stream) = (Issuer::new(), Issuer::new(), stream_for("rotation"));
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
    let (issuer, stream) = (Issuer::new(), stream_for("overlap"));
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
    let issuer = Issuer::new();
    let jwk = |signs: Signs, name: &str, value: Value| {
        let mut jwk = issuer.jwk(signs);
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value;
        }
        json!({"keys": [jwk]}).to_string()
    };
    let twice = json!({"keys": [issuer.jwk(Signs::Hs256), issuer.jwk(Signs::Hs256)]}).to_string();
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
            "no JWK Set",
        ),
        ("{\"keys\":[]}".to_owned(), "the file names no key"),
        (twice, "another one has the kid"),
        (jwk(Signs::Hs256, "kid", Value::Null), "kid is absent"),
        (jwk(Signs::Hs256, "alg", Value::Null), "alg is absent"),
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

/// `fanfare token` makes what pods with the same settings take, and nothing that they would not.
#[tokio::test]
async fn the_command_makes_tokens_for_development() {
    let (issuer, stream) = (Issuer::new(), stream_for("minted"));
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
        (&["--sub=", "--lives=1h"], "a claim"),
        (&["--sub=u7", "--streams=a*b"], "a claim"),
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
    let issuer = Issuer::new();
    let (with, mut settings) = (keyed(&issuer, &[]), issuer.settings());
    assert_eq!(with.get("/").await.status, 200);
    settings.retain(|(name, _)| *name != "FANFARE_DEMO");
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Pod::start(&settings).get("/").await.assert_problem(404, "not_found");
}
