//! A viewer's JSON message → a draft → a comment: whatever comes, a viewer posts plain comments as itself (G13).
#![no_main]

use fanfare::{
    domain::{Kind, Poster, Viewer, fuzz_accept},
    protocol::ClientFrame,
};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(ClientFrame::Post { reference, draft }) = ClientFrame::decode(text) else { return };
    assert!(reference.is_none_or(|reference| reference.len() <= 64));
    let viewer = Viewer::open(Some("ann"), "session").unwrap();
    if let Some((comment, owner)) = fuzz_accept(Poster::Viewer(&viewer), draft) {
        assert!(comment.kind == Kind::Comment && comment.author == viewer.author && comment.data.is_none());
        assert!(owner.is_none_or(|owner| owner == "v:ann"));
    }
});
