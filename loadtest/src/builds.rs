//! Asks pods which build they are: the report's figures are theirs, whatever the tester was built of.

use std::time::Duration;

use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use crate::http;

/// The longest time that an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Status {
    pod: String,
    version: String,
    build: String,
}

/// Returns the pod's name, version and build behind each ops listener, or the reason why it is not known.
pub(crate) async fn ask(listeners: &[String]) -> Vec<String> {
    let mut told = Vec::with_capacity(listeners.len());
    for authority in listeners {
        told.push(match timeout(ANSWER, status(authority)).await.ok().flatten() {
            Some(Status { pod, version, build }) => format!("{pod} {version} ({build})"),
            None => format!("{authority} did not tell its build"),
        });
    }
    told
}

async fn status(authority: &str) -> Option<Status> {
    let mut socket = TcpStream::connect(authority).await.ok()?;
    let request = format!("GET /status.json HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    let answer = http::exchange(&mut socket, request.as_bytes()).await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}
