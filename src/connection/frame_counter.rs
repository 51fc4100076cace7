//! How many frames came, counted on the raw bytes: tungstenite tells of whole messages only, and endless empty
//! fragments would never make one.

/// The most fragments of one message; nobody needs so many for 16 KiB.
const MAX_FRAGMENTS: u32 = 2_048;

/// Where the count stands in the bytes (RFC 6455 section 5.2). What breaks the protocol is counted somehow: tungstenite
/// ends such a socket.
#[derive(Debug, Default)]
pub(super) struct FrameCounter {
    /// The header that is coming.
    header: [u8; 10],
    /// How many of its bytes are here.
    known: u8,
    /// Bytes of mask and payload until the next header.
    rest: u64,
    /// Fragments of the message that is coming.
    fragments: u32,
}

/// A message in more fragments than anybody needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyFragments;

impl FrameCounter {
    /// Sees the next bytes; returns how many frames began in them, those whose header is whole.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Result<u32, TooManyFragments> {
        let mut begun = 0;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
                self.rest -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header[usize::from(self.known)] = bytes[0];
            self.known += 1;
            bytes = &bytes[1..];
            if let Some(payload) = self.length() {
                begun += 1;
                let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
                self.rest = payload.saturating_add(mask);
                self.known = 0;
                self.count_fragment()?;
            }
        }
        Ok(begun)
    }

    /// The payload's length, once the header is whole.
    fn length(&self) -> Option<u64> {
        let [_, second, extended @ ..] = &self.header;
        match (self.known, second & 0x7f) {
            (0 | 1, _) => None,
            (_, short @ 0..=125) => Some(short.into()),
            (4.., 126) => extended.first_chunk().map(|length| u16::from_be_bytes(*length).into()),
            (10, 127) => extended.first_chunk().map(|length| u64::from_be_bytes(*length)),
            _ => None,
        }
    }

    fn count_fragment(&mut self) -> Result<(), TooManyFragments> {
        let (is_final, opcode) = (self.header[0] & 0x80 != 0, self.header[0] & 0x0f);
        // Control frames may stand between fragments.
        if opcode >= 8 {
            return Ok(());
        }
        let fragments = self.fragments + 1;
        self.fragments = if is_final { 0 } else { fragments };
        if fragments > MAX_FRAGMENTS { Err(TooManyFragments) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A masked frame.
    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let length = match payload {
            0..=125 => vec![0x80 | u8::try_from(payload).unwrap()],
            126..=65_535 => [&[0x80 | 126][..], &u16::try_from(payload).unwrap().to_be_bytes()].concat(),
            _ => [&[0x80 | 127][..], &(payload as u64).to_be_bytes()].concat(),
        };
        [&[first][..], &length, &[1, 2, 3, 4], &vec![0x81; payload]].concat()
    }

    proptest! {
        /// However the bytes are cut, each frame counts once.
        #[test]
        fn frames_are_counted_in_any_pieces(
            payloads in prop::collection::vec(prop_oneof![0..200_usize, 65_530..65_540_usize], 1..8),
            piece in 1..4_000_usize,
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(0x81, *payload)).collect();
            let mut frame_counter = FrameCounter::default();
            let counted: u32 = bytes.chunks(piece).map(|piece| frame_counter.see(piece).unwrap()).sum();
            prop_assert_eq!(counted as usize, payloads.len());
        }

        #[test]
        fn any_bytes_are_counted_somehow(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = FrameCounter::default().see(&bytes);
        }
    }

    #[test]
    fn endless_fragments_have_an_end_and_frames_between_them_do_not_count() {
        let mut frame_counter = FrameCounter::default();
        assert_eq!(frame_counter.see(&frame(0x01, 0)), Ok(1));
        for _ in 1..MAX_FRAGMENTS {
            assert_eq!(frame_counter.see(&frame(0x00, 0)), Ok(1));
            assert_eq!(frame_counter.see(&frame(0x89, 0)), Ok(1), "a ping");
        }
        assert_eq!(frame_counter.see(&frame(0x00, 0)), Err(TooManyFragments));
        let mut frame_counter = FrameCounter::default();
        for _ in 0..3 * MAX_FRAGMENTS {
            assert_eq!(frame_counter.see(&frame(0x01, 1)), Ok(1));
            assert_eq!(frame_counter.see(&frame(0x80, 1)), Ok(1));
        }
    }
}
