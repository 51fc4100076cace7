//! The only room that prints: tables go to standard output, progress and mistakes to standard error.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool has to answer somewhere")]

use std::io::{IsTerminal, Write};

use super::{progress::Progress, table};

/// Prints a result, where the progress bar stood if there was one.
pub fn result(text: &str) {
    wipe();
    println!("{}", text.trim_end());
}

/// Draws the progress bar anew, on a terminal; elsewhere nothing is said.
pub fn progress(now: &Progress) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // Without wrapping, so that a narrow terminal shows its front only. Nobody is harmed if it fails.
        let _ = write!(terminal, "\r\x1b[?7l\x1b[2K{}\x1b[?7h", table::progress(now));
        let _ = terminal.flush();
    }
}

fn wipe() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[2K");
    }
}

/// Prints why nothing can be done.
pub fn mistake(text: &str) {
    wipe();
    eprintln!("loadtest: {text}");
}

/// Prints what somebody may want to know during a run.
pub fn note(text: &str) {
    wipe();
    eprintln!("{text}");
}
