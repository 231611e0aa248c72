//! Speaking to people: a line on standard output or standard error, which may be closed without harm (`concord dev | head`).

use std::fmt::Display;
use std::io::Write;

/// Prints a line. A reader who has gone is no failure of ours.
pub(crate) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints a line beside what was asked for, on standard error.
pub(crate) fn warn(line: impl Display) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{line}");
}
