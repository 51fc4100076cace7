//! Readers of settings, which collect what is wrong.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use crate::shards::{ShardAddress, parse_shards};

pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

pub(super) const MAX_NAME_BYTES: usize = 128;

/// Everything that is wrong with the settings, each in a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadConfig(pub Vec<String>);

/// Reads settings; collects what is wrong and goes on with a value that is never used.
pub(super) struct Faults(pub(super) Vec<String>);

impl Faults {
    pub(super) fn address(&mut self, name: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.0.push(format!("{name}: {text:?} is not an address and port, such as 127.0.0.1:8080"));
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub(super) fn boolean(&mut self, name: &str, text: &str) -> bool {
        text.parse().unwrap_or_else(|_| {
            self.0.push(format!("{name}: {text:?} is neither true nor false"));
            false
        })
    }

    pub(super) fn name(&mut self, name: &str, text: String) -> String {
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.chars().all(is_name_char) {
            self.0.push(format!("{name}: {text:?} is not 1 to 128 characters of A-Z, a-z, 0-9, _, - and ."));
        }
        text
    }

    pub(super) fn number<T: FromStr + PartialOrd + Copy + Display>(
        &mut self,
        name: &str,
        text: &str,
        range: RangeInclusive<T>,
    ) -> T {
        text.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.0.push(format!(
                "{name}: {text:?} is not a number from {} to {}",
                range.start(),
                range.end()
            ));
            *range.start()
        })
    }

    pub(super) fn shards(&mut self, list: Option<String>, file: Option<PathBuf>) -> Vec<ShardAddress> {
        let (name, text) = match (list, file) {
            (Some(list), Some(_)) if !list.is_empty() => {
                let fault = "FANFARE_SHARDS_FILE: there is FANFARE_SHARDS as well; leave one of them out";
                self.0.push(fault.to_owned());
                return Vec::new();
            }
            (_, Some(file)) => {
                (format!("FANFARE_SHARDS_FILE: {}", file.display()), std::fs::read_to_string(file))
            }
            (Some(list), None) => ("FANFARE_SHARDS".to_owned(), Ok(list)),
            (None, None) => return Vec::new(),
        };
        match text {
            // A file that was never filled must not make a fleet of pods that know nothing of each other.
            Ok(text) if name.starts_with("FANFARE_SHARDS_FILE") && text.trim().is_empty() => {
                self.0.push(format!("{name}: the file names no shard"));
                Vec::new()
            }
            // Nor a list of which only the separators are left.
            Ok(text) if !text.is_empty() && parse_shards(&text).is_ok_and(|shards| shards.is_empty()) => {
                self.0.push(format!("{name}: the list names no shard; leave it out for the embedded one"));
                Vec::new()
            }
            Ok(text) => parse_shards(&text).unwrap_or_else(|wrong| {
                self.0.extend(wrong.into_iter().map(|fault| format!("{name}: {fault}")));
                Vec::new()
            }),
            Err(error) => {
                self.0.push(format!("{name}: {error}"));
                Vec::new()
            }
        }
    }

    pub(super) fn grace(&mut self, text: &str, exit: Duration) {
        let grace = self.duration("FANFARE_GRACE", text, 1, 86_400);
        if grace > Duration::ZERO && grace < exit {
            self.0.push(format!(
                "FANFARE_GRACE: the exit may take {} (FANFARE_SETTLE + FANFARE_DRAIN + 5s), longer than the grace of {}",
                humantime::format_duration(exit),
                humantime::format_duration(grace)
            ));
        }
    }

    pub(super) fn duration(&mut self, name: &str, text: &str, least_s: u64, most_s: u64) -> Duration {
        let range = Duration::from_secs(least_s)..=Duration::from_secs(most_s);
        humantime::parse_duration(text).ok().filter(|duration| range.contains(duration)).unwrap_or_else(
            || {
                self.0.push(format!(
                    "{name}: {text:?} is not a time such as 500ms, 10s or 1h, from {least_s}s to {most_s}s"
                ));
                Duration::ZERO
            },
        )
    }
}
