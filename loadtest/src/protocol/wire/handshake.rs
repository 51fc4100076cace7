//! The opening handshake (RFC 6455, section 4).

use std::fmt;

use sha1::{Digest, Sha1};

/// A response head longer than this is refused.
const MAX_HEAD_BYTES: usize = 8192;

/// Why a server's answer is no WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeError {
    /// The server answered with another status than 101.
    Status(u16),
    /// The answer is not HTTP/1.1, or its head is over 8 KiB.
    Malformed,
    /// A header that section 4.1 demands is absent or wrong.
    Header(&'static str),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Malformed => f.write_str("malformed answer to the handshake"),
            Self::Header(name) => write!(f, "bad {name} in the answer to the handshake"),
        }
    }
}

/// The nonce of one handshake, in base64.
pub(crate) struct Key(String);

impl Key {
    /// Makes the key of these sixteen bytes.
    pub(crate) fn new(nonce: u128) -> Self {
        Self(base64(&nonce.to_be_bytes()))
    }
}

/// The request for an upgrade; `headers` are further lines, each ended by CR LF.
pub(crate) fn request(authority: &str, path: &str, key: &Key, headers: &str) -> Vec<u8> {
    let Key(key) = key;
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// The length of the response head in `bytes` with its empty line; `None` when more bytes are needed.
pub(crate) fn head_length(bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
    match memchr::memmem::find(bytes, b"\r\n\r\n") {
        Some(at) if at <= MAX_HEAD_BYTES => Ok(Some(at + 4)),
        None if bytes.len() <= MAX_HEAD_BYTES => Ok(None),
        _ => Err(HandshakeError::Malformed),
    }
}

/// The status code and the header lines of a response head.
pub(crate) fn status(head: &[u8]) -> Result<(u16, impl Iterator<Item = (&str, &str)>), HandshakeError> {
    let head = std::str::from_utf8(head).map_err(|_| HandshakeError::Malformed)?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let code = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let code = code.ok_or(HandshakeError::Malformed)?;
    Ok((code, lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))))
}

/// Checks a whole response head against the request's key.
pub(crate) fn verify(head: &[u8], key: &Key) -> Result<(), HandshakeError> {
    let (code, headers) = status(head)?;
    if code != 101 {
        return Err(HandshakeError::Status(code));
    }
    let (mut upgrade, mut connection, mut accept) = (false, false, false);
    for (name, value) in headers {
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => upgrade = value.eq_ignore_ascii_case("websocket"),
            "connection" => connection = value.to_ascii_lowercase().contains("upgrade"),
            "sec-websocket-accept" => accept = value == accept_key(&key.0),
            // Neither was offered, so neither may be chosen.
            "sec-websocket-extensions" => return Err(HandshakeError::Header("Sec-WebSocket-Extensions")),
            "sec-websocket-protocol" => return Err(HandshakeError::Header("Sec-WebSocket-Protocol")),
            _ => {}
        }
    }
    match (upgrade, connection, accept) {
        (false, ..) => Err(HandshakeError::Header("Upgrade")),
        (_, false, _) => Err(HandshakeError::Header("Connection")),
        (.., false) => Err(HandshakeError::Header("Sec-WebSocket-Accept")),
        _ => Ok(()),
    }
}

/// What a server must answer to a `Sec-WebSocket-Key` (RFC 6455, section 4.2.2).
pub fn accept_key(key: &str) -> String {
    let digest =
        Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    base64(&digest)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0usize, |group, byte| group << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = char::from(DIGITS[group >> (18 - 6 * place) & 63]);
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_key_is_the_one_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn base64_has_the_vectors_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn answers_that_are_no_upgrade_are_named() {
        let key = Key::new(7);
        let accept = accept_key(&key.0);
        let answer = |head: &str| verify(head.as_bytes(), &key);
        let good = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
        );
        assert_eq!(answer(&good), Ok(()));
        assert_eq!(answer(&good.replace("101", "503")), Err(HandshakeError::Status(503)));
        assert_eq!(answer(&good.replace(&accept, "x")), Err(HandshakeError::Header("Sec-WebSocket-Accept")));
        assert_eq!(answer(&good.replace("websocket", "h2c")), Err(HandshakeError::Header("Upgrade")));
        assert_eq!(
            answer(&good.replace("Connection: Upgrade", "A: b")),
            Err(HandshakeError::Header("Connection"))
        );
        let extended = good + "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        assert_eq!(answer(&extended), Err(HandshakeError::Header("Sec-WebSocket-Extensions")));
        assert_eq!(answer("SSH-2.0-OpenSSH\r\n"), Err(HandshakeError::Malformed));
        assert_eq!(head_length(&[b'x'; 9000]), Err(HandshakeError::Malformed));
        assert_eq!(head_length(b"HTTP/1.1 101\r\n\r\nrest"), Ok(Some(16)));
    }
}
