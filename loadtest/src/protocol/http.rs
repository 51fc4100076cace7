//! A small HTTP/1.1 client for the REST posts: one request at a time over a connection that is kept.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire;

/// A longer answer is refused.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The answer to a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The connection can be used again.
    pub(crate) keep: bool,
}

/// Why there is no answer: the outcome of the request is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    Cut,
    Malformed,
}

/// Writes a request and reads its answer.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
) -> Result<Answer, NoAnswer> {
    stream.write_all(request).await.map_err(|_| NoAnswer::Cut)?;
    stream.flush().await.map_err(|_| NoAnswer::Cut)?;
    let mut bytes = Vec::with_capacity(1024);
    let head = loop {
        match wire::head_length(&bytes).map_err(|_| NoAnswer::Malformed)? {
            Some(length) => break length,
            None => more(stream, &mut bytes).await?,
        }
    };
    let (status, keep, length) = read_head(&bytes[..head]).ok_or(NoAnswer::Malformed)?;
    while bytes.len() < head + length {
        more(stream, &mut bytes).await?;
    }
    let whole = bytes.len() == head + length;
    Ok(Answer { status, body: bytes.drain(head..head + length).collect(), keep: keep && whole })
}

async fn more(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Result<(), NoAnswer> {
    match stream.read_buf(bytes).await {
        Ok(1..) => Ok(()),
        _ => Err(NoAnswer::Cut),
    }
}

/// Status, whether the connection is kept, and the length of the body, which must be given.
fn read_head(head: &[u8]) -> Option<(u16, bool, usize)> {
    let (status, headers) = wire::status(head).ok()?;
    let (mut keep, mut length) = (true, None);
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok().filter(|length| *length <= MAX_BODY_BYTES);
        } else if name.eq_ignore_ascii_case("connection") {
            keep = !value.eq_ignore_ascii_case("close");
        }
    }
    Some((status, keep, if status == 204 { 0 } else { length? }))
}
