//! A client that gets fresh tokens.

use serde_json::json;

use super::{node, process::Client};
use crate::{
    identity::keyed,
    world::{
        Issuer, Pod, Signs,
        issuer::{claims_with, header, now_s},
        stream_for,
    },
};

/// A token that the server warns about soon.
fn brief(issuer: &Issuer) -> String {
    let claims = json!({"iat": now_s(), "exp": now_s() + 10});
    issuer.token(Signs::Hs256, &header(Signs::Hs256), &claims_with("ann", &claims))
}

/// Connects a client that asks for tokens, answers with one, and waits for the warning and the next question.
async fn warned(pod: &Pod, stream: &str, token: &str) -> Client {
    let mut client = Client::run(node().args([&pod.url_at(pod.public), stream, "ask"]));
    client.until("a question", |told| told.iter().any(|told| told["wants"] == "token")).await;
    client.say(&format!("token {token}"));
    client.until("a warning", |told| told.iter().any(|told| told["type"] == "expiring")).await;
    client
        .until("a second question", |told| told.iter().filter(|told| told["wants"] == "token").count() >= 2)
        .await;
    client
}

/// Symptom: one viewer fetched 1,700 to 3,400 tokens in 5 s, and was closed for ever.
/// Cause: its `token` function answered with a cached token, which was sent as another one, and warned about at once.
#[tokio::test]
async fn a_client_does_not_refresh_with_the_token_that_it_shows() {
    let (issuer, stream) = (Issuer::new(), stream_for("cached"));
    let (pod, token) = (keyed(&issuer, &[]), brief(&issuer));
    let mut client = warned(&pod, &stream, &token).await;
    client.say(&format!("token {token}"));
    for number in 0..5 {
        let text = format!("posted after the warning: {number}");
        client.say(&text);
        client.shows(&text).await;
    }
    assert_eq!((client.count("wants", "token"), client.count("type", "expiring")), (2, 1));
}

/// Symptom and cause as above: a token that is fetched slowly was fetched anew for each warning that came meanwhile.
#[tokio::test]
async fn a_client_fetches_a_token_at_most_once_for_each_warning() {
    let (issuer, stream) = (Issuer::new(), stream_for("fresh"));
    let pod = keyed(&issuer, &[]);
    let mut client = warned(&pod, &stream, &brief(&issuer)).await;
    client.say(&format!("token {}", issuer.token_for("ann")));
    client.say("posted after the refresh");
    client.shows("posted after the refresh").await;
    let warnings = client.count("type", "expiring");
    assert!(client.count("wants", "token") <= warnings + 1, "{:?}", client.told);
    assert_eq!(client.count("state", "live"), 1);
}
