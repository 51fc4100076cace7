//! A small HTTP/1.1 client: one request a connection, and every byte as the test wants it.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::private;
use crate::{PATIENCE, contract};

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The names of all headers, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that the answer is a problem document (RFC 9457) with this status and code.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{self:?}");
        let told = |field: &str| problem[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("title") && told("detail") && problem["type"] == "about:blank", "{self:?}");
    }

    /// An answer that came in another form.
    pub(super) fn of(status: u16, headers: Vec<(String, String)>, body: String) -> Self {
        Self { status, headers, body }
    }

    fn parse(head: &str, body: &[u8]) -> Self {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// Asks for a page.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, &[], b"").await
}

/// Posts JSON.
pub async fn post(address: SocketAddr, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    request(address, "POST", path, &[("content-type", "application/json")], body.as_bytes()).await
}

/// Makes any well-formed request, which must be answered.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let answer = try_request(address, method, path, headers, body).await;
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Makes a request of a server that is none of ours, which must be answered.
pub async fn request_of_other(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let answer = answer_to(address, &written(address, (method, path), headers, body)).await;
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// Makes a request of a server that may be gone.
pub async fn try_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    exchange(address, &written(address, (method, path), headers, body)).await
}

fn written(
    address: SocketAddr,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    headers.iter().for_each(|(name, value)| bytes.push_str(&format!("{name}: {value}\r\n")));
    if !body.is_empty() {
        bytes.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    bytes.push_str("\r\n");
    [bytes.as_bytes(), body].concat()
}

/// Sends bytes and reads one answer; none if the connection is refused, or closed without one.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let answer = answer_to(address, bytes).await;
    answer.iter().for_each(|answer| contract::answer(bytes, answer));
    answer
}

async fn answer_to(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let socket = private::dial(address).await.ok()?;
    let (mut reading, mut writing) = tokio::io::split(socket);
    // The answer may come, and the connection end, before everything is sent.
    let send = async {
        writing.write_all(bytes).await?;
        writing.flush().await
    };
    let (_, answer) = tokio::join!(send, timeout(PATIENCE, read(&mut reading, bytes.starts_with(b"HEAD "))));
    answer.expect("an answer, or the end of the connection")
}

/// Reads one answer; one to HEAD has no body, although it may name a length.
async fn read(reading: &mut (impl tokio::io::AsyncRead + Unpin), is_head: bool) -> Option<Answer> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&bytes[..end]).unwrap();
            let mut answer = Answer::parse(head, b"");
            let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            if is_head {
                return Some(answer);
            }
            if bytes.len() >= end + 4 + length {
                answer.body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap();
                return Some(answer);
            }
        }
        match reading.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) if bytes.is_empty() => return None,
            Ok(0) | Err(_) => {
                // An answer that ends before the length that it names.
                let text = String::from_utf8_lossy(&bytes);
                return Some(Answer::parse(text.split("\r\n\r\n").next()?, b""));
            }
        }
    }
}
