//! The only room that prints: tables go to standard output, progress and mistakes to standard error.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool has to answer somewhere")]

use crate::{run::Progress, table};

/// Prints a result.
pub fn result(text: &str) {
    println!("{}", text.trim_end());
}

/// Prints one line of progress.
pub fn progress(now: &Progress) {
    eprintln!("{}", table::progress(now));
}

/// Prints why nothing can be done.
pub fn mistake(text: &str) {
    eprintln!("loadtest: {text}");
}
