//! WebSocket frames as bytes, good ones and bad ones (RFC 6455 section 5.2).

/// What a frame is.
pub mod opcode {
    /// A further fragment.
    pub const CONTINUATION: u8 = 0x0;
    /// Text.
    pub const TEXT: u8 = 0x1;
    /// Binary data.
    pub const BINARY: u8 = 0x2;
    /// A close.
    pub const CLOSE: u8 = 0x8;
    /// A ping.
    pub const PING: u8 = 0x9;
    /// A pong.
    pub const PONG: u8 = 0xA;
}

/// A frame that is proper unless told otherwise: final, masked, with its true length in the shortest form.
#[derive(Debug, Clone)]
pub struct RawFrame {
    first: u8,
    masked: bool,
    length: Option<Vec<u8>>,
    payload: Vec<u8>,
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

impl RawFrame {
    /// A frame with an opcode and a payload.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { first: 0x80 | opcode, masked: true, length: None, payload: payload.as_ref().to_vec() }
    }

    /// A text frame.
    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(opcode::TEXT, payload)
    }

    /// A close frame with a code and a reason.
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(opcode::CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// The same as a fragment that others follow.
    pub fn more(mut self) -> Self {
        self.first &= 0x7f;
        self
    }

    /// The same with reserved bits: 4, 2 and 1 stand for RSV1, RSV2 and RSV3.
    pub fn reserved(mut self, bits: u8) -> Self {
        self.first |= bits << 4;
        self
    }

    /// The same without a mask.
    pub fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// The same with a length that may be wrong: the low seven bits of the second byte, and the bytes that follow.
    pub fn claiming(mut self, seven: u8, extended: &[u8]) -> Self {
        self.length = Some([&[seven], extended].concat());
        self
    }

    /// The frame as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.length.clone().unwrap_or_else(|| {
            match (u8::try_from(self.payload.len()), u16::try_from(self.payload.len())) {
                (Ok(short @ 0..=125), _) => vec![short],
                (_, Ok(medium)) => [&[126][..], &medium.to_be_bytes()].concat(),
                _ => [&[127][..], &(self.payload.len() as u64).to_be_bytes()].concat(),
            }
        });
        let mut bytes = vec![self.first];
        bytes.extend(length);
        if self.masked {
            bytes[1] |= 0x80;
            bytes.extend(MASK);
            bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}
