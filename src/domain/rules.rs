//! What a text must be to be shown to everybody.

use serde_json::{Map, Value};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};
use unicode_segmentation::UnicodeSegmentation as _;

use super::{Author, Refusal};

/// A body's largest size in bytes.
pub const MAX_BODY_BYTES: usize = 2 * 1024;
/// A body's largest length in grapheme clusters (what a reader calls characters).
pub const MAX_BODY_GRAPHEMES: usize = 500;
/// The largest size of `data`, in bytes of compact JSON.
pub const MAX_DATA_BYTES: usize = 2 * 1024;
/// An author id's largest size in bytes.
const MAX_AUTHOR_ID_BYTES: usize = 128;
/// A displayed name's largest length in grapheme clusters.
const MAX_NAME_GRAPHEMES: usize = 64;
/// A displayed name's largest size in bytes.
const MAX_NAME_BYTES: usize = 256;
/// More marks than this on one letter are a drawing across the neighbours' lines, not a script.
const MAX_COMBINING_RUN: usize = 8;

/// Cleans a body: one line, NFC, nothing that steers the display of other people's text.
///
/// # Errors
/// [`Refusal::TooLong`] over 2 KiB or 500 grapheme clusters; [`Refusal::BadRequest`] if nothing visible remains.
pub(super) fn body(raw: &str) -> Result<String, Refusal> {
    let text = displayable(raw, MAX_BODY_BYTES, MAX_BODY_GRAPHEMES)?;
    if text.is_empty() { Err(Refusal::BadRequest("the body is empty")) } else { Ok(text) }
}

/// Cleans the text that goes with a gift or the like; it may be empty.
///
/// # Errors
/// [`Refusal::TooLong`], as for a body.
pub(super) fn caption(raw: &str) -> Result<String, Refusal> {
    displayable(raw, MAX_BODY_BYTES, MAX_BODY_GRAPHEMES)
}

/// Checks an author that a service names; the name is cleaned as a body is.
///
/// # Errors
/// [`Refusal::BadRequest`] for an empty or odd id, or a name with nothing visible; [`Refusal::TooLong`].
pub(super) fn author(raw: Author) -> Result<Author, Refusal> {
    if raw.id.len() > MAX_AUTHOR_ID_BYTES {
        return Err(Refusal::TooLong);
    }
    if raw.id.is_empty() || raw.id.chars().any(|c| c.is_control() || is_bidi_control(c)) {
        return Err(Refusal::BadRequest("author.id must be 1 to 128 bytes without control characters"));
    }
    let name = displayable(&raw.name, MAX_NAME_BYTES, MAX_NAME_GRAPHEMES)?;
    if name.is_empty() {
        return Err(Refusal::BadRequest("author.name is empty"));
    }
    Ok(Author { id: raw.id, name })
}

/// Checks the size of `data`.
///
/// # Errors
/// [`Refusal::TooLong`] over 2 KiB of compact JSON.
pub(super) fn data(data: &Map<String, Value>) -> Result<(), Refusal> {
    let bytes = serde_json::to_string(data).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_DATA_BYTES { Err(Refusal::TooLong) } else { Ok(()) }
}

fn displayable(raw: &str, max_bytes: usize, max_graphemes: usize) -> Result<String, Refusal> {
    // Before any work: what follows costs time and memory in proportion.
    if raw.len() > max_bytes {
        return Err(Refusal::TooLong);
    }
    if raw.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        plain(raw, max_graphemes)
    } else {
        cleaned(raw, max_bytes, max_graphemes)
    }
}

/// Printable ASCII is NFC as it is, and each byte of it is a character as a reader counts them.
fn plain(raw: &str, max_graphemes: usize) -> Result<String, Refusal> {
    let text = raw.trim_matches(' ');
    if text.len() > max_graphemes { Err(Refusal::TooLong) } else { Ok(text.to_owned()) }
}

fn cleaned(raw: &str, max_bytes: usize, max_graphemes: usize) -> Result<String, Refusal> {
    let one_line = raw.chars().map(|c| if is_line_space(c) { ' ' } else { c });
    let harmless = one_line.filter(|c| !c.is_control() && !is_bidi_control(*c));
    let mut run = 0;
    let text: String = harmless
        .nfc()
        .filter(|c| {
            run = match c {
                c if is_combining_mark(*c) => run + 1,
                // Those after it still pile up on the letter before it.
                c if is_invisible(*c) && !c.is_whitespace() => run,
                _ => 0,
            };
            run <= MAX_COMBINING_RUN || !is_combining_mark(*c)
        })
        .collect();
    let text = text.trim();
    if text.chars().all(is_invisible) {
        return Ok(String::new());
    }
    if text.len() > max_bytes || text.graphemes(true).count() > max_graphemes {
        return Err(Refusal::TooLong);
    }
    Ok(text.to_owned())
}

/// Characters that break or tab a line; they separate words, so a space takes their place.
fn is_line_space(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Embeddings, overrides and isolates (UAX #9): unclosed ones turn the text that follows around. Behind them stand the
/// deprecated format characters, which change how digits and brackets are shown.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

/// Characters with no picture of their own: legitimate between others, nothing by themselves.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || is_combining_mark(c)
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_cleaned_not_mangled() {
        let cases = [
            ("hi", "hi"),
            ("  hi  ", "hi"),
            ("a\nb\tc", "a b c"),
            ("a\u{7}b\u{1b}[31m", "ab[31m"),
            ("nul\0", "nul"),
            ("\u{202e}evil\u{202c}", "evil"),
            ("\u{2066}iso\u{2069}", "iso"),
            ("e\u{301}", "é"),
            ("👩\u{200d}👩\u{200d}👧", "👩\u{200d}👩\u{200d}👧"),
            ("<b>bold</b>", "<b>bold</b>"),
            ("مرحبا", "مرحبا"),
        ];
        for (raw, clean) in cases {
            assert_eq!(body(raw).as_deref(), Ok(clean), "{raw:?}");
        }
    }

    #[test]
    fn nothing_visible_is_no_comment() {
        for raw in
            ["", "   ", "\n\n\n", "\0\u{1}\u{2}", "\u{200b}\u{200d}", "\u{202e}\u{202c}", "\u{301}\u{302}"]
        {
            assert_eq!(body(raw), Err(Refusal::BadRequest("the body is empty")), "{raw:?}");
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        assert!(body(&"é".repeat(500)).is_ok());
        assert_eq!(body(&"é".repeat(501)), Err(Refusal::TooLong));
        assert!(body(&"\u{1F600}".repeat(500)).is_ok(), "2,000 bytes");
        assert_eq!(body(&"x".repeat(2049)), Err(Refusal::TooLong));
        assert_eq!(body(&"\n".repeat(10_000)), Err(Refusal::TooLong));
        // Hebrew presentation forms grow under NFC; the limit holds for what is stored.
        assert_eq!(body(&"\u{fb2c}".repeat(682)), Err(Refusal::TooLong));
    }

    #[test]
    fn marks_pile_up_to_eight() {
        let zalgo = format!("a{}b", "\u{489}".repeat(1_000));
        assert_eq!(body(&zalgo).unwrap().chars().count(), 2 + MAX_COMBINING_RUN);
        // Symptom: marks without end, by a joiner after each eight. Cause: whatever was no mark began a new letter.
        let joined = format!("a{}b", format!("{}\u{200d}", "\u{334}".repeat(8)).repeat(50));
        let marks = body(&joined).unwrap().chars().filter(|c| is_combining_mark(*c)).count();
        assert_eq!(marks, MAX_COMBINING_RUN);
    }

    #[test]
    fn authors_have_an_id_and_a_visible_name() {
        let author_of = |id: &str, name: &str| author(Author { id: id.into(), name: name.into() });
        assert!(author_of("u1", "Ann").is_ok());
        assert!(author_of("", "Ann").is_err());
        assert!(author_of("u\n1", "Ann").is_err());
        assert!(author_of("u1", " ").is_err());
        assert_eq!(author_of(&"x".repeat(129), "Ann"), Err(Refusal::TooLong));
        assert_eq!(author_of("u1", &"x".repeat(65)), Err(Refusal::TooLong));
    }

    proptest! {
        #[test]
        fn plain_text_is_what_cleaning_makes_of_it(raw in "[ -~]{0,40}|[ -~]{498,504}") {
            prop_assert_eq!(plain(&raw, MAX_BODY_GRAPHEMES), cleaned(&raw, MAX_BODY_BYTES, MAX_BODY_GRAPHEMES));
        }

        #[test]
        fn whatever_is_accepted_keeps_the_rules(raw in "\\PC{0,300}|[\\x00-\\x7f\u{300}-\u{310}\u{200b}-\u{200f}\u{2028}-\u{206f}]{0,300}") {
            if let Ok(text) = body(&raw) {
                prop_assert!(!text.is_empty() && text.len() <= MAX_BODY_BYTES);
                prop_assert!(text.graphemes(true).count() <= MAX_BODY_GRAPHEMES);
                prop_assert!(!text.chars().any(|c| c.is_control() || is_bidi_control(c)));
                prop_assert!(unicode_normalization::is_nfc(&text));
                prop_assert_eq!(body(&text), Ok(text), "cleaning twice changes nothing");
            }
        }
    }
}
