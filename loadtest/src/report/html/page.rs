//! What a page is written with: markup, texts and numbers.

use std::fmt::{Display, Write as _};

/// A page that grows.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    /// Appends what is HTML already.
    pub(super) fn raw(&mut self, html: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{html}");
    }
}

/// Text as HTML shows it; reasons and codes come from the server, which is not trusted.
pub(super) fn text(plain: &str) -> String {
    let mut safe = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A number as people read it: 1,234,567.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_become_markup() {
        assert_eq!(text("<b a='1' c=\"&\">\n"), "&lt;b a=&#39;1&#39; c=&quot;&amp;&quot;&gt;\u{FFFD}");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
