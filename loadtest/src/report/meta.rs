//! When, where and with what a run was made, for its report.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// The version, and the commit that the tester was built of.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");

/// The circumstances of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// When it began, UTC, as in RFC 3339.
    pub date: String,
    /// CPUs, memory and kernel.
    pub machine: String,
    /// The load averages before the run: what else was going on.
    pub load_before: String,
    /// The tester's version and build.
    pub tester: String,
    /// The pods' names, versions and builds, as their ops listeners tell them.
    pub pods: Vec<String>,
    /// What was typed, without folders of the program and without where the report goes.
    pub command: String,
    /// The scenario's name, if it has one.
    pub scenario: String,
}

impl Meta {
    /// Of now, here.
    pub(crate) fn gather(scenario: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            date: date(since.as_secs()),
            machine: machine(),
            load_before: first_words(&read("/proc/loadavg"), 3),
            tester: VERSION.to_owned(),
            pods: Vec::new(),
            command: command(std::env::args()),
            scenario: scenario.to_owned(),
        }
    }

    /// `2026-11-22-0130-raid`: a name for files.
    pub fn file_stem(&self) -> String {
        let minute: String = self.date.chars().filter(|c| *c != ':').take(15).collect();
        let name = if self.scenario.is_empty() { "run" } else { &self.scenario };
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
        format!("{}-{}", minute.replace('T', "-"), name.chars().map(plain).collect::<String>())
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn first_words(text: &str, count: usize) -> String {
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

fn machine() -> String {
    let info = read("/proc/cpuinfo");
    // Not what this process may use: it may be pinned to one.
    let cpus = info.lines().filter(|line| line.starts_with("processor")).count();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown CPU", |(_, model)| model.trim());
    let memory = read("/proc/meminfo");
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|line| first_words(line, 1).parse::<u64>().ok()).unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpus} × {model}, {} GiB, Linux {}", kilobytes.div_ceil(1 << 20), kernel.trim())
}

fn command(words: impl Iterator<Item = String>) -> String {
    let mut words = words;
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map_or("loadtest".into(), |name| name.to_string_lossy());
    let quoted = without_outputs(words).into_iter().map(|word| match word.split_once(':') {
        // The value of a header may be a key.
        Some((name, _)) if name.starts_with("--header=") || word.contains(": ") => format!("'{name}: …'"),
        _ if word.contains(' ') => format!("'{word}'"),
        _ => word,
    });
    std::iter::once(program.into_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

/// Leaves out the flags that only say where the report goes.
fn without_outputs(words: impl Iterator<Item = String>) -> Vec<String> {
    const OUTPUTS: [&str; 3] = ["--json", "--html", "--reports"];
    let mut kept = Vec::new();
    let mut words = words;
    while let Some(word) = words.next() {
        if OUTPUTS.contains(&word.as_str()) {
            // Its value.
            words.next();
        } else if !OUTPUTS
            .iter()
            .any(|flag| word.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')))
        {
            kept.push(word);
        }
    }
    kept
}

/// Seconds since 1970 as a date of the proleptic Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_309_445, "2026-11-22T01:04:05Z"),
        ] {
            assert_eq!(date(seconds), wanted);
        }
    }

    #[test]
    fn what_was_typed_has_no_folders_of_the_program() {
        let words =
            ["/a/b/loadtest", "run", "--html", "/c/d", "--header", "A: b", "--json=/e"].map(str::to_owned);
        assert_eq!(command(words.into_iter()), "loadtest run --header 'A: …'");
    }

    #[test]
    fn a_file_is_named_by_minute_and_scenario() {
        let meta = Meta { date: date(1_795_309_445), scenario: "raid/../x".into(), ..Meta::gather("") };
        assert_eq!(meta.file_stem(), "2026-11-22-0104-raid----x");
        assert!(meta.machine.contains("Linux"));
    }
}
