//! Scenario files: the shape of a load in TOML, read with every mistake and its line named at once.
//!
//! What a flag of `run` can say becomes that flag, before those of the command line, which so override it; what
//! happens during the posting becomes `Events`. The only room that knows TOML.

mod read;

use std::{fs, path::Path};

use toml::de::DeTable;

use crate::drive::{
    args::TOLERABLE,
    events::{Burst, Churn, CurvePoint, Events, Raid, Slow, Storm},
};
use read::{Mistakes, Table};

/// A longer file is no scenario.
const MAX_FILE_BYTES: u64 = 1 << 20;
const LONGEST_SECONDS: f64 = 86_400.0;
const MAX_VIEWERS: u32 = 1_000_000;

/// Flags of `run` that take a whole number: name, least, most.
const WHOLE: [(&str, u32, u32); 17] = [
    ("viewers", 0, MAX_VIEWERS),
    ("streams", 1, 1_000_000),
    ("watched", 1, 1_000_000),
    ("body_bytes", 44, 500),
    ("stuck", 0, 100_000),
    ("resumers", 0, MAX_VIEWERS),
    ("resume_times", 1, 1000),
    ("rest_connections", 1, 10_000),
    ("posters", 1, 1000),
    ("window_ms", 0, 600_000),
    ("idle_ms", 0, 600_000),
    ("handshake_ms", 1, 600_000),
    ("joins_ms", 1, 3_600_000),
    ("in_flight", 1, 100_000),
    ("request_ms", 1, 600_000),
    ("processes", 1, 64),
    ("threads", 1, 64),
];

/// A load that has a name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scenario {
    /// A word for lists and file names.
    pub name: String,
    /// One sentence about what it shows.
    pub about: String,
    /// Flags of `run`.
    pub flags: Vec<String>,
    /// What happens during the posting.
    pub events: Events,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// Every mistake of it as `FILE:LINE: what`.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let shown = path.display();
        let size = fs::metadata(path).map_err(|error| vec![format!("{shown}: {error}")])?.len();
        if size > MAX_FILE_BYTES {
            return Err(vec![format!("{shown}: larger than 1 MiB")]);
        }
        let text = fs::read_to_string(path).map_err(|error| vec![format!("{shown}: {error}")])?;
        let scenario = Self::parse(&text).map_err(|mistakes| {
            mistakes.into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")).collect::<Vec<_>>()
        })?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: if scenario.name.is_empty() { stem.into_owned() } else { scenario.name },
            ..scenario
        })
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Every mistake of it with its line.
    pub fn parse(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let mistakes = Mistakes::of(text);
        let (table, broken) = DeTable::parse_recoverable(text);
        for error in &broken {
            mistakes.note(error.span().map_or(0, |span| span.start), error.message());
        }
        let mut table = Table::of(table.get_ref(), ("", 0), &mistakes);
        let scenario = scenario(&mut table);
        table.end();
        let found = mistakes.into_lines();
        if found.is_empty() { Ok(scenario) } else { Err(found) }
    }
}

fn scenario(table: &mut Table<'_>) -> Scenario {
    let name = table.text("name").unwrap_or_default();
    let about = table.text("about").unwrap_or_default();
    let mut flags = Flags::default();
    for (key, least, most) in WHOLE {
        flags.push(key, table.whole(key, least..=most));
    }
    for (key, most) in [("rate", 1e5), ("gifts_per_second", 1e5)] {
        flags.push(key, table.number(key, 0.0..=most));
    }
    let seconds = table.number("seconds", 0.1..=LONGEST_SECONDS);
    flags.push("seconds", seconds);
    for key in ["rest", "reconnect"] {
        if table.truth(key) == Some(true) {
            flags.0.push(format!("--{key}"));
        }
    }
    let tolerate = table.words("tolerate", &TOLERABLE);
    flags.push("tolerate", (!tolerate.is_empty()).then(|| tolerate.join(",")));
    slo(table, &mut flags);
    let events = events(table, seconds.unwrap_or(LONGEST_SECONDS));
    Scenario { name, about, flags: flags.0, events }
}

#[derive(Default)]
struct Flags(Vec<String>);

impl Flags {
    fn push(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        self.0.extend(value.map(|value| format!("--{}={value}", key.replace('_', "-"))));
    }
}

fn slo(table: &mut Table<'_>, flags: &mut Flags) {
    let Some(mut slo) = table.table("slo") else { return };
    for key in ["deliver_ms", "join_ms"] {
        flags.push(&format!("slo_{key}"), slo.whole(key, 1..=600_000));
    }
    for key in ["deliver_share", "join_share"] {
        flags.push(&format!("slo_{key}"), slo.number(key, 0.0..=1.0));
    }
    for key in ["lost", "duplicates"] {
        flags.push(&format!("slo_{key}"), slo.whole(key, 0..=u32::MAX));
    }
    slo.end();
}

fn events(table: &mut Table<'_>, seconds: f64) -> Events {
    Events {
        raids: each(table, "raid", |raid| {
            let (at, viewers) = (time(raid, seconds), count(raid, "viewers"));
            Some(Raid { at: at?, viewers: viewers?, over: over(raid, seconds)? })
        }),
        bursts: each(table, "gifts", |burst| {
            let (at, gifts) = (time(burst, seconds), count(burst, "count"));
            Some(Burst { at: at?, gifts: gifts?, over: over(burst, seconds)? })
        }),
        storms: each(table, "storm", |storm| {
            let (at, share) = (time(storm, seconds), storm.number("share", 0.0..=1.0));
            Some(Storm { at: at?, share: share.unwrap_or(1.0) })
        }),
        curve: curve(table),
        churn: one(table, "churn", |churn| {
            churn.need("every");
            let (viewers, every) = (count(churn, "viewers"), churn.number("every", 0.1..=LONGEST_SECONDS));
            Some(Churn { viewers: viewers?, every: every? })
        }),
        slow: one(table, "slow", |slow| {
            slow.need("bytes_a_second");
            let (viewers, bytes) = (count(slow, "viewers"), slow.whole("bytes_a_second", 10..=10_000_000));
            Some(Slow { viewers: viewers?, bytes_a_second: bytes? })
        }),
        zipf: table.number("zipf", 0.0..=10.0),
    }
}

fn each<T>(table: &mut Table<'_>, key: &str, read: impl Fn(&mut Table<'_>) -> Option<T>) -> Vec<T> {
    let read = |mut item: Table<'_>| {
        let value = read(&mut item);
        item.end();
        value
    };
    table.tables(key).into_iter().filter_map(read).collect()
}

fn one<T>(table: &mut Table<'_>, key: &str, read: impl Fn(&mut Table<'_>) -> Option<T>) -> Option<T> {
    let mut item = table.table(key)?;
    let value = read(&mut item);
    item.end();
    value
}

fn time(table: &mut Table<'_>, seconds: f64) -> Option<f64> {
    table.need("at");
    table.number("at", 0.0..=seconds)
}

fn count(table: &mut Table<'_>, key: &str) -> Option<u32> {
    table.need(key);
    table.whole(key, 0..=MAX_VIEWERS)
}

/// At once when it is not said.
fn over(table: &mut Table<'_>, seconds: f64) -> Option<f64> {
    if table.has("over") { table.number("over", 0.0..=seconds) } else { Some(0.0) }
}

fn curve(table: &mut Table<'_>) -> Vec<CurvePoint> {
    let points = one(table, "curve", |curve| {
        curve.need("joins_a_minute");
        Some(curve.pairs("joins_a_minute"))
    });
    points
        .unwrap_or_default()
        .into_iter()
        .map(|[at, joins_a_minute]| CurvePoint { at, joins_a_minute })
        .collect()
}

#[cfg(test)]
mod tests;
