//! Texts and names: what is accepted keeps the rules, and cleaning it again changes nothing.
#![no_main]

use fanfare::domain::{Draft, MAX_BODY_BYTES, Poster, Viewer, fuzz_accept};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let viewer = Viewer::open(None, "session").unwrap();
    let accept = |text: &str| fuzz_accept(Poster::Viewer(&viewer), Draft::comment(text));
    if let Some((comment, _)) = accept(text) {
        assert!(!comment.body.is_empty() && comment.body.len() <= MAX_BODY_BYTES);
        assert!(!comment.body.chars().any(char::is_control));
        let (again, _) = accept(&comment.body).expect("what was accepted is acceptable");
        assert_eq!(again.body, comment.body);
    }
    let _ = Viewer::open(Some(text), "session");
});
