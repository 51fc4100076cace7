//! Settings of readiness, admission and shedding.

use clap::Args;

use super::Faults;
use crate::readiness::{ReadinessSettings, Thresholds};

/// Settings of readiness as they were given.
#[derive(Debug, Clone, Args)]
pub(super) struct ReadyFlags {
    /// Share of the pod's processor time above which it gets hot; 1: never
    #[arg(long, env = "FANFARE_READY_CPU_HIGH", value_name = "SHARE", default_value = "0.80")]
    ready_cpu_high: String,
    /// Share of the pod's processor time below which it gets cool
    #[arg(long, env = "FANFARE_READY_CPU_LOW", value_name = "SHARE", default_value = "0.65")]
    ready_cpu_low: String,
    /// How long the load is above the high share before the pod takes no new viewers
    #[arg(long, env = "FANFARE_READY_HOT_FOR", value_name = "DURATION", default_value = "5s")]
    ready_hot_for: String,
    /// How long the load is below the low share before it takes them again; after twice this time it sheds
    #[arg(long, env = "FANFARE_READY_COOL_FOR", value_name = "DURATION", default_value = "30s")]
    ready_cool_for: String,
    /// The most viewers [0: as many as the open files allow]
    #[arg(long, env = "FANFARE_MAX_VIEWERS", value_name = "COUNT", default_value = "0")]
    max_viewers: String,
    /// The most handshakes a second [0: no limit]
    #[arg(long, env = "FANFARE_ACCEPTS_PER_SECOND", value_name = "COUNT", default_value = "0")]
    accepts_per_second: String,
    /// The most refused handshakes a second that are told when to come again on the WebSocket itself [0: none]
    #[arg(long, env = "FANFARE_SOCKET_REFUSALS_PER_SECOND", value_name = "COUNT", default_value = "100")]
    socket_refusals_per_second: String,
    /// Whether a pod that stays hot asks its excess of viewers to move to others
    #[arg(long, env = "FANFARE_SHED", value_name = "true|false", default_value = "true")]
    shed: String,
}

impl ReadyFlags {
    /// Checks them.
    pub(super) fn check(self, faults: &mut Faults) -> ReadinessSettings {
        let thresholds = Thresholds {
            high: faults.share("FANFARE_READY_CPU_HIGH", &self.ready_cpu_high),
            low: faults.share("FANFARE_READY_CPU_LOW", &self.ready_cpu_low),
            hot_for: faults.duration("FANFARE_READY_HOT_FOR", &self.ready_hot_for, 1, 600),
            cool_for: faults.duration("FANFARE_READY_COOL_FOR", &self.ready_cool_for, 1, 3_600),
        };
        let Thresholds { high, low, .. } = thresholds;
        if high > 0.0 && low >= high {
            faults
                .0
                .push(format!("FANFARE_READY_CPU_LOW: {low} is not below FANFARE_READY_CPU_HIGH, {high}"));
        }
        ReadinessSettings {
            thresholds,
            max_viewers: faults.number("FANFARE_MAX_VIEWERS", &self.max_viewers, 0..=10_000_000),
            accepts_per_second: faults.number(
                "FANFARE_ACCEPTS_PER_SECOND",
                &self.accepts_per_second,
                0..=1_000_000,
            ),
            socket_refusals_per_second: faults.number(
                "FANFARE_SOCKET_REFUSALS_PER_SECOND",
                &self.socket_refusals_per_second,
                0..=1_000_000,
            ),
            shed: faults.boolean("FANFARE_SHED", &self.shed),
        }
    }
}

impl Faults {
    fn share(&mut self, name: &str, text: &str) -> f64 {
        text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0).unwrap_or_else(|| {
            self.0.push(format!("{name}: {text:?} is not a share above 0, up to 1"));
            0.0
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::config::{BadConfig, Flags};

    fn named(arguments: &[&str]) -> Vec<String> {
        let Err(BadConfig(faults)) =
            Flags::try_parse_from([&["fanfare"], arguments].concat()).unwrap().check()
        else {
            return Vec::new();
        };
        faults.iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn thresholds_out_of_order_or_range_times_of_nothing_and_too_short_a_grace_are_faults() {
        const HIGH: &str = "FANFARE_READY_CPU_HIGH";
        const LOW: &str = "FANFARE_READY_CPU_LOW";
        let cases: [(&[&str], &[&str]); 15] = [
            (&["--ready-cpu-high=0.6"], &[LOW]),
            (&["--ready-cpu-low=0.8"], &[LOW]),
            (&["--ready-cpu-high=1.1"], &[HIGH]),
            (&["--ready-cpu-high=0"], &[HIGH]),
            (&["--ready-cpu-low=-0.1"], &[LOW]),
            (&["--ready-cpu-high=NaN", "--ready-cpu-low=half"], &[HIGH, LOW]),
            (
                &["--ready-hot-for=0s", "--ready-cool-for=0"],
                &["FANFARE_READY_HOT_FOR", "FANFARE_READY_COOL_FOR"],
            ),
            (&["--max-viewers=many"], &["FANFARE_MAX_VIEWERS"]),
            (&["--accepts-per-second=-1", "--shed=no"], &["FANFARE_ACCEPTS_PER_SECOND", "FANFARE_SHED"]),
            (&["--socket-refusals-per-second=few"], &["FANFARE_SOCKET_REFUSALS_PER_SECOND"]),
            (&["--drain=60s"], &["FANFARE_GRACE"]),
            (&["--settle=20s"], &["FANFARE_GRACE"]),
            (&["--grace=0s"], &["FANFARE_GRACE"]),
            (&["--drain=10m", "--grace=11m"], &[]),
            (&["--ready-cpu-high=1", "--ready-cpu-low=0.99"], &[]),
        ];
        for (arguments, expected) in cases {
            assert_eq!(named(arguments), expected, "{arguments:?}");
        }
    }
}
