//! The behaviour of every client that gets fresh tokens.

use std::process::Command;

use serde_json::{Value, json};

use super::process::{Client, is_live};
use crate::{
    Issuer, Join, PATIENCE, Pod, Relay, Signs, eventually,
    issuer::{claims_with, header, keyed, now_s},
    stream_for,
};

/// A token of which the server warns at once, since less than a fifth of its life and less than a minute is left.
fn late(issuer: &Issuer, lifetime_s: u64) -> String {
    let ends = now_s() + 50;
    let claims = json!({"iat": ends - lifetime_s, "exp": ends});
    issuer.token(Signs::Hs256, &header(Signs::Hs256), &claims_with("ann", &claims))
}

fn count(told: &[Value], name: &str, value: &str) -> usize {
    told.iter().filter(|told| told[name] == value).count()
}

/// Waits until the client has asked for so many tokens.
async fn asks(client: &mut Client, times: usize) {
    client.until(&format!("question {times}"), |told| count(told, "wants", "token") >= times).await;
}

/// Waits until the client has been warned so often.
async fn is_warned(client: &mut Client, times: usize) {
    client.until(&format!("warning {times}"), |told| count(told, "type", "expiring") >= times).await;
}

/// Posts and sees the posts, so that all that went before is done.
async fn goes_on(client: &mut Client, text: &str) {
    for number in 0..5 {
        let text = format!("{text}: {number}");
        client.say(&text);
        client.shows(&text).await;
    }
}

/// Connects a client that asks for tokens, answers with one, and waits for the warning and the next question.
async fn warned(command: impl Fn() -> Command, url: &str, stream: &str, token: &str) -> Client {
    let mut client = Client::run(command().args([url, stream, "ask"]));
    asks(&mut client, 1).await;
    client.say(&format!("token {token}"));
    is_warned(&mut client, 1).await;
    asks(&mut client, 2).await;
    client
}

fn started() -> (Issuer, Pod, String) {
    let issuer = Issuer::create();
    let pod = keyed(&issuer, &[]);
    (issuer, pod, stream_for("tokens"))
}

/// Symptom: one viewer fetched 1,700 to 3,400 tokens in 5 s, and was closed for ever.
/// Cause: its `token` function answered with a cached token, which was sent as another one, and warned about at once.
pub async fn does_not_refresh_with_the_token_that_it_shows(command: impl Fn() -> Command) {
    let (issuer, pod, stream) = started();
    let token = late(&issuer, 300);
    let mut client = warned(command, &pod.url_at(pod.public), &stream, &token).await;
    // With other keys the pod would answer this token with an error, on the socket that it let in before.
    issuer.write_viewer_keys(&Issuer::stranger().jwks());
    eventually("the keys are exchanged", PATIENCE, async || {
        Join::new(&pod, &stream).bearing(&token).try_open().await.is_none().then_some(())
    })
    .await;
    client.say(&format!("token {token}"));
    goes_on(&mut client, "after the answer").await;
    assert_eq!((client.count("wants", "token"), client.count("type", "expiring")), (2, 1));
    assert_eq!(client.count("type", "error"), 0, "{:?}", client.told);
}

/// Symptom and cause as above: a token that is fetched slowly was fetched anew for each warning that came meanwhile.
pub async fn fetches_one_token_for_several_warnings(command: impl Fn() -> Command) {
    let (issuer, pod, stream) = started();
    let relay = Relay::to(pod.public).await;
    let mut client = warned(command, &pod.url_at(relay.address), &stream, &late(&issuer, 300)).await;
    // The second question stays unanswered; the third is for the next connection, which is warned of its own token.
    relay.cut();
    asks(&mut client, 3).await;
    client.say(&format!("token {}", late(&issuer, 301)));
    is_warned(&mut client, 2).await;
    goes_on(&mut client, "after the second warning").await;
    assert_eq!(client.count("wants", "token"), 3, "{:?}", client.told);
    client.say(&format!("token {}", issuer.token_for("ann")));
    goes_on(&mut client, "after the refresh").await;
    assert_eq!((client.count("wants", "token"), client.count("state", "live")), (3, 2));
    assert_eq!(client.count("type", "expiring"), 2, "{:?}", client.told);
}

/// Symptom: after a lost connection the client stopped for ever, once the app's backend had given it no token.
/// Cause: it connected without one, and was refused with 401.
pub async fn asks_again_for_a_token_that_it_was_not_given(command: impl Fn() -> Command) {
    let (issuer, pod, stream) = started();
    let relay = Relay::to(pod.public).await;
    let mut client = Client::run(command().args([&pod.url_at(relay.address), &stream, "ask"]));
    for question in 1..=2 {
        asks(&mut client, question).await;
        client.say("token ");
    }
    asks(&mut client, 3).await;
    client.say(&format!("token {}", issuer.token_for("ann")));
    client.until("hello", is_live).await;
    goes_on(&mut client, "with a token").await;
    assert_eq!((client.count("wants", "token"), client.count("state", "closed")), (3, 0));
    assert_eq!(relay.came(), 1, "no connection without a token");
}
