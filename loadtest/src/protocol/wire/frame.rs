//! Frames: masked ones out, unmasked ones in (RFC 6455, section 5).

use std::fmt;

/// The largest message that is taken from a server; a longer one is an error, not an allocation.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// A carry buffer that grew beyond this is given back once it is empty: most viewers only wait.
const KEEP_CARRY_BYTES: usize = 4096;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Text(&'a str),
    Ping(&'a [u8]),
    Pong,
    /// With the close code, if one was given.
    Close(Option<u16>),
}

/// How a server broke RFC 6455; the connection cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireError {
    ReservedBits,
    Opcode,
    Masked,
    TooLong,
    Control,
    Utf8,
    Continuation,
    Binary,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBits => "reserved bits set",
            Self::Opcode => "unknown opcode",
            Self::Masked => "masked server frame",
            Self::TooLong => "message over 1 MiB",
            Self::Control => "bad control frame",
            Self::Utf8 => "text is not UTF-8",
            Self::Continuation => "stray continuation or unfinished message",
            Self::Binary => "binary frame",
        })
    }
}

struct Header {
    fin: bool,
    opcode: u8,
    start: usize,
    length: usize,
}

/// Reads a header from the front of `bytes`; `None` when more bytes are needed.
fn header(bytes: &[u8]) -> Result<Option<Header>, WireError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(WireError::ReservedBits);
    }
    if second & 0x80 != 0 {
        return Err(WireError::Masked);
    }
    let opcode = first & 0x0F;
    let fin = first & 0x80 != 0;
    let (start, length) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (126 | 127, _) => return Ok(None),
        (short, _) => (2, u64::from(short)),
    };
    if opcode >= CLOSE && (!fin || length > 125) {
        return Err(WireError::Control);
    }
    match usize::try_from(length) {
        Ok(length) if length <= MAX_MESSAGE_BYTES => Ok(Some(Header { fin, opcode, start, length })),
        _ => Err(WireError::TooLong),
    }
}

/// What has come from the server and is not yet a whole message; empty (and unallocated) most of the time.
#[derive(Default)]
pub(crate) struct Inbox {
    carry: Vec<u8>,
    fragments: Option<Vec<u8>>,
}

impl Inbox {
    /// Takes what was read and hands each whole message to `on`, in order.
    pub(crate) fn feed<E: From<WireError>>(
        &mut self,
        bytes: &[u8],
        mut on: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.carry.is_empty() {
            let used = self.parse(bytes, &mut on)?;
            self.carry.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(bytes);
        let used = self.parse(&carry, &mut on)?;
        carry.drain(..used);
        if !carry.is_empty() || carry.capacity() <= KEEP_CARRY_BYTES {
            self.carry = carry;
        }
        Ok(())
    }

    fn parse<E: From<WireError>>(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut used = 0;
        while let Some(header) = header(&bytes[used..])? {
            let from = used + header.start;
            let Some(payload) = bytes.get(from..from + header.length) else { break };
            used = from + header.length;
            match (header.opcode, header.fin, self.fragments.is_some()) {
                (TEXT, true, false) => on(Message::Text(text(payload)?))?,
                (TEXT, false, false) => self.fragments = Some(payload.to_vec()),
                (0, fin, true) => self.continued(payload, fin, on)?,
                (TEXT | 0, _, _) => return Err(WireError::Continuation.into()),
                (2, _, _) => return Err(WireError::Binary.into()),
                (CLOSE, _, _) => on(Message::Close(close_code(payload)?))?,
                (PING, _, _) => on(Message::Ping(payload))?,
                (PONG, _, _) => on(Message::Pong)?,
                _ => return Err(WireError::Opcode.into()),
            }
        }
        Ok(used)
    }

    fn continued<E: From<WireError>>(
        &mut self,
        payload: &[u8],
        fin: bool,
        on: &mut impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut whole = self.fragments.take().unwrap_or_default();
        if whole.len() + payload.len() > MAX_MESSAGE_BYTES {
            return Err(WireError::TooLong.into());
        }
        whole.extend_from_slice(payload);
        if fin {
            return on(Message::Text(text(&whole)?));
        }
        self.fragments = Some(whole);
        Ok(())
    }
}

fn text(payload: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(payload).map_err(|_| WireError::Utf8)
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, WireError> {
    match payload {
        [] => Ok(None),
        [_] => Err(WireError::Control),
        [a, b, reason @ ..] => text(reason).map(|_| Some(u16::from_be_bytes([*a, *b]))),
    }
}

/// Appends a masked text frame. The mask need not be unpredictable here: nothing but the target reads it.
pub(crate) fn push_text(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    push(out, TEXT, payload, mask);
}

/// Appends the masked answer to a ping.
pub(crate) fn push_pong(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    push(out, PONG, payload, mask);
}

/// Appends a masked close frame.
pub(crate) fn push_close(out: &mut Vec<u8>, code: u16, mask: [u8; 4]) {
    push(out, CLOSE, &code.to_be_bytes(), mask);
}

fn push(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => out.push(0x80 | short),
        (_, Ok(medium)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]
mod tests {
    use super::*;

    fn read(inbox: &mut Inbox, bytes: &[u8]) -> Result<Vec<String>, WireError> {
        let mut said = Vec::new();
        inbox.feed(bytes, |message| {
            said.push(format!("{message:?}"));
            Ok::<(), WireError>(())
        })?;
        Ok(said)
    }

    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            n @ ..126 => frame.push(n as u8),
            n @ ..65536 => frame.extend([126, (n >> 8) as u8, n as u8]),
            n => frame.extend([127].into_iter().chain((n as u64).to_be_bytes())),
        }
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn messages_survive_any_cut() {
        let mut bytes = server_frame(0x81, b"one");
        bytes.extend(server_frame(0x89, b"ping"));
        bytes.extend(server_frame(0x81, &[b'x'; 300]));
        bytes.extend(server_frame(0x01, b"fra"));
        bytes.extend(server_frame(0x8A, b""));
        bytes.extend(server_frame(0x80, b"gment"));
        bytes.extend(server_frame(0x81, &[b'y'; 70_000]));
        bytes.extend(server_frame(0x88, &[0x0B, 0xC0]));
        let whole = read(&mut Inbox::default(), &bytes).unwrap();
        assert_eq!(whole.len(), 7);
        assert_eq!(whole[0], r#"Text("one")"#);
        assert_eq!(whole[4], r#"Text("fragment")"#);
        assert_eq!(whole[6], "Close(Some(3008))");
        for step in [1, 2, 3, 7, 131, 4096] {
            let mut inbox = Inbox::default();
            let mut said = Vec::new();
            for piece in bytes.chunks(step) {
                said.extend(read(&mut inbox, piece).unwrap());
            }
            assert_eq!(said, whole, "in pieces of {step}");
            assert!(inbox.carry.is_empty() && inbox.carry.capacity() <= KEEP_CARRY_BYTES);
        }
    }

    #[test]
    fn broken_frames_are_named() {
        let long = [0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0];
        let cases: [(&[u8], WireError); 10] = [
            (&[0xC1, 0], WireError::ReservedBits),
            (&[0x83, 0], WireError::Opcode),
            (&[0x81, 0x80], WireError::Masked),
            (&long, WireError::TooLong),
            (&[0x09, 0], WireError::Control),
            (&[0x89, 126, 0, 126], WireError::Control),
            (&[0x88, 1, 3], WireError::Control),
            (&[0x81, 1, 0xFF], WireError::Utf8),
            (&[0x80, 0], WireError::Continuation),
            (&[0x82, 0], WireError::Binary),
        ];
        for (bytes, error) in cases {
            assert_eq!(read(&mut Inbox::default(), bytes), Err(error));
        }
    }

    #[test]
    fn client_frames_are_masked() {
        for size in [0, 5, 125, 126, 65_535, 65_536] {
            let payload = vec![b'a'; size];
            let mut out = Vec::new();
            push_text(&mut out, &payload, [1, 2, 3, 4]);
            let head = out.len() - size - 4;
            assert_eq!(out[0], 0x81);
            assert!(out[1] & 0x80 != 0);
            let unmasked: Vec<u8> =
                out[head + 4..].iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(unmasked, payload);
        }
    }
}
