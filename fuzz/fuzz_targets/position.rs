//! A position that somebody comes with: what is read is written back alike.
#![no_main]

use fanfare::domain::Position;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(position) = text.parse::<Position>() {
        let again: Position = position.to_string().parse().unwrap();
        assert_eq!(again, position);
    }
});
