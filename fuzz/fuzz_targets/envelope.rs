//! What another pod, or a stranger, says on a channel → an entry.
#![no_main]

use fanfare::protocol::Entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Entry::decode(&bytes.to_vec().into());
});
