//! Asks pods which build they are: the report's figures are theirs, whatever the tester was built of.

use std::time::Duration;

use serde::Deserialize;
use tokio::{
    net::lookup_host,
    time::{Instant, timeout},
};

use crate::{
    drive::plan::Target,
    protocol::{dial, dial::Route, http, tls::Tls},
};

/// The longest time that an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Status {
    pod: String,
    version: String,
    build: String,
}

/// Returns the pod's name, version and build behind each ops listener, or the reason why it is not known.
pub(crate) async fn ask(listeners: &[Target], tls: Option<&Tls>) -> Vec<String> {
    let mut told = Vec::with_capacity(listeners.len());
    for listener in listeners {
        told.push(match timeout(ANSWER, status(listener, tls)).await.ok().flatten() {
            Some(Status { pod, version, build }) => format!("{pod} {version} ({build})"),
            None => format!("{} did not tell its build", listener.authority),
        });
    }
    told
}

async fn status(listener: &Target, tls: Option<&Tls>) -> Option<Status> {
    let Target { authority, prefix, .. } = listener;
    let address = lookup_host(authority).await.ok()?.next()?;
    let tls = tls.filter(|_| listener.tls).map(|tls| (tls, authority.as_str()));
    let deadline = Instant::now() + ANSWER;
    let route = Route { address, source: None, receive_bytes: None, deadline, tls };
    let mut socket = dial::connect(route).await.ok()?;
    let request =
        format!("GET {prefix}/status.json HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    let answer = http::exchange(&mut socket, request.as_bytes()).await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}
