//! The report as one page that needs nothing else: no script, no font, no picture from anywhere.

mod chart;
mod figures;
mod sections;

use std::fmt::{Display, Write};

use crate::report::Report;

const STYLE: &str = include_str!("style.css");

/// The page of a report, in UTF-8.
pub fn page(report: &Report) -> String {
    let title = if report.meta.scenario.is_empty() { "run" } else { &report.meta.scenario };
    let mut page = Page::default();
    page.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    page.raw(format_args!(
        "<title>Fanfare load test: {}</title><style>{STYLE}</style></head><body>",
        text(title)
    ));
    sections::head(report, title, &mut page);
    sections::objectives(report, &mut page);
    figures::all(report, &mut page);
    sections::tables(report, &mut page);
    page.raw("</body></html>\n");
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    /// Appends what is HTML already.
    fn raw(&mut self, html: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{html}");
    }
}

/// Text as HTML shows it; reasons and codes come from the server, which is not trusted.
fn text(plain: &str) -> String {
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
fn count(number: u64) -> String {
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
