//! The report as one page that needs nothing else: no script, no font, no picture from anywhere.

mod chart;
mod figures;
mod page;
mod sections;

use self::page::{Page, text};
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
