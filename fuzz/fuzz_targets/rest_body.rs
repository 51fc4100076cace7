//! A body of a backend's post, single or in a batch → drafts → comments.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fanfare::http::fuzz_bodies(bytes));
