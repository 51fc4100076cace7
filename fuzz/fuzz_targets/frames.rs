//! Bytes after the handshake → frames → messages, as a viewer's socket reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (first, rest) = bytes.split_at(bytes.len().min(1));
    let piece = first.first().map_or(1, |byte| usize::from(*byte) + 1);
    fanfare::connection::fuzz_frames(rest, piece);
});
