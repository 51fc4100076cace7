//! What a text must be to be shown to everybody.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, PrependedConcatenationMark},
};
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
    check_author_id(&raw.id)?;
    let name = displayable(&raw.name, MAX_NAME_BYTES, MAX_NAME_GRAPHEMES)?;
    if name.is_empty() {
        return Err(Refusal::BadRequest("author.name is empty"));
    }
    Ok(Author { id: raw.id, name })
}

/// Makes an author of a token's user. A name that is too long is shortened, and the id takes the place of one with nothing
/// visible: an issuer keeps names for other purposes, too, and no user is kept out by them.
///
/// # Errors
/// [`Refusal::BadRequest`] for an empty or odd id, or one with nothing visible where it is the name; [`Refusal::TooLong`].
pub(super) fn vouched_author(id: String, name: Option<&str>) -> Result<Author, Refusal> {
    check_author_id(&id)?;
    let names = name.into_iter().chain([id.as_str()]);
    let name = names.map(shortened_name).find(|name| !name.is_empty());
    let name = name.ok_or(Refusal::BadRequest("author.name is empty"))?;
    Ok(Author { id, name })
}

fn check_author_id(id: &str) -> Result<(), Refusal> {
    if id.len() > MAX_AUTHOR_ID_BYTES {
        return Err(Refusal::TooLong);
    }
    if id.is_empty() || id.chars().any(|c| c.is_control() || is_bidi_control(c)) {
        return Err(Refusal::BadRequest("author.id must be 1 to 128 bytes without control characters"));
    }
    Ok(())
}

/// As much of a name as is shown; empty if nothing of that is visible.
fn shortened_name(raw: &str) -> String {
    let name = harmless(raw);
    let mut end = 0;
    for (at, grapheme) in name.grapheme_indices(true).take(MAX_NAME_GRAPHEMES) {
        let next = at + grapheme.len();
        if next > MAX_NAME_BYTES {
            break;
        }
        end = next;
    }
    let name = name[..end].trim();
    if is_blank(name) { String::new() } else { name.to_owned() }
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
    let text = harmless(raw);
    if is_blank(&text) {
        return Ok(String::new());
    }
    if text.len() > max_bytes || text.graphemes(true).count() > max_graphemes {
        return Err(Refusal::TooLong);
    }
    Ok(text)
}

/// One line in NFC, without what steers the display of other people's text.
fn harmless(raw: &str) -> String {
    let one_line = raw.chars().map(|c| if is_line_space(c) { ' ' } else { c });
    let harmless = one_line.filter(|c| !c.is_control() && !is_bidi_control(*c));
    let mut run = 0;
    let text: String = harmless
        .nfc()
        .filter(|c| {
            run = match c {
                c if is_combining_mark(*c) => run + 1,
                // Those after it still pile up on the letter before it.
                c if is_ignorable(*c) => run,
                _ => 0,
            };
            run <= MAX_COMBINING_RUN || !is_combining_mark(*c)
        })
        .collect();
    text.trim().to_owned()
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

/// Returns whether nothing of the text is visible.
fn is_blank(text: &str) -> bool {
    /// A cell of Braille without a dot; it has a place in drawings, between cells with dots.
    const BLANK_BRAILLE: char = '\u{2800}';
    let is_invisible =
        |c: char| c.is_whitespace() || c == BLANK_BRAILLE || is_combining_mark(c) || is_ignorable(c);
    text.chars().all(is_invisible)
}

/// Returns whether the character has no picture of its own and takes no room: it is legitimate between others, and nothing
/// by itself. Format characters beside the default-ignorable ones are those of annotations; marks that enclose the numbers
/// after them are visible.
fn is_ignorable(c: char) -> bool {
    let is_format = || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format;
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || is_format() && !CodePointSetData::new::<PrependedConcatenationMark>().contains(c)
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

    /// Symptom: comments and names of one of these were taken, and shown as nothing. Cause: the invisible characters stood
    /// in a list, and Unicode has more.
    #[test]
    fn text_of_invisible_characters_alone_is_empty() {
        for c in
            "\u{2800}\u{115f}\u{1160}\u{61c}\u{2065}\u{fff9}\u{fffb}\u{1d173}\u{1bca0}\u{ad}\u{180b}\u{180e}\
                  \u{17b4}\u{200b}\u{2060}\u{3164}\u{ffa0}\u{feff}\u{fe0f}\u{e0001}\u{e0100}\u{e0fff}\u{3000}"
                .chars()
        {
            let alone = [c.to_string(), c.to_string().repeat(9), format!(" {c}\u{200d}{c}\u{301}\u{2800}\n")];
            for raw in alone {
                assert_eq!(body(&raw), Err(Refusal::BadRequest("the body is empty")), "{raw:?}");
                let named = author(Author { id: "u1".to_owned(), name: raw.clone() });
                assert_eq!(named, Err(Refusal::BadRequest("author.name is empty")), "{raw:?}");
            }
            assert!(body(&format!("{c}x{c}")).is_ok(), "beside what is visible: {c:?}");
        }
        assert!(author(Author { id: "u1".to_owned(), name: "\u{2800}".to_owned() }).is_err());
    }

    #[test]
    fn drawings_in_braille_and_marks_that_enclose_numbers_stay() {
        for text in ["⠀⣠⣶⡾⠏⠉⠙⠳⢦⡀⠀⠀", "⠀⠀⣿", "\u{600}", "\u{6dd}12", "\u{110bd}"]
        {
            assert_eq!(body(text).as_deref(), Ok(text));
        }
    }

    /// Symptom: users of an identity provider were kept out by their names. Cause: a token's `name` had to be one that may
    /// be shown, and a long id without a name as well.
    #[test]
    fn a_tokens_name_is_shortened_and_its_id_takes_the_place_of_nothing_visible() {
        let name_of = |id: &str, name| vouched_author(id.to_owned(), name).map(|author| author.name);
        let long = "x".repeat(100);
        for (name, shown) in [
            (Some("Ann"), "Ann"),
            (None, "u1"),
            (Some(" "), "u1"),
            (Some("\u{2800}\u{200b}"), "u1"),
            (Some("A\nnn\u{202e}"), "A nn"),
            (Some(long.as_str()), &long[..64]),
        ] {
            assert_eq!(name_of("u1", name).as_deref(), Ok(shown), "{name:?}");
        }
        assert_eq!(name_of(&long, None).as_deref(), Ok(&long[..64]));
        let family = "👩\u{200d}👩\u{200d}👧".repeat(50);
        let shown = name_of("u1", Some(family.as_str())).unwrap();
        assert!(shown.len() <= MAX_NAME_BYTES && shown.ends_with('👧') && family.starts_with(&shown));
        assert!(author(Author { id: "u1".to_owned(), name: shown }).is_ok(), "what is shown keeps the rules");
        for (id, fault) in [("", "id"), ("u\n1", "id"), ("\u{2800}", "name")] {
            assert!(
                matches!(name_of(id, None), Err(Refusal::BadRequest(told)) if told.contains(fault)),
                "{id:?}"
            );
        }
        assert_eq!(name_of(&"x".repeat(129), Some("Ann")), Err(Refusal::TooLong));
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
