//! A complete WebSocket frame that every viewer can share.

use bytes::{BufMut as _, Bytes};

use super::Close;

/// A complete, unmasked server frame: header and payload, ready for the socket.
///
/// Server frames are not masked (RFC 6455 section 5.1), so the same bytes serve every viewer. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFrame(Bytes);

const FIN: u8 = 0x80;
const OP_TEXT: u8 = 0x1;
const OP_CLOSE: u8 = 0x8;
const OP_PING: u8 = 0x9;

impl SharedFrame {
    /// A text frame.
    #[must_use]
    pub fn text(payload: &[u8]) -> Self {
        Self::new(OP_TEXT, payload)
    }

    /// A ping of this number; its pong repeats it (RFC 6455 section 5.5.3).
    #[must_use]
    pub fn ping(number: u32) -> Self {
        Self::new(OP_PING, &number.to_be_bytes())
    }

    /// A close frame with the reason's code and text.
    #[must_use]
    pub fn close(close: Close) -> Self {
        let mut payload = close.code().to_be_bytes().to_vec();
        payload.extend_from_slice(close.reason().as_bytes());
        Self::new(OP_CLOSE, &payload)
    }

    fn new(opcode: u8, payload: &[u8]) -> Self {
        let mut frame = Vec::with_capacity(header_bytes(payload.len()) + payload.len());
        frame.put_u8(FIN | opcode);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ 0..=125), _) => frame.put_u8(short),
            (_, Ok(medium)) => {
                frame.put_u8(126);
                frame.put_u16(medium);
            }
            _ => {
                frame.put_u8(127);
                frame.put_u64(payload.len() as u64);
            }
        }
        frame.put_slice(payload);
        // Counted from the start: `Bytes` made of a plain vector allocate their count when they are first cloned, which
        // a lane does.
        Self(Bytes::from_owner(frame))
    }

    /// The frame as it goes to the socket.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The payload alone.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        let header = match self.0.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        };
        self.0.slice(header.min(self.0.len())..)
    }
}

/// How many bytes the header of an unmasked frame takes (RFC 6455 section 5.2).
pub(super) const fn header_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_take_their_three_forms() {
        for (len, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 255, 255]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = SharedFrame::text(&vec![b'x'; len]);
            assert_eq!(frame.bytes()[..header.len()], header);
            assert_eq!(frame.bytes().len(), header.len() + len);
            assert_eq!(frame.payload().len(), len);
        }
    }

    #[test]
    fn close_carries_code_and_reason() {
        assert_eq!(&SharedFrame::close(Close::TooSlow).bytes()[..], b"\x88\x0a\x0b\xc0too slow");
        assert_eq!(&SharedFrame::ping(7).bytes()[..], b"\x89\x04\x00\x00\x00\x07");
    }
}
