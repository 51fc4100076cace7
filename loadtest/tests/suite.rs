//! Tests of the tester: a small fake server breaks one promise at a time, and the tester sees and reports it.

#[cfg(test)]
mod binary;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]
mod fake;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod local;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod tls;
